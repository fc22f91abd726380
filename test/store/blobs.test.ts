import { expect, test } from 'bun:test';
import {
  appendFileSync,
  linkSync,
  readFileSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import type { BlobId } from '../../src/core/ids.ts';
import { checkBlob, placeBlob, publishBlob } from '../../src/store/blobs.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { Lab } from '../support/lab.ts';

const SHARED = { shared: true, mode: 0o644, linkMode: 'hardlink' } as const;

/** A store with one published blob, and the file it was published from. */
function published(lab: Lab): { store: Store; id: BlobId; source: string; size: number } {
  const store = openStore(lab.path('store'));
  if (store.kind !== 'store') throw new Error(store.detail);
  const source = lab.path('lib.rlib');
  writeFileSync(source, 'the bytes of a library');
  const id = sha256(readFileSync(source)) as BlobId;
  expect(publishBlob(store, id, source, SHARED)).toEqual({ existed: false });
  return { store, id, source, size: statSync(source).size };
}

test('publishing by link makes source and blob one inode, a second source too', () => {
  using lab = new Lab();
  const { store, id, source } = published(lab);
  expect(statSync(store.layout.blob(id)).ino).toBe(statSync(source).ino);
  const other = lab.path('other.rlib');
  writeFileSync(other, readFileSync(source));
  expect(publishBlob(store, id, other, SHARED)).toEqual({ existed: true });
  expect(statSync(other).ino).toBe(statSync(source).ino);
});

test('links coming and going are noticed, hashed and sealed again', () => {
  using lab = new Lab();
  const { store, id, source, size } = published(lab);
  linkSync(source, lab.path('another'));
  expect(checkBlob(store, id, size).kind).toBe('sound');
  unlinkSync(lab.path('another'));
  expect(checkBlob(store, id, size).kind).toBe('sound');
  placeBlob(store, id, lab.path('placed'), { ...SHARED, provenMs: Date.now() });
  expect(statSync(lab.path('placed')).ino).toBe(statSync(source).ino);
});

test('a change through any link is noticed, also with the old time put back', () => {
  using lab = new Lab();
  const { store, id, source, size } = published(lab);
  const { atime, mtime } = statSync(source);
  writeFileSync(source, 'THE BYTES OF A LIBRARY');
  utimesSync(source, atime, mtime);
  expect(checkBlob(store, id, size).kind).toBe('damaged');
  expect(checkBlob(store, id, size).kind).toBe('missing');
});

test('another size, and a blob from an earlier boot with wrong bytes', () => {
  using lab = new Lab();
  const first = published(lab);
  appendFileSync(first.source, 'x');
  expect(checkBlob(first.store, first.id, first.size).kind).toBe('damaged');

  using again = new Lab();
  const { store, id, size } = published(again);
  // After a power cut: right size, wrong bytes, and a seal that names the state the file is in, but another boot.
  const blob = store.layout.blob(id);
  writeFileSync(blob, 'x'.repeat(size));
  const info = statSync(blob, { bigint: true });
  const time = (ns: bigint): string => `${ns / 1_000_000_000n}.${ns % 1_000_000_000n}`;
  const seal = (boot: string): string =>
    `kache-seal-1 ${info.ino} ${info.size} ${time(info.mtimeNs)} ${time(info.ctimeNs)} ${boot} ${Date.now()}`
      .padEnd(191)
      .concat('\n');
  writeFileSync(store.layout.seal(id), seal(store.boot));
  expect(checkBlob(store, id, size).kind).toBe('sound');
  writeFileSync(store.layout.seal(id), seal('another-boot'));
  expect(checkBlob(store, id, size).kind).toBe('damaged');
});
