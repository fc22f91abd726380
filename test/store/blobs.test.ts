import { afterEach, expect, setSystemTime, test } from 'bun:test';
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import type { BlobId } from '../../src/core/ids.ts';
import {
  BlobWriter,
  checkBlob,
  isSealed,
  type PlaceOptions,
  type Proof,
  placeBlob,
  publishBlob,
  removeBlob,
  sealAgain,
} from '../../src/store/blobs.ts';
import type { Store } from '../../src/store/store.ts';
import { isOsError, link, stat } from '../../src/sys/files.ts';
import { checksum } from '../../src/sys/hash.ts';
import { OpenWatch } from '../../src/sys/watch.ts';
import { Lab } from '../support/lab.ts';
import { notRun } from '../support/required.ts';
import { blobId, leftovers, storeOf } from './stores.ts';

const SHARED: PlaceOptions = { shared: true, mode: 0o644, linkMode: 'hardlink' };
const PRIVATE: PlaceOptions = { ...SHARED, shared: false };
const TEXT = 'the bytes of a library';
const DAY_MS = 86_400_000;

afterEach(() => {
  setSystemTime();
});

interface Published {
  readonly store: Store;
  readonly id: BlobId;
  readonly source: string;
  readonly size: number;
  readonly path: string;
}

/** As a restore does: place, move, seal. */
function place(
  store: Store,
  id: BlobId,
  target: string,
  { proof, ...options }: PlaceOptions & { proof: Proof },
): string {
  const kind = placeBlob(store, id, target, options);
  if (kind === 'hardlinked') sealAgain(store, id, proof);
  return kind;
}

/** A store with one published blob, and the file it was published from. */
function published(lab: Lab, options = SHARED): Published {
  const store = storeOf(lab);
  const source = lab.path('lib.rlib');
  writeFileSync(source, TEXT);
  const id = blobId(TEXT);
  const known = { ...options, checksum: () => checksum(Buffer.from(TEXT)) };
  expect(publishBlob(store, id, source, known)).toMatchObject({ existed: false });
  return { store, id, source, size: TEXT.length, path: store.layout.blob(id) };
}

/** The proof of a blob that is sound. */
function proofNow(store: Store, id: BlobId): Proof {
  const state = checkBlob(store, id, TEXT.length);
  if (state.kind !== 'sound') throw new Error(state.kind);
  return state.proof;
}

const inode = (path: string): number => statSync(path).ino;

/** Whether an operation opened the blob: that is, hashed it. */
function hashes({ path }: Pick<Published, 'path'>, operation: () => void): boolean {
  using watch = OpenWatch.start([dirname(path)]);
  operation();
  return watch?.collect()?.files.includes(path) ?? true;
}

test('bytes that are written in are sealed: their first use does not hash them, and damage is found', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const id = blobId(TEXT);
  const path = store.layout.blob(id);
  const write = (): boolean => {
    using writer = new BlobWriter(store, { id, sizeBytes: TEXT.length, mode: 0o755 });
    for (const piece of [TEXT.slice(0, 5), TEXT.slice(5)]) writer.write(Buffer.from(piece));
    writer.finish();
    return writer.existed;
  };
  expect(write()).toBe(false);
  expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777, leftovers(lab)]).toEqual([
    TEXT,
    0o755,
    [],
  ]);
  expect(hashes({ path }, () => expect(checkBlob(store, id, TEXT.length).kind).toBe('sound'))).toBe(false);
  expect(write()).toBe(true);
  writeFileSync(path, TEXT.toUpperCase());
  expect(write()).toBe(false);
  expect([readFileSync(path, 'utf8'), leftovers(lab)]).toEqual([TEXT, []]);
});

test('a seal holds until a link comes or goes, and again once the blob was looked at', () => {
  using lab = new Lab();
  const { store, id, size } = published(lab);
  const path = store.layout.blob(id);
  expect(isSealed(store, id)).toBe(true);
  linkSync(path, lab.path('link'));
  expect(isSealed(store, id)).toBe(false);
  expect([checkBlob(store, id, size).kind, isSealed(store, id)]).toEqual(['sound', true]);
  rmSync(path);
  expect(isSealed(store, id)).toBe(false);
});

