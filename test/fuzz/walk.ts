// Walks through a case: after every round, each build through kache must be the clean build without it, and a second
// one must find nothing to do.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type CompileEvent, parseEvent } from '../../src/core/events.ts';
import { KACHE } from '../support/lab.ts';
import { compileLauncher, endDaemons, hitSocketOf } from '../support/launcher.ts';
import { type BuildSetting, type CargoRun, cargo, type Observed } from './builds.ts';
import type { Build, Case } from './case.ts';
import { Checkout } from './checkout.ts';
import type { Sources } from './parts.ts';
import { render, renderRegistry } from './project.ts';
import { hasRegistry, lockfileOf, writeCargoHome } from './registry.ts';

export type MismatchKind = 'status' | 'diagnostics' | 'program' | 'second-build';

export interface Mismatch {
  readonly kind: MismatchKind;
  readonly round: number;
  readonly build: Build;
  readonly expected: string;
  readonly found: string;
}

export interface NewTargets {
  readonly builds: number;
  /** Units, and those of them that it took for fresh at once. */
  readonly units: number;
  readonly fresh: number;
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
  /** Builds through kache that began with a new target folder, and what Cargo did of packages of the registry there. */
  readonly newTargets: NewTargets;
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
const keepsRuns = ({ buildScripts, fingerprints }: Case): boolean =>
  (buildScripts === true || fingerprints === true) && process.platform === 'linux';

/** Variables that macros and scripts read and do not name to Cargo. */
const UNSEEN = ['FUZZ_MACRO', 'FUZZ_NAMED', 'fuzz.odd-name'];

/** The daemon notices within half a second that a build has ended, and keeps its records then. */
const KEPT_AFTER_MS = 1_100;

interface Ended extends CargoRun {
  readonly endedMs: number;
}

class Walker {
  readonly root = mkdtempSync(join(tmpdir(), 'kache-fuzz-'));
  readonly checkouts: Checkout[];
  readonly variables: Record<string, string> = {};
  readonly counts = { rounds: 0, builds: 0, cleanBuilds: 0, failing: 0 };
  readonly #case: Case;
  readonly #options: WalkOptions;
  readonly #isBehindLauncher: boolean;
  readonly #wrapper: string;
  readonly #cargoHome: string;
  /** The packages of the registry, as part of what a clean build is made from. */
  readonly #registry: string;
  /** By checkout: what went into its target folder that Cargo does not watch, where it cannot be told to look again. */
  readonly #unseen = new Map<number, string>();
  readonly #newTargets = { builds: 0, units: 0, fresh: 0 };

