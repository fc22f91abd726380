// The event log's vocabulary: one line of JSON per compiler call, whatever happened. Field names and values are read by
// reports and by users' scripts: never rename, never renumber, only add.
import { parseJson } from './json.ts';

/** How a call ended, in the words of the JSON report. */
export type EventResult =
  | 'local_hit'
  | 'prefetch_hit'
  | 'remote_hit'
  | 'dup'
  | 'miss'
  | 'error'
  | 'skipped'
  | 'passthrough';

/** Where the time of one call went, in milliseconds. Absent: the call did not get there. */
export interface Phases {
  key?: number;
  lookup?: number;
  /** Waiting for the remote. */
  remote?: number;
  lock?: number;
  /** From the start of the compiler until it announced the metadata: dependents may start then. Part of `compile`. */
  metadata?: number;
  restore?: number;
  compile?: number;
  store?: number;
}

/** How the bytes of a hit came into `target/`. */
export interface RestoredBytes {
  reflinked: number;
  hardlinked: number;
  copied: number;
}

export interface CompileEvent {
  /** End of the call, milliseconds since the epoch. */
  ts: number;
  result: EventResult;
  crate_name: string;
  crate_version?: string;
  crate_types?: string;
  /** `category|detail`, only with `passthrough`. */
  passthrough_reason?: string;
  /** Why a finished compile was not stored (`skipped`), or why a miss was one. */
  reason?: string;
  /** The whole call, start to exit. */
  elapsed_ms: number;
  /** What the compiler took, on a hit when the entry was made. */
  compile_ms?: number;
  /** How often the real compiler was started. */
  compiler_runs: number;
  size_bytes?: number;
  stored_bytes?: number;
  /** Why a compile that was stored may not leave this machine. */
  withheld?: string;
  /** The first digits of the hash of the toolchain's identity, with a remote. */
  toolchain?: string;
  cache_key?: string;
  unit_id?: string;
  phases?: Phases;
  restored?: RestoredBytes;
  /** Process id of the caller, Cargo as a rule: the calls of one build share it. */
  build_pid?: number;
  /** Process id of the call itself. */
  pid?: number;
  /** The folder that build works in: the workspace root, or the package of a registry crate. */
  root?: string;
  /** The folder the outputs go to. */
  out_dir?: string;
  /** Crates a linked output was given, by name; for others the store knows. */
  externs?: readonly string[];
  /** A hit that was put in place before Cargo asked (cache.cache_fingerprints). */
  foreseen?: boolean;
  /** Whether the call went to the fallback wrapper. */
  fallback?: boolean;
}

/** The `crate_types` of a run of a build script, which is no compile. Recorded: never rename. */
export const SCRIPT_RUN = 'build-script-run';

export const isScriptRun = ({ crate_types: types }: Pick<CompileEvent, 'crate_types'>): boolean =>
  types === SCRIPT_RUN;

/**
 * The other kind of line: the compiler is being started. It has neither `ts` nor `result`, so that whoever reads events
 * passes over it. The event of the same `pid` ends it; a call that was killed never gets one.
 */
export interface StartRecord {
  /** Milliseconds since the epoch. */
  started: number;
  pid: number;
  build_pid: number;
  crate_name: string;
  crate_version?: string;
  crate_types?: string;
  unit_id?: string;
  root?: string;
  out_dir?: string;
}

/** How each kind of line begins. Within a string the quotes would be escaped. */
const STARTS = ['{"ts":', '{"started":'];

/** The event of a line; undefined for a malformed line and for one of the other kind. */
export function parseEvent(line: string): CompileEvent | undefined {
  const parsed = parseLogLine(line);
  return parsed?.kind === 'event' ? parsed.event : undefined;
}

export type LogLine =
  | { readonly kind: 'event'; readonly event: CompileEvent }
  | { readonly kind: 'start'; readonly start: StartRecord };

/**
 * Either kind of line; undefined for what is neither. A line torn by a full disk or a power cut has no end, so the next one
 * stands behind it: that one is read.
 */
export function parseLogLine(line: string): LogLine | undefined {
  if (line === '') return undefined;
  const value = parseJson(line);
  if (value === undefined) {
    const last = Math.max(...STARTS.map((start) => line.lastIndexOf(start)));
    return last > 0 ? parseLogLine(line.slice(last)) : undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const start = value as Partial<StartRecord>;
  if (typeof start.started === 'number') {
    const named = typeof start.pid === 'number' && typeof start.crate_name === 'string';
    return named ? { kind: 'start', start: start as StartRecord } : undefined;
  }
  const event = value as Partial<CompileEvent>;
  const whole =
    typeof event.ts === 'number' && typeof event.result === 'string' && typeof event.crate_name === 'string';
  return whole ? { kind: 'event', event: event as CompileEvent } : undefined;
}
