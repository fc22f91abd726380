// One compiler call from top to bottom. This is the only file that knows the order of the stages.
import { type BypassReason, bypassReason, LINKED } from './compile/bypass.ts';
import { type Call, type Caller, describe, timed, toMicroseconds } from './compile/call.ts';
import { linkClosure, resolveExterns } from './compile/externs.ts';
import { identify, identifyToolchain } from './compile/identify.ts';
import { type ComputedKey, type KeyBase, keyBase, unitInputs } from './compile/key.ts';
import { type CannotFollow, LinkReport, linkStep } from './compile/link.ts';
import { type LookUp, lookUp } from './compile/look-up.ts';
import { observe } from './compile/observe.ts';
import { lookUpRemotely } from './compile/remote-look-up.ts';
import { reserve } from './compile/reserve.ts';
import {
  bytesToProve,
  placedFile,
  planRestore,
  type Restored,
  restore,
  settleRestored,
  sizeOf,
} from './compile/restore.ts';
import { cannotPrint, compile, protectStore } from './compile/run.ts';
import { keyOf, type RecordedOutputs, rememberIdentities, rememberInputs, save } from './compile/save.ts';
import { queueUpload, rememberRead } from './compile/share.ts';
import { lacksStandIn, makeStandIn, putStandIn } from './compile/stand-in.ts';
import { isDueForVerification, rottenOutput, verdict } from './compile/verify.ts';
import { type EventBody, writeEvent, writeStart } from './compile/write-event.ts';
import { type Environment, remoteOf } from './core/config.ts';
import type { RestoredBytes } from './core/events.ts';
import { mapList } from './core/lists.ts';
import type { HitAnswer } from './daemon/protocol.ts';
import { startAnswering } from './daemon/start.ts';
import { parseInvocation } from './rustc/invocation.ts';
import { crateOfFile } from './rustc/outputs.ts';
import { packageOrigin, pathMapOf } from './rustc/roots.ts';
import { findProgram } from './rustc/toolchain.ts';
import { type Entry, settleEntry } from './store/entries.ts';
import { startEviction } from './store/eviction-trigger.ts';
import { openStore } from './store/store.ts';
import { writeAttempt, writeUnstoredInputs } from './store/unstored.ts';
import { isOsError } from './sys/files.ts';
import { sha256 } from './sys/hash.ts';
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
  const invocation = parseInvocation(input.argv, input.env, input.cwd);
  const isCompile = !('reason' in invocation);
  const { settings } = loadSettings(input.env, isCompile ? invocation.outDir : input.cwd);
  progress.fallback = settings.fallback;
  const passThrough: PassThrough = { kind: 'pass-through', fallback: settings.fallback };
  if (isCompile) progress.protect = () => protectStore(invocation);
  if (settings.disabled) return passThrough;
  const store = openStore(settings.cacheDir);
  if (store.kind === 'problem') return passThrough;
  const pass = (reason: string): PassThrough => {
    const body = isCompile ? describe({ invocation, startedMs }) : { crate_name: '' };
    const fallback = settings.fallback === undefined ? {} : { fallback: true };
    const how = { result: 'passthrough', passthrough_reason: reason, compiler_runs: 1 } as const;
    writeEvent(store, startedMs, { ...body, ...how, ...fallback });
    return passThrough;
  };
  progress.report = (error) => {
    const { ended } = progress;
    const reason = `cache-failed|${isOsError(error) ? `${error.code} ${error.operation}` : error}`;
    if (ended === undefined || !isCompile) pass(reason);
    else
      writeEvent(store, startedMs, {
        ...describe({ invocation, startedMs }),
        result: succeeded(ended) ? 'skipped' : 'error',
        reason,
        compiler_runs: 1,
      });
  };
  // The first call of a build in a folder is such a question: until the first unit somebody listens.
  if (!isCompile) startAnswering(input);
  if (!isCompile) return pass(invocation.reason);
  const reason = bypassReason(invocation, settings);
  const call =
    reason === undefined || reason === LINKED
      ? prepare(input, { invocation, settings, store, startedMs, ask: outputOf })
      : reason;
  if (typeof call === 'string') return pass(call);
  if (reason === LINKED) return compileLinked(call, progress, reason);
  const base = timed(call.phases, 'key', () => baseOf(call, true));
  if (base !== undefined && 'why' in base) return compileLinked(call, progress, `unsupported|${base.why}`);
  if (base !== undefined) return cached(call, base, { progress, input });
  // An extern or a file that a flag names is not there: the compiler will say so.
  return pass('unsupported|input-missing');
}

