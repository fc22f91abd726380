// Keeping the store within its cap: taking away what is worth least, what is damaged, and what crashed processes left.
import { type BlobId, type CacheKey, type Digest, parseDigest } from '../core/ids.ts';
import { sweepAsides } from '../sys/aside.ts';
import {
  bestEffort,
  type FileStat,
  isDirectory,
  lstat,
  openFile,
  readableText,
  removeFile,
  removeTree,
  touchedMs,
} from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { O } from '../sys/libc.ts';
import { tryLock } from '../sys/lock.ts';
import type { Pace } from '../sys/pace.ts';
import { removeBlob } from './blobs.ts';
import { isForeignUnit } from './closures.ts';
import { type Entry, removeEntry, touchEntry } from './entries.ts';
import { readEvents, rotateEvents } from './event-log.ts';
import { type Candidate, planEviction } from './eviction-plan.ts';
import { logLimitBytes } from './eviction-trigger.ts';
import { describesOutputs, isForeignMemo } from './hashes.ts';
import {
  filesBelow,
  type Inventory,
  listable,
  type StoredEntry,
  storeBytes,
  takeInventoryPaced,
} from './inventory.ts';
import { MEMO_KINDS } from './layout.ts';
import type { Store } from './store.ts';

export interface Collected {
  readonly entriesRemoved: number;
  readonly blobsRemoved: number;
  /** Bytes whose last name is gone. */
  readonly freedBytes: number;
  /** Bytes of blobs that checkouts still link: they are the store's no more, and free when those are cleaned. */
  readonly linkedBytes: number;
  readonly bytesAfter: number;
  /** Entries of another version of kache: they stay. */
  readonly foreignEntries: number;
}

export interface CollectOptions {
  readonly maxBytes: number;
  /** Entries that go whatever the cap. */
  readonly isDoomed: (stored: StoredEntry) => boolean;
  readonly nowMs: number;
  /** Ending it leaves what a killed run leaves: garbage for the next one. */
  readonly pace: Pace;
}

/** An entry is stamped when it is written, a moment after its record was made; a stamp from later than this is a hit's. */
const HIT_AFTER_MS = 2000;
/** Younger files belong to a publication that may still be under way. */
const IN_FLIGHT_MS = 3600 * 1000;
/** Memos and unit records that nothing has used for so long are forgotten. */
const MEMO_LASTS_MS = 30 * 24 * 3600 * 1000;

/**
 * Evicts and sweeps. Undefined when another run is at it. Entries go before the blobs only they used: killed at any
 * moment, what is left over is garbage for the next run, never an entry without its blobs.
 */
export async function collect(store: Store, options: CollectOptions): Promise<Collected | undefined> {
  using lock = tryLock(store.layout.lock(sha256('kache gc')));
  if (lock === undefined) return undefined;
  // First of all: what is written from here on counts for the next run.
  forgetWritten(store);
  rotateEvents(store, logLimitBytes(options.maxBytes));
  sweepLeftovers(store, options.nowMs);
  const { pace } = options;
  const inventory = await takeInventoryPaced(store, pace);
  const doomed = chooseDoomed(store, inventory, options);
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
  const after = await takeInventoryPaced(store, pace);
  // Whoever found a blob in place, and named it in an entry after it had been swept.
  for (const { key, entry } of after.entries) {
    if (entry !== undefined && lacksBlob(store, entry, after)) removeEntry(store, key);
  }
  return {
    entriesRemoved: doomed.size,
    ...swept,
    bytesAfter: storeBytes(after),
    foreignEntries: after.entries.filter(({ isForeign }) => isForeign).length,
  };
}

/** A stored entry as eviction sees it. */
export function candidateOf(stored: StoredEntry, entry: Entry, { blobs }: Inventory): Candidate {
  const { key, usedMs, recordBytes } = stored;
  const sizes = entry.outputs.map(({ blob }) => ({ id: blob, sizeBytes: blobs.get(blob)?.bytes ?? 0 }));
  const wasHit = usedMs - entry.createdMs > HIT_AFTER_MS;
  return { key, usedMs, wasHit, recordBytes, compileMs: entry.compileMs, blobs: sizes };
}

/** Truncated, so that no append to it is lost; another user's file goes. */
function forgetWritten({ layout }: Store): void {
  const truncate = (): void =>
    openFile(layout.written, O.WRONLY | O.CREAT | O.TRUNC, 0o600)[Symbol.dispose]();
  if (!bestEffort(truncate)) bestEffort(() => removeFile(layout.written));
}

function chooseDoomed(store: Store, inventory: Inventory, options: CollectOptions): Set<CacheKey> {
  const candidates: Candidate[] = [];
  const doomed = new Set<CacheKey>();
  for (const stored of inventory.entries) {
    const { key, entry } = stored;
    if (stored.isForeign) continue;
    if (entry === undefined || lacksBlob(store, entry, inventory) || options.isDoomed(stored))
      doomed.add(key);
    else
      candidates.push({
        ...candidateOf(stored, entry, inventory),
        usedMs: settleUse(store, stored, options.nowMs),
      });
  }
  const otherBytes = otherBytesOf(inventory);
  for (const key of planEviction(candidates, { maxBytes: options.maxBytes, otherBytes }).evict)
    doomed.add(key);
  return doomed;
}

