// Walks through a case: after every round, each build through kache must be the clean build without it, and a second
// one must find nothing to do.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type CompileEvent, parseEvent } from '../../src/core/events.ts';
import { KACHE } from '../support/lab.ts';
import { compileLauncher, endDaemons, hitSocketOf } from '../support/launcher.ts';
import { type BuildSetting, type CargoRun, cargo, type Observed } from './builds.ts';
import type { Build, Case } from './case.ts';
import { Checkout } from './checkout.ts';
import { render } from './project.ts';

export type MismatchKind = 'status' | 'diagnostics' | 'program' | 'second-build';

export interface Mismatch {
  readonly kind: MismatchKind;
  readonly round: number;
  readonly build: Build;
  readonly expected: string;
  readonly found: string;
}

/** What a walk did, and where it ended early. */
export interface Walked {
  readonly rounds: number;
  /** Builds through kache, the second ones included. */
  readonly builds: number;
  readonly cleanBuilds: number;
  readonly failing: number;
  /** Hits that the daemon answered behind a launcher. */
  readonly answered: number;
  readonly outcomes: Readonly<Record<string, number>>;
  /** What became of the runs of build scripts that were to be kept. */
  readonly scripts: Readonly<Record<string, number>>;
  readonly mismatch?: Mismatch;
}

/** Results of clean builds by everything that goes into them: the same sources need not be built twice. */
export type CleanResults = Map<string, Observed>;

export interface WalkOptions {
  readonly clean: CleanResults;
  /** The wrapper to judge, by default kache; null: plain cargo walks, to tell its own limits from errors of kache. */
  readonly wrapper?: string | null;
  /** Whether kache runs behind its launcher, with a daemon that lives as long as the walk. */
  readonly launcher?: boolean;
}

const HOME = process.env['HOME'] ?? '/root';

/** Only on Linux, and behind the launcher, which watches them. */
const keepsRuns = ({ buildScripts }: Case): boolean => buildScripts === true && process.platform === 'linux';

class Walker {
  readonly root = mkdtempSync(join(tmpdir(), 'kache-fuzz-'));
  readonly checkouts: Checkout[];
  readonly variables: Record<string, string> = {};
  readonly counts = { rounds: 0, builds: 0, cleanBuilds: 0, failing: 0 };
  readonly #case: Case;
  readonly #options: WalkOptions;
  readonly #isBehindLauncher: boolean;
  readonly #wrapper: string;

