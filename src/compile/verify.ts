// Trust, but verify: some hits, or all, are compiled once more and compared with what was stored.
import type { Settings } from '../core/config.ts';
import { findInList } from '../core/lists.ts';
import { removeBlob } from '../store/blobs.ts';
import type { Closure } from '../store/closures.ts';
import type { Entry, StoredOutput } from '../store/entries.ts';
import { removeEntry } from '../store/entries.ts';
import { readFile } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import type { Call } from './call.ts';
import type { LookUp } from './look-up.ts';
import type { Saved } from './save.ts';

/** One hit in so many, when hits are sampled. */
const SAMPLE = 32;

/** Whether a hit is compiled instead of restored, to be compared with it. */
export const isDueForVerification = ({ verifyRestores }: Settings): boolean =>
  verifyRestores === 'always' || (verifyRestores === 'sampled' && Math.random() * SAMPLE < 1);

/**
 * Hashes what a hit would have restored, whatever its seals say. A blob that has rotted is removed, so that the compile
 * puts a sound one in its place; the kind of the first such output is returned.
 */
export function rottenOutput({ store }: Call, expected: Entry): string | undefined {
  let rotten: string | undefined;
  for (const { kind, blob } of expected.outputs) {
    const bytes = readFile(store.layout.blob(blob));
    if (bytes === undefined || sha256(bytes) === blob) continue;
    removeBlob(store, blob);
    rotten ??= kind;
  }
  return rotten;
}

/** What verifying found, as it stands in the event. */
export type Verdict = 'verified' | `verify-mismatch|${string}`;

/** The hit that is verified: what would have been restored, and by which closure it was found. */
export type Expected = Pick<Extract<LookUp, { kind: 'found' }>, 'entry' | 'closure'>;

/**
 * Compares a compile that has just been stored with the hit that is verified. An entry that says otherwise is gone
 * afterwards: the new one stands in its place, or under the key it should have had.
 */
export function verdict(
  call: Call,
  { entry, closure }: Expected,
  {
    saved,
    rotten,
  }: { readonly saved: Extract<Saved, { kind: 'stored' }>; readonly rotten: string | undefined },
): Verdict {
  if (rotten !== undefined) return `verify-mismatch|rotten ${rotten}`;
  const isSame = saved.key === entry.key;
  const wrong =
    isSame || readsTheSame(saved.closure, closure) ? differingOutput(entry.outputs, saved.outputs) : 'key';
  if (wrong === undefined) return 'verified';
  if (!isSame) removeEntry(call.store, entry.key);
  return `verify-mismatch|${wrong}`;
}

/** But for what was seen to be opened: that may have been anybody, in one of the two compiles. */
const readsTheSame = (one: Closure, other: Closure): boolean =>
  JSON.stringify(withoutSeen(one)) === JSON.stringify(withoutSeen(other));

const withoutSeen = ({ files, env, bound, absent, natives, linked }: Closure): unknown[] => [
  files,
  env,
  bound,
  absent,
  natives,
  linked,
];

/** The kind of the first output that is not the same in both. */
function differingOutput(
  expected: readonly StoredOutput[],
  found: readonly StoredOutput[],
): string | undefined {
  const other = findInList(
    found,
    ({ kind, blob }) => findInList(expected, (output) => output.kind === kind)?.blob !== blob,
  );
  return other?.kind;
}