test('bytes that are not finished leave nothing, whatever had come', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const id = blobId(TEXT);
  {
    using writer = new BlobWriter(store, { id, sizeBytes: TEXT.length, mode: 0o644 });
    writer.write(Buffer.from(TEXT));
  }
  expect([checkBlob(store, id, TEXT.length).kind, leftovers(lab)]).toEqual(['missing', []]);
});

test('who says that a blob has another size takes nothing away before the bytes have come', () => {
  using lab = new Lab();
  const { store, id, size } = published(lab);
  for (const sizeBytes of [0, size - 1, size + 1]) {
    using writer = new BlobWriter(store, { id, sizeBytes, mode: 0o644 });
    expect(writer.existed).toBe(false);
  }
  expect([checkBlob(store, id, size).kind, leftovers(lab)]).toEqual(['sound', []]);
});

test('publishing by link makes source and blob one inode, a second source too', () => {
  using lab = new Lab();
  const { store, id, source, path } = published(lab);
  expect(inode(path)).toBe(inode(source));
  const other = lab.path('other.rlib');
  writeFileSync(other, TEXT);
  expect(publishBlob(store, id, other, SHARED)).toMatchObject({ existed: true });
  expect(inode(other)).toBe(inode(source));
  expect(publishBlob(store, id, other, SHARED)).toMatchObject({ existed: true });
  expect([leftovers(lab), readdirSync(lab.root).filter((name) => name.includes('kache-'))]).toEqual([[], []]);
});

test('a private source stays private, and so does what was asked to be copied', () => {
  for (const options of [PRIVATE, { ...SHARED, linkMode: 'copy' } as const]) {
    using lab = new Lab();
    const { store, id, source, path } = published(lab, options);
    expect(inode(path)).not.toBe(inode(source));
    expect(publishBlob(store, id, source, options)).toMatchObject({ existed: true });
    expect([statSync(source).nlink, statSync(path).nlink]).toEqual([1, 1]);
    const placed = place(store, id, lab.path('placed'), { ...options, proof: proofNow(store, id) });
    expect([placed as string, readFileSync(lab.path('placed'), 'utf8')]).toEqual(['copied', TEXT]);
  }
});

test('publishing and placing leave the time of the blob alone, however often', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const source = lab.path('lib.rlib');
  writeFileSync(source, TEXT);
  utimesSync(source, 1000, 1000);
  const id = blobId(TEXT);
  publishBlob(store, id, source, SHARED);
  for (let n = 0; n < 3; n++) place(store, id, lab.path(`p${n}`), { ...SHARED, proof: proofNow(store, id) });
  writeFileSync(lab.path('again'), TEXT);
  publishBlob(store, id, lab.path('again'), SHARED);
  expect(statSync(store.layout.blob(id)).mtimeMs).toBe(1_000_000);
  expect(statSync(lab.path('p2')).mtimeMs).toBe(1_000_000);
});

test('a private target is a new file of the present, with the mode asked for', () => {
  using lab = new Lab();
  const { store, id, source, path } = published(lab);
  utimesSync(source, 1000, 1000);
  expect(checkBlob(store, id, TEXT.length).kind).toBe('sound');
  const target = lab.path('program');
  const options = { ...PRIVATE, mode: 0o755, proof: proofNow(store, id) };
  expect(place(store, id, target, options)).toBe('copied');
  expect([inode(target) === inode(path), statSync(target).mode & 0o777]).toEqual([false, 0o755]);
  expect(statSync(target).mtimeMs).toBeGreaterThan(1e12);
});

test('a name that is taken is not replaced', () => {
  using lab = new Lab();
  const { store, id } = published(lab);
  writeFileSync(lab.path('taken'), 'mine');
  for (const options of [SHARED, PRIVATE]) {
    let code = 'none';
    try {
      place(store, id, lab.path('taken'), { ...options, proof: proofNow(store, id) });
    } catch (error) {
      code = isOsError(error) ? error.code : String(error);
    }
    expect([code, readFileSync(lab.path('taken'), 'utf8')]).toEqual(['EEXIST', 'mine']);
  }
});

