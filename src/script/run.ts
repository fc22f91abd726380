// One run of a build script from top to bottom: called by the stand-in that is in its place (compile/stand-in.ts). A run
// that was seen before is put back; else the script runs, watched, and what it made is kept for the next target folder.
// Whatever cannot be told for certain, the script just runs.
import { noteNotWorth, QUICK } from '../compile/stand-in.ts';
import { type EventBody, writeEvent } from '../compile/write-event.ts';
import { SCRIPT_RUN } from '../core/events.ts';
import type { BlobId, CacheKey } from '../core/ids.ts';
import { type Closure, readUnit, recordClosure, touchUnit } from '../store/closures.ts';
import {
  type Entry,
  type EntryInputs,
  readEntry,
  removeEntry,
  touchEntry,
  writeEntry,
} from '../store/entries.ts';
import { isEvictionBehind, startEviction } from '../store/eviction-trigger.ts';
import { lockStore } from '../store/store.ts';
import { type FileTime, fileTimeNow, touchedSince, waitPastWritten, wasPutBack } from '../sys/clock.ts';
import { bestEffort, isOsError, lstat, readFile, removeFile, stat, utf8, writeAll } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { dirname } from '../sys/paths.ts';
import { type ExitStatus, endLike, exec, jobserverDescriptors, outputOf, runChild } from '../sys/process.ts';
import { emptyFilled } from './filled.ts';
import { HOST_NAME, keyOf, type RunKey, stateOf } from './key.ts';
import { FOUND, type Inputs, inputsOf, wasHindered } from './observation.ts';
import {
  emptyTree,
  holdsPlace,
  isStillThere,
  type OutTree,
  readTree,
  restoreTree,
  storeTree,
} from './outputs.ts';
import { prepare, type Run, type ScriptInput } from './prepare.ts';
import { holds, whyWithheld } from './share.ts';

/** A run that takes less than this is not kept: to look it up takes half as long. */
const WORTH_MS = 15;

/** Runs the script or puts a run of it back, and ends the process as the script would have ended it. */
export async function runBuildScript(input: ScriptInput): Promise<never> {
  let run: Run | undefined;
  let ended: ExitStatus | undefined;
  try {
    emptyFilled(input.env['OUT_DIR'], input.caller.parentPid);
    run = prepare(input, outputOf);
    if (run !== undefined) ended = await cached(run);
  } catch (error) {
    // Whatever went wrong in here is no reason for a build to fail.
    const why = isOsError(error) ? `${error.code} ${error.operation}` : `${error}`;
    if (run !== undefined) note(run, { result: 'skipped', reason: `cache-failed|${why}` });
  }
  if (ended !== undefined) return endLike(ended);
  // Something may have been put there before it failed: the script begins with nothing.
  if (run !== undefined) emptyTree(run.places.outDir);
  return exec(input.script, [input.standIn, ...input.args]);
}

/** How the script ended, or would have; undefined where it has to be run as it is. */
async function cached(run: Run): Promise<ExitStatus | undefined> {
  const first = putBack(run);
  if (typeof first !== 'string') return first;
  using _lock = lockStore(run.store, run.unit);
  run.hashes.lookAgain();
  const second = putBack(run);
  if (typeof second !== 'string') return second;
  // An entry that was not whole is gone at the second look.
  return await observed(run, second === 'inputs-changed' ? first : second);
}

const SUCCESS: ExitStatus = { kind: 'exited', code: 0 };

/** Puts a run back that was seen before, or says why there is none. */
function putBack(run: Run): ExitStatus | string {
  const found = lookUp(run);
  return found.kind === 'found' ? restore(run, found.entry) : found.reason;
}

type LookUp =
  | { readonly kind: 'found'; readonly entry: Entry }
  | { readonly kind: 'absent'; readonly reason: string };

