// Has anyone compiled exactly this before? Each recorded closure makes one key, and the store has it or not.
import type { CacheKey } from '../core/ids.ts';
import { type Closure, readUnit } from '../store/closures.ts';
import { type Entry, readEntry } from '../store/entries.ts';
import type { Call } from './call.ts';
import { type ComputedKey, computeKey, type KeyBase } from './key.ts';

export type LookUp =
  | { readonly kind: 'found'; readonly entry: Entry; readonly closure: Closure; readonly key: ComputedKey }
  | {
      readonly kind: 'absent';
      /** By the newest closure that applies here: what the compile will probably be stored under. */
      readonly predicted: ComputedKey | undefined;
      /** The keys of every closure that applies here, newest first. */
      readonly candidates: readonly CacheKey[];
      readonly reason: MissReason;
    };

/** Why nothing was found, as it stands in the event. */
export type MissReason = 'never-compiled' | 'inputs-changed' | `inputs-changed|${string}`;

/** Tries the closures recorded for the unit, newest first. */
export function lookUp(call: Call, base: KeyBase): LookUp {
  const { closures } = readUnit(call.store, base.unit);
  let predicted: ComputedKey | undefined;
  const candidates: CacheKey[] = [];
  let why: string | undefined;
  for (const closure of closures) {
    const key = computeKey(call, base, closure);
    if ('why' in key) {
      why ??= key.why;
      continue;
    }
    const entry = readEntry(call.store, key.key);
    if (entry !== undefined) return { kind: 'found', entry, closure, key };
    predicted ??= key;
    candidates.push(key.key);
  }
  if (closures.length === 0) return { kind: 'absent', predicted, candidates, reason: 'never-compiled' };
  return {
    kind: 'absent',
    predicted,
    candidates,
    reason: why === undefined ? 'inputs-changed' : `inputs-changed|${why}`,
  };
}
