// Closures: for each unit, the sets of files and variables that earlier compiles of it read, newest first.
import type { CacheKey, Digest, UnitId } from '../core/ids.ts';
import { bestEffort, touch, utf8 } from '../sys/files.ts';
import { encodeRecord, isForeignRecord, parseLine, readRecord } from './records.ts';
import { lockStore, type Store } from './store.ts';

const KIND = 'kache-unit-1';

/** More sets than this per unit are forgotten, oldest first: each costs a look at its files on a miss. */
const MAX_CLOSURES = 8;
/** Keys kept per unit, newest first, so that a later miss finds what to compare itself with. */
const MAX_KEYS = 8;

/** What one compile read. Paths are rooted, so a closure holds in every checkout and on every machine. */
export interface Closure {
  /** Reported by the compiler, in its order; the crate root is first. */
  readonly files: readonly string[];
  /** Names of variables the compiler reported. */
  readonly env: readonly string[];
  /** Roots whose real path is in the outputs: the key then holds that path. */
  readonly bound: readonly string[];
  /** Files that must not exist: the other spelling of each module. */
  readonly absent: readonly string[];
  /** Files macros opened that the compiler did not report. */
  readonly observed: readonly string[];
  /** Folders macros listed. */
  readonly listed: readonly string[];
  /** Whether native archives from the `-L` folders went into the outputs. */
  readonly natives: boolean;
  /** What the linker took in besides Rust libraries, rooted; absent where no linker ran. */
  readonly linked?: readonly string[];
}

export interface UnitRecord {
  readonly closures: readonly Closure[];
  readonly keys: readonly CacheKey[];
}

/** What is recorded for a unit; nothing when the record is missing or damaged. */
export const readUnit = (store: Store, unit: UnitId): UnitRecord =>
  parseLine<UnitRecord>(readRecord(store.layout.unit(unit), KIND)?.[0]) ?? { closures: [], keys: [] };

/** Whether the record of a unit, given by its path, was written by another version of kache, which can read it. */
export const isForeignUnit = (path: string): boolean => isForeignRecord(path, KIND);

/** Marks a record as used now: eviction forgets those nobody has used for long. */
export const touchUnit = (store: Store, unit: UnitId): boolean =>
  bestEffort(() => touch(store.layout.unit(unit)));

/**
 * Puts a closure and its key in front. Two processes recording the same unit take turns; the name of their lock is
 * the unit's digest spelled backwards, so that it is no build lock. The record of another version of kache stays.
 */
export function recordClosure(
  store: Store,
  unit: UnitId,
  recorded: { closure: Closure; key: CacheKey },
): void {
  addToFront(store, unit, { closures: [recorded.closure], keys: [recorded.key] });
}

/** Puts closures in front that other machines have recorded; their keys are not keys of this store. */
export const recordForeignClosures = (store: Store, unit: UnitId, closures: readonly Closure[]): void =>
  addToFront(store, unit, { closures, keys: [] });

function addToFront(store: Store, unit: UnitId, added: UnitRecord): void {
  using _lock = lockStore(store, [...unit].reverse().join('') as Digest);
  if (isForeignUnit(store.layout.unit(unit))) return;
  const before = readUnit(store, unit);
  const texts = added.closures.map((closure) => JSON.stringify(closure));
  const closures = [
    ...added.closures,
    ...before.closures.filter((closure) => !texts.includes(JSON.stringify(closure))),
  ];
  const keys = [...added.keys, ...before.keys.filter((key) => !added.keys.includes(key))];
  const record: UnitRecord = { closures: closures.slice(0, MAX_CLOSURES), keys: keys.slice(0, MAX_KEYS) };
  store.replaceFile(store.layout.unit(unit), utf8(encodeRecord(KIND, [record])));
}
