// What of a run may leave this machine. A script is given the whole environment, and its list of inputs names places of
// this machine: a run goes to machines with the same places only, and not when a variable's value stands in what it made.
import { CARGOS_OWN, MIN_VALUE_LENGTH, SECRET_NAME } from '../compile/share.ts';
import { type Entry, HOLDS_A_PATH } from '../store/entries.ts';
import type { OutTree } from './outputs.ts';
import type { Run } from './prepare.ts';

/** Variables that are the same for everybody who builds the same thing, or paths, and no secret by their names. */
const KNOWN_TO_ALL =
  /^(TARGET|HOST|PROFILE|OPT_LEVEL|DEBUG|NUM_JOBS|CARGO|RUST\w*|CARGO_\w+|DEP_\w+|PATH|PWD|LD_LIBRARY_PATH|LANG|LANGUAGE|LC_\w+|TERM|SHELL|TZ)$/;

/** Why a run stays where it was made, as the entry records it. It never travels freely: see {@link HOLDS_A_PATH}. */
export function whyWithheld({ env }: Run, made: { entry: Entry; tree: OutTree }): string {
  const text = JSON.stringify([made.entry.stdout, made.entry.stderr, made.tree.list]);
  for (const [name, value] of Object.entries(env)) {
    const isSuspect = SECRET_NAME.test(name) || !(CARGOS_OWN.test(name) || KNOWN_TO_ALL.test(name));
    // Its places are in the list of inputs in any case.
    if (!isSuspect || value.length < MIN_VALUE_LENGTH || value.startsWith('/')) continue;
    if (text.includes(value) || holds(made.tree, value)) return `variable ${name}`;
  }
  return HOLDS_A_PATH;
}

/** Whether a text stands in one of the files that a run made. */
export const holds = ({ files }: OutTree, text: string): boolean =>
  files.some(({ bytes }) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(text));
