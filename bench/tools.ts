// The tools that are compared, and the environment each builds in.
import { existsSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { buildLauncher, isCurrentLauncher, launcherFor } from '../src/cli/launcher.ts';

export interface Tool {
  readonly name: string;
  readonly version: string;
  /** The environment of a build; `from` and `to` are the checkouts of the first and of the present build. */
  readonly env: (state: string, places: { from: string; to: string }) => Record<string, string>;
  readonly stop?: (state: string) => void;
}

const firstLine = (argv: readonly string[]): string =>
  Bun.spawnSync([...argv], { stderr: 'ignore' })
    .stdout.toString()
    .split('\n')[0] ?? '';

export const kacheBinary = process.env['KACHE_BINARY'] ?? join(import.meta.dir, '..', 'dist', 'kache');

const SCCACHE_PORT = '44226';

function sccache(path: string): Tool {
  const env = (state: string): Record<string, string> => ({
    RUSTC_WRAPPER: path,
    SCCACHE_DIR: join(state, 'sccache'),
    SCCACHE_SERVER_PORT: SCCACHE_PORT,
    SCCACHE_IDLE_TIMEOUT: '0',
    CARGO_INCREMENTAL: '0',
  });
  const stop = (state: string): void => {
    Bun.spawnSync([path, '--stop-server'], {
      env: { ...process.env, ...env(state) },
      stdout: 'ignore',
      stderr: 'ignore',
    });
  };
  return { name: 'sccache', version: firstLine([path, '--version']), env, stop };
}

/** The public tool of the same name, written in Rust; executables and build scripts cached as it does by default. */
function rustKache(path: string): Tool {
  const env = (state: string): Record<string, string> => ({
    RUSTC_WRAPPER: path,
    KACHE_CACHE_DIR: join(state, 'rust-kache'),
  });
  const stop = (state: string): void => {
    Bun.spawnSync([path, 'daemon', 'stop'], {
      env: { ...process.env, ...env(state) },
      stdout: 'ignore',
      stderr: 'ignore',
    });
  };
  return { name: 'rust-kache', version: firstLine([path, '--version']), env, stop };
}

/** Compiles the replay floor, a wrapper that checks nothing: for libraries, and for everything that is compiled. */
function floors(workDir: string): Tool[] {
  const path = join(workDir, 'replay-floor');
  const built = Bun.spawnSync(['rustc', '-O', '-o', path, join(import.meta.dir, 'replay-floor.rs')]);
  if (built.exitCode !== 0) throw new Error(`Cannot compile the replay floor: ${built.stderr.toString()}`);
  const env =
    (more: Record<string, string>): Tool['env'] =>
    (state, { from, to }) => {
      const dir = join(state, 'floor');
      mkdirSync(dir, { recursive: true });
      return {
        RUSTC_WRAPPER: path,
        FLOOR_DIR: dir,
        FLOOR_FROM: from,
        FLOOR_TO: to,
        CARGO_INCREMENTAL: '0',
        ...more,
      };
    };
  return [
    { name: 'floor', version: 'libraries', env: env({}) },
    { name: 'floor+exe', version: 'linked outputs too', env: env({ FLOOR_LINKED: '1' }) },
  ];
}

/** Compiles the launcher that `kache init` would, for the store in `cacheDir`, into a folder of its own. */
export function launcherIn(dir: string, cacheDir: string): string {
  const launcher = launcherFor(kacheBinary, { CARGO_HOME: dir, KACHE_CACHE_DIR: cacheDir });
  if (launcher === undefined) return kacheBinary;
  const problem = isCurrentLauncher(launcher) ? undefined : buildLauncher(launcher);
  if (problem !== undefined) throw new Error(`Cannot compile the launcher: ${problem}`);
  return launcher.path;
}

export const stopDaemon = (cacheDir: string): void => {
  Bun.spawnSync([kacheBinary, 'daemon', 'stop'], { env: { ...process.env, KACHE_CACHE_DIR: cacheDir } });
};

const ownTool = (name: string, version: string, more: Record<string, string>): Tool => ({
  name,
  version,
  env: (state) => ({
    RUSTC_WRAPPER: launcherIn(join(state, 'cargo'), join(state, 'kache')),
    KACHE_CACHE_DIR: join(state, 'kache'),
    ...more,
  }),
  stop: (state) => stopDaemon(join(state, 'kache')),
});

/** Every tool there is on this machine, plain cargo first; and the names of those that are missing. */
export function findTools(workDir: string, peersDir: string): { tools: Tool[]; missing: string[] } {
  const version = Bun.spawnSync([kacheBinary, '--version']).stdout.toString().trim();
  const tools: Tool[] = [
    { name: 'plain', version: firstLine(['cargo', '--version']), env: () => ({ CARGO_INCREMENTAL: '0' }) },
    ownTool('kache', version, {}),
    ownTool('kache+exe', 'KACHE_CACHE_EXECUTABLES=1', { KACHE_CACHE_EXECUTABLES: '1' }),
    ownTool('kache+runs', 'KACHE_CACHE_BUILD_SCRIPTS=dependencies too', {
      KACHE_CACHE_EXECUTABLES: '1',
      KACHE_CACHE_BUILD_SCRIPTS: 'dependencies',
    }),
    ownTool('kache+fresh', 'KACHE_CACHE_FINGERPRINTS=1 too', {
      KACHE_CACHE_EXECUTABLES: '1',
      KACHE_CACHE_BUILD_SCRIPTS: 'dependencies',
      KACHE_CACHE_FINGERPRINTS: '1',
    }),
    ...floors(workDir),
  ];
  const missing: string[] = [];
  const [sccachePath, rustKachePath] = [join(peersDir, 'bin', 'sccache'), join(peersDir, 'bin', 'kache')];
  if (existsSync(sccachePath)) tools.push(sccache(sccachePath));
  else missing.push('sccache');
  if (existsSync(rustKachePath)) tools.push(rustKache(rustKachePath));
  else missing.push('rust-kache');
  return { tools, missing };
}

/** Installs the peers through cargo; minutes of compiling. */
export function installPeers(peersDir: string): void {
  for (const args of [
    ['kache', '--version', '2.0.0'],
    ['sccache', '--no-default-features', '--features', 's3'],
  ]) {
    const done = Bun.spawnSync(['cargo', 'install', ...args, '--root', peersDir], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (done.exitCode !== 0) throw new Error(`Cannot install ${args[0]} into ${peersDir}.`);
  }
}

/**
 * Has a folder be as if it had never been. It is moved aside and goes with the work folder at the end of a run. On ext4
 * without a journal a new file takes 0.2 to 0.5 ms instead of 0.02 for minutes after many others were deleted, whose inodes
 * are not given out again so soon: what is built next would pay for what was built before.
 */
export function forget(folder: string): void {
  if (existsSync(folder)) renameSync(folder, mkdtempSync(`${folder}-forgotten-`));
}
