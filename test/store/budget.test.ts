// Eviction on a real store: what other versions of kache left, stamps from the future, what is counted, what is swept.
import { expect, test } from 'bun:test';
import {
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { writeEvent } from '../../src/compile/write-event.ts';
import type { Digest } from '../../src/core/ids.ts';
import { publishBlob } from '../../src/store/blobs.ts';
import { type CollectOptions, collect } from '../../src/store/budget.ts';
import { readUnit, recordClosure } from '../../src/store/closures.ts';
import { readEntry, writeEntry } from '../../src/store/entries.ts';
import { rotateEvents } from '../../src/store/event-log.ts';
import { isEvictionBehind, isEvictionDue, logLimitBytes } from '../../src/store/eviction-trigger.ts';
import { writeMemo, writeOutputs } from '../../src/store/hashes.ts';
import { storeBytes, takeInventory } from '../../src/store/inventory.ts';
import { encodeRecord } from '../../src/store/records.ts';
import type { Store } from '../../src/store/store.ts';
import { tryLock } from '../../src/sys/lock.ts';
import { Pace } from '../../src/sys/pace.ts';
import { Lab } from '../support/lab.ts';
import { asVersion } from '../support/other-version.ts';
import { blobId, cacheKey, closureOf, entryOf, NO_INPUTS, storeOf, unitId } from './stores.ts';

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;

const run = async (store: Store, options: Partial<CollectOptions> = {}) => {
  const own = { maxBytes: 1e12, isDoomed: () => false, nowMs: Date.now(), pace: new Pace() };
  const done = await collect(store, { ...own, ...options });
  if (done === undefined) throw new Error('nobody else evicts here');
  return done;
};

/** Stores an entry with one blob of `kilobytes`, used `agoMs` ago. */
function store1(lab: Lab, store: Store, name: string, options: { kilobytes?: number; agoMs?: number } = {}) {
  const text = name.repeat(Math.ceil(((options.kilobytes ?? 4) * 1024) / name.length));
  const source = lab.path(`source ${name}`);
  writeFileSync(source, text);
  publishBlob(store, blobId(text), source, { shared: true, mode: 0o644, linkMode: 'hardlink' });
  rmSync(source);
  writeEntry(store, entryOf(name, text), NO_INPUTS);
  recordClosure(store, unitId(name), { closure: closureOf('./lib.rs'), key: cacheKey(name) });
  const used = (Date.now() - (options.agoMs ?? 0)) / 1000;
  utimesSync(store.layout.entry(cacheKey(name)), used, used);
  return { blob: store.layout.blob(blobId(text)), entry: store.layout.entry(cacheKey(name)) };
}

const age = (path: string, ms: number): void => {
  const then = (Date.now() - ms) / 1000;
  lutimesSync(path, then, then);
};

test('records of a later version outlive every eviction, and what their entries mention', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const own = store1(lab, store, 'own');
  const shared = store1(lab, store, 'shared');
  const put = (path: string, text: string): string => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    age(path, 400 * DAY_MS);
    return path;
  };
  const mentioned = shared.blob.slice(-64);
  const foreign = [
    put(store.layout.entry(cacheKey('later')), encodeRecord('kache-entry-2', [{ blobs: [mentioned] }])),
    put(`${store.layout.entry(cacheKey('later'))}.inputs`, encodeRecord('kache-inputs-9', [])),
    put(store.layout.unit(unitId('later')), encodeRecord('kache-unit-12', [{}])),
    put(store.layout.memo('outputs', 'later'), encodeRecord('kache-memo-2', ['later'])),
    put(store.layout.memo('sources', 'later'), encodeRecord('kache-memo-2', ['later'])),
    // A later version keeps its seals, its blobs' companions, its memos and its index under names of their own.
    put(`${shared.blob}.seal2`, 'kache-seal-2 checksum\n'),
    put(`${store.layout.root}/hashes/later/${'a'.repeat(32)}`, 'kache-memo-1 checksum\n'),
    put(`${store.layout.root}/remote/queue/1`, 'anything'),
    put(`${store.layout.root}/index.sqlite`, 'anything'),
  ];
  const alone = put(store.layout.blob(blobId('only the later version knows it')), 'bytes');
  // As `purge` does, long after: everything of ours goes.
  const done = await run(store, { isDoomed: () => true, nowMs: Date.now() + 400 * DAY_MS });
  expect([done.entriesRemoved, done.foreignEntries]).toEqual([2, 1]);
  expect([existsSync(own.entry), existsSync(own.blob), existsSync(shared.entry)]).toEqual([
    false,
    false,
    false,
  ]);
  for (const path of [...foreign, shared.blob, alone]) expect([path, existsSync(path)]).toEqual([path, true]);
});

test('beside entries of a later version, own ones keep their own cap', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const own = store1(lab, store, 'own', { kilobytes: 100 });
  const theirs = store1(lab, store, 'theirs', { kilobytes: 500 });
  const maxBytes = 400_000;
  writeFileSync(theirs.entry, asVersion(theirs.entry, 1));
  expect((await run(store, { maxBytes })).entriesRemoved).toBe(0);
  expect([existsSync(own.entry), existsSync(theirs.blob)]).toEqual([true, true]);
});

