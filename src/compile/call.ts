// One compiler call on its way through the stages: what every stage may ask.
import type { Settings } from '../core/config.ts';
import type { CompileEvent, Phases } from '../core/events.ts';
import type { Invocation } from '../rustc/invocation.ts';
import type { PathMap } from '../rustc/path-map.ts';
import type { PackageOrigin } from '../rustc/roots.ts';
import type { Toolchain } from '../rustc/toolchain.ts';
import type { Store } from '../store/store.ts';

/** The process whose call this is, and the one that started it (Cargo). */
export interface Caller {
  readonly pid: number;
  readonly parentPid: number;
  /** Set where it is not called yet, but will be: see src/fingerprints. */
  readonly foreseen?: true;
}

export interface Call {
  readonly invocation: Invocation;
  readonly settings: Settings;
  readonly store: Store;
  readonly toolchain: Toolchain;
  readonly origin: PackageOrigin;
  readonly map: PathMap;
  readonly startedMs: number;
  readonly caller: Caller;
  /** This program, for what it starts beside the call. */
  readonly self: string;
  /** Runs a short program and returns what it printed; undefined when it fails, or when none may be run here. */
  readonly ask: (argv: readonly string[]) => string | undefined;
  readonly phases: Phases;
}

/** Registry, git and vendored packages do not change by Cargo's own contract. */
export const isMutable = (call: { readonly origin: PackageOrigin }): boolean =>
  call.origin === 'workspace' || call.origin === 'path';

/** Milliseconds with three digits, as events hold them. */
export const toMicroseconds = (durationMs: number): number => Math.round(durationMs * 1000) / 1000;

/** Runs one phase and notes how long it took, in milliseconds. */
export function timed<T>(phases: Phases, phase: keyof Phases, run: () => T): T {
  const from = performance.now();
  try {
    return run();
  } finally {
    phases[phase] = toMicroseconds((phases[phase] ?? 0) + performance.now() - from);
  }
}

/** The part of an event that is the same however the call ends. */
export function describe(
  call: Pick<Call, 'invocation' | 'startedMs'>,
): Omit<CompileEvent, 'result' | 'ts' | 'elapsed_ms' | 'compiler_runs'> {
  const { invocation } = call;
  const version = invocation.env['CARGO_PKG_VERSION'];
  return {
    crate_name: invocation.crateName,
    ...(version === undefined ? {} : { crate_version: version }),
    crate_types: invocation.isTest ? 'test' : invocation.crateTypes.join(','),
    root: invocation.cwd,
    out_dir: invocation.outDir,
  };
}