  constructor(walked: Case, options: WalkOptions) {
    this.#case = walked;
    this.#options = options;
    const sources = render(walked.project);
    this.checkouts = walked.checkouts.map(
      (name, index) =>
        new Checkout(join(this.root, name), sources, {
          place: walked.targets ?? 'inside',
          far: join(this.root, 'targets', String(index)),
        }),
    );
    mkdirSync(join(this.root, 'home'));
    this.#isBehindLauncher =
      (options.launcher === true || keepsRuns(walked)) && options.wrapper === undefined;
    this.#wrapper = this.#isBehindLauncher
      ? compileLauncher(join(this.root, 'bin'), { kache: KACHE, socket: hitSocketOf(this.#store) })
      : (options.wrapper ?? KACHE);
  }

  get #store(): string {
    return join(this.root, 'store');
  }

  async walk(): Promise<Mismatch | undefined> {
    for (const [index, round] of this.#case.rounds.entries()) {
      this.counts.rounds++;
      for (const change of round.changes) {
        if (change.op === 'env') this.#setVariable(change.name, change.value);
        else this.checkouts[change.at]?.apply(change, this.checkouts, this.root);
      }
      const builds = round.builds.filter(({ at }) => this.checkouts[at] !== undefined);
      for (const { at, fresh } of builds) if (fresh) this.#checkout(at).removeTarget();
      const runs = await Promise.all(builds.map((build) => this.#cached(build)));
      for (const [which, build] of builds.entries()) {
        const run = runs[which];
        const found = run === undefined ? undefined : await this.#judge(build, run);
        if (found !== undefined) return { ...found, round: index, build };
      }
    }
    return undefined;
  }

  /** How calls ended, and how runs of build scripts did. */
  outcomes(): Pick<Walked, 'outcomes' | 'scripts'> {
    const outcomes: Record<string, number> = {};
    const scripts: Record<string, number> = {};
    for (const event of this.#events()) {
      const [counts, name] =
        event.crate_types === 'build-script-run' ? [scripts, runOutcome(event)] : [outcomes, event.result];
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return { outcomes, scripts };
  }

  #events(): CompileEvent[] {
    try {
      const log = readFileSync(join(this.#store, 'events', 'log'), 'utf8');
      return log.split('\n').flatMap((line) => parseEvent(line) ?? []);
    } catch {
      return [];
    }
  }

  /** Calls that the daemon answered. */
  answered(): number {
    if (!this.#isBehindLauncher) return 0;
    const { exitCode, stdout } = Bun.spawnSync([KACHE, 'daemon', 'status', '--json'], {
      env: this.#setting({ KACHE_CACHE_DIR: this.#store }, '').env,
    });
    return exitCode === 0 ? (JSON.parse(stdout.toString()) as { hits: number }).hits : 0;
  }

  end(): void {
    endDaemons(KACHE, [this.#store]);
    rmSync(this.root, { recursive: true, force: true });
  }

  #checkout(at: number): Checkout {
    const checkout = this.checkouts[at];
    if (checkout === undefined) throw new Error(`Cannot build checkout ${at}: there is none.`);
    return checkout;
  }

  /** Cargo does not watch variables that macros read either. */
  #setVariable(name: string, value: string | null): void {
    if (value === null) delete this.variables[name];
    else this.variables[name] = value;
    for (const checkout of this.checkouts) checkout.touch();
  }

  async #judge(
    build: Build,
    run: CargoRun,
  ): Promise<Pick<Mismatch, 'kind' | 'expected' | 'found'> | undefined> {
    const clean = await this.#clean(build);
    if (clean.status !== 0) this.counts.failing++;
    const difference = compare(clean, run, stopsAtFirst(build));
    if (difference !== undefined || clean.status !== 0) return difference;
    const again = await this.#cached(build, false);
    if (again.status === 0 && again.rebuilt.length === 0) return compare({ ...clean, programs: {} }, again);
    return {
      kind: 'second-build',
      expected: 'nothing to do',
      found: again.rebuilt.join('\n') + again.stderr,
    };
  }

  async #cached(build: Build, run = true): Promise<CargoRun> {
    this.counts.builds++;
    const checkout = this.#checkout(build.at);
    const own: Record<string, string> =
      this.#options.wrapper === null
        ? { CARGO_INCREMENTAL: '0' }
        : {
            RUSTC_WRAPPER: this.#wrapper,
            KACHE_CACHE_DIR: this.#store,
            KACHE_CACHE_EXECUTABLES: this.#case.executables ? '1' : '0',
            KACHE_CACHE_BUILD_SCRIPTS: this.#case.buildScripts ? 'all' : 'off',
          };
    return await cargo(checkout, build, { ...this.#setting(own, checkout.target), run });
  }

  async #clean(build: Build): Promise<Observed> {
    const checkout = this.#checkout(build.at);
    const { command, release, loud, rustflags } = build;
    const key = new Bun.CryptoHasher('sha256')
      .update(JSON.stringify([checkout.sources(), this.variables, command, release, loud, rustflags]))
      .digest('hex');
    const known = this.#options.clean.get(key);
    if (known !== undefined) return known;
    this.counts.cleanBuilds++;
    const target = join(this.root, 'clean');
    rmSync(target, { recursive: true, force: true });
    const setting = this.#setting({ CARGO_INCREMENTAL: '0' }, target);
    const { status, diagnostics, programs } = await cargo(checkout, build, setting);
    const observed = { status, diagnostics, programs };
    this.#options.clean.set(key, observed);
    return observed;
  }

  #setting(own: Record<string, string>, target: string): BuildSetting {
    const env: Record<string, string> = {
      PATH: process.env['PATH'] ?? '',
      HOME: join(this.root, 'home'),
      CARGO_HOME: process.env['CARGO_HOME'] ?? join(HOME, '.cargo'),
      RUSTUP_HOME: process.env['RUSTUP_HOME'] ?? join(HOME, '.rustup'),
      ...this.variables,
      ...own,
    };
    return { env, target, run: true, scratch: join(this.root, `scratch-${target.replaceAll('/', '_')}`) };
  }
}

/** What became of a run, and why it was not put back or not kept. */
function runOutcome({ result, reason }: CompileEvent): string {
  if (result === 'local_hit') return 'put back';
  if (result === 'error') return 'failed';
  return `${result === 'miss' ? 'kept' : 'not kept'} (${reason?.split('|')[0]})`;
}

/** `cargo test` has no way to go on after an error: which other messages come first is a matter of time. */
const stopsAtFirst = ({ command }: Build): boolean => command === 'test';

function compare(
  clean: Observed,
  run: Observed,
  stops = false,
): Pick<Mismatch, 'kind' | 'expected' | 'found'> | undefined {
  const text = (value: unknown): string => JSON.stringify(value, undefined, 1);
  if (clean.status !== run.status)
    return {
      kind: 'status',
      expected: text([clean.status, clean.diagnostics]),
      found: text([run.status, run.diagnostics]),
    };
  for (const name of new Set([...Object.keys(clean.programs), ...Object.keys(run.programs)]))
    if (clean.programs[name] !== run.programs[name])
      return {
        kind: 'program',
        expected: `${name}\n${clean.programs[name]}`,
        found: `${name}\n${run.programs[name]}`,
      };
  if ((stops && clean.status !== 0) || isDeepStrictEqual(clean.diagnostics, run.diagnostics))
    return undefined;
  return { kind: 'diagnostics', expected: text(clean.diagnostics), found: text(run.diagnostics) };
}

/** Runs a case in a folder of its own, and removes the folder. */
export async function walk(walked: Case, options: WalkOptions): Promise<Walked> {
  const walker = new Walker(walked, options);
  try {
    const mismatch = await walker.walk();
    return {
      ...walker.counts,
      answered: walker.answered(),
      ...walker.outcomes(),
      ...(mismatch === undefined ? {} : { mismatch }),
    };
  } finally {
    walker.end();
  }
}
