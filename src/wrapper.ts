// One compiler call from top to bottom. Only this file and answer.ts, its counterpart for launchers, know the order of the
// stages.
import { bypassReason, LINKED } from './compile/bypass.ts';
import { type Call, type Caller, describe, timed } from './compile/call.ts';
import { noteFailure, noteHit, whyFailed } from './compile/finish.ts';
import type { KeyBase } from './compile/key.ts';
import { type LookUp, lookUp } from './compile/look-up.ts';
import { type Begun, beginLinked, beginMiss, identityBase } from './compile/miss.ts';
import { baseOf, prepare } from './compile/prepare.ts';
import { lookUpRemotely } from './compile/remote-look-up.ts';
import { reserve } from './compile/reserve.ts';
import { type Restored, restore } from './compile/restore.ts';
import { cannotPrint, protectStore, runHere } from './compile/run.ts';
import { lacksStandIn, makeStandIn } from './compile/stand-in.ts';
import { isDueForVerification } from './compile/verify.ts';
import { writeEvent } from './compile/write-event.ts';
import { type Environment, remoteOf } from './core/config.ts';
import { startAnswering } from './daemon/start.ts';
import { parseInvocation } from './rustc/invocation.ts';
import { findProgram } from './rustc/toolchain.ts';
import { openStore } from './store/store.ts';
import { writeAll } from './sys/files.ts';
import { type ExitStatus, endLike, execArguments, outputOf } from './sys/process.ts';
import { loadSettings } from './sys/settings.ts';

/** The process as the wrapper sees it. `argv` starts with the compiler. */
export interface WrapperInput {
  readonly argv: readonly string[];
  readonly env: Environment;
  readonly cwd: string;
  readonly caller: Caller;
  /** The socket at which a launcher asked in vain before it started this process. */
  readonly askedAt?: string | undefined;
  /** This program, for the helper that evicts. */
  readonly self: string;
}

/** The call goes to the compiler as it is. */
type PassThrough = { readonly kind: 'pass-through'; readonly fallback: string | undefined };

/** How far a call got: what the catch-all needs to know. */
interface Progress {
  /** Set as soon as the compiler has ended: it must not be started a second time. */
  ended?: ExitStatus;
  fallback?: string | undefined;
  /** Takes links into the store out of the compiler's way. */
  protect?: () => void;
  /** Writes the event of a call that failed in here. */
  report?: (error: unknown) => void;
}

/** Runs the call and ends the process as the compiler would have ended it. */
export async function runWrapper(input: WrapperInput): Promise<never> {
  const progress: Progress = {};
  let outcome: ExitStatus | PassThrough;
  try {
    outcome = await run(input, progress);
  } catch (error) {
    // Whatever went wrong in here is no reason for a build to fail: the compiler decides.
    outcome = progress.ended ?? { kind: 'pass-through', fallback: progress.fallback };
    reported(progress, error);
  }
  if (outcome.kind !== 'pass-through') return endLike(outcome);
  // Not sooner: to unlink an output that a hit would replace breaks the seal of its blob.
  progress.protect?.();
  return becomeCompiler(input, outcome.fallback);
}

/** The log is the last thing that may fail a call. */
function reported({ report }: Progress, error: unknown): void {
  try {
    report?.(error);
  } catch {
    // Nobody is left to tell.
  }
}

async function run(input: WrapperInput, progress: Progress): Promise<ExitStatus | PassThrough> {
  const startedMs = Date.now();
  const { caller, self } = input;
  const invocation = parseInvocation(input.argv, input.env, input.cwd);
  const isCompile = !('reason' in invocation);
  const { settings } = loadSettings(input.env, isCompile ? invocation.outDir : input.cwd);
  progress.fallback = settings.fallback;
  const passThrough: PassThrough = { kind: 'pass-through', fallback: settings.fallback };
  if (isCompile) progress.protect = () => protectStore(invocation);
  if (settings.disabled) return passThrough;
  const store = openStore(settings.cacheDir);
  if (store.kind === 'problem') return passThrough;
  const whose = { store, startedMs, caller };
  const pass = (reason: string): PassThrough => {
    const body = isCompile ? describe({ invocation, startedMs }) : { crate_name: '' };
    const fallback = settings.fallback === undefined ? {} : { fallback: true };
    const how = { result: 'passthrough', passthrough_reason: reason, compiler_runs: 1 } as const;
    writeEvent(whose, { ...body, ...how, ...fallback });
    return passThrough;
  };
  progress.report = (error) => {
    const { ended } = progress;
    if (ended === undefined || !isCompile) pass(whyFailed(error));
    else noteFailure({ ...whose, invocation }, ended, error);
  };
  // The first call of a build in a folder is such a question: until the first unit somebody listens.
  if (!isCompile) startAnswering(input);
  if (!isCompile) return pass(invocation.reason);
  const reason = bypassReason(invocation, settings);
  const call =
    reason === undefined || reason === LINKED
      ? prepare({ ...whose, invocation, settings, self, ask: outputOf })
      : reason;
  if (typeof call === 'string') return pass(call);
  if (reason === LINKED)
    return compiled(beginLinked(call, identityBase(call), { reason, print }), call, progress);
  const base = timed(call.phases, 'key', () => baseOf(call, true));
  if (base !== undefined && 'why' in base) {
    const unsupported = { reason: `unsupported|${base.why}`, print } as const;
    return compiled(beginLinked(call, identityBase(call), unsupported), call, progress);
  }
  if (base !== undefined) return cached(call, base, { progress, input });
  // An extern or a file that a flag names is not there: the compiler will say so.
  return pass('unsupported|input-missing');
}

