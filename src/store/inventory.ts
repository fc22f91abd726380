// Walking the whole store: which entries there are, which blobs, and what everything occupies. Cold: for the command
// line and for eviction only.
import { type BlobId, type CacheKey, parseDigest } from '../core/ids.ts';
import {
  type DirectoryEntry,
  type FileStat,
  isDirectory,
  isOsError,
  listDirectory,
  lstat,
} from '../sys/files.ts';
import type { Pace } from '../sys/pace.ts';
import { type Entry, isForeignEntry, readEntry } from './entries.ts';
import type { Store } from './store.ts';

export interface StoredEntry {
  readonly key: CacheKey;
  /** Undefined when the record is damaged or foreign. */
  readonly entry: Entry | undefined;
  /** Written by another version of kache: not ours to judge. */
  readonly isForeign: boolean;
  readonly usedMs: number;
  readonly recordBytes: number;
}

export interface StoredBlob {
  readonly id: BlobId;
  readonly info: FileStat;
  /** What it occupies, its seal included. */
  readonly bytes: number;
}

export interface Inventory {
  readonly entries: readonly StoredEntry[];
  readonly blobs: ReadonlyMap<BlobId, StoredBlob>;
  /** What is neither: unit records, memos, the log, files on their way, and what nobody knows. */
  readonly otherBytes: number;
}

/** What a file occupies on the disk, in bytes. */
export const occupiedBytes = (info: FileStat): number => info.blocks * 512;

/** Every file and folder below `folder`, whatever made it; what may not be listed is left out. */
export function* everythingBelow(folder: string): Generator<{ path: string; info: FileStat }> {
  for (const { name, kind } of listable(folder)) {
    const path = `${folder}/${name}`;
    const info = lstat(path);
    if (info !== undefined) yield { path, info };
    if (kind === 'directory') yield* everythingBelow(path);
  }
}

/** What is in a folder; nothing when it is another user's. */
export function listable(folder: string): readonly DirectoryEntry[] {
  try {
    return listDirectory(folder) ?? [];
  } catch (error) {
    if (!isOsError(error, 'EACCES', 'EPERM')) throw error;
    return [];
  }
}

/** Every file two levels below a folder of the store. */
export function* filesBelow(folder: string): Generator<{ path: string; name: string; info: FileStat }> {
  for (const prefix of listable(folder)) {
    if (prefix.kind !== 'directory') continue;
    for (const { name } of listable(`${folder}/${prefix.name}`)) {
      const path = `${folder}/${prefix.name}/${name}`;
      const info = lstat(path);
      if (info !== undefined) yield { path, name, info };
    }
  }
}

/** Takes stock, entries before blobs. Files that come or go meanwhile may be missing from it. */
export function takeInventory(store: Store): Inventory {
  const steps = inventorySteps(store);
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

/** Takes stock at a pace. */
export async function takeInventoryPaced(store: Store, pace: Pace): Promise<Inventory> {
  const steps = inventorySteps(store);
  for (let [step, seen] = [steps.next(), 1]; ; [step, seen] = [steps.next(), seen + 1]) {
    if (step.done) return step.value;
    await pace.step(() => `Taking stock: ${seen} files`);
  }
}

/** One step for each file. */
function* inventorySteps(store: Store): Generator<void, Inventory> {
  const { root } = store.layout;
  const entries: StoredEntry[] = [];
  const blobs = new Map<BlobId, StoredBlob>();
  let otherBytes = 0;
  for (const { name, info } of filesBelow(`${root}/entries`)) {
    yield;
    const key = parseDigest<CacheKey>(name);
    if (key === undefined) continue;
    const entry = readEntry(store, key);
    entries.push({
      key,
      entry,
      isForeign: entry === undefined && isForeignEntry(store, key),
      usedMs: info.mtimeSec * 1000,
      recordBytes: occupiedBytes(info) + bytesAt(store.layout.inputs(key)),
    });
  }
  for (const { name, info } of filesBelow(`${root}/blobs`)) {
    yield;
    const id = parseDigest<BlobId>(name);
    if (id !== undefined)
      blobs.set(id, { id, info, bytes: occupiedBytes(info) + bytesAt(store.layout.seal(id)) });
  }
  for (const { name } of listable(root)) {
    if (name === 'entries' || name === 'blobs') continue;
    otherBytes += bytesAt(`${root}/${name}`);
    for (const { info } of everythingBelow(`${root}/${name}`)) {
      yield;
      otherBytes += fileBytes(info);
    }
  }
  return { entries, blobs, otherBytes };
}

/** Folders do not count: what they occupy does not come back when they are emptied. */
const fileBytes = (info: FileStat | undefined): number =>
  info === undefined || isDirectory(info) ? 0 : occupiedBytes(info);

const bytesAt = (path: string): number => fileBytes(lstat(path));

/** Bytes of all files, each counted once however many entries and checkouts use it. */
export function storeBytes(inventory: Inventory): number {
  let total = inventory.otherBytes;
  for (const { bytes } of inventory.blobs.values()) total += bytes;
  for (const { recordBytes } of inventory.entries) total += recordBytes;
  return total;
}