test('as long as the seal holds nothing is read, after publishing, linking and replacing alike', () => {
  using lab = new Lab();
  const blob = published(lab);
  const check = (): boolean =>
    hashes(blob, () => expect(checkBlob(blob.store, blob.id, blob.size).kind).toBe('sound'));
  expect(check()).toBe(false);
  place(blob.store, blob.id, lab.path('placed'), { ...SHARED, proof: proofNow(blob.store, blob.id) });
  expect(check()).toBe(false);
  writeFileSync(lab.path('other'), TEXT);
  publishBlob(blob.store, blob.id, lab.path('other'), SHARED);
  expect(check()).toBe(false);
});

test('links coming and going by other hands are noticed: hashed once, and sealed again', () => {
  using lab = new Lab();
  const blob = published(lab);
  const check = (): boolean =>
    hashes(blob, () => expect(checkBlob(blob.store, blob.id, blob.size).kind).toBe('sound'));
  linkSync(blob.source, lab.path('another'));
  expect([check(), check()]).toEqual([true, false]);
  unlinkSync(lab.path('another'));
  expect([check(), check()]).toEqual([true, false]);
  unlinkSync(blob.source);
  expect([check(), check()]).toEqual([true, false]);
  utimesSync(blob.path, 1000, 1000);
  expect([check(), check()]).toEqual([true, false]);
});

test('a change through any link is noticed, also of one byte and with the old time put back', () => {
  for (const change of ['THE BYTES OF A LIBRARY', TEXT.replace('y', 'x')]) {
    using lab = new Lab();
    const { store, id, source, size, path } = published(lab);
    const { atime, mtime } = statSync(source);
    writeFileSync(source, change);
    utimesSync(source, atime, mtime);
    expect(checkBlob(store, id, size).kind).toBe('damaged');
    expect([existsSync(path), existsSync(store.layout.seal(id))]).toEqual([false, false]);
    expect(checkBlob(store, id, size).kind).toBe('missing');
    // The file of the checkout is not the store's to remove.
    expect(readFileSync(source, 'utf8')).toBe(change);
  }
});

test('a change between the proof and the placing is not sealed as sound', async () => {
  using lab = new Lab();
  const { store, id, source, size } = published(lab);
  const state = checkBlob(store, id, size);
  if (state.kind !== 'sound') throw new Error(state.kind);
  // Longer than a tick of the file system's clock.
  await Bun.sleep(20);
  writeFileSync(source, 'THE BYTES OF A LIBRARY');
  place(store, id, lab.path('placed'), { ...SHARED, proof: state.proof });
  expect(checkBlob(store, id, size).kind).toBe('damaged');
});

test('another size, an empty file or a folder in its place is damage', () => {
  const changes: readonly ((path: string) => void)[] = [
    (path) => appendFileSync(path, 'x'),
    (path) => writeFileSync(path, ''),
    (path) => {
      rmSync(path);
      mkdirSync(path);
    },
  ];
  for (const change of changes) {
    using lab = new Lab();
    const { store, id, size, path } = published(lab);
    change(path);
    expect(checkBlob(store, id, size).kind).toBe('damaged');
  }
});

test('publishing over a damaged blob puts the right bytes there', () => {
  using lab = new Lab();
  const { store, id, size, path, source } = published(lab);
  unlinkSync(source);
  writeFileSync(path, 'x'.repeat(size));
  writeFileSync(source, TEXT);
  expect(publishBlob(store, id, source, SHARED)).toMatchObject({ existed: false });
  expect(readFileSync(path, 'utf8')).toBe(TEXT);
  expect(checkBlob(store, id, size).kind).toBe('sound');
});

/** Seals a blob as it is, as if by a kache that ran in `boot` and knew the bytes of this checksum. */
function sealAs({ store, id, path }: Published, boot: string, sum = ''): void {
  const info = statSync(path, { bigint: true });
  const time = (ns: bigint): string => `${ns / 1_000_000_000n}.${ns % 1_000_000_000n}`;
  const text =
    `kache-seal-1 ${info.ino} ${info.size} ${time(info.mtimeNs)} ${time(info.ctimeNs)} ${boot} ${Date.now()} ${sum}`.trimEnd();
  writeFileSync(store.layout.seal(id), text.padEnd(191).concat('\n'));
}

