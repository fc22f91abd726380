import { expect, test } from 'bun:test';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { collect } from '../../src/store/budget.ts';
import { readEntry, writeEntry } from '../../src/store/entries.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { openStore, Store, WRITTEN_UNIT_BYTES, withParent } from '../../src/store/store.ts';
import { OsError } from '../../src/sys/libc.ts';
import { Pace } from '../../src/sys/pace.ts';
import { Lab } from '../support/lab.ts';
import { blobId, cacheKey, entryOf, leftovers, NO_INPUTS, originsOf, storeOf, unitId } from './stores.ts';

test('a store is made where there is none, for its owner alone, and found again', () => {
  using lab = new Lab();
  const dir = lab.path('some', 'where', 'store');
  const made = openStore(dir);
  expect(made).toBeInstanceOf(Store);
  expect(readdirSync(dir).sort()).toEqual([
    'blobs',
    'entries',
    'events',
    'format',
    'hashes',
    'locks',
    'tmp',
    'units',
  ]);
  for (const name of ['.', ...readdirSync(dir).filter((one) => one !== 'format')])
    expect([name, statSync(`${dir}/${name}`).mode & 0o777]).toEqual([name, 0o700]);
  expect(readFileSync(`${dir}/format`, 'utf8')).toMatch(/^kache-store 1 reflink=(yes|no)\n$/);
  expect(readdirSync(`${dir}/tmp`)).toEqual([]);
  const again = openStore(dir);
  expect(again.kind === 'store' && made.kind === 'store' && again.canReflink === made.canReflink).toBe(true);
});

test('what the file system can do is taken from the format, not asked again', () => {
  using lab = new Lab();
  storeOf(lab);
  writeFileSync(`${lab.store}/format`, 'kache-store 1 reflink=yes\n');
  expect(storeOf(lab).canReflink).toBe(true);
});

test('a version nobody knows, or no format at all, is left as it is', () => {
  for (const text of [
    'kache-store 2 reflink=no\n',
    'kache-store 1',
    '',
    'something else\n',
    'kache-store 1 reflink=maybe\n',
  ]) {
    using lab = new Lab();
    mkdirSync(lab.store);
    writeFileSync(`${lab.store}/format`, text);
    writeFileSync(`${lab.store}/kept`, 'data of a later version');
    expect(openStore(lab.store)).toMatchObject({ kind: 'problem', code: 'unknown-version' });
    expect(readdirSync(lab.store).sort()).toEqual(['format', 'kept']);
    expect(readFileSync(`${lab.store}/format`, 'utf8')).toBe(text);
  }
});

test('a format that a power cut took is written again, in a store and nowhere else', () => {
  for (const text of ['', '\0'.repeat(27)]) {
    using lab = new Lab();
    const whole = readFileSync(storeOf(lab).layout.format, 'utf8');
    writeFileSync(`${lab.store}/format`, text);
    expect(openStore(lab.store).kind).toBe('store');
    expect(readFileSync(`${lab.store}/format`, 'utf8')).toBe(whole);
    rmSync(`${lab.store}/blobs`, { recursive: true });
    writeFileSync(`${lab.store}/format`, text);
    expect(openStore(lab.store)).toMatchObject({ kind: 'problem', code: 'unknown-version' });
  }
});

test('a folder in the place of a file gives way to it, and is swept later', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  mkdirSync(`${lab.store}/units/folder/below`, { recursive: true });
  store.replaceFile(`${lab.store}/units/folder`, new TextEncoder().encode('file'));
  expect(readFileSync(`${lab.store}/units/folder`, 'utf8')).toBe('file');
  const [moved = ''] = leftovers(lab);
  expect(readdirSync(`${lab.store}/tmp/${moved}`)).toEqual(['below']);
  utimesSync(`${lab.store}/tmp/${moved}`, 1000, 1000);
  await collect(store, { maxBytes: 1e9, isDoomed: () => false, nowMs: Date.now(), pace: new Pace() });
  expect(leftovers(lab)).toEqual([]);
});