/** Runs the compiler of a compile that has begun, and finishes it. */
async function compiled(begun: Begun, call: Call, progress: Progress): Promise<ExitStatus> {
  using compile = begun;
  const ended = compile.run.end(await runHere(compile.run, call.invocation));
  progress.ended = ended.status;
  compile.finish(ended);
  return ended.status;
}

const print = (fd: 1 | 2, bytes: Uint8Array): void => writeAll(fd, bytes);

interface CachedOptions {
  readonly progress: Progress;
  readonly input: WrapperInput;
}

/** Look up; on a hit restore; on a miss wait for whoever compiles this already, else compile and store. */
async function cached(call: Call, base: KeyBase, options: CachedOptions): Promise<ExitStatus> {
  const first = await lookUpEverywhere(call, base);
  if (first.kind === 'found' && isDueForVerification(call.settings))
    return compiled(
      beginMiss(call, base, { print, expected: first, predicted: first.key }),
      call,
      options.progress,
    );
  const hit = tryRestore(call, base, first);
  if (hit.kind === 'restored') return finishHit(call, base, { ...options, found: first, restored: hit });
  const predicted = first.kind === 'absent' ? first.predicted : first.key;
  using _lock = timed(call.phases, 'lock', () => reserve(call, base, predicted?.key));
  base.sources.lookAgain();
  const second = timed(call.phases, 'lookup', () => lookUp(call, base));
  const late = tryRestore(call, base, second);
  if (late.kind === 'restored') return finishHit(call, base, { ...options, found: second, restored: late });
  const reason = hit.kind === 'absent' ? late.reason : hit.reason;
  const begun = beginMiss(call, base, {
    print,
    reason,
    predicted: second.kind === 'absent' ? second.predicted : second.key,
  });
  // Awaited here: the lock is held to the end of this scope.
  return await compiled(begun, call, options.progress);
}

/** The local store, then the remote where one is configured. */
async function lookUpEverywhere(call: Call, base: KeyBase): Promise<LookUp> {
  const first = timed(call.phases, 'lookup', () => lookUp(call, base));
  const remote = remoteOf(call.settings);
  if (first.kind === 'found' || remote === undefined) return first;
  return lookUpRemotely(call, base, { first, remote, look: () => lookUp(call, base) });
}

function tryRestore(
  call: Call,
  base: KeyBase,
  found: LookUp,
): Restored | Extract<LookUp, { kind: 'absent' }> {
  if (found.kind === 'absent') return found;
  if (lacksStandIn(call)) makeStandIn(call);
  return timed(call.phases, 'restore', () => restore(call, base, found));
}

interface FinishedHit extends CachedOptions {
  readonly found: LookUp;
  readonly restored: Extract<Restored, { kind: 'restored' }>;
}

function finishHit(call: Call, base: KeyBase, hit: FinishedHit): ExitStatus {
  const { found, restored, progress } = hit;
  // From here on nothing is a reason to start a compiler: the outputs are there, and announced.
  progress.ended = restored.lost === undefined ? { kind: 'exited', code: 0 } : cannotPrint(restored.lost);
  if (found.kind === 'found') noteHit(call, base, { entry: found.entry, bytes: restored.bytes });
  startAnswering(hit.input);
  return progress.ended;
}

/** Hands the process over, byte for byte. A fallback wrapper, when one is set, is put in front. */
function becomeCompiler({ argv, env, cwd }: WrapperInput, fallback: string | undefined): never {
  const own = fallback === undefined ? undefined : findProgram(fallback, env, cwd);
  if (own !== undefined) return execArguments(own, [own]);
  const program = argv[0] ?? '';
  return execArguments(findProgram(program, env, cwd) ?? program, []);
}