type Start = Pick<Call, 'invocation' | 'settings' | 'store' | 'startedMs' | 'ask'>;

function prepare({ caller }: WrapperInput, start: Start): Call | BypassReason {
  const { invocation, settings } = start;
  const toolchain = identifyToolchain(start);
  if (toolchain === undefined) return 'unsupported|toolchain';
  const origin = packageOrigin(invocation);
  const options = {
    normalizePaths: settings.normalizePaths,
    baseDirs: settings.baseDirs,
    sysroot: toolchain.sysroot,
  };
  const map = pathMapOf(invocation, origin, options);
  return { ...start, caller, toolchain, origin, map, phases: {} };
}

/**
 * What every key of this call is made of; undefined when something it names cannot be read. `toStore`: whether what a
 * linker makes is to be stored; then why it cannot be may come back.
 */
function baseOf(call: Call, toStore: boolean): KeyBase | CannotFollow | undefined {
  const identified = identify(call);
  const externs = resolveExterns(call);
  if (identified === undefined || externs === undefined) return undefined;
  if (call.invocation.outputs.unitKind !== 'linked')
    return keyBase(call, identified, { externs, linked: undefined, link: undefined });
  const linked = linkClosure(call.store, externs.paths);
  if (linked === undefined) return { why: 'library-of-unknown-origin' };
  const link = toStore ? linkStep(call) : undefined;
  if (link !== undefined && 'why' in link) return link;
  return keyBase(call, identified, { externs, linked, link });
}

interface CachedOptions {
  readonly progress: Progress;
  readonly input: WrapperInput;
}

/** Look up; on a hit restore; on a miss wait for whoever compiles this already, else compile and store. */
async function cached(call: Call, base: KeyBase, options: CachedOptions): Promise<ExitStatus> {
  const first = await lookUpEverywhere(call, base, options.input.self);
  if (first.kind === 'found' && isDueForVerification(call.settings))
    return compileAndSave(call, base, { ...options, expected: first.entry, predicted: first.key });
  const hit = tryRestore(call, base, first);
  if (hit.kind === 'restored') return finishHit(call, base, { ...options, found: first, restored: hit });
  const predicted = first.kind === 'absent' ? first.predicted : first.key;
  using _lock = timed(call.phases, 'lock', () => reserve(call, base, predicted?.key));
  base.sources.lookAgain();
  const second = timed(call.phases, 'lookup', () => lookUp(call, base));
  const late = tryRestore(call, base, second);
  if (late.kind === 'restored') return finishHit(call, base, { ...options, found: second, restored: late });
  const reason = hit.kind === 'absent' ? late.reason : hit.reason;
  // Awaited here: the lock is held to the end of this scope.
  return await compileAndSave(call, base, {
    ...options,
    reason,
    predicted: second.kind === 'absent' ? second.predicted : second.key,
  });
}

/** The local store, then the remote where one is configured. */
async function lookUpEverywhere(call: Call, base: KeyBase, self: string): Promise<LookUp> {
  const first = timed(call.phases, 'lookup', () => lookUp(call, base));
  const remote = remoteOf(call.settings);
  if (first.kind === 'found' || remote === undefined) return first;
  const from = performance.now();
  const found = await lookUpRemotely(call, base, { first, remote, self });
  call.phases.remote = toMicroseconds(performance.now() - from);
  return found;
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
  if (found.kind === 'found')
    noteHit(call, base, { entry: found.entry, bytes: restored.bytes, self: hit.input.self });
  startAnswering(hit.input);
  return progress.ended;
}

interface NotedHit {
  readonly entry: Entry;
  readonly bytes: RestoredBytes;
  readonly self: string;
}

