// Where faults happen: a store and two checkouts, set up once and put back before every fault; and the faults: every file
// of the store damaged in every way, every operation of a process struck in its turn.
import { expect } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CompileEvent, parseEvent } from '../../src/core/events.ts';
import { filesBelow, inspectStore } from './invariants.ts';
import { type Env, type Files, KACHE, Lab } from './lab.ts';

/** Builds the test build of the binary, whose file system fails on demand. */
export function buildFaulty(lab: Lab): string {
  const path = lab.path('kache-faults');
  const script = join(import.meta.dir, '..', '..', 'scripts', 'build.ts');
  const built = Bun.spawnSync([process.execPath, script, '--faults', '--outfile', path]);
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  return path;
}

export class FaultPlace implements Disposable {
  readonly lab = new Lab();
  /** Everything a fault may touch. */
  readonly base = this.lab.path('now');
  /** The checkout from which a store is filled. */
  readonly first = join(this.base, 'first');
  /** One that was never built. */
  readonly second = join(this.base, 'a', 'second');
  readonly store: string;
  readonly env: Env;
  readonly #files: Files;
  readonly #kept = `${this.base}.kept`;
  readonly #trace = this.lab.path('trace');
  #faulty: string | undefined;

  /** `files` are those of a checkout; a store that is elsewhere than in this place is not put back. */
  constructor(files: Files, store?: string) {
    this.#files = files;
    this.store = store ?? join(this.base, 'store');
    this.env = { KACHE_CACHE_DIR: this.store, KACHE_CACHE_EXECUTABLES: '1' };
  }

  /** The test build of the binary, made when it is first needed. */
  get faulty(): string {
    this.#faulty ??= buildFaulty(this.lab);
    return this.#faulty;
  }

