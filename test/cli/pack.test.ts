// `kache pack` on the built binary: what is chosen, what is written, what is taken in, and what is refused.
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { SCRIPT_RUN } from '../../src/core/events.ts';
import type { CacheKey } from '../../src/core/ids.ts';
import { pack } from '../../src/remote/pack.ts';
import { publishBlob } from '../../src/store/blobs.ts';
import { readUnit, recordClosure } from '../../src/store/closures.ts';
import { removeEntry, writeEntry } from '../../src/store/entries.ts';
import { readMemo } from '../../src/store/hashes.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { blobId, cacheKey, closureOf, entryOf, NO_INPUTS, storeOf, unitId } from '../store/stores.ts';
import { filesBelow, inspectStore } from '../support/invariants.ts';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import { processesLeft, until } from '../support/wrapper-call.ts';

let lab: Lab;
let store: Store;
let file: string;
beforeEach(() => {
  lab = new Lab();
  store = storeOf(lab);
  file = lab.path('some.pack');
});
afterEach(() => lab[Symbol.dispose]());

const HOUR_MS = 3600_000;

/** An entry with one output of its own, as a compile leaves it. */
function add(
  name: string,
  withheld: string | null | 'undecided' = null,
  text = `output of ${name}`,
): CacheKey {
  const source = lab.path('source');
  writeFileSync(source, text);
  publishBlob(store, blobId(text), source, { shared: false, mode: 0o644, linkMode: 'copy' });
  const closure = closureOf(`./${name}.rs`);
  const verdict = withheld === 'undecided' ? {} : { withheld };
  writeEntry(store, entryOf(name, text), { ...NO_INPUTS, closure, ...verdict });
  recordClosure(store, unitId(name), { closure, key: cacheKey(name) });
  return cacheKey(name);
}

/** A line of the log, as a call leaves it that ended `agoMs` ago. */
const line = (name: string, result: string, agoMs = 0): string =>
  `${JSON.stringify({ ts: Date.now() - agoMs, result, crate_name: name, elapsed_ms: 1, compiler_runs: 0, cache_key: cacheKey(name) })}\n`;

const log = (...events: readonly string[]): void => appendFileSync(store.layout.events, events.join(''));

const run = (args: readonly string[], env: Env = {}) => lab.run([KACHE, 'pack', ...args], { env });

function save(...args: string[]) {
  const { status, stdout, stderr } = run(['save', file, '--json', ...args]);
  expect([status, stderr, stdout.split('\n').length]).toEqual([0, '', 2]);
  return JSON.parse(stdout);
}

const namesIn = (path = file): string[] =>
  JSON.parse(run(['show', path, '--json']).stdout)
    .entries.map(({ crate }: { crate: string }) => crate)
    .sort();

/** Restores into a store of its own and says what came of it. */
function restore(files: readonly string[] = [file], into = lab.path('other')) {
  const { status, stdout, stderr } = run(['restore', ...files, '--json'], { KACHE_CACHE_DIR: into });
  const { wrong, entries } = inspectStore(into);
  expect(wrong).toEqual([]);
  return { status, stderr, in_store: entries, ...JSON.parse(stdout) };
}