  constructor(walked: Case, options: WalkOptions) {
    this.#case = walked;
    this.#options = options;
    const isOfRegistry = hasRegistry(walked.project);
    this.#cargoHome = isOfRegistry
      ? join(this.root, 'cargo-home')
      : (process.env['CARGO_HOME'] ?? join(HOME, '.cargo'));
    this.#registry = JSON.stringify(renderRegistry(walked.project));
    mkdirSync(join(this.root, 'home'));
    if (isOfRegistry) writeCargoHome(this.#cargoHome, walked.project);
    const sources = this.#sources(isOfRegistry);
    this.checkouts = walked.checkouts.map(
      (name, index) =>
        new Checkout(join(this.root, name), sources, {
          place: walked.targets ?? 'inside',
          far: join(this.root, 'targets', String(index)),
        }),
    );
    this.#isBehindLauncher =
      (options.launcher === true || keepsRuns(walked)) && options.wrapper === undefined;
    this.#wrapper = this.#isBehindLauncher
      ? compileLauncher(join(this.root, 'bin'), { kache: KACHE, socket: hitSocketOf(this.#store) })
      : (options.wrapper ?? KACHE);
  }

  /** Where packages of a registry are named by a lockfile, that is a source as any. */
  #sources(isOfRegistry: boolean): Sources {
    const sources = render(this.#case.project);
    const lockfile = isOfRegistry ? lockfileOf(sources, this.#setting({}, '').env) : undefined;
    return lockfile === undefined ? sources : { ...sources, 'ws/Cargo.lock': lockfile };
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
      for (const { at, fresh } of builds)
        if (this.#isOutdated(at) || fresh) this.#checkout(at).removeTarget();
      const runs = await Promise.all(builds.map((build) => this.#cached(build)));
      for (const [which, build] of builds.entries()) {
        const run = runs[which];
        const found = run === undefined ? undefined : await this.#judge(build, run);
        if (found !== undefined) return { ...found, round: index, build };
      }
    }
    return undefined;
  }

  /**
   * Whether what Cargo does not watch is another now than it was in the last build here. The sources of a workspace can be
   * touched; packages of a registry stay what they are, and only a new target folder is right.
   */
  #isOutdated(at: number): boolean {
    if (this.#registry === '{}') return false;
    const checkout = this.#checkout(at);
    const config = join(checkout.workspace, '.cargo', 'config.toml');
    const now = JSON.stringify([
      checkout.path,
      existsSync(config) ? readFileSync(config, 'utf8') : null,
      UNSEEN.map((name) => this.variables[name] ?? null),
    ]);
    const before = this.#unseen.get(at);
    this.#unseen.set(at, now);
    return before !== undefined && before !== now;
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

  get newTargets(): NewTargets {
    return this.#newTargets;
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

  async #judge(build: Build, run: Ended): Promise<Pick<Mismatch, 'kind' | 'expected' | 'found'> | undefined> {
    const clean = await this.#clean(build);
    if (clean.status !== 0) this.counts.failing++;
    const difference = compare(clean, run, stopsAtFirst(build));
    if (difference !== undefined || clean.status !== 0) return difference;
    if (this.#case.fingerprints && run.registry.all > run.registry.fresh)
      await Bun.sleep(Math.max(0, run.endedMs + KEPT_AFTER_MS - Date.now()));
    const again = await this.#cached(build, false);
    if (again.status === 0 && again.rebuilt.length === 0) return compare({ ...clean, programs: {} }, again);
    return {
      kind: 'second-build',
      expected: 'nothing to do',
      found: again.rebuilt.join('\n') + again.stderr,
    };
  }

  async #cached(build: Build, run = true): Promise<Ended> {
    this.counts.builds++;
    const checkout = this.#checkout(build.at);
    const { target } = checkout;
    const isNew = !existsSync(target) || readdirSync(target).length === 0;
    const { fingerprints, buildScripts } = this.#case;
    const own: Record<string, string> =
      this.#options.wrapper === null
        ? { CARGO_INCREMENTAL: '0' }
        : {
            RUSTC_WRAPPER: this.#wrapper,
            KACHE_CACHE_DIR: this.#store,
            KACHE_CACHE_EXECUTABLES: this.#case.executables ? '1' : '0',
            KACHE_CACHE_BUILD_SCRIPTS: buildScripts ? 'all' : fingerprints ? 'dependencies' : 'off',
            KACHE_CACHE_FINGERPRINTS: fingerprints ? '1' : '0',
          };
    const done = await cargo(checkout, build, { ...this.#setting(own, target), run });
    if (isNew) {
      this.#newTargets.builds++;
      this.#newTargets.units += done.registry.all;
      this.#newTargets.fresh += done.registry.fresh;
    }
    return { ...done, endedMs: Date.now() };
  }

  async #clean(build: Build): Promise<Observed> {
    const checkout = this.#checkout(build.at);
    const { command, release, loud, rustflags } = build;
    const key = new Bun.CryptoHasher('sha256')
      .update(
        JSON.stringify([
          this.#registry,
          checkout.sources(),
          this.variables,
          command,
          release,
          loud,
          rustflags,
        ]),
      )
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
      CARGO_HOME: this.#cargoHome,
      RUSTUP_HOME: process.env['RUSTUP_HOME'] ?? join(HOME, '.rustup'),
      ...this.variables,
      ...own,
    };
    // Cargo is told nothing of a folder that it would take by itself: only such a one is filled.
    const isDefault = this.#case.fingerprints === true && target.endsWith('/ws/target');
    return {
      env,
      target,
      isDefault,
      run: true,
      scratch: join(this.root, `scratch-${target.replaceAll('/', '_')}`),
    };
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
      newTargets: walker.newTargets,
      ...(mismatch === undefined ? {} : { mismatch }),
    };
  } finally {
    walker.end();
  }
}
