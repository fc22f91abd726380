// Keeping the store within its cap: which entries go, and the order in which they are taken away.
import { type BlobId, type CacheKey, type Digest, parseDigest } from '../core/ids.ts';
import { bestEffort, listDirectory, lstat, openFile, removeFile, touchedMs } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { O } from '../sys/libc.ts';
import { tryLock } from '../sys/lock.ts';
import type { Pace } from '../sys/pace.ts';
import { removeBlob } from './blobs.ts';
import { type Entry, removeEntry } from './entries.ts';
import { rotateEvents } from './event-log.ts';
import { describesOutputs } from './hashes.ts';
import {
  filesBelow,
  type Inventory,
  occupiedBytes,
  type StoredEntry,
  storeBytes,
  takeInventoryPaced,
} from './inventory.ts';
import { MEMO_KINDS } from './layout.ts';
import type { Store } from './store.ts';

/** One entry as eviction sees it. */
export interface Candidate {
  readonly key: CacheKey;
  /** Last use, milliseconds since the epoch. */
  readonly usedMs: number;
  /** What the compiler took. */
  readonly compileMs: number;
  readonly blobs: readonly { readonly id: BlobId; readonly sizeBytes: number }[];
  readonly recordBytes: number;
}

export interface Plan {
  readonly evict: readonly CacheKey[];
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** Eviction goes this far below the cap, so that the next store does not start it again. */
const HYSTERESIS = 0.9;
/** Each factor of ten in compile time per byte counts like this much more recent a use. */
const WORTH_PER_DECADE_MS = 24 * 3600 * 1000;

/**
 * The moment of last use, moved forward by what a hit saves: one day for each factor of ten in compile time per
 * megabyte. An entry that is dear and small outlives one that is cheap and large, but not for ever.
 */
export function worth(candidate: Candidate): number {
  const sizeBytes = candidate.blobs.reduce((sum, blob) => sum + blob.sizeBytes, candidate.recordBytes);
  const msPerMegabyte = (candidate.compileMs + 1) / (sizeBytes / 1e6 + 1e-3);
  return candidate.usedMs + Math.log10(msPerMegabyte) * WORTH_PER_DECADE_MS;
}

/** Chooses what to evict so that the store fits `maxBytes`; pure. A blob counts once and goes with its last entry. */
export function planEviction(candidates: readonly Candidate[], maxBytes: number): Plan {
  const users = new Map<BlobId, { count: number; sizeBytes: number }>();
  let bytes = 0;
  for (const candidate of candidates) {
    bytes += candidate.recordBytes;
    for (const { id, sizeBytes } of candidate.blobs) {
      const known = users.get(id);
      if (known === undefined) bytes += sizeBytes;
      users.set(id, { count: (known?.count ?? 0) + 1, sizeBytes });
    }
  }
  const bytesBefore = bytes;
  const evict: CacheKey[] = [];
  const order =
    bytes <= maxBytes ? [] : candidates.toSorted((a, b) => worth(a) - worth(b) || (a.key < b.key ? -1 : 1));
  for (const candidate of order) {
    if (bytes <= maxBytes * HYSTERESIS) break;
    evict.push(candidate.key);
    bytes -= candidate.recordBytes;
    for (const { id } of candidate.blobs) {
      const user = users.get(id);
      if (user === undefined) continue;
      user.count--;
      if (user.count === 0) bytes -= user.sizeBytes;
    }
  }
  return { evict, bytesBefore, bytesAfter: bytes };
}

export interface Collected {
  readonly entriesRemoved: number;
  readonly blobsRemoved: number;
  /** Bytes whose last name is gone; blobs still linked into checkouts free nothing until those are cleaned. */
  readonly freedBytes: number;
  readonly bytesAfter: number;
}

export interface CollectOptions {
  readonly maxBytes: number;
  /** Entries that go whatever the cap. */
  readonly isDoomed: (stored: StoredEntry) => boolean;
  readonly nowMs: number;
  /** Ending it leaves what a killed run leaves: garbage for the next one. */
  readonly pace: Pace;
}

/** Younger files belong to a publication that may still be under way. */
const IN_FLIGHT_MS = 3600 * 1000;
/** Memos and unit records that nothing has rewritten for so long are forgotten. */
const MEMO_LASTS_MS = 30 * 24 * 3600 * 1000;

/**
 * Evicts and sweeps. Undefined when another run is at it. Entries go before the blobs only they used: killed at any
 * moment, what is left over is garbage for the next run, never an entry without its blobs.
 */
export async function collect(store: Store, options: CollectOptions): Promise<Collected | undefined> {
  using lock = tryLock(store.layout.lock(sha256('kache gc')));
  if (lock === undefined) return undefined;
  bestEffort(() => openFile(store.layout.written, O.WRONLY | O.CREAT | O.TRUNC, 0o600)[Symbol.dispose]());
  rotateEvents(store);
  const { pace } = options;
  const inventory = await takeInventoryPaced(store, pace);
  const candidates: Candidate[] = [];
  const doomed = new Set<CacheKey>();
  for (const stored of inventory.entries) {
    const { key, entry } = stored;
    if (stored.isForeign) continue;
    if (entry === undefined || options.isDoomed(stored)) doomed.add(key);
    else candidates.push(candidateOf(stored, entry, inventory));
  }
  for (const key of planEviction(candidates, options.maxBytes).evict) doomed.add(key);
  let removed = 0;
  for (const key of doomed) {
    await pace.step(() => `Removing entries: ${removed} of ${doomed.size}`);
    removeEntry(store, key);
    removed++;
  }
  const orphaned = new Set<BlobId>();
  for (const { key, entry } of inventory.entries) {
    if (doomed.has(key)) for (const { blob } of entry?.outputs ?? []) orphaned.add(blob);
  }
  const swept = await sweepBlobs(store, orphaned, options);
  sweepLeftovers(store, options.nowMs);
  return {
    entriesRemoved: doomed.size,
    ...swept,
    bytesAfter: storeBytes(await takeInventoryPaced(store, pace)),
  };
}

/** A stored entry as eviction sees it. */
export function candidateOf(stored: StoredEntry, entry: Entry, { blobs }: Inventory): Candidate {
  const { key, usedMs, recordBytes } = stored;
  const sizes = entry.outputs.map(({ blob }) => {
    const known = blobs.get(blob);
    return { id: blob, sizeBytes: known === undefined ? 0 : occupiedBytes(known.info) };
  });
  return { key, usedMs, recordBytes, compileMs: entry.compileMs, blobs: sizes };
}

/** Removes blobs no entry refers to: those whose entries have just gone, and old ones. A young one may wait for its entry. */
async function sweepBlobs(
  store: Store,
  orphaned: ReadonlySet<BlobId>,
  { nowMs, pace }: CollectOptions,
): Promise<{ blobsRemoved: number; freedBytes: number }> {
  const now = await takeInventoryPaced(store, pace);
  const used = new Set(now.entries.flatMap(({ entry }) => entry?.outputs.map(({ blob }) => blob) ?? []));
  // What a foreign entry refers to is not known.
  const onlyOrphaned = now.entries.some(({ isForeign }) => isForeign);
  let [blobsRemoved, freedBytes] = [0, 0];
  for (const { id, info } of now.blobs.values()) {
    await pace.step(() => `Removing blobs: ${blobsRemoved} so far`);
    const mayGo = orphaned.has(id) || (!onlyOrphaned && nowMs - touchedMs(info) >= IN_FLIGHT_MS);
    if (used.has(id) || !mayGo) continue;
    if (info.nlink === 1) freedBytes += occupiedBytes(info);
    removeBlob(store, id);
    blobsRemoved++;
  }
  return { blobsRemoved, freedBytes };
}

/** What crashed processes left, and memos nobody needs. */
function sweepLeftovers(store: Store, nowMs: number): void {
  const { root } = store.layout;
  sweepFolder(`${root}/tmp`, nowMs - IN_FLIGHT_MS);
  for (const kind of MEMO_KINDS) {
    const isNeeded = kind === 'outputs' ? (path: string) => describesOutputs(path) : undefined;
    sweepFolder(`${root}/hashes/${kind}`, nowMs - MEMO_LASTS_MS, isNeeded);
  }
  for (const { path, info } of filesBelow(`${root}/units`)) {
    if (info.mtimeSec * 1000 < nowMs - MEMO_LASTS_MS) bestEffort(() => removeFile(path));
  }
  for (const { path, name } of filesBelow(`${root}/entries`)) {
    const key = name.endsWith('.inputs') ? path.slice(0, -'.inputs'.length) : undefined;
    if (key !== undefined && lstat(key) === undefined) bestEffort(() => removeFile(path));
  }
  for (const { path, name } of filesBelow(`${root}/blobs`)) {
    const blob = name.endsWith('.seal') ? parseDigest<Digest>(name.slice(0, -'.seal'.length)) : undefined;
    if (blob !== undefined && lstat(path.slice(0, -'.seal'.length)) === undefined)
      bestEffort(() => removeFile(path));
  }
  for (const { name } of listDirectory(`${root}/locks`) ?? []) {
    // Disposing a lock one got removes its file; one that is held is in use.
    if (`${root}/locks/${name}` !== store.layout.lock(sha256('kache gc')))
      bestEffort(() => tryLock(`${root}/locks/${name}`)?.[Symbol.dispose]());
  }
}

function sweepFolder(folder: string, olderThanMs: number, isNeeded?: (path: string) => boolean): void {
  for (const { name } of listDirectory(folder) ?? []) {
    const path = `${folder}/${name}`;
    const info = lstat(path);
    if (info === undefined || info.mtimeSec * 1000 >= olderThanMs || isNeeded?.(path) === true) continue;
    bestEffort(() => removeFile(path));
  }
}