test('records of a later version are not replaced, and a lock that version holds is not taken', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  store1(lab, store, 'own');
  for (const path of [store.layout.entry(cacheKey('own')), store.layout.unit(unitId('own'))]) {
    const later = asVersion(path, 1);
    writeFileSync(path, later);
    expect(writeEntry(store, entryOf('own', 'x'), NO_INPUTS)).toBe(false);
    recordClosure(store, unitId('own'), { closure: closureOf('./other.rs'), key: cacheKey('own') });
    expect(readFileSync(path, 'utf8')).toBe(later);
  }
  expect([readEntry(store, cacheKey('own')), readUnit(store, unitId('own')).keys]).toEqual([undefined, []]);
  // Locks have no version: who holds the file holds it against everyone.
  const path = store.layout.lock('f'.repeat(64) as Digest);
  using held = tryLock(path);
  await run(store);
  expect([held === undefined, existsSync(path)]).toEqual([false, true]);
});

test('an entry stamped in the future counts as used now, and is stamped so', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const future = store1(lab, store, 'future', { kilobytes: 100, agoMs: -300 * DAY_MS });
  const old = store1(lab, store, 'old', { kilobytes: 100, agoMs: 2 * DAY_MS });
  await run(store);
  expect(statSync(future.entry).mtimeMs).toBeLessThan(Date.now() + 1000);
  // From now on it ages: used later, the other one stays.
  utimesSync(old.entry, Date.now() / 1000 + 10, Date.now() / 1000 + 10);
  const { bytesAfter } = await run(store);
  await run(store, { maxBytes: bytesAfter - 60_000 });
  expect([existsSync(future.entry), existsSync(old.entry)]).toEqual([false, true]);
});

test('files on their way are swept an hour from their stamp, in either direction', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const ages = { young: 0, old: 2 * HOUR_MS, future: -2 * HOUR_MS };
  for (const [name, ms] of Object.entries(ages)) {
    writeFileSync(store.layout.temporary(name), '');
    age(store.layout.temporary(name), ms);
  }
  const orphan = store.layout.blob(blobId('orphan'));
  mkdirSync(dirname(orphan));
  writeFileSync(orphan, '');
  await run(store);
  expect(readdirSync(join(store.layout.root, 'tmp'))).toEqual(['young']);
  expect(existsSync(orphan)).toBe(true);
  // A blob's own stamps cannot be set back: here the clock is.
  await run(store, { nowMs: Date.now() - 2 * HOUR_MS });
  expect(existsSync(orphan)).toBe(false);
});

test('what killed builders left beside outputs is swept where the log says that builds write', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  // No process has such a number.
  const dead = ['99999999-libx.rlib', '99999999-link.d'];
  const own = ['libx.rlib', '.kache-notes', 'libkache-0a1b2c.rlib'];
  const out = lab.write('target', Object.fromEntries(own.map((name) => [name, ''])));
  const aside = lab.write('target/.kache', Object.fromEntries(dead.map((name) => [name, ''])));
  const onItsWay = `${process.pid}-liby.rlib`;
  writeFileSync(join(aside, onItsWay), '');
  const event = { crate_name: 'x', result: 'miss', compiler_runs: 1, out_dir: out } as const;
  const whose = { store, startedMs: Date.now(), caller: { pid: process.pid, parentPid: process.ppid } };
  writeEvent(whose, event);
  writeEvent(whose, { ...event, out_dir: lab.path('gone') });
  await run(store);
  expect([readdirSync(aside), readdirSync(out).sort()]).toEqual([[onItsWay], [...own, '.kache'].sort()]);
});

test('an entry that has lost a blob is taken away, before and after the sweep', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const whole = store1(lab, store, 'whole');
  const broken = store1(lab, store, 'broken');
  rmSync(broken.blob);
  expect((await run(store)).entriesRemoved).toBe(1);
  expect([existsSync(whole.entry), existsSync(broken.entry)]).toEqual([true, false]);
});

test('everything in the store counts, and each inode once', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const { blob } = store1(lab, store, 'one', { kilobytes: 200 });
  // A second entry of the same bytes, and a checkout that links them, occupy nothing more than their records.
  const [first] = entryOf('one', 'one'.repeat(Math.ceil((200 * 1024) / 3))).outputs;
  writeEntry(store, { ...entryOf('two'), outputs: first === undefined ? [] : [first] }, NO_INPUTS);
  linkSync(blob, lab.path('linked'));
  writeFileSync(store.layout.events, 'x'.repeat(100_000));
  writeFileSync(store.layout.temporary('crashed'), 'x'.repeat(50_000));
  const seen = new Map<number, number>();
  for (const entry of readdirSync(store.layout.root, { recursive: true, withFileTypes: true })) {
    const info = statSync(join(entry.parentPath, entry.name));
    if (!info.isDirectory()) seen.set(info.ino, info.blocks * 512);
  }
  const total = [...seen.values()].reduce((a, b) => a + b, 0);
  expect(storeBytes(takeInventory(store))).toBe(total);
  expect(total).toBeLessThan(200 * 1024 + 150_000 + 60_000);
  const done = await run(store, { isDoomed: () => true });
  expect(done.freedBytes).toBe(0);
  expect(done.linkedBytes).toBeGreaterThan(200 * 1024);
  expect(statSync(lab.path('linked')).nlink).toBe(1);
});

