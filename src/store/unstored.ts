// What is known of the inputs of compiles that have no entry: those that failed or were skipped, and proc macros, which
// others depend on. Kept for explanations only, as memos: written after a compile, never read by one.
import type { CacheKey, UnitId } from '../core/ids.ts';
import type { EntryInputs } from './entries.ts';
import { readMemo, writeMemo } from './hashes.ts';
import type { Store } from './store.ts';

/** A compile that was looked up and not stored. Its last one is kept for each unit and output folder. */
export interface Attempt {
  /** When the call began, milliseconds since the epoch: the event with this start is the one meant. */
  readonly startedMs: number;
  readonly inputs: EntryInputs;
  /** False when nothing was recorded to compare files and variables by. */
  readonly complete: boolean;
}

const attemptName = (unit: UnitId, outDir: string): string => `attempt ${unit} ${outDir}`;

export const readAttempt = (store: Store, unit: UnitId, outDir: string): Attempt | undefined =>
  readMemo<Attempt>(store, 'unstored', attemptName(unit, outDir));

export const writeAttempt = (
  store: Store,
  place: { unit: UnitId; outDir: string },
  attempt: Attempt,
): boolean => writeMemo(store, 'unstored', attemptName(place.unit, place.outDir), attempt);

const keyName = (key: CacheKey): string => `key ${key}`;

/** The inputs behind a key that stands for a linked output in the keys of others. */
export const readUnstoredInputs = (store: Store, key: CacheKey): EntryInputs | undefined =>
  readMemo<EntryInputs>(store, 'unstored', keyName(key));

export const writeUnstoredInputs = (store: Store, key: CacheKey, inputs: EntryInputs): boolean =>
  writeMemo(store, 'unstored', keyName(key), inputs);
