// A miss: the compiler runs, and what it made is stored if it can be vouched for. Begun and finished apart, so that another
// process can start the compiler (see answer.ts).

import { crateOfFile } from '../rustc/outputs.ts';
import { writeAttempt, writeUnstoredInputs } from '../store/unstored.ts';
import { succeeded } from '../sys/process.ts';
import type { BypassReason } from './bypass.ts';
import { type Call, timed } from './call.ts';
import { evictIfDue, finish } from './finish.ts';
import { type ComputedKey, type KeyBase, unitInputs } from './key.ts';
import { LinkReport } from './link.ts';
import { type MacroWatch, observe } from './observe.ts';
import { baseOf } from './prepare.ts';
import { type Compiled, CompilerRun, type CompilerRunOptions } from './run.ts';
import {
  keyOf,
  type Left,
  type RecordedOutputs,
  rememberContents,
  rememberIdentities,
  save,
} from './save.ts';
import { queueUpload, readNames, rememberRead } from './share.ts';
import { putStandIn } from './stand-in.ts';
import { type Expected, rottenOutput, verdict } from './verify.ts';
import { writeStart } from './write-event.ts';

/** A compile under way. Disposing of it lets go of what it holds, also when nobody came to its end. */
export interface Begun extends Disposable {
  readonly run: CompilerRun;
  /** Stores what was compiled, or says in the event why not. */
  finish(compiled: Compiled): void;
}

/** The other side of a compile: who prints what the compiler says, and has started it. */
export interface Side extends Pick<CompilerRunOptions, 'print'> {
  /** How another process, which has started the compiler, saw the outputs last. */
  readonly left?: () => Left | undefined;
}

/** What the look-up has found. */
type LookedUp = { readonly predicted: ComputedKey | undefined } & (
  | { readonly reason: string; readonly expected?: undefined }
  | { readonly expected: Expected }
);

export type MissOptions = Side & LookedUp;

/** Begins the compile of a unit whose outputs are to be stored. */
export function beginMiss(call: Call, base: KeyBase, options: MissOptions): Begun {
  const watch = observe(call, base.externs.macros);
  const linkReport = new LinkReport(base.link);
  let hashed: RecordedOutputs | undefined;
  writeStart(call, base.unit);
  const run = new CompilerRun(call, {
    print: options.print,
    more: linkReport.arguments,
    onArtifact: (emit, file) => {
      if (emit !== 'metadata') return;
      // The metadata is written behind the last macro: whatever is opened from here on is somebody else's.
      watch.end();
      hashed = rememberIdentities(call, base, { paths: [file], left: options.left?.() });
      rememberRead(call, readNames(call, base), identitiesOf(hashed));
    },
  });
  return {
    run,
    finish: (compiled) =>
      finishMiss(call, base, { ...options, compiled, watch, hashed, left: options.left?.() }),
    [Symbol.dispose]: () => {
      watch[Symbol.dispose]();
      linkReport[Symbol.dispose]();
    },
  };
}

type FinishedMiss = LookedUp & {
  readonly compiled: Compiled;
  readonly watch: MacroWatch;
  readonly hashed: RecordedOutputs | undefined;
  readonly left: Left | undefined;
};

