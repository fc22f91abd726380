// Keeping Cargo's records of what a build compiled, when it has ended. Called by the daemon, which has seen its calls.
import { isCallOfStandIn } from '../compile/stand-in.ts';
import type { Environment } from '../core/config.ts';
import { folderOf } from '../daemon/build-identity.ts';
import type { LaunchedCall, Onlooker } from '../daemon/protocol.ts';
import { type Invocation, isRustcName, parseInvocation } from '../rustc/invocation.ts';
import type { PathMap } from '../rustc/path-map.ts';
import { isFromRegistry, packageOrigin } from '../rustc/roots.ts';
import { signatureNow } from '../store/hashes.ts';
import { openStore, type Store } from '../store/store.ts';
import { lockProfiles } from '../store/target-removal.ts';
import { lockFiles } from '../store/targets.ts';
import { listDirectory, readFile, readText, stat } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin } from '../sys/paths.ts';
import { loadSettings } from '../sys/settings.ts';
import { type CargoRun, cargoRun, isCargo } from './cargo-run.ts';
import { isFirstQuestion } from './fill.ts';
import {
  builtOn,
  fingerprintOf,
  isFingerprint,
  type Plan,
  type PlannedUnit,
  placesOf,
  readPlan,
  writePlan,
} from './plan.ts';
import { holdsValue } from './travel.ts';

/** A build under way. */
interface Watched {
  readonly run: CargoRun;
  readonly store: Store;
  /** In the order in which they began: whoever uses the metadata of a library begins behind it, and may end before it. */
  readonly calls: { readonly call: LaunchedCall; readonly atMs: number }[];
}

/** More units than this are no build of which anything is kept. */
const MAX_UNITS = 4_000;

/** How long a build that has ended waits for the one that has begun behind it. */
const MAX_WAIT_MS = 10 * 60_000;

/** The builds of which a daemon hears, until they have ended. */
export class FingerprintKeeper implements Onlooker {
  /** By the process of Cargo; undefined for one of which nothing is kept. */
  readonly #builds = new Map<number, Watched | undefined>();
  /** Those that have ended, and in whose folder somebody builds again. */
  #ended: (Watched & { readonly untilMs: number })[] = [];