test('of two alike, the one that was hit since it was stored stays', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const put = (name: string, createdMs: number): string => {
    const { entry } = store1(lab, store, name, { kilobytes: 100 });
    const blobs = entryOf(name, name.repeat(Math.ceil((100 * 1024) / name.length))).outputs;
    writeEntry(store, { ...entryOf(name), outputs: blobs, createdMs }, NO_INPUTS);
    return entry;
  };
  const now = Date.now();
  // Were they worth the same, the one with the smaller key would go.
  const [first = '', second = ''] = ['one', 'two'].sort((a, b) => (cacheKey(a) < cacheKey(b) ? -1 : 1));
  const [hit, never] = [put(first, now - 30_000), put(second, now - 300)];
  const total = storeBytes(takeInventory(store));
  for (const path of [hit, never]) utimesSync(path, now / 1000, now / 1000);
  await run(store, { maxBytes: total });
  expect([existsSync(hit), existsSync(never)]).toEqual([true, false]);
});

test('what is no entry counts against the cap, so that the store as a whole keeps it', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  for (let n = 0; n < 10; n++) store1(lab, store, `entry ${n}`, { kilobytes: 100, agoMs: n * HOUR_MS });
  for (let n = 0; n < 100; n++) writeMemo(store, 'sources', `memo ${n}`, 'x'.repeat(4000));
  const maxBytes = 1_500_000;
  expect(storeBytes(takeInventory(store))).toBeGreaterThan(maxBytes);
  expect((await run(store, { maxBytes })).bytesAfter).toBeLessThanOrEqual(maxBytes);
  expect(takeInventory(store).entries.length).toBeGreaterThan(3);
});

test('memos and unit records go a month after their last use, memos of outputs that are still there do not', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  store1(lab, store, 'unit');
  const out = lab.write('target', { 'libx.rlib': '' });
  const record = { macros: [], externs: [], behind: '', places: {}, complete: true, assembles: false };
  writeOutputs(store, join(out, 'libx.rlib'), { files: { 'libx.rlib': ['s', 'i', 'b'] }, ...record });
  writeOutputs(store, join(out, 'liby.rlib'), { files: { 'liby.rlib': ['s', 'i', 'b'] }, ...record });
  writeMemo(store, 'sources', 'a', {});
  const paths = {
    kept: store.layout.memo('outputs', join(out, 'libx')),
    gone: store.layout.memo('outputs', join(out, 'liby')),
    sources: store.layout.memo('sources', 'a'),
    unit: store.layout.unit(unitId('unit')),
  };
  await run(store, { nowMs: Date.now() + 29 * DAY_MS });
  expect(Object.values(paths).map((path) => existsSync(path))).toEqual([true, true, true, true]);
  await run(store, { nowMs: Date.now() + 31 * DAY_MS });
  expect(Object.values(paths).map((path) => existsSync(path))).toEqual([true, false, false, false]);
});

test('eviction is due by what was written, and behind when it has not run for long', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const cap = 20_000_000;
  expect(isEvictionDue(store, cap)).toBe(false);
  store.noteWritten(1_100_000);
  expect([isEvictionDue(store, cap), isEvictionBehind(store, cap)]).toEqual([true, false]);
  expect(isEvictionDue(store, undefined)).toBe(false);
  store.noteWritten(4_000_000);
  expect([isEvictionBehind(store, cap), isEvictionBehind(store, undefined)]).toEqual([true, false]);
  await run(store);
  expect([isEvictionDue(store, cap), isEvictionBehind(store, cap)]).toEqual([false, false]);
});

test('the log becomes the previous generation above its limit, a small one in a small store', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  expect([logLimitBytes(undefined), logLimitBytes(5_000_000)]).toEqual([32 * 1024 * 1024, 250_000]);
  const cap = 5_000_000;
  for (const letter of ['a', 'b', 'c']) {
    writeFileSync(store.layout.events, letter.repeat(320_000));
    expect(isEvictionDue(store, cap)).toBe(true);
    rotateEvents(store, logLimitBytes(cap));
    expect(existsSync(store.layout.events)).toBe(false);
    expect(readFileSync(`${store.layout.events}.1`, 'utf8')).toBe(letter.repeat(320_000));
  }
  writeFileSync(store.layout.events, 'x'.repeat(240_000));
  rotateEvents(store, logLimitBytes(cap));
  expect([existsSync(store.layout.events), isEvictionDue(store, cap)]).toEqual([true, false]);
});
