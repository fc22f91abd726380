// One seed from beginning to end: its walk, whether a mismatch is kache's, its smallest form.
import type { Case } from './case.ts';
import { generate, type Wanted } from './generate.ts';
import { shrink } from './shrink.ts';
import { type CleanResults, type Mismatch, type Walked, walk } from './walk.ts';

export interface Finding {
  readonly case: Case;
  readonly mismatch: Mismatch;
  readonly attempts: number;
}

export interface Fuzzed {
  readonly walked: Walked;
  /** Plain cargo, walking the same way in place, goes wrong in the same way: its own limit. */
  readonly isCargos: boolean;
  readonly finding?: Finding;
}

export interface FuzzOptions {
  readonly shrinkMs: number;
  /** The wrapper to judge; by default kache. */
  readonly wrapper?: string;
  /** Whether kache runs behind its launcher. */
  readonly launcher?: boolean;
}

export const fuzz = (wanted: Wanted, options: FuzzOptions): Promise<Fuzzed> =>
  check(generate(wanted), options);

/** Walks through one case, and judges and shrinks what it finds. */
export async function check(start: Case, { shrinkMs, ...judged }: FuzzOptions): Promise<Fuzzed> {
  const clean: CleanResults = new Map();
  const walked = await walk(start, { clean, ...judged });
  const { mismatch } = walked;
  if (mismatch === undefined) return { walked, isCargos: false };
  const plain = (candidate: Case): Promise<Walked> => walk(candidate, { clean, wrapper: null });
  const cut: Case = { ...start, rounds: start.rounds.slice(0, mismatch.round + 1) };
  if ((await plain(cut)).mismatch !== undefined) return { walked, isCargos: true };
  console.log(`seed ${start.seed}: ${mismatch.kind} in step ${mismatch.round + 1}, making it smaller`);
  let last = mismatch;
  const fails = async (candidate: Case): Promise<Mismatch['kind'] | undefined> => {
    const found = (await walk(candidate, { clean, ...judged })).mismatch;
    if (found?.kind !== mismatch.kind) return found?.kind;
    if ((await plain(candidate)).mismatch !== undefined) return undefined;
    last = found;
    return found.kind;
  };
  const small = await shrink(cut, { kind: mismatch.kind, fails, deadlineMs: Date.now() + shrinkMs });
  return { walked, isCargos: false, finding: { case: small.case, mismatch: last, attempts: small.attempts } };
}
