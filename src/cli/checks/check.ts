// What a check of `doctor` is, and what it may look at.
import type { Environment } from '../../core/config.ts';
import { KacheError } from '../../core/errors.ts';
import type { CompileEvent } from '../../core/events.ts';
import { readEvents } from '../../store/event-log.ts';
import { openStore, type Store, type StoreProblem } from '../../store/store.ts';
import { isOsError } from '../../sys/files.ts';
import type { LoadedSettings } from '../../sys/settings.ts';
import {
  buildDirNamed,
  type CargoConfig,
  configsFor,
  type NamedFolder,
  targetDirNamed,
} from '../cargo-config.ts';
import { settingsHere } from '../open.ts';

/** `look`: works, but somebody should look at it. `fail`: does not work, or is wrong. */
export type State = 'ok' | 'look' | 'fail';

export interface Finding {
  readonly state: State;
  /** What was seen; may be empty. */
  readonly detail: string;
  /** What to do about it; undefined exactly when the state is ok. */
  readonly remedy?: string;
}

export interface Check {
  /** Stable, for scripts. */
  readonly id: string;
  /** A sentence that is true when the state is ok. */
  readonly title: string;
  /** Looks; nothing when the question does not arise here. */
  readonly run: (context: Context) => readonly Finding[] | Promise<readonly Finding[]>;
  /** Mends what `run` complained about, where that is safe; says what was done, or undefined when nothing was. */
  readonly fix?: (context: Context) => string | undefined | Promise<string | undefined>;
}

export const ok = (detail = ''): Finding => ({ state: 'ok', detail });
export const look = (detail: string, remedy: string): Finding => ({ state: 'look', detail, remedy });
export const fail = (detail: string, remedy: string): Finding => ({ state: 'fail', detail, remedy });

export interface Project {
  readonly root: string;
  /** Where Cargo puts what it builds; it need not exist yet. */
  readonly targetDir: string;
  /** What names the target directory; undefined for Cargo's own place. */
  readonly targetDirFrom: string | undefined;
  /** Where it builds, when that is named apart. */
  readonly buildDir: NamedFolder | undefined;
}

/** Everything checks look at, read once. */
export interface Context {
  readonly cwd: string;
  readonly env: Environment;
  readonly loaded: LoadedSettings;
  readonly store: Store | StoreProblem;
  /** Nearest first; an error when one of them cannot be read. */
  readonly configs: readonly CargoConfig[] | KacheError;
  /** The Cargo workspace one stands in. */
  readonly project: Project | undefined;
  /** Of the last day, oldest first. */
  readonly events: readonly CompileEvent[];
}

const DAY_MS = 24 * 3600 * 1000;

export function contextHere(): Context {
  const cwd = process.cwd();
  const loaded = settingsHere();
  const store = openStore(loaded.settings.cacheDir);
  const configs = readConfigs(cwd);
  return {
    cwd,
    env: process.env,
    loaded,
    store,
    configs,
    project: projectHere(cwd, configs instanceof KacheError ? [] : configs),
    events: store.kind === 'store' ? eventsOf(store) : [],
  };
}

/** A log that cannot be read is as one that is empty: compiles do not depend on it. */
function eventsOf(store: Store): readonly CompileEvent[] {
  try {
    return readEvents(store, Date.now() - DAY_MS);
  } catch (error) {
    if (isOsError(error)) return [];
    throw error;
  }
}

function readConfigs(cwd: string): readonly CargoConfig[] | KacheError {
  try {
    return configsFor(cwd);
  } catch (error) {
    if (error instanceof KacheError) return error;
    throw error;
  }
}

function projectHere(cwd: string, configs: readonly CargoConfig[]): Project | undefined {
  const manifest = capture(['cargo', 'locate-project', '--workspace', '--message-format', 'plain'])?.trim();
  if (manifest === undefined || !manifest.endsWith('/Cargo.toml')) return undefined;
  const root = manifest.slice(0, -'/Cargo.toml'.length);
  const place = { configs, env: process.env, cwd };
  const named = targetDirNamed(place);
  return {
    root,
    targetDir: named?.path ?? `${root}/target`,
    targetDirFrom: named?.from,
    buildDir: buildDirNamed(place, root),
  };
}

/** stdout of a program that ends well; undefined otherwise. No toolchain is installed on the way. */
export function capture(argv: readonly string[]): string | undefined {
  try {
    const env = { ...process.env, RUSTUP_AUTO_INSTALL: '0' };
    const done = Bun.spawnSync([...argv], { env, stdin: 'ignore', stdout: 'pipe', stderr: 'ignore' });
    return done.exitCode === 0 ? done.stdout.toString() : undefined;
  } catch (error) {
    // No such program.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}