test('everything that may travel goes into a pack and comes out in another store, closures too', () => {
  for (const name of ['a', 'b', 'c']) add(name);
  const saved = save();
  const size = readFileSync(file).length;
  expect(saved).toMatchObject({ file, entries: 3, new: 3, in_bases: 0, base_bytes: 0, left_out: 0, gone: 0 });
  expect(saved).toMatchObject({ bytes: size, set: sha256(['a', 'b', 'c'].map(cacheKey).sort().join('\n')) });
  const shown = JSON.parse(run(['show', file, '--json']).stdout);
  expect(shown).toMatchObject({ format: 1, bytes: size });
  expect(shown.kache).toMatch(/^\d+\.\d+\.\d+$/);
  expect(shown.entries[0]).toMatchObject({ crate: 'a', compile_ms: 100, key: cacheKey('a') });
  const sizes = shown.entries.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0);
  expect(saved.used_bytes).toBe(sizes);
  expect(run(['show', file]).stdout).toContain('3 entries');
  expect(restore()).toEqual({
    status: 0,
    stderr: '',
    in_store: 3,
    packs: 1,
    entries: 3,
    added: 3,
    present: 0,
    refused: 0,
    bytes: 3 * 'output of a'.length,
    why: [],
  });
  const other = openStore(lab.path('other'));
  if (other.kind !== 'store') throw new Error(other.detail);
  expect(readUnit(other, unitId('b'))).toEqual({
    closures: [closureOf('./b.rs')],
    keys: [cacheKey('b')],
  });
  // Once more: nothing to do; and a closure that was lost meanwhile is back.
  rmSync(other.layout.unit(unitId('b')));
  expect(restore()).toMatchObject({ status: 0, added: 0, present: 3, bytes: 0 });
  expect(readUnit(other, unitId('b')).keys).toEqual([cacheKey('b')]);
  // What has travelled may travel on.
  const onward = run(['save', lab.path('onward'), '--json'], { KACHE_CACHE_DIR: lab.path('other') });
  expect(JSON.parse(onward.stdout)).toMatchObject({ entries: 3, set: saved.set });
});

test('what was withheld stays, and so does what nobody decided about', () => {
  add('free');
  add('secret', 'variable TOKEN');
  add('earlier', 'undecided');
  expect(save()).toMatchObject({ entries: 1, left_out: 2 });
  expect(namesIn()).toEqual(['free']);
});

test('what a connection brings no sooner than the compiler makes it is left out', () => {
  // 100 ms of compiling: 20 of 8 MB are for unpacking, the rest for a fifth of them on their way.
  add('large', null, 'x'.repeat(8e6));
  add('small');
  const named = (...args: string[]): [string[], number] => {
    const { left_out } = save(...args);
    return [namesIn(), left_out];
  };
  expect(named()).toEqual([['large', 'small'], 0]);
  expect(named('--bandwidth', '21MB')).toEqual([['large', 'small'], 0]);
  expect(named('--bandwidth', '19MB')).toEqual([['small'], 1]);
  expect(named('--bandwidth', '0')).toEqual([['large', 'small'], 0]);
});

test('--since: hits and what was stored, by the log; what was evicted is counted', () => {
  for (const name of ['old', 'stored', 'dup', 'hit', 'first-hit', 'unused', 'kept']) add(name);
  log(line('old', 'local_hit', 2 * HOUR_MS), line('stored', 'miss'), line('dup', 'dup'));
  log(line('hit', 'local_hit'), line('first-hit', 'prefetch_hit'), line('evicted', 'miss'));
  log(line('unused', 'skipped'), line('kept', 'local_hit', 30_000), 'torn {"ts":1');
  expect(save('--since', '1h')).toMatchObject({ entries: 5, gone: 1 });
  expect(namesIn()).toEqual(['dup', 'first-hit', 'hit', 'kept', 'stored']);
  save('--since', new Date(Date.now() - 10_000).toISOString());
  expect(namesIn()).toEqual(['dup', 'first-hit', 'hit', 'stored']);
  expect(save('--since', '3h')).toMatchObject({ entries: 6 });
  removeEntry(store, cacheKey('hit'));
  expect(save('--since', '1h')).toMatchObject({ entries: 4, gone: 2 });
});

test('--since: the log before is read too; behind that, the stamps of entries tell', () => {
  for (const name of ['before', 'now', 'lost', 'old', 'brought']) add(name);
  utimesSync(store.layout.entry(cacheKey('old')), 0, Date.now() / 1000 - 3 * 3600);
  const text = 'output of brought';
  const origins = { ...NO_INPUTS, closure: closureOf('./brought.rs'), withheld: null };
  writeEntry(store, { ...entryOf('brought', text), origin: 'prefetch' }, origins);
  writeFileSync(`${store.layout.events}.1`, line('before', 'local_hit', HOUR_MS / 2));
  log(line('now', 'miss'));
  save('--since', '40m');
  expect(namesIn()).toEqual(['before', 'lost', 'now']);
  // The log goes back to half an hour ago, and is believed as far.
  save('--since', '20m');
  expect(namesIn()).toEqual(['now']);
});