/** What is left to do when the outputs of a hit are in place and announced. */
function noteHit(call: Call, base: KeyBase, { entry, bytes, self }: NotedHit): void {
  const { origin } = entry;
  if (origin !== undefined) settleEntry(call.store, entry);
  finish(call, {
    result: origin === undefined ? 'local_hit' : `${origin}_hit`,
    compiler_runs: 0,
    compile_ms: entry.compileMs,
    size_bytes: sizeOf(entry),
    restored: bytes,
    cache_key: entry.key,
    unit_id: base.unit,
  });
  rememberInputs(base);
  startEviction(call.store, self, call.settings.maxSizeBytes);
}

/** One process answers all calls in turn: what takes it longer to prove than some milliseconds is for one of many. */
const MAX_PROVEN_HERE_BYTES = 8 * 1024 * 1024;

/**
 * What {@link runWrapper} would restore for this call now, for a launcher to put in place. Everything that is no hit of
 * the local store is for the wrapper. Starts no program, writes to no output folder, takes no lock.
 */
export function answer(input: WrapperInput): HitAnswer | 'absent' | 'none' {
  const startedMs = Date.now();
  const invocation = parseInvocation(input.argv, input.env, input.cwd);
  if ('reason' in invocation) return 'none';
  const { settings } = loadSettings(input.env, invocation.outDir);
  // Whether a hit is due to be verified is for one process to decide, not for two.
  if (settings.disabled || settings.verifyRestores !== 'off') return 'none';
  const store = openStore(settings.cacheDir);
  if (store.kind === 'problem' || bypassReason(invocation, settings) !== undefined) return 'none';
  const ask = (): undefined => undefined;
  const call = prepare(input, { invocation, settings, store, startedMs, ask });
  if (typeof call === 'string') return 'none';
  const base = timed(call.phases, 'key', () => baseOf(call, true));
  if (base === undefined || 'why' in base) return 'none';
  const found = timed(call.phases, 'lookup', () => lookUp(call, base));
  if (found.kind === 'absent') return 'absent';
  if (lacksStandIn(call)) return 'none';
  if (sizeOf(found.entry) > MAX_PROVEN_HERE_BYTES && bytesToProve(call, found.entry) > MAX_PROVEN_HERE_BYTES)
    return 'none';
  const plan = timed(call.phases, 'restore', () => planRestore(call, found));
  if (plan.kind !== 'planned') return 'absent';
  const hit = { entry: found.entry, self: input.self, bytes: { reflinked: 0, hardlinked: 0, copied: 0 } };
  return {
    proof: store.temporaryPath(),
    files: mapList(plan.placements, (file) => placedFile(store, file)),
    stdout: plan.stdout,
    stderr: plan.stderr,
    settle: (ways, states) => {
      const carriedOut = { found, plan, ways, states };
      hit.bytes = timed(call.phases, 'restore', () => settleRestored(call, base, carriedOut));
    },
    note: () => noteHit(call, base, hit),
  };
}

type MissOptions = CachedOptions & { readonly predicted: ComputedKey | undefined } & (
    | { readonly reason: string; readonly expected?: undefined }
    /** The entry that a hit would have restored, to be compared. */
    | { readonly expected: Entry }
  );