test('what an earlier boot wrote is hashed before it is used', () => {
  using lab = new Lab();
  const blob = published(lab);
  // After a power cut: right size, wrong bytes, and a seal that names the state the file is in.
  writeFileSync(blob.path, 'x'.repeat(blob.size));
  sealAs(blob, blob.store.boot);
  expect(checkBlob(blob.store, blob.id, blob.size).kind).toBe('sound');
  sealAs(blob, 'another-boot');
  expect(checkBlob(blob.store, blob.id, blob.size).kind).toBe('damaged');
});

test('a link that came or went leaves the checksum to decide, in the same boot and with the same mtime', () => {
  const CHANGED = TEXT.toUpperCase();
  // The seal vouches for bytes that are not those of its name, so that one sees who was asked.
  const asked = (boot: (store: Store) => string, move: (path: string) => void): string => {
    using lab = new Lab();
    const blob = published(lab);
    writeFileSync(blob.path, CHANGED);
    sealAs(blob, boot(blob.store), checksum(Buffer.from(CHANGED)));
    move(blob.path);
    return checkBlob(blob.store, blob.id, blob.size).kind;
  };
  const here = ({ boot }: Store): string => boot;
  const linked = (path: string): void => linkSync(path, `${path}.link`);
  expect(asked(here, linked)).toBe('sound');
  expect(asked(() => 'another-boot', linked)).toBe('damaged');
  expect(asked(here, (path) => utimesSync(path, 1, 1))).toBe('damaged');
  // What was published and restored has the checksum of its own bytes.
  using lab = new Lab();
  const blob = published(lab);
  const sumOf = (): string | undefined =>
    readFileSync(blob.store.layout.seal(blob.id), 'utf8').trimEnd().split(' ')[7];
  place(blob.store, blob.id, lab.path('restored'), { ...SHARED, proof: proofNow(blob.store, blob.id) });
  unlinkSync(blob.source);
  expect([checkBlob(blob.store, blob.id, blob.size).kind, sumOf()]).toEqual([
    'sound',
    checksum(Buffer.from(TEXT)),
  ]);
});

test('the first use in a new boot proves a blob for the whole of it', () => {
  using lab = new Lab();
  const blob = published(lab);
  sealAs(blob, 'another-boot');
  const check = (): boolean =>
    hashes(blob, () => expect(checkBlob(blob.store, blob.id, blob.size).kind).toBe('sound'));
  expect([check(), check()]).toEqual([true, false]);
});

test('a proof holds for a week, and a clock that was set back proves nothing', () => {
  using lab = new Lab();
  const blob = published(lab);
  const now = Date.now();
  const checkAt = (ms: number): boolean => {
    setSystemTime(new Date(ms));
    return hashes(blob, () => expect(checkBlob(blob.store, blob.id, blob.size).kind).toBe('sound'));
  };
  expect([checkAt(now + 6 * DAY_MS), checkAt(now + 8 * DAY_MS), checkAt(now + 9 * DAY_MS)]).toEqual([
    false,
    true,
    false,
  ]);
  expect([checkAt(now - DAY_MS), checkAt(now)]).toEqual([true, false]);
});

test('linking does not make a proof younger', () => {
  using lab = new Lab();
  const blob = published(lab);
  const now = Date.now();
  setSystemTime(new Date(now + 6 * DAY_MS));
  const state = checkBlob(blob.store, blob.id, blob.size);
  if (state.kind !== 'sound') throw new Error(state.kind);
  place(blob.store, blob.id, lab.path('placed'), { ...SHARED, proof: state.proof });
  setSystemTime(new Date(now + 8 * DAY_MS));
  expect(hashes(blob, () => checkBlob(blob.store, blob.id, blob.size))).toBe(true);
});