test('where there can be no store it says why', () => {
  using lab = new Lab();
  expect(openStore(undefined)).toMatchObject({ kind: 'problem', code: 'no-location' });
  writeFileSync(lab.path('file'), '');
  expect(openStore(lab.path('file', 'store'))).toMatchObject({ kind: 'problem', code: 'not-writable' });
  expect(openStore(lab.path('file'))).toMatchObject({ kind: 'problem', code: 'not-writable' });
  symlinkSync('loop', lab.path('loop'));
  expect(openStore(lab.path('loop'))).toMatchObject({ kind: 'problem', code: 'not-writable' });
  expect(openStore(`/${'x'.repeat(300)}`)).toMatchObject({ kind: 'problem', code: 'not-writable' });
});

test('a store whose making was interrupted is made whole', () => {
  using lab = new Lab();
  mkdirSync(`${lab.store}/tmp`, { recursive: true });
  writeFileSync(`${lab.store}/tmp/format-${process.pid}`, 'torn');
  const store = storeOf(lab);
  writeEntry(store, entryOf('a', 'x'), originsOf(NO_INPUTS));
  expect(readEntry(store, cacheKey('a'))).toBeDefined();
});

test('a store that lost its empty folders, as archives and cleaners do, works on', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  for (const name of ['tmp', 'locks', 'blobs', 'entries', 'units', 'hashes', 'events'])
    rmSync(`${lab.store}/${name}`, { recursive: true });
  const again = storeOf(lab);
  writeEntry(again, entryOf('a', 'x'), originsOf(NO_INPUTS));
  expect(readEntry(store, cacheKey('a'))).toEqual(entryOf('a', 'x'));
});

test('temporary names are never given twice, and tell whose they are', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const names = Array.from({ length: 1000 }, () => store.temporaryPath());
  expect(new Set(names).size).toBe(1000);
  for (const name of names) expect(name.startsWith(`${lab.store}/tmp/${process.pid}-`)).toBe(true);
});

test('a file is replaced whole, and a failure leaves nothing on its way', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const path = store.layout.unit(unitId('u'));
  store.replaceFile(path, new TextEncoder().encode('first'));
  store.replaceFile(path, new TextEncoder().encode('second'));
  expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['second', 0o600]);
  mkdirSync(`${lab.store}/units/folder/below`, { recursive: true });
  expect(() => store.replaceFile(`${path}/below a file`, new Uint8Array(1))).toThrow(OsError);
  writeFileSync(`${lab.store}/file`, '');
  expect(() => store.replaceFile(`${lab.store}/file/below`, new Uint8Array(1))).toThrow(OsError);
  expect(leftovers(lab)).toEqual([]);
});

test('the folder of a file is made when it is missing, and only then', () => {
  using lab = new Lab();
  let calls = 0;
  withParent(lab.path('a', 'b', 'file'), () => {
    calls++;
    writeOrFail(lab.path('a', 'b', 'file'));
  });
  expect(calls).toBe(2);
  expect(() =>
    withParent(lab.path('a', 'x'), () => {
      throw new OsError('create', 'x', 'EACCES');
    }),
  ).toThrow('EACCES');
});

function writeOrFail(path: string): void {
  try {
    writeFileSync(path, '');
  } catch {
    throw new OsError('create', path, 'ENOENT');
  }
}

test('what was written is counted in units, and one for the records of an entry', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  for (const bytes of [1, WRITTEN_UNIT_BYTES, WRITTEN_UNIT_BYTES + 1, 0]) store.noteWritten(bytes);
  expect(statSync(store.layout.written).size).toBe(6);
});

test('every object has a place of its own below the root', () => {
  const layout = new StoreLayout('/s');
  const [a, b] = [blobId('a'), blobId('b')];
  const paths = [
    layout.blob(a),
    layout.blob(b),
    layout.seal(a),
    layout.entry(cacheKey('a')),
    layout.unit(unitId('a')),
    layout.lock(a),
    layout.memo('sources', 'a'),
    layout.memo('sources', 'b'),
    layout.memo('trees', 'a'),
    layout.temporary('a'),
    layout.events,
    layout.written,
    layout.format,
  ];
  expect(new Set(paths).size).toBe(paths.length);
  expect(paths.every((path) => path.startsWith('/s/'))).toBe(true);
  expect(layout.blob(a)).toBe(`/s/blobs/${a.slice(0, 2)}/${a}`);
});
