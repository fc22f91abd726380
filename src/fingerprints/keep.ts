// Keeping Cargo's records of what a build compiled, when it has ended. Called by the daemon, which has seen its calls.
import { isCallOfStandIn } from '../compile/stand-in.ts';
import type { Environment } from '../core/config.ts';
import { folderOf } from '../daemon/build-identity.ts';
import type { LaunchedCall, Onlooker } from '../daemon/protocol.ts';
import { type Invocation, isRustcName, parseInvocation } from '../rustc/invocation.ts';
import type { PathMap } from '../rustc/path-map.ts';
import { isFromRegistry, packageOrigin } from '../rustc/roots.ts';
import { openStore, type Store } from '../store/store.ts';
import { lockProfiles } from '../store/target-removal.ts';
import { lockFiles } from '../store/targets.ts';
import { listDirectory, readFile, readText } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin } from '../sys/paths.ts';
import { loadSettings } from '../sys/settings.ts';
import { type CargoRun, cargoRun, isCargo } from './cargo-run.ts';
import { hashOf, type Plan, type PlannedUnit, placesOf, readPlan, unitsNamed, writePlan } from './plan.ts';

/** A build under way. */
interface Watched {
  readonly run: CargoRun;
  readonly store: Store;
  /** In the order in which they began: whoever uses the metadata of a library begins behind it, and may end before it. */
  readonly calls: LaunchedCall[];
}

/** More units than this are no build of which anything is kept. */
const MAX_UNITS = 4_000;

/** The builds of which a daemon hears, until they have ended. */
export class FingerprintKeeper implements Onlooker {
  /** By the process of Cargo; undefined for one of which nothing is kept. */
  readonly #builds = new Map<number, Watched | undefined>();

  /** A call begins. */
  asked(call: LaunchedCall): void {
    const pid = call.caller.parentPid;
    if (!this.#builds.has(pid)) this.#builds.set(pid, watched(call));
    this.#builds.get(pid)?.calls.push(call);
  }

  /** Keeps the records of builds that have ended since. */
  tick(): void {
    for (const [pid, build] of this.#builds) {
      if (isCargo(pid)) continue;
      this.#builds.delete(pid);
      if (build !== undefined) keep(build);
    }
  }

  get isBusy(): boolean {
    return this.#builds.size > 0;
  }
}

function watched({ argv, env, caller }: LaunchedCall): Watched | undefined {
  // Where scripts are in place, the first call that is seen is the run of one: Cargo tells that of its compiler.
  const compiler = isCallOfStandIn(argv[0]) ? env['RUSTC'] : argv.find(isRustcName);
  const { settings } = loadSettings(env, folderOf(caller.parentPid) ?? '/');
  if (!settings.cacheFingerprints || compiler === undefined) return undefined;
  const store = openStore(settings.cacheDir);
  const run = store.kind === 'problem' ? undefined : cargoRun(caller.parentPid, compiler);
  return run === undefined || store.kind === 'problem' ? undefined : { run, store, calls: [] };
}

function keep({ run, store, calls }: Watched): void {
  if (calls.length === 0 || calls.length > MAX_UNITS) return;
  // Whoever builds there already is about to change what would be read.
  using lock = lockProfiles(run.targetDir);
  if (lock === undefined) return;
  const places = placesOf(run);
  const units = calls.flatMap((call) => plannedUnit(call, run, places) ?? []);
  const before = readPlan(store, run);
  const plan = merged(before, { ...layoutOf(run.targetDir, units), units });
  if (units.length > 0 && JSON.stringify(plan) !== JSON.stringify(before)) writePlan(store, run, plan);
}

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

/** What was built now takes the place of what was known of it; what Cargo had no need to ask for stays. */
function merged(before: Plan | undefined, now: Plan): Plan {
  const units = new Map([...(before?.units ?? []), ...now.units].map((unit) => [unit.folder, unit]));
  return { ...now, units: inOrder([...units.values()]).slice(-MAX_UNITS) };
}

/** Every unit behind those it is built on: a call that nobody saw at first comes late. */
function inOrder(units: readonly PlannedUnit[]): PlannedUnit[] {
  const byHash = new Map(units.map((unit) => [hashOf(unit), unit]));
  const ordered = new Set<PlannedUnit>();
  const seen = new Set<PlannedUnit>();
  const add = (unit: PlannedUnit): void => {
    if (seen.has(unit)) return;
    seen.add(unit);
    for (const hash of unitsNamed(unit)) {
      const named = byHash.get(hash);
      if (named !== undefined) add(named);
    }
    ordered.add(unit);
  };
  for (const unit of units) add(unit);
  return [...ordered];
}

/** A call as a plan has it; undefined for one that is not to be foreseen: of a package that may change, say. */
function plannedUnit(call: LaunchedCall, run: CargoRun, places: PathMap): PlannedUnit | undefined {
  const unit = isCallOfStandIn(call.argv[0]) ? runOf(call, run) : compileOf(call);
  const { env, argv, cwd } = call;
  const [name, version] = [env['CARGO_PKG_NAME'], env['CARGO_PKG_VERSION']];
  if (unit === undefined || !isWithin(unit.folder, run.targetDir)) return undefined;
  if (name === undefined || version === undefined) return undefined;
  const record = recordIn(unit.folder);
  const planned = {
    crate: [name, version] as const,
    argv: argv.map((arg) => places.tokenize(arg)),
    cwd: places.tokenize(cwd),
    env: differences(env, run.env, places),
    folder: unit.folder.slice(run.targetDir.length + 1),
    record: record ?? [],
    ...(unit.stdout === undefined ? {} : { printed: sha256(places.tokenize(unit.stdout)) }),
  };
  return record === undefined || holdsPlace(planned, places) ? undefined : planned;
}

/** Whether a place of this checkout stands in it other than as a token: it would be wrong in another one. */
function holdsPlace({ argv, cwd, env, record }: PlannedUnit, places: PathMap): boolean {
  const files = record.map(([, bytes]) => Buffer.from(bytes, 'latin1').toString());
  const texts = [cwd, ...argv, ...Object.values(env), ...files];
  return texts.some((text) => places.rootsIn(text ?? '').length > 0);
}

/** Where Cargo keeps its record of a compile. */
function compileOf({ argv, env, cwd }: LaunchedCall): { folder: string; stdout?: string } | undefined {
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
function runOf(
  { env }: LaunchedCall,
  { targetDir }: CargoRun,
): { folder: string; stdout: string } | undefined {
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
    ([name, bytes]) => /^[0-9a-f]{16}$/.test(bytes) && files.some(([other]) => other === `${name}.json`),
  );
  return isFinished ? files.sort() : undefined;
}

/** What a call was given that Cargo was not, and the other way round. */
function differences(env: Environment, own: Environment, places: PathMap): PlannedUnit['env'] {
  const found: Record<string, string | null> = {};
  for (const [name, value] of Object.entries(env))
    if (value !== undefined && value !== own[name]) found[name] = places.tokenize(value);
  for (const name of Object.keys(own)) if (env[name] === undefined) found[name] = null;
  return found;
}