test('a seal with any byte changed, or cut off anywhere, costs a hash and no more', () => {
  using lab = new Lab();
  const { store, id, size } = published(lab);
  const seal = readFileSync(store.layout.seal(id));
  expect(seal.length).toBe(192);
  fc.assert(
    fc.property(fc.nat(191), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, change, cut) => {
      const damaged = Buffer.from(seal);
      damaged[at] = (damaged[at] ?? 0) ^ change;
      writeFileSync(store.layout.seal(id), cut ? damaged.subarray(0, at) : damaged);
      expect(checkBlob(store, id, size).kind).toBe('sound');
    }),
    { numRuns: 200 },
  );
  rmSync(store.layout.seal(id));
  expect(checkBlob(store, id, size).kind).toBe('sound');
  expect(readFileSync(store.layout.seal(id)).length).toBe(192);
});

test('a damaged seal never vouches for damaged bytes', () => {
  using lab = new Lab();
  const { store, id, size, path } = published(lab);
  const seal = readFileSync(store.layout.seal(id));
  fc.assert(
    fc.property(fc.nat(180), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const damaged = Buffer.from(seal);
      damaged[at] = (damaged[at] ?? 0) ^ change;
      writeFileSync(path, 'x'.repeat(size));
      writeFileSync(store.layout.seal(id), damaged);
      expect(checkBlob(store, id, size).kind).toBe('damaged');
    }),
    { numRuns: 200 },
  );
});

test('a file that changes after it was hashed is not published', () => {
  for (const options of [SHARED, PRIVATE]) {
    using lab = new Lab();
    const store = storeOf(lab);
    const source = lab.path('lib.rlib');
    writeFileSync(source, TEXT);
    const info = stat(source);
    if (info === undefined) throw new Error('no source');
    writeFileSync(source, TEXT.toUpperCase());
    utimesSync(source, 1000, 1000);
    expect(() => publishBlob(store, blobId(TEXT), source, { ...options, info })).toThrow('ESTALE');
    expect([existsSync(store.layout.blob(blobId(TEXT))), leftovers(lab)]).toEqual([false, []]);
  }
});

test('from another file system the bytes are copied', () => {
  using lab = new Lab();
  if (!existsSync('/dev/shm') || statSync('/dev/shm').dev === statSync(lab.root).dev)
    return notRun('publishing from another file system', 'there is only one');
  const other = mkdtempSync('/dev/shm/kache-test-');
  try {
    const store = storeOf(lab);
    writeFileSync(`${other}/lib.rlib`, TEXT);
    const id = blobId(TEXT);
    expect(publishBlob(store, id, `${other}/lib.rlib`, SHARED)).toMatchObject({ existed: false });
    expect(publishBlob(store, id, `${other}/lib.rlib`, SHARED)).toMatchObject({ existed: true });
    expect(place(store, id, `${other}/placed`, { ...SHARED, proof: proofNow(store, id) })).toBe('copied');
    expect([readFileSync(`${other}/placed`, 'utf8'), readdirSync(other).sort()]).toEqual([
      TEXT,
      ['.kache', 'lib.rlib', 'placed'],
    ]);
    expect([checkBlob(store, id, TEXT.length).kind, leftovers(lab)]).toEqual(['sound', []]);
  } finally {
    rmSync(other, { recursive: true });
  }
});

test('a blob with as many links as the file system allows is copied from then on', () => {
  using lab = new Lab();
  const { store, id, path } = published(lab);
  mkdirSync(lab.path('links'));
  let count = 0;
  try {
    for (; count < 70_000; count++) link(path, lab.path('links', `${count}`));
  } catch (error) {
    if (!isOsError(error, 'EMLINK')) throw error;
  }
  if (count === 70_000) return notRun('too many links', 'the file system allows very many');
  expect(place(store, id, lab.path('placed'), { ...SHARED, proof: proofNow(store, id) })).toBe('copied');
  writeFileSync(lab.path('source'), TEXT);
  expect(publishBlob(store, id, lab.path('source'), SHARED)).toMatchObject({ existed: true });
  expect(readFileSync(lab.path('source'), 'utf8')).toBe(TEXT);
});

test('a source that is gone is an error, and nothing is left behind', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  expect(() => publishBlob(store, blobId(TEXT), lab.path('none'), SHARED)).toThrow('ENOENT');
  expect([leftovers(lab), checkBlob(store, blobId(TEXT), 5).kind]).toEqual([[], 'missing']);
  removeBlob(store, blobId(TEXT));
});
