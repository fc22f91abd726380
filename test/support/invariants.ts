// What must hold of a store and of the folders it serves at any moment, also after kill -9 and on a failing disk:
// docs/store-format.md, "Invariants". Written against the format on disk, with nothing of the program's own.
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** This boot of the machine. */
export const BOOT = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
const DIGEST = /^[0-9a-f]{64}$/;
const TEMPORARY = /^(\d+-[0-9a-z]+-\d+|(format|probe)-\d+(-[ab])?)$/;

interface Found {
  readonly path: string;
  readonly name: string;
}

/** Every regular file below a folder. */
export function filesBelow(folder: string): Found[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => ({ path: join(entry.parentPath, entry.name), name: entry.name }));
}

/** The lines of JSON in a record; undefined when its checksum is wrong. */
function readRecord(path: string, kind: string): unknown[] | undefined {
  const text = readFileSync(path, 'utf8');
  const newline = text.indexOf('\n');
  const body = text.slice(newline + 1);
  if (text.slice(0, newline) !== `${kind} ${sha256(`${kind}\n${body}`).slice(0, 32)}`) return undefined;
  return body
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);
}

/** Whether kache would believe this blob without hashing it. */
function isSealed(path: string): boolean {
  const seal = `${path}.seal`;
  if (!existsSync(seal) || !lstatSync(seal).isFile()) return false;
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  const stamp = (ns: bigint): string => `${ns / 1_000_000_000n}.${ns % 1_000_000_000n}`;
  return readFileSync(seal, 'utf8').startsWith(
    `kache-seal-1 ${ino} ${size} ${stamp(mtimeNs)} ${stamp(ctimeNs)} ${BOOT} `,
  );
}

export interface StoreState {
  /** What does not hold. */
  readonly wrong: readonly string[];
  readonly entries: number;
  readonly blobs: number;
  readonly temporaries: number;
}

/** Checks every file of a store. */
export function inspectStore(store: string): StoreState {
  const wrong: string[] = [];
  const check = (holds: boolean, what: string, path: string): void => {
    if (!holds) wrong.push(`${what}: ${path.slice(store.length + 1)}`);
  };
  const blobs = filesBelow(join(store, 'blobs')).filter(({ name }) => !name.endsWith('.seal'));
  for (const { path, name } of blobs) {
    check(DIGEST.test(name) && path.includes(`/blobs/${name.slice(0, 2)}/`), 'no place for a blob', path);
    check(sha256(readFileSync(path)) === name || !isSealed(path), 'a wrong blob is believed', path);
  }
  const records = filesBelow(join(store, 'entries'));
  const entries = records.filter(({ name }) => !name.endsWith('.inputs'));
  for (const { path } of records.filter(({ name }) => name.endsWith('.inputs')))
    check(readRecord(path, 'kache-inputs-2') !== undefined, 'torn inputs', path);
  for (const { path, name } of entries) {
    const entry = readRecord(path, 'kache-entry-1')?.[0] as
      | { key: string; outputs: { blob: string; sizeBytes: number }[] }
      | undefined;
    check(entry?.key === name, 'torn entry', path);
    for (const { blob, sizeBytes } of entry?.outputs ?? []) {
      const at = join(store, 'blobs', blob.slice(0, 2), blob);
      check(existsSync(at) && statSync(at).size === sizeBytes, 'an entry before its blobs', path);
    }
  }
  for (const { path } of filesBelow(join(store, 'units'))) {
    const unit = readRecord(path, 'kache-unit-1')?.[0] as { keys: string[] } | undefined;
    check(unit !== undefined, 'torn unit', path);
    const newest = unit?.keys[0] ?? '';
    check(existsSync(join(store, 'entries', newest.slice(0, 2), newest)), 'a closure before its entry', path);
  }
  for (const { path } of filesBelow(join(store, 'hashes')))
    check(readRecord(path, 'kache-memo-1') !== undefined, 'torn memo', path);
  const temporaries = filesBelow(join(store, 'tmp'));
  for (const { path, name } of temporaries) check(TEMPORARY.test(name), 'a stranger among temporaries', path);
  return { wrong, entries: entries.length, blobs: blobs.length, temporaries: temporaries.length };
}

/** What kache puts beside outputs while they are on their way. */
export const isAside = (path: string): boolean => path.includes('/.kache/');

/**
 * What is wrong with an output folder: files that are torn, and inodes that are shared with something else than the blob
 * of their own bytes. `expected` maps each name an output may have to the bytes it may hold.
 */
export function inspectOutputs(
  store: string,
  outDir: string,
  expected: ReadonlyMap<string, readonly Uint8Array[]>,
): string[] {
  const wrong: string[] = [];
  for (const { path, name } of filesBelow(outDir)) {
    if (isAside(path)) continue;
    const bytes = readFileSync(path);
    const may = expected.get(name);
    if (may !== undefined && !may.some((one) => bytes.equals(one))) wrong.push(`torn: ${name}`);
    const info: Stats = lstatSync(path);
    if (info.nlink === 1) continue;
    const id = sha256(bytes);
    const blob = join(store, 'blobs', id.slice(0, 2), id);
    const isBlob = existsSync(blob) && statSync(blob).ino === info.ino;
    const isTemporary = filesBelow(join(store, 'tmp')).some((one) => statSync(one.path).ino === info.ino);
    if (!isBlob && !isTemporary) wrong.push(`one inode with something unknown: ${name}`);
    if (!name.endsWith('.rlib')) wrong.push(`must be a file of its own: ${name}`);
  }
  return wrong;
}