  /** A call begins. */
  asked(call: LaunchedCall): void {
    // There may be no lockfile yet.
    if (isFirstQuestion(call)) return;
    const pid = call.caller.parentPid;
    if (!this.#builds.has(pid)) this.#builds.set(pid, watched(call));
    this.#builds.get(pid)?.calls.push({ call, atMs: Date.now() });
  }

  /** Keeps the records of builds that have ended since. */
  tick(): void {
    for (const [pid, build] of this.#builds) {
      if (isCargo(pid)) continue;
      this.#builds.delete(pid);
      if (build !== undefined) this.#ended.push({ ...build, untilMs: Date.now() + MAX_WAIT_MS });
    }
    const ended = this.#ended;
    this.#ended = [];
    for (const build of ended) if (!keep(build) && Date.now() < build.untilMs) this.#ended.push(build);
  }

  get isBusy(): boolean {
    for (const build of this.#builds.values()) if (build !== undefined) return true;
    return this.#ended.length > 0;
  }
}

function watched({ argv, env, caller }: LaunchedCall): Watched | undefined {
  // A script is told which one it is.
  const compiler = isCallOfStandIn(argv[0]) ? env['RUSTC'] : argv.find(isRustcName);
  const { settings } = loadSettings(env, folderOf(caller.parentPid) ?? '/');
  if (!settings.cacheFingerprints || compiler === undefined) return undefined;
  const store = openStore(settings.cacheDir);
  const run = store.kind === 'problem' ? undefined : cargoRun(caller.parentPid, compiler);
  return run === undefined || store.kind === 'problem' ? undefined : { run, store, calls: [] };
}

/** False: somebody builds there already, who is about to change what would be read. */
function keep({ run, store, calls }: Watched): boolean {
  if (calls.length === 0 || calls.length > MAX_UNITS) return true;
  using lock = lockProfiles(run.targetDir);
  if (lock === undefined) return false;
  const places = placesOf(run);
  const found = recordsIn(run.targetDir);
  const units: PlannedUnit[] = [];
  for (const { call, atMs } of calls) {
    const unit = unitOf(call, run);
    // Somebody else has built there meanwhile, or deletes: these are no records of what was asked for.
    if (unit !== undefined && isBegunAfter(unit, atMs)) return true;
    if (unit !== undefined && stat(unit.folder) === undefined) return true;
    const planned = unit === undefined ? undefined : plannedUnit(call, unit, { run, places });
    if (planned !== undefined) units.push(planned);
  }
  const before = readPlan(store, run);
  // What Cargo had no need to ask for stays; what is not in its folder is of another lockfile or compiler.
  const known = (before?.units ?? [])
    .filter(({ folder }) => stat(`${run.targetDir}/${folder}`) !== undefined)
    .filter(isAsPrinted(run.targetDir, places));
  const all = merged(known, units);
  const plan = { ...layoutOf(run.targetDir, all), units: all };
  const isNews = units.length > 0 && JSON.stringify(plan) !== JSON.stringify(before);
  if (isNews && recordsIn(run.targetDir) === found) writePlan(store, run, plan);
  return true;
}

/** Tells whether records have come or gone. */
const recordsIn = (targetDir: string): string =>
  lockFiles(targetDir)
    .map((path) => signatureNow(`${dirname(path)}/.fingerprint`))
    .join();

/** What Cargo makes for these units before it builds. */
function layoutOf(targetDir: string, units: readonly PlannedUnit[]): Omit<Plan, 'units'> {
  const profiles = new Set(units.map(({ folder }) => `${targetDir}/${dirname(dirname(folder))}`));
  const locks = lockFiles(targetDir).filter((path) => profiles.has(dirname(path)));
  const folders = [...profiles].flatMap((profile) =>
    (listDirectory(profile) ?? []).flatMap(({ name, kind }) =>
      kind === 'directory' && name !== '.kache' ? [`${profile}/${name}`] : [],
    ),
  );
  const below = (path: string): string => path.slice(targetDir.length + 1);
  return { locks: locks.map(below).sort(), folders: folders.map(below).sort() };
}

/** What was built now takes the place of what was known of it. */
export function merged(before: readonly PlannedUnit[], now: readonly PlannedUnit[]): PlannedUnit[] {
  const units = new Map([...before, ...now].map((unit) => [unit.folder, unit]));
  return inOrder([...units.values()]).slice(-MAX_UNITS);
}

/** Every unit behind those it is built on: a call that nobody saw at first comes late. */
function inOrder(units: readonly PlannedUnit[]): PlannedUnit[] {
  const known = new Map(units.map((unit) => [fingerprintOf(unit), unit]));
  const ordered = new Set<PlannedUnit>();
  const seen = new Set<PlannedUnit>();
  const add = (unit: PlannedUnit): void => {
    if (seen.has(unit)) return;
    seen.add(unit);
    for (const one of builtOn(unit) ?? []) {
      const below = known.get(one);
      if (below !== undefined) add(below);
    }
    ordered.add(unit);
  };
  for (const unit of units) add(unit);
  return [...ordered];
}

/**
 * Whether what was known of a unit still goes with what is in this target folder. What is built on a script that prints
 * something else was called otherwise, whether that call was seen or not. Asked of every unit behind those it is built on.
 */
function isAsPrinted(targetDir: string, places: PathMap): (unit: PlannedUnit) => boolean {
  const outdated = new Set<string>();
  return (unit) => {
    const stdout =
      unit.printed === undefined ? undefined : readText(`${targetDir}/${runFolder(unit)}/output`);
    const isOther = stdout !== undefined && digestOf(stdout, places) !== unit.printed;
    const isOutdated = isOther || builtOn(unit)?.some((one) => outdated.has(one)) !== false;
    if (isOutdated) outdated.add(fingerprintOf(unit));
    return !isOutdated;
  };
}

/** Where Cargo keeps what a run of a script has printed. */
const runFolder = ({ folder }: { readonly folder: string }): string =>
  `${dirname(dirname(folder))}/build/${basename(folder)}`;

const digestOf = (stdout: string, places: PathMap): string => sha256(places.tokenize(stdout));

/** A unit by where Cargo keeps its record. */
interface Unit {
  readonly folder: string;
  /** What a script has printed. */
  readonly stdout?: string;
}

/** The unit of a call; undefined for one that is not to be foreseen: of a package that may change, say. */
function unitOf(call: LaunchedCall, { targetDir }: CargoRun): Unit | undefined {
  const unit = isCallOfStandIn(call.argv[0]) ? runOf(call, targetDir) : compileOf(call);
  return unit !== undefined && isWithin(unit.folder, targetDir) ? unit : undefined;
}

/** Whether somebody has begun with a unit after it was asked for: Cargo notes when it does. */
function isBegunAfter(unit: Unit, atMs: number): boolean {
  const folder = unit.stdout === undefined ? unit.folder : runFolder(unit);
  const begun = stat(`${folder}/invoked.timestamp`);
  return begun !== undefined && begun.mtimeSec * 1000 + Math.floor(begun.mtimeNsec / 1e6) > atMs;
}

/** A call as a plan has it; undefined for one that cannot be made elsewhere. */
function plannedUnit(
  { argv, cwd, env }: LaunchedCall,
  unit: Unit,
  { run, places }: { run: CargoRun; places: PathMap },
): PlannedUnit | undefined {
  const [name, version] = [env['CARGO_PKG_NAME'], env['CARGO_PKG_VERSION']];
  const record = recordIn(unit.folder);
  if (name === undefined || version === undefined || record === undefined) return undefined;
  const planned = {
    crate: [name, version] as const,
    argv: argv.map((arg) => places.tokenize(arg)),
    cwd: places.tokenize(cwd),
    env: differences(env, run.env, places),
    folder: unit.folder.slice(run.targetDir.length + 1),
    record,
    ...(unit.stdout === undefined ? {} : { printed: digestOf(unit.stdout, places) }),
  };
  if (holdsPlace(planned, places)) return undefined;
  return holdsValue(planned, run.env) ? planned : { ...planned, travels: true };
}

/** Whether a place of this checkout stands in it other than as a token: it would be wrong in another one. */
function holdsPlace({ argv, cwd, env, record }: PlannedUnit, places: PathMap): boolean {
  const files = record.map(([, bytes]) => Buffer.from(bytes, 'latin1').toString());
  const texts = [cwd, ...argv, ...Object.values(env), ...files];
  return texts.some((text) => places.rootsIn(text ?? '').length > 0);
}

/** Where Cargo keeps its record of a compile. */
function compileOf({ argv, env, cwd }: LaunchedCall): Unit | undefined {
  const invocation = parseInvocation(argv, env, cwd);
  // Of any other package Cargo's record names the place, too.
  if ('reason' in invocation || packageOrigin(invocation) !== 'registry') return undefined;
  const folder = recordFolder(invocation);
  return folder === undefined ? undefined : { folder };
}

function recordFolder({ outDir, env, parsed }: Invocation): string | undefined {
  if (basename(outDir) === 'deps') {
    const name = `${env['CARGO_PKG_NAME']}${parsed.codegen.get('extra-filename') ?? ''}`;
    return `${dirname(outDir)}/.fingerprint/${name}`;
  }
  const above = dirname(outDir);
  return basename(above) === 'build' ? `${dirname(above)}/.fingerprint/${basename(outDir)}` : undefined;
}

/** Where Cargo keeps its record of a run of a build script, and what that printed. */
function runOf({ env }: LaunchedCall, targetDir: string): Unit | undefined {
  const [outDir, packageDir] = [env['OUT_DIR'] ?? '', env['CARGO_MANIFEST_DIR'] ?? ''];
  const own = dirname(outDir);
  if (!isWithin(outDir, targetDir) || !isFromRegistry(packageDir, { env })) return undefined;
  const stdout = readText(`${own}/output`);
  if (basename(dirname(own)) !== 'build' || stdout === undefined) return undefined;
  return { folder: `${dirname(dirname(own))}/.fingerprint/${basename(own)}`, stdout };
}

/** The files of a record; undefined where there is none, or one of a unit that failed. */
function recordIn(folder: string): [name: string, bytes: string][] | undefined {
  const files = (listDirectory(folder) ?? []).flatMap(({ name, kind }): [string, string][] => {
    const bytes = kind === 'file' ? readFile(`${folder}/${name}`) : undefined;
    return bytes === undefined ? [] : [[name, Buffer.from(bytes).toString('latin1')]];
  });
  const isFinished = files.some(
    (file) => isFingerprint(file) && files.some(([other]) => other === `${file[0]}.json`),
  );
  return isFinished && builtOn({ record: files }) !== undefined ? files.sort() : undefined;
}

/** What a call was given that Cargo was not, and the other way round; and what a script gives it in any case. */
function differences(env: Environment, own: Environment, places: PathMap): PlannedUnit['env'] {
  const found: Record<string, string | null> = {};
  const given = namesGiven(readText(`${dirname(env['OUT_DIR'] ?? '/')}/output`) ?? '');
  for (const [name, value] of Object.entries(env))
    if (value !== undefined && (value !== own[name] || given.has(name))) found[name] = places.tokenize(value);
  for (const name of Object.keys(own)) if (env[name] === undefined) found[name] = null;
  return found;
}

/** The variables that a script sets, by what it has printed. */
const namesGiven = (stdout: string): Set<string> =>
  new Set([...stdout.matchAll(/^[^\S\n]*cargo::?rustc-env=([^=\n]+)=/gm)].map(([, name]) => name ?? ''));