/** What occupies the store and belongs to no entry that can be evicted. */
export function otherBytesOf({ entries, blobs, otherBytes }: Inventory): number {
  // Where there are foreign entries, what nobody owns may be theirs: each version keeps its own within the cap.
  if (entries.some(({ isForeign }) => isForeign)) return otherBytes;
  const owned = new Set(entries.flatMap(({ entry }) => entry?.outputs.map(({ blob }) => blob) ?? []));
  let total = otherBytes;
  for (const { id, bytes } of blobs.values()) if (!owned.has(id)) total += bytes;
  return total;
}

/** An entry that can only end in a miss. The inventory lists entries first: a blob is looked for once more. */
const lacksBlob = (store: Store, entry: Entry, { blobs }: Inventory): boolean =>
  entry.outputs.some(({ blob }) => !blobs.has(blob) && lstat(store.layout.blob(blob)) === undefined);

/**
 * When an entry was used last. A stamp from the future (the clock was put back since) would keep it above all others
 * until then: it counts as used now, and is stamped so.
 */
function settleUse(store: Store, { key, usedMs }: StoredEntry, nowMs: number): number {
  if (usedMs <= nowMs + 60_000) return usedMs;
  touchEntry(store, key);
  return nowMs;
}

/** Removes blobs no entry refers to: those whose entries have just gone, and old ones. A young one may wait for its entry. */
async function sweepBlobs(
  store: Store,
  orphaned: ReadonlySet<BlobId>,
  { nowMs, pace }: CollectOptions,
): Promise<Pick<Collected, 'blobsRemoved' | 'freedBytes' | 'linkedBytes'>> {
  const now = await takeInventoryPaced(store, pace);
  const foreign = now.entries.filter(({ isForeign }) => isForeign);
  const used = new Set<string>(
    now.entries.flatMap(({ entry }) => entry?.outputs.map(({ blob }) => blob) ?? []),
  );
  // What a foreign entry refers to is not known for sure: every digest it mentions, and every blob we have not made.
  for (const { key } of foreign) {
    for (const [id] of (readableText(store.layout.entry(key)) ?? '').matchAll(/[0-9a-f]{64}/g)) used.add(id);
  }
  let [blobsRemoved, freedBytes, linkedBytes] = [0, 0, 0];
  for (const { id, info, bytes } of now.blobs.values()) {
    await pace.step(() => `Removing blobs: ${blobsRemoved} so far`);
    const isOld = Math.abs(nowMs - touchedMs(info)) >= IN_FLIGHT_MS;
    if (used.has(id) || !(orphaned.has(id) || (isOld && foreign.length === 0))) continue;
    if (info.nlink === 1) freedBytes += bytes;
    else linkedBytes += bytes;
    removeBlob(store, id);
    blobsRemoved++;
  }
  return { blobsRemoved, freedBytes, linkedBytes };
}

/** What crashed processes left, and memos nobody needs. Records of another version of kache are left to it. */
function sweepLeftovers(store: Store, nowMs: number): void {
  const { root } = store.layout;
  sweepFolder(`${root}/tmp`, (info) => isOutOfFlight(info, nowMs));
  sweepOutputFolders(store, nowMs);
  const isForgotten = (info: FileStat): boolean => nowMs - info.mtimeSec * 1000 > MEMO_LASTS_MS;
  for (const kind of MEMO_KINDS) {
    // What an output may hold is not forgotten: there is little of it, and losing it is not only a look.
    if (kind === 'withheld') continue;
    sweepFolder(`${root}/hashes/${kind}`, (info, path) => {
      if (!isForgotten(info) || isForeignMemo(path)) return false;
      return kind !== 'outputs' || !describesOutputs(path);
    });
  }
  for (const { path, info } of filesBelow(`${root}/units`)) {
    if (isForgotten(info) && !isForeignUnit(path)) bestEffort(() => removeFile(path));
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
  for (const { name } of listable(`${root}/locks`)) {
    // Disposing a lock one got removes its file; one that is held is in use.
    if (`${root}/locks/${name}` !== store.layout.lock(sha256('kache gc')))
      bestEffort(() => tryLock(`${root}/locks/${name}`)?.[Symbol.dispose]());
  }
}

/** Target folders have no owner who would clean them: the log knows where builds of the last days have written. */
function sweepOutputFolders(store: Store, nowMs: number): void {
  const folders = new Set(readEvents(store, nowMs - MEMO_LASTS_MS).flatMap(({ out_dir }) => out_dir ?? []));
  for (const folder of folders) sweepAsides(folder);
}

/** Stamps from a future that was taken back are as old as those from the past. */
const isOutOfFlight = (info: FileStat, nowMs: number): boolean =>
  Math.abs(nowMs - info.mtimeSec * 1000) >= IN_FLIGHT_MS;

function sweepFolder(folder: string, isOver: (info: FileStat, path: string) => boolean): void {
  for (const { name } of listable(folder)) {
    const path = `${folder}/${name}`;
    const info = lstat(path);
    if (info === undefined || !isOver(info, path)) continue;
    bestEffort(() => (isDirectory(info) ? removeTree(path) : removeFile(path)));
  }
}