/** Has anyone seen a run that looked at exactly what is there now? */
export function lookUp(run: Run): LookUp {
  const { closures } = readUnit(run.store, run.unit);
  let reason = closures.length === 0 ? 'never-compiled' : 'inputs-changed';
  for (const closure of closures) {
    const key = keyOf(run, closure);
    if ('why' in key) {
      reason = `inputs-changed|${key.why}`;
      continue;
    }
    const entry = readEntry(run.store, key.key);
    if (entry !== undefined) return { kind: 'found', entry };
  }
  return { kind: 'absent', reason };
}

/** Puts a run back; drops an entry that is not whole, and says what it lacks. */
function restore(run: Run, entry: Entry): ExitStatus | string {
  const lacks = restoreTree(run, entry.outputs);
  if (lacks !== undefined) {
    removeEntry(run.store, entry.key);
    return lacks;
  }
  const { stdout, stderr } = printedHere(run, entry);
  const ended = print(utf8(stdout), utf8(stderr));
  noteHit(run, entry);
  return ended;
}

/** What the script printed, with the places of this target folder. */
export function printedHere(
  { map }: Run,
  entry: Entry,
): { readonly stdout: string; readonly stderr: string } {
  const text = (lines: readonly string[]): string => lines.map((line) => map.detokenize(line)).join('\n');
  return { stdout: text(entry.stdout), stderr: text(entry.stderr) };
}

/** What is left to do when a run is in its place. */
export function noteHit(run: Run, entry: Entry): void {
  run.hashes.remember();
  touchEntry(run.store, entry.key);
  touchUnit(run.store, run.unit);
  note(run, {
    result: 'local_hit',
    compile_ms: entry.compileMs,
    cache_key: entry.key,
    size_bytes: sizeOf(entry),
  });
  startEviction(run.store, run.input.self, run.settings.maxSizeBytes);
}

const sizeOf = ({ outputs }: Pick<Entry, 'outputs'>): number =>
  outputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** What a watched run printed and took. */
interface Watched {
  readonly log: Uint8Array;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly startedAt: FileTime;
  readonly tookMs: number;
}

/** Runs the script under the observer and stores what it made. Undefined where it could not be watched, or failed so. */
async function observed(run: Run, reason: string): Promise<ExitStatus | undefined> {
  const { observer } = run.places;
  if (observer === undefined) {
    note(run, { result: 'skipped', reason: 'no-observer' });
    return undefined;
  }
  const log = run.store.temporaryPath();
  const [stdout, stderr]: [Uint8Array[], Uint8Array[]] = [[], []];
  const { input } = run;
  waitPastWritten();
  const startedAt = fileTimeNow();
  const from = performance.now();
  const status = await runChild([observer, '--observe', log, input.standIn, input.script, ...input.args], {
    descriptors: jobserverDescriptors(input.env['CARGO_MAKEFLAGS']),
    env: watchedEnvironment(run, observer),
    onStdout: (chunk) => stdout.push(chunk.slice()),
    onStderr: (chunk) => stderr.push(chunk.slice()),
  });
  const tookMs = performance.now() - from;
  const written = readFile(log);
  bestEffort(() => removeFile(log));
  if (status.kind !== 'exited' || status.code !== 0 || written === undefined) {
    const how = status.kind === 'exited' ? `exited ${status.code}` : status.signal;
    const body = { reason: `failed-while-watched|${how}`, compile_ms: Math.round(tookMs) };
    note(run, { result: 'error', ...body });
    // Whoever ended it so did not mean the watching. Else it was perhaps only for that: the script has another go.
    return /^SIG(INT|TERM|HUP)$/.test(how) ? status : undefined;
  }
  if (wasHindered(written)) {
    const why = 'not-followed|a program with rights of its own';
    noteNotWorth(run.store, run.scriptHash as BlobId, why);
    note(run, { result: 'skipped', reason: why, compile_ms: Math.round(tookMs) });
    return undefined;
  }
  const watched = {
    log: written,
    stdout: Buffer.concat(stdout),
    stderr: Buffer.concat(stderr),
    startedAt,
    tookMs,
  };
  // Nothing is a reason to run it again from here on.
  const ended = print(watched.stdout, watched.stderr);
  settle(run, watched, reason);
  return ended;
}

