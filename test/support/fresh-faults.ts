// Target folders that are filled from the plan of an earlier build while something fails: a launcher that is struck, a daemon
// that is the test build, and what must hold of a build whatever has happened to it.
import { expect } from 'bun:test';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildFaulty } from './fault-place.ts';
import { FaultyLauncher } from './faulty-launcher.ts';
import { FreshLab } from './fresh-lab.ts';
import { filesBelow, inspectStore, isAside } from './invariants.ts';
import { type Env, type Files, freshness, KACHE } from './lab.ts';
import { endDaemons, hitSocketOf } from './launcher.ts';

export interface Built {
  readonly status: number | null;
  readonly stderr: string;
  /** Packages of the registry for units of which Cargo asked itself. */
  readonly asked: readonly string[];
}

export interface BuildOptions {
  readonly env?: Env;
  /** What cargo is started by. */
  readonly through?: readonly string[];
}

/** What Cargo is asked for. */
const CARGO = ['cargo', 'build', '--offline', '--message-format=json'];

export class FreshFaults extends FreshLab {
  readonly launcher = new FaultyLauncher(this.lab.path('bin'), {
    kache: KACHE,
    socket: hitSocketOf(this.lab.store),
  });
  /** The test build. */
  readonly #faulty = buildFaulty(this.lab);
  readonly #trace = this.lab.path('trace');
  readonly #isTime = this.lab.path('is-time');
  readonly says: string;
  /** Whether a test has damaged records of the store, which stay until somebody needs them. */
  isDamaged = false;
  /** The daemon that had faults last. */
  struckDaemon: number | undefined;

  constructor() {
    super();
    const plain = this.checkout();
    const target = this.lab.plainTarget(plain);
    this.lab.run(['cargo', 'build', '--offline'], {
      cwd: plain,
      env: { CARGO_HOME: this.home, CARGO_TARGET_DIR: target },
    });
    this.says = this.lab.run([join(target, 'debug/app')]).stdout;
    expect(this.says).toContain('word 7');
  }

  /** Checkouts of this test. */
  readonly made: string[] = [];

  override checkout(changes: Files = {}): string {
    const dir = super.checkout(changes);
    this.made.push(dir);
    return dir;
  }

  /** Removes the checkouts of a test. */
  clear(): void {
    for (const dir of this.made.splice(0)) rmSync(dir, { recursive: true, force: true });
  }

  /** Everything stored and kept, and a daemon that listens. */
  async filled(options: BuildOptions = {}): Promise<void> {
    this.startDaemon(options.through);
    for (let round = 0; round < 3; round++) {
      const { asked } = await this.soundly('prepared', this.checkout(), options);
      if (asked.length === 0) return;
      await this.kept();
    }
    throw new Error('the target folder of a third build is not filled');
  }

  /** The daemon stays who it is: it looks twice a second. */
  override async kept(): Promise<void> {
    await Bun.sleep(1_100);
    this.lab.settle();
  }

  forgetPlans(): void {
    rmSync(join(this.store, 'hashes', 'fingerprints'), { recursive: true, force: true });
  }

  get store(): string {
    return this.lab.store;
  }

  override env(env: Env = {}): Record<string, string> {
    return super.env({ RUSTC_WRAPPER: this.launcher.path, ...env });
  }

