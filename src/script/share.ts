// What of a run may leave this machine. A script is given the whole environment, and its list of inputs names places of
// this machine: a run goes to machines with the same places only, and not when a variable's value stands in what it made.
import { variableIn } from '../compile/share.ts';
import { type Entry, HOLDS_A_PATH } from '../store/entries.ts';
import type { OutTree } from './outputs.ts';
import type { Run } from './prepare.ts';

/** Variables that are the same for everybody who builds the same thing, or paths, and no secret by their names. */
const KNOWN_TO_ALL =
  /^(TARGET|HOST|PROFILE|OPT_LEVEL|DEBUG|NUM_JOBS|CARGO|RUST\w*|CARGO_\w+|DEP_\w+|PATH|PWD|LD_LIBRARY_PATH|LANG|LANGUAGE|LC_\w+|TERM|SHELL|TZ)$/;

/** Why a run stays where it was made, as the entry records it. It never travels freely: see {@link HOLDS_A_PATH}. */
export function whyWithheld({ env }: Run, made: { entry: Entry; tree: OutTree }): string {
  const text = JSON.stringify([made.entry.stdout, made.entry.stderr, made.tree.list]);
  const found = variableIn(env, {
    known: KNOWN_TO_ALL,
    holds: (value) => text.includes(value) || holds(made.tree, value),
  });
  return found === undefined ? HOLDS_A_PATH : `variable ${found}`;
}

/** Whether a text stands in one of the files that a run made. */
export const holds = ({ files }: OutTree, text: string): boolean =>
  files.some(({ bytes }) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(text));