test('a base is left out; when nothing is new no file is written', () => {
  const [first, second] = [lab.path('first.pack'), lab.path('second.pack')];
  for (const name of ['a', 'b']) add(name);
  run(['save', first]);
  add('c');
  const delta = JSON.parse(run(['save', second, '--base', first, '--json']).stdout);
  expect(delta).toMatchObject({ entries: 3, in_bases: 2, new: 1 });
  expect(delta.base_bytes + delta.used_bytes).toBeGreaterThan(2 * delta.base_bytes);
  expect(namesIn(second)).toEqual(['c']);
  writeFileSync(file, 'as it was');
  const nothing = save('--base', first, '--base', second);
  expect(nothing).toMatchObject({ file: null, new: 0, bytes: 0, in_bases: 3, entries: 3, set: delta.set });
  expect(nothing.base_bytes).toBe(nothing.used_bytes);
  expect(readFileSync(file, 'utf8')).toBe('as it was');
  expect(restore([first, second])).toMatchObject({ status: 0, packs: 2, added: 3 });
  expect(run(['save', file, '--base', first, '--base', second]).stdout).toBe(
    'Nothing to pack; 3 are in the bases.\n',
  );
  // Of an empty store likewise.
  const empty = run(['save', lab.path('empty.pack'), '--json'], { KACHE_CACHE_DIR: lab.path('empty') });
  expect(JSON.parse(empty.stdout)).toMatchObject({ file: null, entries: 0 });
  expect(existsSync(lab.path('empty.pack'))).toBe(false);
});

test('--parts: a large pack in several files, each a pack, the first one the smallest', () => {
  const large = (name: string): CacheKey => add(name, null, randomBytes(6e6).toString('base64'));
  for (const name of ['a', 'b', 'c', 'd']) large(name);
  const saved = save('--parts', '--bandwidth', '0');
  const files = [file, `${file}.2`, `${file}.3`];
  expect(saved.parts.map((part: { file: string }) => part.file)).toEqual(files);
  const sizes = files.map((path) => readFileSync(path).length);
  expect(saved.parts.map(({ bytes }: { bytes: number }) => bytes)).toEqual(sizes);
  expect(saved).toMatchObject({ file, entries: 4, new: 4, bytes: sizes.reduce((sum, size) => sum + size) });
  expect(files.map((path) => namesIn(path).length)).toEqual([1, 2, 1]);
  for (const [index, path] of files.entries()) {
    const keys = JSON.parse(run(['show', path, '--json']).stdout).entries.map(
      ({ key }: { key: string }) => key,
    );
    expect(saved.parts[index].set).toBe(sha256(keys.sort().join('\n')));
  }
  expect(run(['save', file, '--parts', '--bandwidth', '0']).stdout).toStartWith(
    `Packed 4 entries into 3 files, ${file} the first of them, `,
  );
  expect(restore(files.slice(1))).toMatchObject({ status: 0, packs: 2, added: 3 });
  expect(restore(files)).toMatchObject({ status: 0, packs: 3, added: 1, present: 3 });
  const bases = files.flatMap((path) => ['--base', path]);
  const rest = run(['save', lab.path('rest'), '--json', '--parts', '--bandwidth', '0', ...bases]);
  expect(JSON.parse(rest.stdout)).toMatchObject({ file: null, parts: [], in_bases: 4, set: saved.set });
  // One file where nobody asks for more, and where there is little.
  expect(save('--bandwidth', '0')).toMatchObject({ parts: [{ file, set: saved.set }], set: saved.set });
  expect(save('--parts', '--min-compile-ms', '1000')).toMatchObject({ file: null, parts: [] });
});

