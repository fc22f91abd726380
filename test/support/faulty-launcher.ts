// A launcher that fails on demand, at its own system calls, while Cargo asks its first question; the sources are those of
// any launcher. In all other calls it is one as `kache init` compiles it.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Launcher } from '../../src/cli/launcher.ts';
import { compileLauncher, plansOf, processesOf } from './launcher.ts';

const SOURCES = join(import.meta.dir, '..', '..', 'src', 'launcher');

export class FaultyLauncher {
  /** What is put in front of rustc. */
  readonly path: string;
  readonly #folder: string;

  /** Compiles it to a folder. */
  constructor(folder: string, made: Pick<Launcher, 'kache' | 'socket'>) {
    this.#folder = folder;
    this.path = join(folder, 'kache-launcher');
    compileLauncher(join(folder, 'whole'), made);
    // Into a launcher without shared libraries nothing can be loaded.
    run(['rustc', '--edition=2021', '-Copt-level=s', '-Cpanic=abort', 'launcher.rs', '-o', this.struck], {
      KACHE_LAUNCHER_KACHE: made.kache,
      KACHE_LAUNCHER_SOCKET: made.socket,
      KACHE_LAUNCHER_PLANS: plansOf(made.socket),
      KACHE_LAUNCHER_BUILD: 'of-tests',
    });
    const compileC = (source: string, to: string, flags: readonly string[]): void =>
      run(['cc', '-O1', `-DFOLDER="${folder}"`, ...flags, join(import.meta.dir, source), '-o', to]);
    compileC('launcher-faults.c', join(folder, 'faults.so'), ['-shared', '-fPIC']);
    compileC('launcher-choice.c', this.path, []);
  }

  /** The program that is struck. */
  private get struck(): string {
    return join(this.#folder, 'struck');
  }

  /** What fails from here on, in each process anew; undefined: nothing. What they do is in {@link traced}. */
  fault(fault: string | undefined): void {
    const path = join(this.#folder, 'fault');
    if (fault === undefined) {
      rmSync(path, { force: true });
      return;
    }
    rmSync(join(this.#folder, 'trace'), { force: true });
    writeFileSync(`${path}.new`, fault);
    renameSync(`${path}.new`, path);
  }

  /** What launchers with faults did to files, and where they were struck. */
  traced(): string[] {
    const path = join(this.#folder, 'trace');
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  }

  /** The one that a fault has stopped. */
  stopped(store: string): number | undefined {
    return processesOf(this.struck, store).find((pid) =>
      readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') T '),
    );
  }
}

function run(argv: readonly string[], env: Record<string, string> = {}): void {
  const done = Bun.spawnSync([...argv], { cwd: SOURCES, env: { ...process.env, ...env } });
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
}