async function compileAndSave(call: Call, base: KeyBase, options: MissOptions): Promise<ExitStatus> {
  const endWatch = observe(call, base.externs.macros);
  let hashed: RecordedOutputs | undefined;
  using linkReport = new LinkReport(base.link);
  writeStart(call, base.unit);
  const compiled = await compile(call, {
    more: linkReport.arguments,
    onArtifact: (emit, file) => {
      if (emit !== 'metadata') return;
      // The metadata is written behind the last macro: whatever is opened from here on is somebody else's.
      endWatch();
      hashed = rememberIdentities(call, base, [file]);
      rememberRead(call, base, identitiesOf(hashed));
    },
  });
  options.progress.ended = compiled.status;
  if (compiled.metadataMs !== undefined) call.phases.metadata = compiled.metadataMs;
  call.phases.compile = compiled.compileMs;
  const common = { compiler_runs: 1, compile_ms: compiled.compileMs, unit_id: base.unit };
  if (!succeeded(compiled.status)) {
    noteAttempt(call, base, options.predicted);
    finish(call, {
      ...common,
      result: 'error',
      reason: options.expected === undefined ? options.reason : 'verifying',
    });
    return compiled.status;
  }
  const rotten = options.expected === undefined ? undefined : rottenOutput(call, options.expected);
  const saved = timed(call.phases, 'store', () =>
    save(call, base, { compiled, observation: endWatch(), ...(hashed === undefined ? {} : { hashed }) }),
  );
  if (saved.kind === 'skipped') {
    const paths = call.invocation.outputs.files.map(({ name }) => `${call.invocation.outDir}/${name}`);
    rememberRead(call, base, identitiesOf(rememberIdentities(call, base, paths)));
    noteAttempt(call, base, options.predicted);
    finish(call, { ...common, result: 'skipped', reason: saved.reason });
    startEviction(call.store, options.input.self, call.settings.maxSizeBytes);
    return compiled.status;
  }
  const { withheld } = saved;
  putStandIn(call, saved.outputs);
  if (withheld === undefined) queueUpload(call, saved.key);
  finish(call, {
    ...common,
    result: saved.isDuplicate ? 'dup' : 'miss',
    reason:
      options.expected === undefined ? options.reason : verdict(call, options.expected, { saved, rotten }),
    cache_key: saved.key,
    size_bytes: saved.sizeBytes,
    stored_bytes: saved.newBytes,
    ...(withheld === undefined ? {} : { withheld }),
  });
  startEviction(call.store, options.input.self, call.settings.maxSizeBytes);
  return compiled.status;
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

const succeeded = (status: ExitStatus): boolean => status.kind === 'exited' && status.code === 0;

/**
 * Compiles a linked output in place. What others may use as an extern (a proc macro) gets the cache key it would have
 * as its identity: its bytes differ between checkouts, what it does does not, and everything above it still hits.
 */
async function compileLinked(call: Call, progress: Progress, reason: BypassReason): Promise<ExitStatus> {
  const { invocation } = call;
  const dependable = invocation.outputs.files.some(({ kind }) => kind === 'dylib');
  const found = dependable ? baseOf(call, false) : undefined;
  const base = found === undefined || 'why' in found ? undefined : found;
  const endWatch = observe(call, base?.externs.macros ?? []);
  writeStart(call, base?.unit);
  const compiled = await compile(call);
  progress.ended = compiled.status;
  call.phases.compile = compiled.compileMs;
  const keyed =
    base !== undefined && succeeded(compiled.status)
      ? keyOf(call, base, { compiled, observation: endWatch() })
      : undefined;
  const known = base !== undefined && keyed !== undefined && !('skip' in keyed);
  if (known) {
    const { identity, inputs } = keyed.key;
    rememberIdentities(
      call,
      base,
      keyed.outputs.map(({ path }) => path),
      `key:${identity}`,
    );
    rememberRead(call, base, [`key:${identity}`]);
    writeUnstoredInputs(call.store, identity, inputs());
  }
  finish(call, {
    result: succeeded(compiled.status) ? 'passthrough' : 'error',
    passthrough_reason: reason,
    compiler_runs: 1,
    compile_ms: compiled.compileMs,
    externs: invocation.externs.flatMap(({ path }) => (path === undefined ? [] : crateOfFile(path))),
    ...(known ? { cache_key: keyed.key.identity, unit_id: base.unit } : {}),
  });
  return compiled.status;
}

function finish(call: Call, body: Pick<EventBody, 'result' | 'compiler_runs'> & Partial<EventBody>): void {
  const toolchain =
    remoteOf(call.settings) === undefined ? {} : { toolchain: sha256(call.toolchain.identity).slice(0, 8) };
  const { pid, parentPid: build_pid } = call.caller;
  const processes = { build_pid, pid };
  writeEvent(call.store, call.startedMs, {
    ...describe(call),
    ...toolchain,
    ...body,
    ...processes,
    phases: call.phases,
  });
}

/** Hands the process over, byte for byte. A fallback wrapper, when one is set, is put in front. */
function becomeCompiler({ argv, env, cwd }: WrapperInput, fallback: string | undefined): never {
  const own = fallback === undefined ? undefined : findProgram(fallback, env, cwd);
  if (own !== undefined) return execArguments(own, [own]);
  const program = argv[0] ?? '';
  return execArguments(findProgram(program, env, cwd) ?? program, []);
}
