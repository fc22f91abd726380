// Which entries go into a pack: those compiles have used since some time, by the log; all of the store without one.
import { type CacheKey, parseDigest } from '../core/ids.ts';
import { type Entry, mayTravel, readEntry } from '../store/entries.ts';
import { reachesBackTo, readEvents } from '../store/event-log.ts';
import { takeInventory } from '../store/inventory.ts';
import type { Store } from '../store/store.ts';
import { isHit, isMiss } from './summary.ts';

export interface Choice {
  /** Used longest ago first: of the closures of a unit, whoever takes them in keeps the last. */
  readonly keys: readonly CacheKey[];
  /** Used, but evicted since. */
  readonly gone: number;
  /** Used, but not to leave this machine, or not worth it. */
  readonly withheld: number;
}

export interface Wanted {
  /** Milliseconds since the epoch; undefined: every entry. */
  readonly sinceMs: number | undefined;
  /** What took less to compile is withheld. */
  readonly minCompileMs: number;
  /** So is what a connection of this many bytes a second brings no sooner than the compiler; 0 withholds nothing. */
  readonly bandwidth: number;
  /** Also what is bound to paths of this machine. */
  readonly withPaths: boolean;
}

export function chooseEntries(store: Store, wanted: Wanted): Choice {
  const { sinceMs, minCompileMs, withPaths } = wanted;
  const used = sinceMs === undefined ? everything(store) : usedSince(store, sinceMs);
  const oldestFirst = [...used].sort(([a, aMs], [b, bMs]) => aMs - bMs || (a < b ? -1 : 1));
  const [keys, counts] = [[] as CacheKey[], { gone: 0, withheld: 0 }];
  for (const [key] of oldestFirst) {
    const entry = readEntry(store, key);
    if (entry === undefined) counts.gone++;
    else if (
      entry.compileMs >= minCompileMs &&
      entry.compileMs >= bringingMs(entry, wanted.bandwidth) &&
      mayTravel(store, key, { withPaths })
    )
      keys.push(key);
    else counts.withheld++;
  }
  return { keys, ...counts };
}

/** By how much outputs of debug builds shrink, and how fast they are unpacked, proven and written (bench/ci.ts). */
const SHRINKS_BY = 5;
const UNPACKED_BYTES_PER_SECOND = 400e6;

/**
 * How long it takes to bring an entry: a program of 87 MB that is linked in half a second is had sooner from the linker,
 * and takes a fifth of a pack.
 */
function bringingMs({ outputs }: Entry, bandwidth: number): number {
  if (bandwidth === 0) return 0;
  let sizeBytes = 0;
  for (const output of outputs) sizeBytes += output.sizeBytes;
  return 1000 * (sizeBytes / SHRINKS_BY / bandwidth + sizeBytes / UNPACKED_BYTES_PER_SECOND);
}

/** Keys and when they were used last. */
type Used = ReadonlyMap<CacheKey, number>;

const everything = (store: Store): Used =>
  new Map(takeInventory(store).entries.map(({ key, usedMs }) => [key, usedMs]));

function usedSince(store: Store, sinceMs: number): Used {
  const used = new Map<CacheKey, number>();
  const events = readEvents(store);
  if (!reachesBackTo(store, events, sinceMs)) {
    // A hit or a store has stamped the entry. What came from elsewhere and was not hit yet bears its mark.
    for (const { key, entry, usedMs } of takeInventory(store).entries)
      if (usedMs >= sinceMs - STAMP_MS && entry?.origin === undefined) used.set(key, usedMs);
  }
  for (const event of events) {
    const key = parseDigest<CacheKey>(event.cache_key ?? '');
    if (event.ts >= sinceMs && key !== undefined && (isHit(event) || isMiss(event))) used.set(key, event.ts);
  }
  return used;
}

/** Stamps are read in whole seconds. */
const STAMP_MS = 1000;
