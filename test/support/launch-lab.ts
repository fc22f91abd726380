// A small project whose every output is in a store, builds of it behind the launcher of that store, and what each of them
// must give, whatever the daemon does.
import { afterEach, expect } from 'bun:test';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import type { DaemonStatus } from '../../src/daemon/server.ts';
import { filesBelow, inspectStore, isAside } from './invariants.ts';
import { type CargoResult, type Env, type Files, freshness, KACHE, Lab } from './lab.ts';
import { endDaemons, hitSocketOf, processesOf } from './launcher.ts';
import { linuxOnly, openOnLinux } from './linux.ts';
import { until } from './wrapper-call.ts';

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

/** The build script of one crate waits, where it is told to, until the test lets it go on. */
const GATE = `fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let Ok(gate) = std::env::var("GATE_OF_TESTS") else { return };
    std::fs::write(format!("{gate}/reached"), "").unwrap();
    while !std::path::Path::new(&format!("{gate}/open")).exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
`;

const PROJECT: Files = {
  'Cargo.toml': manifest(
    'small',
    '[dependencies]\npart = { path = "part" }\ngate = { path = "gate" }\nmac = { path = "mac" }\n[workspace]\n',
  ),
  'src/main.rs':
    'fn main() { println!("{} {} {}", small::text(), gate::doubled(), small::inner::INCLUDED); }\n',
  'src/lib.rs': "pub mod inner;\npub fn text() -> &'static str { let unused = 1; mac::word!() }\n",
  'src/inner.rs': 'pub const INCLUDED: &str = include_str!("text.txt");\n',
  'src/text.txt': 'included',
  'part/Cargo.toml': manifest('part'),
  'part/src/lib.rs': 'pub fn number() -> u32 { let unused = 2; 7 }\n',
  'gate/Cargo.toml': manifest('gate', '[dependencies]\npart = { path = "../part" }\n'),
  'gate/build.rs': GATE,
  'gate/src/lib.rs': 'pub fn doubled() -> u32 { part::number() * 2 }\n',
  'mac/Cargo.toml': manifest('mac', '[lib]\nproc-macro = true\n'),
  'mac/src/lib.rs':
    'use proc_macro::TokenStream;\n#[proc_macro] pub fn word(_: TokenStream) -> TokenStream { "\\"word\\"".parse().unwrap() }\n',
};
export const PROGRAM_SAYS = 'word 14 included\n';

/** Compiles of one build: five packages' worth of libraries, a macro, a build script and a program. */
export const UNITS = 6;

export interface LaunchOptions {
  readonly env?: Env;
  /** The program in front of rustc; by default the launcher. */
  readonly wrapper?: string;
  /** What cargo is started by. */
  readonly through?: readonly string[];
  readonly args?: readonly string[];
  /** Entries went meanwhile: closures may outlive theirs. */
  readonly evicted?: true;
}

export class LaunchLab implements Disposable {
  readonly lab = new Lab();
  /** The checkout the store was filled from. */
  readonly first: string;
  readonly plainStderr: string;
  readonly #checkouts: string[] = [];

  constructor() {
    this.first = this.lab.write('first', PROJECT);
    this.plainStderr = told(this.lab.cargo(this.first, ['build', '--offline'], { kache: false }).stderr);
    const filled = this.lab.run(['cargo', 'build', '--offline'], {
      cwd: this.first,
      env: { RUSTC_WRAPPER: KACHE, ...EXECUTABLES },
    });
    expect([filled.status, told(filled.stderr)]).toEqual([0, this.plainStderr]);
    this.lab.launcher(this.lab.store, { isForOneJob: false });
  }

  get store(): string {
    return this.lab.store;
  }

  /** Where launchers ask. */
  get socket(): string {
    return hitSocketOf(this.store);
  }

  /** A checkout that was never built, each time another one. */
  checkout(): string {
    const dir = this.lab.copy(this.first, `checkout-${this.#checkouts.length}/here`);
    this.#checkouts.push(dir);
    return dir;
  }

  /** A folder for the build script that waits. */
  gate(): { readonly env: Env; readonly reached: () => boolean; readonly open: () => void } {
    const dir = this.lab.path(`gate-${this.#checkouts.length}`);
    mkdirSync(dir, { recursive: true });
    return {
      env: { GATE_OF_TESTS: dir },
      reached: () => existsSync(join(dir, 'reached')),
      open: () => writeFileSync(join(dir, 'open'), ''),
    };
  }