/** Prints what a script printed, and ends as it: it fails where nobody takes it. */
function print(stdout: Uint8Array, stderr: Uint8Array): ExitStatus {
  try {
    writeAll(1, stdout);
    writeAll(2, stderr);
    return SUCCESS;
  } catch (error) {
    if (!isOsError(error)) throw error;
    return { kind: 'exited', code: PANICKED };
  }
}

/** The exit status of a program of Rust that cannot print. */
const PANICKED = 101;

function watchedEnvironment(run: Run, observer: string): Record<string, string> {
  const wrapper = run.env['RUSTC_WRAPPER'] === undefined ? {} : { RUSTC_WRAPPER: observer };
  return { ...run.env, ...wrapper, KACHE_OBSERVED: '1' };
}

/** Stores a run that has ended well, and says in the log what became of it. */
function settle(run: Run, watched: Watched, reason: string): void {
  const compile_ms = Math.round(watched.tookMs);
  try {
    const kept = keep(run, watched);
    if ('why' in kept) {
      // The next target folder need not watch it again to find the same.
      if (!PASSING.test(kept.why)) noteNotWorth(run.store, run.scriptHash as BlobId, kept.why);
      note(run, { result: 'skipped', reason: kept.why, compile_ms });
    } else note(run, { result: 'miss', reason, compile_ms, ...kept });
    startEviction(run.store, run.input.self, run.settings.maxSizeBytes);
  } catch (error) {
    const why = isOsError(error) ? `store-failed|${error.code} ${error.operation}` : `cache-failed|${error}`;
    note(run, { result: 'skipped', reason: why, compile_ms });
  }
}

/** Reasons that may be gone next time: they are of the moment or of the machine, not of the script. */
const PASSING =
  /^(no-end|not-followed\|it cannot be traced here|input-changed|clock-put-back|store-failed|larger|entry-of|evicted|output-changed)/;

type Kept = { readonly cache_key: CacheKey; readonly size_bytes: number; readonly stored_bytes: number };

function keep(run: Run, watched: Watched): Kept | { readonly why: string } {
  const { store, map, places, settings, unit } = run;
  // Cargo asks for whatever is built on a run that is not put back.
  if (watched.tookMs < WORTH_MS && !settings.cacheFingerprints) return { why: QUICK };
  const inputs = inputsOf(watched.log, places);
  if ('why' in inputs) return inputs;
  const moved = firstMoved(run, inputs, watched.startedAt);
  if (moved !== undefined) return { why: `input-changed-during-run|${moved}` };
  if (wasPutBack(watched.startedAt, watched.tookMs)) return { why: 'clock-put-back' };
  const printed = [linesOf(run, watched.stdout), linesOf(run, watched.stderr)] as const;
  const [stdout, stderr] = printed;
  if (stdout === undefined || stderr === undefined) return { why: 'output-not-repeatable' };
  const tree = readTree(run);
  if ('why' in tree) return tree;
  const sizeBytes = tree.files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (sizeBytes > (settings.maxSizeBytes ?? Number.POSITIVE_INFINITY) / 2)
    return { why: 'larger-than-half-the-cap' };
  if (isEvictionBehind(store, settings.maxSizeBytes)) return { why: 'store-failed|eviction-behind' };
  const closure: Closure = {
    files: inputs.looked.map(([path]) => map.toRooted(path)),
    listed: inputs.listed.map((path) => map.toRooted(path)),
    env: [],
    bound: boundTo(run, { tree, stdout, stderr }),
    absent: [],
    observed: [],
    natives: false,
  };
  const keyed = keyOf(run, closure);
  if ('why' in keyed) return { why: `input-changed-during-run|${keyed.why}` };
  const { key } = keyed;
  const { outputs, newBytes } = storeTree(run, tree);
  // Where Cargo has ended, its lock is free: another build may be at work there, or somebody cleans up.
  if (process.ppid !== run.input.caller.parentPid || !isStillThere(run, tree))
    return { why: 'output-changed' };
  const entry: Entry = {
    key,
    unit,
    ...nameOf(run),
    createdMs: Date.now(),
    compileMs: Math.round(watched.tookMs),
    outputs,
    stdout,
    stderr,
  };
  const withheld = whyWithheld(run, { entry, tree });
  if (!writeEntry(store, entry, { ...describe(run, keyed), closure, withheld }))
    return { why: 'entry-of-another-version' };
  // An eviction may have taken a blob that was there before the entry named it.
  if (outputs.some(({ blob }) => stat(store.layout.blob(blob)) === undefined)) {
    removeEntry(store, key);
    return { why: 'evicted-meanwhile' };
  }
  recordClosure(store, unit, { closure, key });
  run.hashes.remember();
  bestEffort(() => store.noteWritten(newBytes));
  return { cache_key: key, size_bytes: sizeBytes, stored_bytes: newBytes };
}

