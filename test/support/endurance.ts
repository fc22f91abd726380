// A working day in ten worktrees, scripted and compressed: edits, branch switches, cleans, builds side by side and killed
// builds, on a store with a small cap. After every step the programs must say what their sources say.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CompileEvent, parseEvent } from '../../src/core/events.ts';
import { collect } from '../../src/store/budget.ts';
import { logLimitBytes } from '../../src/store/eviction-trigger.ts';
import { openStore } from '../../src/store/store.ts';
import { Pace } from '../../src/sys/pace.ts';
import { type Files, KACHE, type Lab } from './lab.ts';
import { libraryArguments, processesLeft, startCall, until } from './wrapper-call.ts';

export interface DayOptions {
  readonly steps: number;
  readonly worktrees: number;
  readonly capBytes: number;
  /** What the schedule is drawn from. */
  readonly seed: number;
  readonly note?: (text: string) => void;
}

export interface DayFigures {
  readonly steps: number;
  readonly builds: number;
  readonly killed: number;
  readonly calls: number;
  readonly hit_rate_pct: number;
  readonly weighted_hit_rate_pct: number;
  readonly cap_mb: number;
  /** The largest seen between two steps, and what is left when all has come to rest. */
  readonly largest_mb: number;
  readonly at_the_end_mb: number;
  readonly log_mb: number;
  readonly rss_first_mb: number;
  readonly rss_last_mb: number;
}

const LIBRARIES = ['alpha', 'beta', 'gamma', 'delta', 'epsilon'];

const manifest = (name: string, dependencies: readonly string[] = [], rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}[dependencies]\n${dependencies.map((on) => `${on} = { path = "../${on}" }\n`).join('')}`;

const library = (name: string, value: number): string =>
  `pub fn value() -> u64 { ${value} }\npub fn table() -> Vec<String> { (0..value()).map(|n| format!("${name} {n}")).collect() }\n`;

/** Five libraries, each on top of the one before it, a macro, generated code, a program that prints every value, a test. */
function sources(): Files {
  const files: Record<string, string> = {
    'Cargo.toml': '[workspace]\nmembers = ["*"]\nexclude = ["target", ".git"]\nresolver = "2"\n',
    '.gitignore': 'target\n',
    'words/Cargo.toml': manifest('words', [], '[lib]\nproc-macro = true\n'),
    'words/src/lib.rs':
      'extern crate proc_macro;\n#[proc_macro] pub fn word(_: proc_macro::TokenStream) -> proc_macro::TokenStream { "\\"word\\"".parse().unwrap() }\n',
    'app/Cargo.toml': manifest('app', [...LIBRARIES, 'words']),
    'app/build.rs':
      'fn main() { std::fs::write(format!("{}/made.rs", std::env::var("OUT_DIR").unwrap()), "pub const MADE: u64 = 1;\\n").unwrap(); println!("cargo:rerun-if-changed=build.rs"); }\n',
    'app/src/main.rs': `include!(concat!(env!("OUT_DIR"), "/made.rs"));\nfn main() { println!("{:?} {} {MADE}", [${LIBRARIES.map((name) => `${name}::value()`).join(', ')}], words::word!()); }\n`,
    'app/tests/values.rs': `#[test] fn values() { assert!(${LIBRARIES.map((name) => `${name}::value()`).join(' + ')} > 0); }\n`,
  };
  for (const [index, name] of LIBRARIES.entries()) {
    files[`${name}/Cargo.toml`] = manifest(name, LIBRARIES.slice(Math.max(0, index - 1), index));
    files[`${name}/src/lib.rs`] = library(name, index + 1);
  }
  return files;
}

/** Numerical Recipes' linear congruential generator: the day is the same at every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Bytes of all files of a folder, as the disk counts them, each inode once. */
export function diskBytes(dir: string): number {
  const seen = new Map<number, number>();
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const info = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false });
    if (info?.isFile()) seen.set(info.ino, info.blocks * 512);
  }
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
}

