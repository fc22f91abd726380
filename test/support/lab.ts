// A laboratory: a private folder with a private store and home, projects in it, and cargo with or without kache.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { LauncherOptions } from '../../src/cli/launcher.ts';
import { type CompileEvent, parseEvent } from '../../src/core/events.ts';
import { compileLauncher, endDaemons, hitSocketOf } from './launcher.ts';

/** The binary under test: KACHE_BINARY, else what `npm run build` wrote. */
export const KACHE = process.env['KACHE_BINARY'] ?? join(import.meta.dir, '..', '..', 'dist', 'kache');

/** Whether every build of a laboratory goes through a launcher. */
const BEHIND_LAUNCHER = process.env['KACHE_TEST_LAUNCHER'] === '1';

const HOME = process.env['HOME'] ?? '/root';
const CARGO_HOME = process.env['CARGO_HOME'] ?? join(HOME, '.cargo');
const RUSTUP_HOME = process.env['RUSTUP_HOME'] ?? join(HOME, '.rustup');

export type Files = Readonly<Record<string, string>>;
export type Env = Readonly<Record<string, string | undefined>>;

export interface CargoResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What kache logged meanwhile. */
  readonly events: readonly CompileEvent[];
}

export interface CargoOptions {
  readonly env?: Env;
  /** False: plain cargo, with a target folder of its own. */
  readonly kache?: boolean;
  /** True: behind the launcher of the store, whatever its daemon does; else as {@link Lab.wrapper} says. */
  readonly launcher?: true;
}

export class Lab implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'kache-test-'));
  readonly store: string;
  readonly #launchers = new Map<string, string>();

  constructor(store?: string) {
    this.store = store ?? join(this.root, 'store');
    mkdirSync(join(this.root, 'home'), { recursive: true });
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  /** Writes files below a folder of the laboratory and returns its path. */
  write(folder: string, files: Files): string {
    const root = folder.startsWith('/') ? folder : this.path(folder);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    return root;
  }

  /** A second checkout of the same sources, without build output. */
  copy(from: string, folder: string): string {
    const to = this.path(folder);
    cpSync(from, to, { recursive: true, filter: (path) => !path.startsWith(join(from, 'target')) });
    return to;
  }

  /** The environment of a developer who has configured nothing but kache. */
  env(changes: Env = {}): Record<string, string> {
    const env: Record<string, string | undefined> = {
      PATH: process.env['PATH'],
      HOME: this.path('home'),
      CARGO_HOME,
      RUSTUP_HOME,
      RUSTUP_TOOLCHAIN: process.env['RUSTUP_TOOLCHAIN'],
      KACHE_CACHE_DIR: this.store,
      // Compilers of tests are scripts in front of the real one, which count or change what is compiled.
      KACHE_TRUSTED_COMPILERS: this.path('**'),
      ...changes,
    };
    return Object.fromEntries(
      Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined),
    );
  }

  /** The lines of the log, starts of compilers too. */
  log(): string[] {
    const path = join(this.store, 'events', 'log');
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  }

  /** Every event logged so far. */
  events(): CompileEvent[] {
    return this.log().flatMap((line) => parseEvent(line) ?? []);
  }

  /** The launcher that asks the daemon of a store, compiled when it is first needed. */
  launcher(store = this.store, options?: LauncherOptions): string {
    const known = this.#launchers.get(store);
    if (known !== undefined) return known;
    const dir = this.path('launchers', `${this.#launchers.size}`);
    const path = compileLauncher(dir, { kache: KACHE, socket: hitSocketOf(store) }, options);
    this.#launchers.set(store, path);
    return path;
  }

  /** What stands in front of rustc: kache, or the launcher where KACHE_TEST_LAUNCHER says so. */
  wrapper(store = this.store): string {
    if (!BEHIND_LAUNCHER) return KACHE;
    this.wake(store);
    return this.launcher(store);
  }

  cargo(dir: string, args: readonly string[], options: CargoOptions = {}): CargoResult {
    const before = this.safeEvents().length;
    const store = options.env?.['KACHE_CACHE_DIR'] ?? this.store;
    const isLaunched = options.launcher ?? BEHIND_LAUNCHER;
    const own: Env =
      options.kache === false
        ? { CARGO_TARGET_DIR: this.plainTarget(dir) }
        : { RUSTC_WRAPPER: options.launcher === true ? this.launcher(store) : this.wrapper(store) };
    const run = Bun.spawnSync(['cargo', ...args], {
      cwd: dir,
      env: this.env({ ...own, ...options.env }),
      stdin: 'ignore',
    });
    if (isLaunched) this.settle(store);
    return {
      status: run.exitCode,
      stdout: run.stdout.toString(),
      stderr: run.stderr.toString(),
      events: this.safeEvents().slice(before),
    };
  }

  private wake(store: string): void {
    // Where there can be no store there is no daemon either, and no test is about it.
    this.run([KACHE, 'daemon', 'start'], { env: { KACHE_CACHE_DIR: store } });
  }

  /** The daemon writes the event of a hit when nobody waits for it any more; it answers questions in their turn. */
  settle(store = this.store): void {
    if (!existsSync(join(store, 'daemon', 'socket'))) return;
    this.run([KACHE, 'daemon', 'status', '--json'], { env: { KACHE_CACHE_DIR: store } });
  }

  /** Like {@link events}, for stores that were damaged on purpose. */
  private safeEvents(): CompileEvent[] {
    try {
      return this.events();
    } catch {
      return [];
    }
  }

  /** Where plain cargo builds the project in `dir` for comparison. */
  plainTarget(dir: string): string {
    return this.path('plain', dir.replaceAll('/', '_'));
  }

  run(
    argv: readonly string[],
    options: { cwd?: string; env?: Env } = {},
  ): { status: number | null; signal: string | undefined; stdout: string; stderr: string } {
    const done = Bun.spawnSync([...argv], {
      cwd: options.cwd ?? this.root,
      env: this.env(options.env),
      stdin: 'ignore',
    });
    return {
      status: done.exitCode,
      signal: done.signalCode === undefined ? undefined : String(done.signalCode),
      stdout: done.stdout.toString(),
      stderr: done.stderr.toString(),
    };
  }

  [Symbol.dispose](): void {
    endDaemons(KACHE, [...this.#launchers.keys()]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** How the library crates of a build ended: crate name to result. */
export function libraries(result: { events: readonly CompileEvent[] }): Record<string, string> {
  const found: Record<string, string> = {};
  for (const event of result.events) {
    if (event.crate_types === 'lib') found[event.crate_name] = event.result;
  }
  return found;
}

/** Units cargo compiled anew, from `--message-format=json`. */
export function freshness(stdout: string): { fresh: number; rebuilt: string[] } {
  const messages = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const artifacts = messages.filter(({ reason }) => reason === 'compiler-artifact');
  const rebuilt = artifacts.filter(({ fresh }) => fresh === false).map(({ package_id: id }) => String(id));
  return { fresh: artifacts.length - rebuilt.length, rebuilt };
}
