// One run of a build script from top to bottom: called by the stand-in that is in its place (compile/stand-in.ts). A run
// that was seen before is put back; else the script runs, watched, and what it made is kept for the next target folder.
// Whatever cannot be told for certain, the script just runs.
import { noteNotWorth } from '../compile/stand-in.ts';
import { type EventBody, writeEvent } from '../compile/write-event.ts';
import type { BlobId, CacheKey } from '../core/ids.ts';
import { type Closure, readUnit, recordClosure, touchUnit } from '../store/closures.ts';
import { type Entry, readEntry, removeEntry, touchEntry, writeEntry } from '../store/entries.ts';
import { isEvictionBehind, startEviction } from '../store/eviction-trigger.ts';
import { lockStore } from '../store/store.ts';
import { type FileTime, fileTimeNow, touchedSince, waitPastWritten, wasPutBack } from '../sys/clock.ts';
import { bestEffort, isOsError, lstat, readFile, removeFile, stat, utf8, writeAll } from '../sys/files.ts';
import { dirname } from '../sys/paths.ts';
import {
  type ExitStatus,
  endLike,
  environmentOfParent,
  exec,
  jobserverDescriptors,
  runChild,
} from '../sys/process.ts';
import { keyOf, stateOf } from './key.ts';
import { FOUND, type Inputs, inputsOf } from './observation.ts';
import { emptyTree, holdsPlace, readTree, restoreTree, storeTree } from './outputs.ts';
import { changesBack } from './past-shell.ts';
import { prepare, type Run, type ScriptInput } from './prepare.ts';

/** A run that takes less than this is not kept: to look it up takes half as long. */
const WORTH_MS = 30;

/** Runs the script or puts a run of it back, and ends the process as the script would have ended it. */
export async function runBuildScript(started: ScriptInput): Promise<never> {
  const back = changesBack(started.env, environmentOfParent());
  const input: ScriptInput = { ...started, env: { ...started.env, ...back } };
  let run: Run | undefined;
  let ended: ExitStatus | undefined;
  try {
    run = prepare(input);
    if (run !== undefined) ended = await cached(run);
  } catch (error) {
    // Whatever went wrong in here is no reason for a build to fail.
    const why = isOsError(error) ? `${error.code} ${error.operation}` : `${error}`;
    if (run !== undefined) note(run, { result: 'skipped', reason: `cache-failed|${why}` });
  }
  if (ended !== undefined) return endLike(ended);
  // Something may have been put there before it failed: the script begins with nothing.
  if (run !== undefined) {
    const { outDir } = run.places;
    bestEffort(() => emptyTree(outDir));
  }
  return exec(input.script, [input.standIn, ...input.args], back);
}

/** How the script ended, or would have; undefined where it has to be run as it is. */
async function cached(run: Run): Promise<ExitStatus | undefined> {
  const first = lookUp(run);
  if (first.kind === 'found' && restored(run, first.entry)) return SUCCESS;
  using _lock = lockStore(run.store, run.unit);
  run.hashes.lookAgain();
  const second = lookUp(run);
  if (second.kind === 'found' && restored(run, second.entry)) return SUCCESS;
  return await observed(run, second.kind === 'found' ? 'blob-missing' : second.reason);
}

const SUCCESS: ExitStatus = { kind: 'exited', code: 0 };

type LookUp =
  | { readonly kind: 'found'; readonly entry: Entry }
  | { readonly kind: 'absent'; readonly reason: string };

function lookUp(run: Run): LookUp {
  const { closures } = readUnit(run.store, run.unit);
  let reason = closures.length === 0 ? 'never-compiled' : 'inputs-changed';
  for (const closure of closures) {
    const key = keyOf(run, closure);
    if (typeof key !== 'string') {
      reason = `inputs-changed|${key.why}`;
      continue;
    }
    const entry = readEntry(run.store, key);
    if (entry !== undefined) return { kind: 'found', entry };
  }
  return { kind: 'absent', reason };
}

/** Puts a run back; false when that cannot be done, and the OUT_DIR is empty again. */
function restored(run: Run, entry: Entry): boolean {
  if (!restoreTree(run, entry.outputs)) {
    removeEntry(run.store, entry.key);
    return false;
  }
  const text = (lines: readonly string[]): Uint8Array =>
    utf8(lines.map((line) => run.map.detokenize(line)).join('\n'));
  writeAll(1, text(entry.stdout));
  writeAll(2, text(entry.stderr));
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
  return true;
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
  // Whoever ends a build ends its scripts.
  if (status.kind === 'signalled' && FROM_OUTSIDE.includes(status.signal)) {
    writeAll(1, Buffer.concat(stdout));
    writeAll(2, Buffer.concat(stderr));
    return status;
  }
  // Perhaps only because it was watched: the script has another go.
  if (status.kind !== 'exited' || status.code !== 0 || written === undefined) {
    note(run, { result: 'error', reason, compile_ms: tookMs });
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
  writeAll(1, watched.stdout);
  writeAll(2, watched.stderr);
  settle(run, watched, reason);
  return status;
}

/** Signals by which a user, or what runs the build, ends it. */
const FROM_OUTSIDE: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGKILL'];

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

/** Reasons that may be gone next time. */
const PASSING = /^(input-changed|clock-put-back|store-failed|larger|entry-of|evicted)/;

type Kept = { readonly cache_key: CacheKey; readonly size_bytes: number; readonly stored_bytes: number };

function keep(run: Run, watched: Watched): Kept | { readonly why: string } {
  const { store, map, places, settings, unit } = run;
  if (watched.tookMs < WORTH_MS) return { why: 'quick' };
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
    bound: [],
    absent: [],
    observed: [],
    natives: false,
  };
  const key = keyOf(run, closure);
  if (typeof key !== 'string') return { why: `input-changed-during-run|${key.why}` };
  const { outputs, newBytes } = storeTree(run, tree);
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
  const described = { identity: '', unit: [], flags: [], files: [], env: [], externs: [], other: [] };
  if (!writeEntry(store, entry, { ...described, closure, withheld: 'build-script' }))
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
    crateTypes: 'build-script-run',
  };
}

function note(run: Run, body: Pick<EventBody, 'result'> & Partial<EventBody>): void {
  const { crateName, crateVersion, crateTypes } = nameOf(run);
  writeEvent(run.store, run.startedMs, {
    crate_name: crateName,
    crate_version: crateVersion,
    crate_types: crateTypes,
    root: run.input.cwd,
    out_dir: dirname(run.input.standIn),
    compiler_runs: 0,
    unit_id: run.unit,
    ...body,
  });
}