test('what runs of build scripts have looked at of the system is hashed while a pack is restored, if it is large', () => {
  const maps = process.platform === 'linux' ? readFileSync('/proc/self/maps', 'utf8') : '';
  const library = /^.* (\/usr\/\S*libc[.-]\S*)$/m.exec(maps)?.[1];
  if (library === undefined)
    return notRun('hashing ahead of a look-up', 'libc is not known to be below /usr');
  const large = lab.path('large');
  writeFileSync(large, randomBytes(2 << 20));
  const files = [library, large, '/usr/bin/env', '/usr/nowhere', '/usr/lib'];
  const text = 'what the run made';
  const name = 'script';
  const source = lab.path('source');
  writeFileSync(source, text);
  publishBlob(store, blobId(text), source, { shared: false, mode: 0o644, linkMode: 'copy' });
  const closure = { ...closureOf('./build.rs'), files };
  writeEntry(
    store,
    { ...entryOf(name, text), crateTypes: SCRIPT_RUN },
    { ...NO_INPUTS, closure, withheld: null },
  );
  recordClosure(store, unitId(name), { closure, key: cacheKey(name) });
  save();
  expect(restore()).toMatchObject({ status: 0, added: 1 });
  const other = openStore(lab.path('other'));
  if (other.kind !== 'store') throw new Error(other.detail);
  const known = readMemo<{ files: Record<string, [string, string]> }>(other, 'sources', 'large files');
  expect(Object.entries(known?.files ?? {}).map(([path, [, digest]]) => [path, digest])).toEqual([
    [library, sha256(readFileSync(library))],
  ]);
});

