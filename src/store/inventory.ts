// Walking the whole store: which entries there are, which blobs, and what they occupy. Cold: for the command line and
// for eviction only.
import { type BlobId, type CacheKey, parseDigest } from '../core/ids.ts';
import { type DirectoryEntry, type FileStat, isOsError, listDirectory, lstat } from '../sys/files.ts';
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
}

export interface Inventory {
  readonly entries: readonly StoredEntry[];
  readonly blobs: ReadonlyMap<BlobId, StoredBlob>;
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

function listable(folder: string): readonly DirectoryEntry[] {
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

/** Takes stock. Files that come or go meanwhile may be missing from it. */
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
  const entries: StoredEntry[] = [];
  const blobs = new Map<BlobId, StoredBlob>();
  for (const { name, info } of filesBelow(`${store.layout.root}/entries`)) {
    yield;
    const key = parseDigest<CacheKey>(name);
    if (key === undefined) continue;
    const entry = readEntry(store, key);
    const inputs = lstat(store.layout.inputs(key));
    entries.push({
      key,
      entry,
      isForeign: entry === undefined && isForeignEntry(store, key),
      usedMs: info.mtimeSec * 1000,
      recordBytes: occupiedBytes(info) + (inputs === undefined ? 0 : occupiedBytes(inputs)),
    });
  }
  for (const { name, info } of filesBelow(`${store.layout.root}/blobs`)) {
    yield;
    const id = parseDigest<BlobId>(name);
    if (id !== undefined) blobs.set(id, { id, info });
  }
  return { entries, blobs };
}

/** Bytes of all blobs, each counted once however many entries and checkouts use it, and of the records. */
export function storeBytes(inventory: Inventory): number {
  let total = 0;
  for (const { info } of inventory.blobs.values()) total += occupiedBytes(info);
  for (const { recordBytes } of inventory.entries) total += recordBytes;
  return total;
}