  /** Cargo, started in a group of processes of its own, as a shell makes one for a command. */
  start(dir: string, { env = {}, through = [] }: BuildOptions = {}) {
    return Bun.spawn([...through, ...CARGO], {
      cwd: dir,
      env: this.env(env),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
  }

  async build(dir: string, options: BuildOptions = {}): Promise<Built> {
    return this.ended(this.start(dir, options));
  }

  /** What a build that was started has come to. */
  async ended(child: ReturnType<FreshFaults['start']>): Promise<Built> {
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const asked = freshness(stdout).rebuilt.flatMap((id) => /^registry\+.*#([\w-]+)@/.exec(id)?.[1] ?? []);
    return { status: await child.exited, stderr, asked: [...new Set(asked)].sort() };
  }

  /** A build whose launcher has these faults while it fills; what it did is in {@link FaultyLauncher.traced}. */
  async faulted(dir: string, fault: string): Promise<Built> {
    this.launcher.fault(fault);
    try {
      return await this.build(dir);
    } finally {
      this.launcher.fault(undefined);
    }
  }

  /** A build whose daemon has these faults, from the start of the build to its end. */
  async faultedDaemon(dir: string, fault: string): Promise<Built> {
    await this.stop();
    this.startFaultyDaemon(fault, { KACHE_TEST_WHILE: this.#isTime });
    this.struckDaemon = this.daemon();
    writeFileSync(this.#isTime, '');
    try {
      return await this.build(dir);
    } finally {
      rmSync(this.#isTime);
    }
  }

  /** What a daemon that is the test build did to files, and where it was struck. */
  traced(): string[] {
    return existsSync(this.#trace) ? readFileSync(this.#trace, 'utf8').trim().split('\n') : [];
  }

  /** A build that was right, and all that must hold then. */
  expectSound(what: string, dir: string, built: Built): void {
    expect([what, built.status, built.stderr]).toEqual([what, 0, expect.anything()]);
    expect([what, this.lab.run([join(dir, 'target/debug/app')]).stdout]).toEqual([what, this.says]);
    const again = this.lab.run(CARGO, { cwd: dir, env: this.env() });
    expect([what, again.status, freshness(again.stdout).rebuilt]).toEqual([what, 0, []]);
    expect([what, this.locked(dir)]).toEqual([what, []]);
    this.expectStoreSound(what);
  }

  /** What does not hold of the store. A closure may outlive its entry where one is evicted; a memo that is torn is none. */
  expectStoreSound(what: string): void {
    const expected = this.isDamaged ? /^(a closure|torn)/ : /^(a closure|torn memo)/;
    const wrong = inspectStore(this.store).wrong.filter((line) => !expected.test(line));
    expect([what, wrong]).toEqual([what, []]);
  }

  /** Builds a checkout, which must be right. */
  async soundly(what: string, dir = this.checkout(), options: BuildOptions = {}): Promise<Built> {
    const built = await this.build(dir, options);
    this.expectSound(what, dir, built);
    return built;
  }

  /** Files of Cargo in a target folder that somebody has locked for longer than it takes to read some records. */
  locked(dir: string): string[] {
    return filesBelow(join(dir, 'target'))
      .filter(({ name }) => /^\.cargo.*lock$/.test(name))
      .flatMap(({ path }) =>
        Bun.spawnSync(['flock', '-w', '20', path, 'true']).exitCode === 0 ? [] : [path],
      );
  }

  /** What was on its way into a target folder, and was left there. */
  asides(dir: string): string[] {
    // That a run was put in place is noted beside it, and stays.
    return filesBelow(join(dir, 'target')).flatMap(({ path }) =>
      isAside(path) && !path.endsWith('/.kache/filled') ? [path] : [],
    );
  }

  startDaemon(through: readonly string[] = []): void {
    expect(this.lab.run([...through, KACHE, 'daemon', 'start']).status).toBe(0);
  }

  /** Starts one that is the test build, with these faults; what it does is in {@link traced}. */
  startFaultyDaemon(fault: string, env: Env = {}): void {
    rmSync(this.#trace, { force: true });
    const faults = { KACHE_TEST_FAULT: fault, KACHE_TEST_TRACE: this.#trace, ...env };
    expect(this.lab.run([this.#faulty, 'daemon', 'start'], { env: faults }).status).toBe(0);
  }

  daemon(): number | undefined {
    const { status, stdout } = this.lab.run([KACHE, 'daemon', 'status', '--json']);
    return status === 0 ? (JSON.parse(stdout) as { pid: number }).pid : undefined;
  }

  /** Ends the daemon as a crash would. */
  endDaemon(): void {
    endDaemons(KACHE, [this.store]);
  }

  override [Symbol.dispose](): void {
    for (const kache of [KACHE, this.#faulty]) endDaemons(kache, [this.store]);
    super[Symbol.dispose]();
  }
}

/** Every name below a folder but those of kache, with its kind and mode. */
export function modesBelow(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (/\/\.kache(\/|$)/.test(path)) continue;
    found[relative(folder, path)] = (lstatSync(path).mode & 0o177777).toString(8);
  }
  return found;
}

/** What Cargo has written below a target folder about its units, by name. */
export function recordsBelow(target: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { path } of filesBelow(target))
    if (
      /\/\.fingerprint\/|\/build\/[^/]+\/(output|root-output|stderr|invoked\.timestamp)$|\/CACHEDIR\.TAG$/.test(
        path,
      )
    )
      found[relative(target, path)] = readFileSync(path, 'latin1').replaceAll(target, '<target>');
  return found;
}

/** Names of one file in a folder that are one inode, as lists. */
export const linkedBelow = (folder: string): string[][] => {
  const byInode = new Map<number, string[]>();
  for (const { path } of filesBelow(folder)) {
    const { ino, nlink } = statSync(path);
    if (nlink > 1 && !isAside(path))
      byInode.set(ino, [...(byInode.get(ino) ?? []), relative(folder, path)].sort());
  }
  return [...byInode.values()].sort();
};
