// Trust, but verify: some hits, or all, are compiled once more and compared with what was stored.
import type { Settings } from '../core/config.ts';
import { findInList } from '../core/lists.ts';
import { removeBlob } from '../store/blobs.ts';
import type { Entry, StoredOutput } from '../store/entries.ts';
import { removeEntry } from '../store/entries.ts';
import { readFile } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import type { Call } from './call.ts';
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

/**
 * Compares a compile that has just been stored with the entry a hit would have restored. An entry that says otherwise is
 * gone afterwards: the new one stands in its place, or under the key it should have had.
 */
export function verdict(
  call: Call,
  expected: Entry,
  found: { readonly saved: Extract<Saved, { kind: 'stored' }>; readonly rotten: string | undefined },
): Verdict {
  const { saved, rotten } = found;
  if (rotten !== undefined) return `verify-mismatch|rotten ${rotten}`;
  if (saved.key !== expected.key) {
    removeEntry(call.store, expected.key);
    return 'verify-mismatch|key';
  }
  const differing = differingOutput(expected.outputs, saved.outputs);
  return differing === undefined ? 'verified' : `verify-mismatch|${differing}`;
}

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