export class Day {
  readonly #lab: Lab;
  readonly #options: DayOptions;
  readonly #random: () => number;
  readonly #worktrees: string[] = [];
  readonly #origin: string;
  #largest = 0;
  #builds = 0;
  #killed = 0;
  #edits = 0;

  constructor(lab: Lab, options: DayOptions) {
    this.#lab = lab;
    this.#options = options;
    this.#random = generator(options.seed);
    this.#origin = lab.write('origin', sources());
    this.#git('init', '-q', '-b', 'main');
    this.#commit(this.#origin, 'begin');
    for (let n = 0; n < options.worktrees; n++) this.#addWorktree(n);
  }

  #git(...args: string[]): void {
    this.#gitIn(this.#origin, ...args);
  }

  #gitIn(cwd: string, ...args: string[]): void {
    const who = ['-c', 'user.name=nobody', '-c', 'user.email=nobody@localhost', '-c', 'gc.auto=0'];
    const done = this.#lab.run(['git', ...who, ...args], { cwd });
    if (done.status !== 0) throw new Error(`Cannot run "git ${args.join(' ')}": ${done.stderr}`);
  }

  #commit(dir: string, message: string): void {
    this.#gitIn(dir, 'add', '-A');
    this.#gitIn(dir, 'commit', '-q', '-m', message);
  }

  #addWorktree(n: number): void {
    // Of different depth: nothing in the outputs may depend on where they are.
    const dir = this.#lab.path('worktrees', ...('below'.repeat(n % 3).match(/below/g) ?? []), `tree-${n}`);
    this.#git('worktree', 'add', '-q', '-B', `branch-${n}`, dir);
    this.#worktrees.push(dir);
  }

  #pick<T>(from: readonly T[]): T {
    const found = from[Math.floor(this.#random() * from.length)];
    if (found === undefined) throw new Error('there is nothing to pick from');
    return found;
  }

  get #env(): Record<string, string> {
    return this.#lab.env({
      RUSTC_WRAPPER: KACHE,
      KACHE_MAX_SIZE: `${this.#options.capBytes}`,
      KACHE_CACHE_EXECUTABLES: '1',
      CARGO_INCREMENTAL: undefined,
    });
  }

  #start(dir: string, args: readonly string[] = ['build']) {
    this.#builds++;
    return Bun.spawn(['cargo', ...args, '--offline', '--quiet'], {
      cwd: dir,
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
      // A process group of its own, to be killed as a whole.
      detached: true,
    });
  }

  /** A build to its end; a program must then print the values its sources have at this moment. */
  async #build(dir: string, args: readonly string[] = ['build']): Promise<void> {
    const build = this.#start(dir, args);
    const [status, stderr] = [await build.exited, await new Response(build.stderr).text()];
    if (status !== 0) throw new Error(`cargo ${args.join(' ')} in "${dir}" ended with ${status}: ${stderr}`);
    if (args[0] !== 'build') return;
    const values = LIBRARIES.map((name) =>
      Number(/u64 \{ (\d+) \}/.exec(readFileSync(join(dir, name, 'src/lib.rs'), 'utf8'))?.[1]),
    );
    const expected = `[${values.join(', ')}] word 1\n`;
    const printed = Bun.spawnSync([join(dir, 'target/debug/app')]).stdout.toString();
    if (printed !== expected)
      throw new Error(`the program in "${dir}" says ${printed}instead of ${expected}`);
  }

  #edit(dir: string): void {
    const name = this.#pick(LIBRARIES);
    // Few values: an edit is often one that somebody has made before.
    writeFileSync(join(dir, name, 'src/lib.rs'), library(name, 1 + Math.floor(this.#random() * 6)));
    this.#edits++;
  }

  #clean = (dir: string): void => rmSync(join(dir, 'target'), { recursive: true, force: true });

  async #step(): Promise<string> {
    const dir = this.#pick(this.#worktrees);
    const die = this.#random();
    if (die < 0.34) {
      this.#edit(dir);
      await this.#build(dir);
      return 'edit, build';
    }
    if (die < 0.46) {
      this.#edit(dir);
      await this.#build(dir, ['check']);
      return 'edit, check';
    }
    if (die < 0.6) {
      this.#gitIn(dir, 'add', '-A');
      this.#gitIn(dir, 'commit', '-q', '--allow-empty', '-m', `edit ${this.#edits}`);
      this.#gitIn(
        dir,
        'checkout',
        '-q',
        '--detach',
        `branch-${Math.floor(this.#random() * this.#worktrees.length)}`,
      );
      await this.#build(dir);
      return 'switch to another branch, build';
    }
    if (die < 0.72) {
      this.#clean(dir);
      await this.#build(dir);
      return 'clean, build';
    }
    if (die < 0.78) {
      await this.#build(dir, ['test', '--no-run']);
      return 'build the tests';
    }
    if (die < 0.88) {
      const other = this.#pick(this.#worktrees.filter((tree) => tree !== dir));
      this.#edit(dir);
      this.#edit(other);
      await Promise.all([this.#build(dir), this.#build(other)]);
      return 'two builds side by side';
    }
    this.#clean(dir);
    const doomed = this.#start(dir);
    // In the middle of a compile: the moment is chosen by what is locked, not by the clock.
    const locks = join(this.#lab.store, 'locks');
    await until('a compile is under way', () => doomed.exitCode !== null || readdirSync(locks).length > 0);
    if (doomed.exitCode === null) {
      process.kill(-doomed.pid, 'SIGKILL');
      this.#killed++;
    }
    await doomed.exited;
    await this.#build(dir);
    return 'a build is killed, and done again';
  }

  /** Twenty minutes go by: every stamp that eviction goes by moves back. Blobs share inodes with checkouts: theirs stay. */
  #passTime(): void {
    for (const part of ['entries', 'units', 'hashes', 'tmp']) {
      const dir = join(this.#lab.store, part);
      for (const entry of existsSync(dir) ? readdirSync(dir, { recursive: true, withFileTypes: true }) : []) {
        const path = join(entry.parentPath, entry.name);
        const info = entry.isFile() ? statSync(path, { throwIfNoEntry: false }) : undefined;
        if (info === undefined) continue;
        try {
          utimesSync(path, info.atimeMs / 1000, info.mtimeMs / 1000 - 1200);
        } catch {
          // Eviction has just taken it.
        }
      }
    }
  }

  /** Does everything, waits until it has come to rest, and says what was seen. Throws when a build is wrong. */
  async run(): Promise<DayFigures> {
    const { steps, capBytes, note } = this.#options;
    const before = await this.#footprint();
    let log = 0;
    for (let step = 0; step < steps; step++) {
      const did = await this.#step();
      this.#largest = Math.max(this.#largest, diskBytes(this.#lab.store));
      log = Math.max(
        log,
        statSync(join(this.#lab.store, 'events/log'), { throwIfNoEntry: false })?.size ?? 0,
      );
      note?.(`${step + 1}/${steps} ${did}: ${(diskBytes(this.#lab.store) / 1e6).toFixed(1)} MB`);
      this.#passTime();
    }
    const after = await this.#footprint();
    if (after.descriptors !== before.descriptors)
      throw new Error(
        `compilers were given descriptors ${before.descriptors}, now they get ${after.descriptors}`,
      );
    await until('every helper has ended', () => processesLeft(this.#lab.store).length === 0);
    if (log > 1.5 * logLimitBytes(capBytes)) throw new Error(`the event log has grown to ${log} bytes`);
    const events = this.#events();
    const looked = events.filter(({ result }) => ['local_hit', 'miss', 'dup'].includes(result));
    const sum = (list: readonly CompileEvent[]): number =>
      list.reduce((total, { compile_ms: ms }) => total + (ms ?? 0), 0);
    const hits = looked.filter(({ result }) => result === 'local_hit');
    const atTheEnd = diskBytes(this.#lab.store);
    await this.#sweep();
    return {
      steps,
      builds: this.#builds,
      killed: this.#killed,
      calls: events.length,
      hit_rate_pct: (100 * hits.length) / looked.length,
      weighted_hit_rate_pct: (100 * sum(hits)) / sum(looked),
      cap_mb: capBytes / 1e6,
      largest_mb: this.#largest / 1e6,
      at_the_end_mb: atTheEnd / 1e6,
      log_mb: log / 1e6,
      rss_first_mb: before.rssMb,
      rss_last_mb: after.rssMb,
    };
  }

  /** The sweep of two hours later: what killed builds have left is out of its time. */
  async #sweep(): Promise<void> {
    const store = openStore(this.#lab.store);
    if (store.kind === 'problem') throw new Error(store.detail);
    await collect(store, {
      maxBytes: this.#options.capBytes,
      isDoomed: () => false,
      nowMs: Date.now() + 7200_000,
      pace: new Pace(),
    });
  }

  /** Files on their way that nobody brings to their end: in the store, and beside outputs. */
  leftovers(): string[] {
    const inStore = ['tmp', 'locks'].flatMap((part) =>
      readdirSync(join(this.#lab.store, part)).map((name) => `${part}/${name}`),
    );
    const beside = readdirSync(this.#lab.path('worktrees'), { recursive: true }).filter((path) =>
      /\.kache\/\d+-/.test(`${path}`),
    );
    return [...inStore, ...beside.map(String)];
  }

  #events(): CompileEvent[] {
    return ['events/log.1', 'events/log'].flatMap((name) => {
      const path = join(this.#lab.store, name);
      if (!existsSync(path)) return [];
      return readFileSync(path, 'utf8')
        .split('\n')
        .flatMap((line) => parseEvent(line) ?? []);
    });
  }

  /** What one miss and one hit take: resident memory of the wrapper, and the descriptors a compiler is given. */
  async #footprint(): Promise<{ rssMb: number; descriptors: string }> {
    const meter = this.#meter();
    const list = this.#lab.path('descriptors');
    const script = `#!/bin/sh\ncase " $* " in *" --crate-name "*) ls /proc/$$/fd > '${list}';; esac\nexec rustc "$@"\n`;
    const compiler = join(this.#lab.write('listing', { rustc: script }), 'rustc');
    chmodSync(compiler, 0o755);
    const dir = this.#lab.write('measured', { 'src/lib.rs': `pub fn at() -> u64 { ${this.#edits} }\n` });
    const call = { dir, compiler };
    if ((await startCall(this.#lab, call).exited) !== 0) throw new Error('the measured call failed');
    rmSync(join(dir, 'target'), { recursive: true });
    mkdirSync(join(dir, 'target/debug/deps'), { recursive: true });
    const measured = this.#lab.run([meter, KACHE, ...libraryArguments(call)], {
      cwd: dir,
      env: { CARGO_MANIFEST_DIR: dir, CARGO_PKG_NAME: 'held', CARGO_PKG_VERSION: '1.0.0' },
    });
    const [status, , kilobytes] = measured.stdout.trim().split(' ').map(Number);
    const { result } = this.#events().at(-1) ?? {};
    if (status !== 0 || result !== 'local_hit')
      throw new Error(`the measured call ended with ${status}, ${result}: ${measured.stderr}`);
    return {
      rssMb: (kilobytes ?? 0) / 1024,
      descriptors: readFileSync(list, 'utf8').trim().replaceAll('\n', ' '),
    };
  }

  /** The benchmark's: what the kernel accounted to a process, without the memory of whoever started it. */
  #meter(): string {
    const meter = this.#lab.path('process-meter');
    if (!existsSync(meter)) {
      const source = join(import.meta.dir, '../../bench/process-meter.rs');
      const done = this.#lab.run(['rustc', '-O', '-o', meter, source]);
      if (done.status !== 0) throw new Error(`Cannot compile "${source}": ${done.stderr}`);
    }
    return meter;
  }
}