/** What of this machine a run depends on besides its inputs: its places always, its name where that stands in what it made. */
function boundTo(
  { hostName }: Run,
  { tree, stdout, stderr }: { tree: OutTree; stdout: readonly string[]; stderr: readonly string[] },
): string[] {
  const printed = [...stdout, ...stderr];
  const isNamed = printed.some((line) => line.includes(hostName)) || holds(tree, hostName);
  return isNamed ? ['machine', HOST_NAME] : ['machine'];
}

/** What a later run is compared with, to say in what it differs. */
const describe = (run: Run, { states, names }: RunKey): EntryInputs => ({
  identity: '',
  unit: run.unitParts,
  flags: [],
  files: states,
  env: [],
  externs: [],
  other: names.map(([folder, listed]) => [`names in ${folder}`, sha256(JSON.stringify(listed))]),
});

/** The first input that is not what the run found there, or may have become it since it began. */
function firstMoved(run: Run, { looked, listed }: Inputs, startedAt: FileTime): string | undefined {
  run.hashes.lookAgain();
  const names = new Set(listed);
  for (const [path, found] of looked) {
    const state = stateOf(run, path);
    const now = state === undefined ? FOUND.other : foundIn(state);
    if (now !== found || now === FOUND.other) return path;
    const infos = [
      now === FOUND.file || names.has(path) ? stat(path) : undefined,
      state?.startsWith('-> ') === true ? lstat(path) : undefined,
    ];
    if (infos.some((info) => info !== undefined && touchedSince(info, startedAt))) return path;
  }
  return undefined;
}

function foundIn(state: string): string {
  const last = state.slice(state.lastIndexOf(' ') + 1);
  if (state.startsWith('absent')) return FOUND.nothing;
  if (last === 'absent') return FOUND.other;
  return last === 'folder' ? FOUND.folder : FOUND.file;
}

/** Lines with the places of this target as tokens; undefined when that is not all of it. */
function linesOf({ map, unshared }: Run, printed: Uint8Array): string[] | undefined {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(printed);
  if (text.includes('\uFFFD') || text.includes('\0')) return undefined;
  const lines = text.split('\n').map((line) => map.tokenize(line));
  return lines.some((line) => holdsPlace(utf8(line), unshared)) ? undefined : lines;
}

/** How a run is called in reports: by its package. */
function nameOf({ input: { env } }: Run): Pick<Entry, 'crateName' | 'crateVersion' | 'crateTypes'> {
  return {
    crateName: (env['CARGO_PKG_NAME'] ?? '').replaceAll('-', '_'),
    crateVersion: env['CARGO_PKG_VERSION'] ?? '',
    crateTypes: SCRIPT_RUN,
  };
}

function note(run: Run, body: Pick<EventBody, 'result'> & Partial<EventBody>): void {
  const { crateName, crateVersion, crateTypes } = nameOf(run);
  const { store, startedMs, input } = run;
  writeEvent(
    { store, startedMs, caller: input.caller },
    {
      crate_name: crateName,
      crate_version: crateVersion,
      crate_types: crateTypes,
      root: input.cwd,
      out_dir: dirname(input.standIn),
      compiler_runs: 0,
      unit_id: run.unit,
      ...body,
    },
  );
}