test('a base that is damaged is none: nothing is written', () => {
  add('a');
  run(['save', file]);
  const cut = lab.path('cut.pack');
  writeFileSync(cut, readFileSync(file).subarray(0, -3));
  for (const base of [cut, lab.path('none')]) {
    const refused = run(['save', lab.path('new.pack'), '--base', base]);
    expect([refused.status, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toStartWith(`kache: Cannot read the pack "${base}": `);
  }
  expect(existsSync(lab.path('new.pack'))).toBe(false);
});

test('wrong usage is 2', () => {
  for (const args of [
    [],
    ['save'],
    ['restore'],
    ['show'],
    ['save', file, '--since', 'yesterday'],
    ['save', file, '--since', '2026-11-25'],
    ['save', file, '--bandwidth', 'fast'],
    ['save', file, '--base'],
    ['other'],
  ])
    expect([args, run(args).status]).toEqual([args, 2]);
  for (const command of ['save', 'restore', 'show'])
    expect(run([command, '--help']).stdout).toContain(`kache pack ${command}`);
});

test('files that are no packs, beside a good one: said, and the good one is restored', () => {
  add('a');
  save();
  writeFileSync(lab.path('empty'), '');
  writeFileSync(lab.path('page'), '<html>no such key</html>\n');
  const later = readFileSync(file, 'latin1').replace('kache-packs-2 ', 'kache-packs-3 ');
  writeFileSync(lab.path('later'), later, 'latin1');
  const files = ['none', 'empty', 'page', 'later'].map((name) => lab.path(name));
  const done = restore([...files, file]);
  expect(done).toMatchObject({ status: 1, packs: 1, added: 1, refused: 4, in_store: 1 });
  expect(done.why).toEqual([
    `"${files[0]}": it is not there`,
    `"${files[1]}": it is not a pack`,
    `"${files[2]}": it is not a pack`,
    `"${files[3]}": it was written by another version of kache`,
  ]);
  expect(done.stderr.split('\n')[0]).toBe(`kache: Cannot restore all of "${files[0]}": it is not there.`);
  for (const path of files) {
    const shown = run(['show', path, '--json']);
    expect([path, shown.status, shown.stdout]).toEqual([path, 1, '']);
    expect(shown.stderr).toStartWith(`kache: Cannot read the pack "${path}": it `);
  }
});

test('cut or damaged: what is whole is kept, the rest is said, and a later whole pack mends it', () => {
  for (const name of ['a', 'b', 'c', 'd']) add(name, null, name.repeat(3000));
  save();
  const whole = readFileSync(file);
  const [cut, flipped] = [lab.path('cut'), lab.path('flipped')];
  let most = 0;
  for (let part = 0; part < 12; part++) {
    const [into, length] = [lab.path(`store-${part}`), Math.floor((whole.length * part) / 12)];
    writeFileSync(cut, whole.subarray(0, length));
    const done = restore([cut], into);
    expect(done).toMatchObject({ status: 1, refused: 1, added: done.in_store });
    expect(done.added).toBeGreaterThanOrEqual(most);
    most = done.added;
    const bytes = Buffer.from(whole);
    const at = length + 7;
    bytes[at] = (bytes[at] ?? 0) ^ 32;
    writeFileSync(flipped, bytes);
    const other = restore([flipped], lab.path(`store-${part}-flipped`));
    if (other.status === 0) expect(other.added).toBe(4);
    expect(restore([file], into)).toMatchObject({ status: 0, in_store: 4 });
  }
  expect(most).toBe(3);
});

/** A pack of one's own making. */
function forged(...objects: readonly (readonly [key: string, object: Uint8Array])[]): void {
  const parts = objects.flatMap(([key, object]) => [Buffer.from(`${key} ${object.length}\n`), object]);
  const head = 'kache-packs-2 {"kache":"0.1.0","created":"2026-11-25T13:24:40Z"}\n';
  writeFileSync(file, Buffer.concat([Buffer.from(head), ...parts, Buffer.from(`end ${objects.length}\n`)]));
}

async function packed(name: string, changes: object = {}): Promise<Uint8Array> {
  const text = `output of ${name}`;
  const parts = { entry: entryOf(name, text), inputs: NO_INPUTS, closure: closureOf('./lib.rs'), ...changes };
  const object = await pack(parts, { level: 3, outputOf: () => new TextEncoder().encode(text) });
  if (object === undefined) throw new Error('could not be packed');
  return object;
}

test('an entry under the key of another, and one that unpacks without end, are refused; the others are kept', async () => {
  const zeros = Bun.zstdCompressSync(new Uint8Array(200 * 1024 * 1024));
  const output = { kind: 'link', blob: sha256('x'), sizeBytes: 200 * 1024 * 1024, mode: 0o644 };
  const entry = { ...entryOf('zip'), outputs: [output] };
  const text = Bun.zstdCompressSync(
    JSON.stringify({
      key: entry.key,
      entry,
      inputs: NO_INPUTS,
      closure: closureOf('./x.rs'),
      lengths: [zeros.length],
      part: null,
    }),
  );
  const zip = Buffer.concat([Buffer.from(`kache-pack-2 ${sha256(text)} ${text.length}\n`), text, zeros]);
  forged(
    [cacheKey('a'), await packed('a')],
    [cacheKey('other'), await packed('b')],
    [cacheKey('zip'), zip],
    [cacheKey('c'), await packed('c')],
  );
  const done = restore();
  expect(done).toMatchObject({ status: 1, added: 2, refused: 2, in_store: 2 });
  expect(done.why).toEqual([
    `"${file}": ${cacheKey('other').slice(0, 12)}: another key`,
    `"${file}": ${cacheKey('zip').slice(0, 12)}: unpacks to too much`,
  ]);
  const many = await Promise.all(
    Array.from({ length: 30 }, async (_, n) => [cacheKey(`no ${n}`), await packed(`${n}`)] as const),
  );
  forged(...many);
  const refused = restore();
  expect([refused.refused, refused.why.length]).toEqual([30, 10]);
});

test('two restores at once, of packs that overlap', async () => {
  for (let n = 0; n < 30; n++) add(`crate-${n}`, null, `${n} `.repeat(2000));
  save();
  const into = lab.path('both');
  const both = await Promise.all(
    [0, 1].map(async () => {
      const env = lab.env({ KACHE_CACHE_DIR: into });
      const child = Bun.spawn([KACHE, 'pack', 'restore', file, '--json'], { env, stdout: 'pipe' });
      return [await child.exited, JSON.parse(await new Response(child.stdout).text())] as const;
    }),
  );
  for (const [status, { added, present, refused }] of both)
    expect([status, added + present, refused]).toEqual([0, 30, 0]);
  expect(inspectStore(into)).toMatchObject({ wrong: [], entries: 30, blobs: 30, temporaries: 0 });
});

describe('a large pack, which several processes restore', () => {
  const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
  beforeEach(() => {
    for (const name of NAMES) add(name, null, randomBytes(2_000_000).toString('hex'));
    expect(save('--bandwidth', '0').bytes).toBeGreaterThan(8_000_000);
  });

  test('everything is restored, and told once', () => {
    const sizeBytes = 6 * 4_000_000;
    expect(restore()).toMatchObject({
      status: 0,
      packs: 1,
      entries: 6,
      added: 6,
      in_store: 6,
      bytes: sizeBytes,
    });
    expect(restore()).toMatchObject({ status: 0, packs: 1, entries: 6, added: 0, present: 6, bytes: 0 });
  });

  test('each has a part, and together they have all of it', () => {
    const added = ['0/3', '1/3', '2/3'].map((part) => restore(['--part', part, file]).added);
    expect(added).toEqual([2, 2, 2]);
    expect(restore()).toMatchObject({ added: 0, present: 6 });
    for (const part of ['3/3', '0', 'x/2']) {
      const { status, stderr } = run(['restore', file, '--part', part]);
      expect([status, stderr.split('\n')[0]]).toEqual([
        2,
        `kache: Cannot read the part "${part}": expected one of several, such as 1/2.`,
      ]);
    }
  });

  test('where there can be no second one, the first does all', () => {
    const copy = lab.path('kache');
    copyFileSync(KACHE, copy);
    const script = 'exec 3< "$0"; rm "$0"; exec /proc/self/fd/3 pack restore --json "$1"';
    const env = { KACHE_CACHE_DIR: lab.path('other') };
    if (process.platform === 'linux')
      expect(JSON.parse(lab.run(['bash', '-c', script, copy, file], { env }).stdout)).toMatchObject({
        added: 6,
        refused: 0,
      });
  });

  test('a helper that is killed: the first process does its part', async () => {
    if (process.platform !== 'linux') return;
    let killed = 0;
    for (let round = 0; round < 5; round++) {
      const into = lab.path(`killed-${round}`);
      const env = lab.env({ KACHE_CACHE_DIR: into });
      const child = Bun.spawn([KACHE, 'pack', 'restore', file, '--json'], { env, stdout: 'pipe' });
      let isOver = false;
      const ended = child.exited.then((status) => {
        isOver = true;
        return status;
      });
      for (let helper = ''; helper === '' && !isOver; await Bun.sleep(1)) {
        const path = `/proc/${child.pid}/task/${child.pid}/children`;
        helper = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
        if (helper === '') continue;
        // One that has ended meanwhile is no error.
        if (lab.run(['kill', '-9', helper.split(' ')[0] ?? '']).status === 0) killed++;
      }
      const told = JSON.parse(await new Response(child.stdout).text());
      expect([await ended, told.refused, told.added + told.present]).toEqual([0, 0, 6]);
      expect(inspectStore(into)).toMatchObject({ wrong: [], entries: 6 });
    }
    expect(killed > 0 || availableParallelism() === 1).toBe(true);
  });

  test('a disk that is too small: what went in is whole, and a later restore with room does the rest', () => {
    using disk = Mount.make('tmpfs', lab.root, 10);
    if (disk === undefined) return notRun('large packs on a full disk', 'no tmpfs can be mounted');
    const into = join(disk.path, 'store');
    const done = restore([file], into);
    expect([done.status, done.refused > 0, done.added]).toEqual([1, true, done.in_store]);
    expect(done.added).toBeLessThan(6);
    expect(restore()).toMatchObject({ status: 0, added: 6 });
  });

  test('what any of them refuses is told, by one', () => {
    const bytes = readFileSync(file);
    // In each output, and behind the last one.
    for (let n = 0; n < 6; n++) bytes[Math.floor((bytes.length * (n + 0.5)) / 6)] = 7;
    writeFileSync(file, bytes.subarray(0, -3));
    const done = restore();
    expect(done).toMatchObject({ status: 1, entries: 6, added: 0, refused: 7, in_store: 0 });
    expect(done.why).toHaveLength(7);
    expect(done.stderr.trim().split('\n')).toHaveLength(7);
  });
});

test('a full disk: what went in is whole, the rest is said; a pack that does not fit is not there', () => {
  using disk = Mount.make('tmpfs', lab.root, 2);
  if (disk === undefined) return notRun('packs on a full disk', 'no tmpfs can be mounted');
  for (let n = 0; n < 40; n++)
    add(`crate-${n}`, null, [...crypto.getRandomValues(new Uint8Array(60_000))].join(' '));
  save();
  const into = join(disk.path, 'store');
  const done = restore([file], into);
  expect(done).toMatchObject({ status: 1, refused: 1 });
  expect(done.added).toBeGreaterThan(3);
  expect(done.stderr).toContain('ENOSPC');
  expect(filesBelow(join(into, 'tmp'))).toEqual([]);
  const there = join(disk.path, 'some.pack');
  const full = run(['save', there]);
  expect([full.status, full.stdout]).toEqual([1, '']);
  expect(full.stderr).toContain('ENOSPC');
  expect(readdirSync(disk.path)).toEqual(['store']);
});

test('parts on a full disk: none takes the place of what was there, and nothing is left of them', () => {
  using disk = Mount.make('tmpfs', lab.root, 10);
  if (disk === undefined) return notRun('parts on a full disk', 'no tmpfs can be mounted');
  for (const name of ['a', 'b', 'c']) add(name, null, randomBytes(6e6).toString('base64'));
  const there = join(disk.path, 'some.pack');
  writeFileSync(there, 'as it was');
  const full = run(['save', there, '--parts', '--bandwidth', '0']);
  expect([full.status, full.stdout]).toEqual([1, '']);
  expect(full.stderr).toContain('ENOSPC');
  expect([readdirSync(disk.path), readFileSync(there, 'utf8')]).toEqual([['some.pack'], 'as it was']);
});

test('a cap smaller than the pack: it evicts, and does not outgrow it', async () => {
  for (let n = 0; n < 60; n++)
    add(`crate-${n}`, null, [...crypto.getRandomValues(new Uint8Array(60_000))].join(' '));
  save();
  const env = { KACHE_CACHE_DIR: lab.path('small'), KACHE_MAX_SIZE: '6MiB' };
  expect(JSON.parse(run(['restore', file, '--json'], env).stdout)).toMatchObject({ added: 60, refused: 0 });
  await until('eviction has ended', () => processesLeft(lab.path('small')).length === 0);
  lab.run([KACHE, 'gc'], { env });
  const { wrong, entries } = inspectStore(lab.path('small'));
  expect(wrong.filter((text) => !text.startsWith('a closure before'))).toEqual([]);
  expect(entries).toBeGreaterThan(3);
  expect(entries).toBeLessThan(40);
});

test('a folder that is not there is made; one that cannot be written is an error', () => {
  add('a');
  const deep = lab.path('not', 'there', 'yet.pack');
  expect(run(['save', deep]).stdout).toStartWith(`Packed 1 entry into ${deep}, `);
  mkdirSync(lab.path('taken'));
  const taken = run(['save', lab.path('taken')]);
  expect([taken.status, taken.stdout]).toEqual([1, '']);
  expect(readdirSync(lab.root).filter((name) => name.includes('unfinished'))).toEqual([]);
});