  async build(dir: string, options: LaunchOptions = {}): Promise<CargoResult> {
    const before = this.lab.events().length;
    const { through = [], args = ['build', '--offline'] } = options;
    const wrapper = options.wrapper ?? this.lab.launcher();
    const child = Bun.spawn([...through, 'cargo', ...args], {
      cwd: dir,
      env: this.lab.env({ RUSTC_WRAPPER: wrapper, ...EXECUTABLES, ...options.env }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const status = await child.exited;
    this.lab.settle();
    return { status, stdout, stderr, events: this.lab.events().slice(before) };
  }

  /** A build that was right: as without kache, and the next one has nothing to do. */
  async expectRight(dir: string, built: CargoResult, options: LaunchOptions = {}): Promise<void> {
    expect([built.status, told(built.stderr)]).toEqual([0, this.plainStderr]);
    await this.expectDone(dir, options);
  }

  /** What must hold after any build that succeeded. */
  async expectDone(dir: string, options: LaunchOptions = {}): Promise<void> {
    expect(Bun.spawnSync([join(dir, 'target/debug/small')]).stdout.toString()).toBe(PROGRAM_SAYS);
    const again = await this.build(dir, {
      ...options,
      args: ['build', '--offline', '--message-format=json'],
    });
    expect([again.status, freshness(again.stdout).rebuilt]).toEqual([0, []]);
    expect(asidesIn(dir)).toEqual([]);
    const wrong = inspectStore(this.store).wrong.filter(
      (line) => options.evicted !== true || !line.startsWith('a closure before its entry'),
    );
    expect(wrong).toEqual([]);
  }

  /** Builds a new checkout, which must be right. */
  async buildAnew(options: LaunchOptions = {}): Promise<CargoResult> {
    const dir = this.checkout();
    const built = await this.build(dir, options);
    await this.expectRight(dir, built, options);
    return built;
  }

  /** Starts the daemon, and returns its process when launchers are answered. */
  startDaemon(env: Env = {}): number {
    this.endDaemon();
    const started = this.lab.run([KACHE, 'daemon', 'start'], { env });
    expect(started).toMatchObject({ status: 0, stderr: '' });
    const { pid } = this.daemon(env) ?? {};
    if (pid === undefined) throw new Error('Cannot go on: the daemon that was started does not answer.');
    return pid;
  }

  /** What the daemon says of itself; undefined when there is none. */
  daemon(env: Env = {}): DaemonStatus | undefined {
    const { status, stdout } = this.lab.run([KACHE, 'daemon', 'status', '--json'], { env });
    return status === 0 ? (JSON.parse(stdout) as DaemonStatus) : undefined;
  }

  /** Ends whatever works with the store, as a crash would; its sockets stay. */
  endDaemon(): void {
    endDaemons(KACHE, [this.store]);
  }

  /** Waits until a daemon other than `pid` answers. */
  async otherThan(pid: number): Promise<void> {
    await until('another daemon answers', () => {
      const now = this.daemon()?.pid;
      return now !== undefined && now !== pid && existsSync(this.socket);
    });
  }

  get processes(): number[] {
    return processesOf(KACHE, this.store);
  }

  [Symbol.dispose](): void {
    this.endDaemon();
    this.lab[Symbol.dispose]();
  }
}

const EXECUTABLES: Env = { KACHE_CACHE_EXECUTABLES: '1' };

/** Messages without what differs from build to build. */
export const told = (text: string): string =>
  text
    .replace(/in [\d.]+s/, '')
    .split('\n')
    .filter((line) => !/^ +(Locking|Adding|Blocking|Compiling|Checking)/.test(line))
    .sort()
    .join('\n');

/** Files on their way that were left beside outputs. */
export const asidesIn = (dir: string): string[] =>
  filesBelow(join(dir, 'target'))
    .map(({ path }) => path)
    .filter(isAside);

/** Every output with its mode and bytes, by name; without what Cargo keeps for itself. */
export function outputsOf(dir: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { path } of filesBelow(join(dir, 'target'))) {
    if (/\/(\.fingerprint|\.rustc_info\.json|\.cargo-lock)/.test(path)) continue;
    const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
    found[relative(dir, path)] = `${(lstatSync(path).mode & 0o7777).toString(8)} ${digest}`;
  }
  return found;
}

/** How the compiles of a build ended, by the name of the crate. */
export const results = (events: readonly CompileEvent[]): string[] =>
  events
    .filter(({ crate_name: name }) => name !== '' && name !== '___')
    .map(({ crate_name: name, crate_types: types, result }) => `${name} ${types} ${result}`)
    .sort();

/** Tests behind the launcher: `use` is given the laboratory of their file; each test begins without a daemon. */
export function launcherTests(what: string, use: (place: LaunchLab) => void) {
  let place: LaunchLab | undefined;
  openOnLinux(LaunchLab, (opened) => {
    place = opened;
    use(opened);
  });
  afterEach(() => place?.endDaemon());
  return linuxOnly(what, 'the launcher is there for Linux only');
}
