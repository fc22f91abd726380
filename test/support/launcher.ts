// The launcher of src/launcher, compiled for a store and a binary of a test as `kache init` compiles it.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildLauncher, type Launcher, type LauncherOptions } from '../../src/cli/launcher.ts';
import { hitSocketPath } from '../../src/daemon/protocol.ts';

/** Where launchers of a store ask, when no setting says otherwise. */
export const hitSocketOf = (store: string): string => hitSocketPath(store, { socketPath: undefined });

/** Where the store of a socket keeps plans. */
export const plansOf = (socket: string): string => join(dirname(dirname(socket)), 'hashes', 'fingerprints');

/**
 * Compiles one to `dir` and returns its path: Cargo and kache know it by its name. As for one job if nothing else is said:
 * in a third of the time, and it stops at every overflow.
 */
export function compileLauncher(
  dir: string,
  made: Pick<Launcher, 'kache' | 'socket'>,
  options: LauncherOptions = { isForOneJob: true },
): string {
  const path = join(dir, 'kache-launcher');
  const launcher: Launcher = { path, build: 'of-tests', plans: plansOf(made.socket), ...made };
  const problem = buildLauncher(launcher, options);
  if (problem !== undefined) throw new Error(`Cannot compile the launcher to "${dir}": ${problem}.`);
  return launcher.path;
}

/** The processes that work with a store, helpers and compilers that outlive their call included; only those of a binary. */
export const processesOf = (binary: string | undefined, store: string): number[] =>
  readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      const isOurs =
        environment.includes(`KACHE_CACHE_DIR=${store}`) &&
        (binary === undefined || readlinkSync(`/proc/${pid}/exe`) === binary);
      return isOurs ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });

/** Ends the daemons that calls of these stores have started. */
export function endDaemons(binary: string, stores: readonly string[]): void {
  for (const pid of stores.flatMap((store) => processesOf(binary, store))) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
}
