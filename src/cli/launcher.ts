// The launcher of this user: compiled once, by their own rustc, for this binary and its store. Its source is in
// src/launcher; it is put in front of rustc in the place of this binary, and everything works without it, slower.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Environment } from '../core/config.ts';
import { hitSocketPath } from '../daemon/protocol.ts';
import { learnAhead } from '../fingerprints/learn.ts';
import calls from '../launcher/calls.rs' with { type: 'text' };
import compile from '../launcher/compile.rs' with { type: 'text' };
import escapes from '../launcher/escapes.rs' with { type: 'text' };
import fill from '../launcher/fill.rs' with { type: 'text' };
import launcher from '../launcher/launcher.rs' with { type: 'text' };
import observer from '../launcher/observer.rs' with { type: 'text' };
import paths from '../launcher/paths.rs' with { type: 'text' };
import { StoreLayout } from '../store/layout.ts';
import { bestEffort, realPath } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { isLinux } from '../sys/libc.ts';
import { outputOf } from '../sys/process.ts';
import { loadSettings } from '../sys/settings.ts';
import { LAUNCHER_NAME, nativePath } from './binary.ts';
import { cargoHome } from './cargo-config.ts';
import { print } from './terminal.ts';

/** Its modules by their names. */
const SOURCES = { launcher, compile, fill, observer, calls, escapes, paths };

/** What a launcher is made of. */
export interface Launcher {
  readonly path: string;
  /** The binary it becomes where nobody answers. */
  readonly kache: string;
  /** Where it asks. */
  readonly socket: string;
  /** Where the store keeps plans of builds. */
  readonly plans: string;
  /** Tells one source, one binary and one socket from another. */
  readonly build: string;
}

/**
 * The launcher as it should be for the binary `kache`; undefined where there is none for the platform. It asks the
 * daemon of the user's own store: which one a project names does not matter, any daemon answers for any store.
 */
export function launcherFor(
  kache: string,
  env: Environment = process.env,
  folder = join(cargoHome(env), 'bin'),
): Launcher | undefined {
  const { settings } = loadSettings(env, '/');
  if (!isLinux || settings.cacheDir === undefined) return undefined;
  const layout = new StoreLayout(settings.cacheDir);
  const [socket, plans] = [hitSocketPath(layout.root, settings), dirname(layout.memo('fingerprints', ''))];
  const build = sha256(JSON.stringify([SOURCES, kache, socket, plans])).slice(0, 16);
  return { path: join(folder, LAUNCHER_NAME), kache, socket, plans, build };
}

/** What the launcher at `path` says of itself; undefined when there is none that answers. */
export function launcherAt(path: string): Omit<Launcher, 'plans'> | undefined {
  const said = existsSync(path) ? outputOf([path]) : undefined;
  const value = (name: string): string | undefined => new RegExp(`^${name} (.+)$`, 'm').exec(said ?? '')?.[1];
  const [build, kache, socket] = [value(LAUNCHER_NAME), value('kache'), value('socket')];
  if (build === undefined || kache === undefined || socket === undefined) return undefined;
  return { path, build, kache, socket };
}

export const isCurrentLauncher = (launcher: Launcher): boolean =>
  launcherAt(launcher.path)?.build === launcher.build;

export interface LauncherOptions {
  /** Compiled in a third of the time, for one job: a call takes 0.1 ms more then. */
  readonly isForOneJob?: boolean;
}

/** Compiles a launcher and puts it in its place, whole or not at all; says why that could not be done. */
export function buildLauncher(
  launcher: Launcher,
  { isForOneJob = false }: LauncherOptions = {},
): string | undefined {
  const rustc = Bun.which(process.env['RUSTC'] ?? 'rustc');
  if (rustc === null) return 'there is no rustc on PATH';
  const folder = dirname(launcher.path);
  mkdirSync(folder, { recursive: true });
  // Where it will be: a temporary folder may be one that nothing can be run from.
  const dir = mkdtempSync(join(folder, `.${LAUNCHER_NAME}-`));
  try {
    const made = join(dir, LAUNCHER_NAME);
    for (const [name, text] of Object.entries(SOURCES)) writeFileSync(join(dir, `${name}.rs`), text);
    // Without shared libraries it starts a quarter of a millisecond sooner; not everybody has libc to link that way.
    const level = `-Copt-level=${isForOneJob ? '0' : 's'}`;
    const why = runRustc(rustc, made, launcher, [level, '-Ctarget-feature=+crt-static']);
    const whyShared = why === undefined ? undefined : runRustc(rustc, made, launcher, [level]);
    if (whyShared !== undefined) return `rustc cannot compile it: ${whyShared}`;
    if (launcherAt(made)?.build !== launcher.build) return 'what rustc made of it does not run here';
    renameSync(made, launcher.path);
    return undefined;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Runs rustc; returns the first line of what it says when it fails. */
function runRustc(
  rustc: string,
  made: string,
  { kache, socket, plans, build }: Launcher,
  more: readonly string[],
): string | undefined {
  const flags = ['--edition=2021', '-Cpanic=abort', '-Cstrip=symbols', ...more];
  const done = Bun.spawnSync([rustc, ...flags, '--crate-name=kache_launcher', '-o', made, 'launcher.rs'], {
    cwd: dirname(made),
    env: {
      ...process.env,
      KACHE_LAUNCHER_KACHE: kache,
      KACHE_LAUNCHER_SOCKET: socket,
      KACHE_LAUNCHER_PLANS: plans,
      KACHE_LAUNCHER_BUILD: build,
    },
  });
  return done.exitCode === 0 ? undefined : (done.stderr.toString().trim().split('\n')[0] ?? '');
}

/**
 * What to put in front of rustc here, compiling the launcher when there is none for this binary yet; and why it is the
 * binary itself, where it is.
 */
export function launcherOrBinary(
  folder: string | undefined,
  options: LauncherOptions = {},
): { path: string; why?: string } {
  const kache = nativePath();
  const launcher = launcherFor(kache, process.env, folder);
  if (launcher === undefined) return { path: kache, why: 'there is none for this system' };
  const why = isCurrentLauncher(launcher) ? undefined : buildLauncher(launcher, options);
  return why === undefined ? { path: launcher.path } : { path: kache, why };
}

/** `kache launcher`: prints the path to put in front of rustc. */
export function launcherCommand(options: { dir?: string }): void {
  // Where it is put elsewhere than for the user it is for one job.
  const isForOneJob = options.dir !== undefined;
  const { path, why } = launcherOrBinary(isForOneJob ? resolve(options.dir ?? '') : undefined, {
    isForOneJob,
  });
  if (why !== undefined)
    console.error(`kache: No launcher: ${why}. Put the binary itself in front of rustc.`);
  // The build asks itself what could not be asked here.
  else if (isForOneJob) bestEffort(() => learnAheadOf(path));
  print(path);
}

/** A job is a new machine as a rule: what its build would ask first is asked now, while its cache comes. */
function learnAheadOf(launcher: string): void {
  const sysroot = outputOf([process.env['RUSTC'] ?? 'rustc', '--print', 'sysroot'])?.trim();
  const [rustc, made] = [realPath(`${sysroot}/bin/rustc`), launcherAt(launcher)];
  if (rustc === undefined || made === undefined) return;
  learnAhead({ env: process.env, cwd: process.cwd(), self: made.kache, askedAt: made.socket }, rustc);
}