function finishMiss(call: Call, base: KeyBase, miss: FinishedMiss): void {
  const { compiled, hashed, left } = miss;
  if (compiled.metadataMs !== undefined) call.phases.metadata = compiled.metadataMs;
  call.phases.compile = compiled.compileMs;
  const common = { compiler_runs: 1, compile_ms: compiled.compileMs, unit_id: base.unit };
  if (!succeeded(compiled.status)) {
    noteAttempt(call, base, miss.predicted);
    finish(call, {
      ...common,
      result: 'error',
      reason: miss.expected === undefined ? miss.reason : 'verifying',
    });
    return;
  }
  const rotten = miss.expected === undefined ? undefined : rottenOutput(call, miss.expected.entry);
  const saved = timed(call.phases, 'store', () =>
    save(call, base, { compiled, observation: miss.watch.end(), hashed, left }),
  );
  if (saved.kind === 'skipped') {
    rememberRead(call, readNames(call, base), identitiesOf(rememberContents(call, base, left)));
    noteAttempt(call, base, miss.predicted);
    finish(call, { ...common, result: 'skipped', reason: saved.reason });
    evictIfDue(call);
    return;
  }
  const { withheld } = saved;
  putStandIn(call, saved.outputs);
  if (withheld === undefined) queueUpload(call, saved.key);
  finish(call, {
    ...common,
    result: saved.isDuplicate ? 'dup' : 'miss',
    reason: miss.expected === undefined ? miss.reason : verdict(call, miss.expected, { saved, rotten }),
    cache_key: saved.key,
    size_bytes: saved.sizeBytes,
    stored_bytes: saved.newBytes,
    ...(withheld === undefined ? {} : { withheld }),
  });
  evictIfDue(call);
}

const identitiesOf = (recorded: RecordedOutputs): string[] =>
  [...recorded.values()].map(([, identity]) => identity);

/** Keeps what a compile without an entry would have been compared by. */
function noteAttempt(call: Call, base: KeyBase, predicted: ComputedKey | undefined): void {
  const place = { unit: base.unit, outDir: call.invocation.outDir };
  const inputs = predicted?.inputs() ?? unitInputs(base);
  writeAttempt(call.store, place, {
    startedMs: call.startedMs,
    inputs,
    complete: predicted !== undefined,
  });
}

/** Whether others may use the output of a call as an extern, as they do a proc macro. */
export const isDependable = ({ invocation }: Call): boolean =>
  invocation.outputs.files.some(({ kind }) => kind === 'dylib');

/**
 * What the identity of a linked output is made of that stays in its place. Where others use it as an extern it is the cache
 * key it would have: its bytes differ between checkouts, what it does does not, and everything above it still hits.
 */
export function identityBase(call: Call): KeyBase | undefined {
  const found = isDependable(call) ? baseOf(call, false) : undefined;
  return found === undefined || 'why' in found ? undefined : found;
}

/** Begins the compile of a linked output that stays in its place. */
export function beginLinked(
  call: Call,
  base: KeyBase | undefined,
  { reason, print, left }: Side & { readonly reason: BypassReason },
): Begun {
  const watch = observe(call, base?.externs.macros ?? []);
  writeStart(call, base?.unit);
  return {
    run: new CompilerRun(call, { print }),
    finish: (compiled) => finishLinked(call, base, { reason, compiled, watch, left: left?.() }),
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

interface FinishedLinked {
  readonly reason: BypassReason;
  readonly compiled: Compiled;
  readonly watch: MacroWatch;
  readonly left: Left | undefined;
}

function finishLinked(call: Call, base: KeyBase | undefined, linked: FinishedLinked): void {
  const { compiled, watch, left } = linked;
  const { invocation } = call;
  call.phases.compile = compiled.compileMs;
  const keyed =
    base !== undefined && succeeded(compiled.status)
      ? keyOf(call, base, { compiled, observation: watch.end(), left })
      : undefined;
  const known = base !== undefined && keyed !== undefined && !('skip' in keyed);
  if (known) {
    const { identity, inputs } = keyed.key;
    const paths = keyed.outputs.map(({ path }) => path);
    rememberIdentities(call, base, { paths, identity: `key:${identity}`, left });
    rememberRead(call, readNames(call, base), [`key:${identity}`]);
    writeUnstoredInputs(call.store, identity, inputs());
  }
  finish(call, {
    result: succeeded(compiled.status) ? 'passthrough' : 'error',
    passthrough_reason: linked.reason,
    compiler_runs: 1,
    compile_ms: compiled.compileMs,
    externs: invocation.externs.flatMap(({ path }) => (path === undefined ? [] : crateOfFile(path))),
    ...(known ? { cache_key: keyed.key.identity, unit_id: base.unit } : {}),
  });
}