  /** Both checkouts, and whatever `fill` does. What is there then is what {@link putBack} puts back. */
  async setUp(fill: () => Promise<void>): Promise<void> {
    rmSync(this.base, { recursive: true, force: true });
    for (const dir of [this.first, this.second]) this.lab.write(dir, this.#files);
    await fill();
    rmSync(this.#kept, { recursive: true, force: true });
    this.#copy(this.base, this.#kept);
  }

  #copy(from: string, to: string): void {
    const done = Bun.spawnSync(['cp', '-a', '--reflink=never', from, to]);
    if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  }

  /** Everything as it was set up; hardlinks and times too, but for inode numbers and ctimes. */
  putBack(): void {
    rmSync(this.base, { recursive: true, force: true });
    this.#copy(this.#kept, this.base);
  }

  /** What makes the test build fail, and note from here on what it does. */
  fault(fault: string): Env {
    rmSync(this.#trace, { force: true });
    return { KACHE_TEST_FAULT: fault, KACHE_TEST_TRACE: this.#trace };
  }

  /** What the last process with a fault did to files; the last line is where it died, if it did. */
  traced(): string[] {
    return existsSync(this.#trace) ? readFileSync(this.#trace, 'utf8').trim().split('\n') : [];
  }

  /** The operations in which it was struck. */
  struck(): string[] {
    return this.traced().filter((line) => line.startsWith('!'));
  }

  /** What does not hold of the store. */
  broken(): string[] {
    return [...inspectStore(this.store).wrong];
  }

  /** The same of the store alone, without what nobody has looked at: a memo that is torn is none. */
  brokenInUse(): string[] {
    return inspectStore(this.store).wrong.filter((line) => !/^torn (memo|inputs)/.test(line));
  }

  /** What does not hold while entries are evicted: a closure may outlive its entry, an entry never its blobs. */
  brokenByEviction(): string[] {
    return this.broken().filter((line) => !line.startsWith('a closure'));
  }

  /** Events logged so far. */
  events(): CompileEvent[] {
    const path = join(this.store, 'events', 'log');
    if (!existsSync(path) || !statSync(path).isFile()) return [];
    return readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line) => parseEvent(line) ?? []);
  }

  /** Runs a command of the command line on the store. */
  command(args: readonly string[], env: Env = {}): { status: number | null; stdout: string } {
    return this.lab.run([KACHE, ...args], { env: { ...this.env, ...env } });
  }

  /** What was left is gone once it is old enough: everything is made to look two hours old, and eviction sweeps. */
  expectSwept(at: string): void {
    const then = new Date(Date.now() - 2 * 3600 * 1000);
    for (const folder of ['tmp', 'locks'])
      for (const { path } of filesBelow(join(this.store, folder))) utimesSync(path, then, then);
    const { status, stdout } = this.command(['gc']);
    if (status !== 0) throw new Error(stdout);
    const { temporaries } = inspectStore(this.store);
    expect([at, temporaries, readdirSync(join(this.store, 'locks'))]).toEqual([at, 0, []]);
  }

  [Symbol.dispose](): void {
    for (const path of [this.base, this.#kept]) rmSync(path, { recursive: true, force: true });
    this.lab[Symbol.dispose]();
  }
}

/** What the log says of a call, in one word or two. */
export const told = ({ result, reason, passthrough_reason }: CompileEvent): string =>
  [result, passthrough_reason ?? reason ?? ''].join(' ').trim();

const DAMAGE = {
  truncated: (path: string) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  zeroed: (path: string) => writeFileSync(path, new Uint8Array(statSync(path).size)),
  'a bit flipped': (path: string) => {
    const bytes = readFileSync(path);
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    writeFileSync(path, bytes);
  },
  deleted: (path: string) => rmSync(path),
  'replaced by a folder': (path: string) => {
    rmSync(path);
    mkdirSync(join(path, 'below'), { recursive: true });
  },
};

/** The ways in which a file can be damaged. */
export const DAMAGES = Object.keys(DAMAGE) as (keyof typeof DAMAGE)[];

/** Damages a file. */
export const damage = (path: string, how: (typeof DAMAGES)[number]): void => DAMAGE[how](path);

export interface Survival {
  /** A build in the second checkout, which must be right; what the log says of it. */
  readonly build: (what: string) => Promise<string>;
  readonly hit: string;
  /** What damage to a file of each kind may do to the next build; to all others, nothing. */
  readonly expected: readonly (readonly [kind: RegExp, events: RegExp])[];
}

/** Damages every file of the store that was set up, one at a time; returns how many there are. */
export async function damageEach(
  place: FaultPlace,
  how: (typeof DAMAGES)[number],
  { build, hit, expected }: Survival,
): Promise<number> {
  place.putBack();
  const names = filesBelow(place.store).map(({ path }) => path.slice(place.store.length + 1));
  for (const name of names) {
    place.putBack();
    DAMAGE[how](join(place.store, name));
    const what = `${name} ${how}`;
    // A log that is a folder says nothing, and a store of unknown format is not used.
    const isSilent =
      (name === 'events/log' && how === 'replaced by a folder') ||
      (name === 'format' && ['truncated', 'a bit flipped', 'replaced by a folder'].includes(how));
    const may = expected.find(([kind]) => kind.test(name))?.[1];
    const events = await build(what);
    expect([what, events]).toEqual([
      what,
      isSilent ? '' : may === undefined ? hit : expect.stringMatching(may),
    ]);
    // Dropped, or repaired: the build after that finds all it needs.
    expect([what, await build(`${what}, and once more`)]).toEqual([what, isSilent ? '' : hit]);
    expect([what, place.brokenInUse()]).toEqual([what, []]);
  }
  return names.length;
}

/** More operations than any process makes. */
const MAX_OPERATIONS = 400;

/** Strikes at one operation after the other, until `strike` says that there was none; returns how many there were. */
export async function atEvery(strike: (n: number) => Promise<boolean>): Promise<number> {
  for (let n = 1; n <= MAX_OPERATIONS; n++) if (!(await strike(n))) return n - 1;
  throw new Error(`There is no end after ${MAX_OPERATIONS} operations.`);
}

/** kill -9 before every operation and in the middle of every write; `die` returns what it died at, if it did. */
export const dieAtEvery = (
  die: (n: number, effect: string) => Promise<string | undefined>,
): Promise<number> =>
  atEvery(async (n) => {
    const operation = await die(n, 'die');
    if (operation !== undefined && /^! die (write|copy) /.test(operation)) await die(n, 'die-midway');
    return operation !== undefined;
  });
