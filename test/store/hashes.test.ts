// Hashes of inputs: what is remembered, by whom it is found, and when it is not believed any more.
import { expect, test } from 'bun:test';
import { readdirSync, renameSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import type { Digest } from '../../src/core/ids.ts';
import { SourceHashes } from '../../src/store/hashes.ts';
import type { Store } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { Lab } from '../support/lab.ts';
import { storeOf } from './stores.ts';

const LARGE_BYTES = 1024 * 1024;
const SETTLED_MS = 100;

/** What a unit of its own finds, and remembers. */
function hashed(store: Store, unit: string, path: string): Digest | undefined {
  const hashes = new SourceHashes(store, unit);
  const digest = hashes.hash(path);
  hashes.remember();
  return digest;
}

const memos = (store: Store): number =>
  readdirSync(store.layout.memo('sources', 'x').replace(/\/[^/]*\/[^/]*$/, ''), { recursive: true }).length;

test('a large file is remembered once, for all units and under all of its names', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const [small, large, link] = [lab.path('small'), lab.path('large'), lab.path('link')];
  const [text, bytes] = ['small', Buffer.alloc(LARGE_BYTES, 'abcd')];
  writeFileSync(small, text);
  writeFileSync(large, bytes);
  symlinkSync('large', link);
  await Bun.sleep(SETTLED_MS);
  expect(hashed(store, 'first', large)).toBe(sha256(bytes));
  const one = memos(store);
  expect([hashed(store, 'second', large), hashed(store, 'third', link)]).toEqual([
    sha256(bytes),
    sha256(bytes),
  ]);
  expect(memos(store)).toBe(one);
  expect(hashed(store, 'second', small)).toBe(sha256(text));
  expect(memos(store)).toBeGreaterThan(one);
});

test('large or small, a changed file is hashed again, and one that is gone has no hash', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  for (const size of [10, LARGE_BYTES, LARGE_BYTES + 1]) {
    const [path, other] = [lab.path(`${size}`), lab.path(`${size}.other`)];
    const [before, after] = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b')];
    writeFileSync(path, before);
    writeFileSync(other, after);
    for (const file of [path, other]) utimesSync(file, 1000, 1000);
    await Bun.sleep(SETTLED_MS);
    expect([size, hashed(store, 'a', path)]).toEqual([size, sha256(before)]);
    expect([size, hashed(store, 'b', path)]).toEqual([size, sha256(before)]);
    // As large as it was, and with its time.
    renameSync(other, path);
    expect([size, hashed(store, 'a', path)]).toEqual([size, sha256(after)]);
    expect([size, hashed(store, 'b', path)]).toEqual([size, sha256(after)]);
    renameSync(path, other);
    expect(hashed(store, 'a', path)).toBeUndefined();
  }
});

test('within one process what was seen is believed until it looks again', async () => {
  using lab = new Lab();
  for (const size of [10, LARGE_BYTES]) {
    const path = lab.path(`${size}`);
    const hashes = new SourceHashes(storeOf(lab), 'unit');
    const [before, after] = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b')];
    writeFileSync(path, before);
    await Bun.sleep(SETTLED_MS);
    expect(hashes.hash(path)).toBe(sha256(before));
    writeFileSync(path, after);
    expect(hashes.hash(path)).toBe(sha256(before));
    hashes.lookAgain();
    expect(hashes.hash(path)).toBe(sha256(after));
  }
});

test('of large files the last ones are kept', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const hashes = new SourceHashes(store, 'many');
  const paths = Array.from({ length: 1030 }, (_, n) => lab.path(`${n}`));
  for (const path of paths) {
    writeFileSync(path, '');
    truncateSync(path, LARGE_BYTES);
  }
  await Bun.sleep(SETTLED_MS);
  for (const path of paths) hashes.hash(path);
  hashes.remember();
  const memo = await Bun.file(store.layout.memo('sources', 'large files')).text();
  expect(paths.filter((path) => memo.includes(`"${path}"`))).toEqual(paths.slice(-1024));
});
