// Filling a target folder that is new, before Cargo looks at it: every unit of the last build like this one that is a hit
// comes into its place together with Cargo's own record of it. Cargo takes it for fresh then, and asks for it no more. What
// is to be done is decided here, in the daemon, and done by the launcher that Cargo waits for.
//
// Nothing is believed that would not be for a call: each unit is looked up under the call that Cargo would make, with the
// environment as it is now. That Cargo would make it is what its record says, for Cargo compares that before it uses it.
import { answer } from '../answer.ts';
import { identifyToolchain } from '../compile/identify.ts';
import { calledName, isCallOfStandIn } from '../compile/stand-in.ts';
import type {
  Batch,
  FillAnswer,
  Filling,
  HitAnswer,
  InPlace,
  LaunchedCall,
  Step,
} from '../daemon/protocol.ts';
import { isRustcName, parseInvocation } from '../rustc/invocation.ts';
import { answerRun } from '../script/answer.ts';
import { filledNote } from '../script/filled.ts';
import { openStore, type Store } from '../store/store.ts';
import { readText, stat, utf8 } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin } from '../sys/paths.ts';
import { startOf } from '../sys/process-table.ts';
import { loadSettings } from '../sys/settings.ts';
import { type CargoRun, cargoRun } from './cargo-run.ts';
import {
  builtOn,
  fingerprintOf,
  isFingerprint,
  type Plan,
  type PlannedUnit,
  placesOf,
  readPlan,
  touchPlan,
} from './plan.ts';

/** Whether a call is what Cargo asks first where a target folder is new. */
export const isFirstQuestion = ({ argv }: Pick<LaunchedCall, 'argv'>): boolean => argv.at(-1) === '-vV';

/** Runs of Cargo that were put off are remembered, so many of them. */
const MAX_PUT_OFF = 64;

export class Filler {
  /** Processes, by number and start. */
  readonly #putOff = new Set<string>();

  /**
   * How the target folder of the Cargo that asks is to be filled. Whatever becomes of that leaves a folder that Cargo could
   * have left: a unit counts for it when the last file of its record is there.
   */
  answer(call: LaunchedCall, self: string): FillAnswer | 'learn' | 'none' {
    const found = planFor(call);
    if (found === undefined) return 'none';
    if (!isCompilerKnown(found)) return 'learn';
    return lacksSources(found) && this.#isPutOff(found.run) ? 'none' : fillAnswer(found, { ...call, self });
  }

  /** Whether a run that lacks sources is put off: once, for Cargo asks again when it has fetched and unpacked them. */
  #isPutOff({ pid }: CargoRun): boolean {
    const process = `${pid} ${startOf(pid)}`;
    const [oldest] = this.#putOff;
    if (this.#putOff.has(process)) return false;
    if (oldest !== undefined && this.#putOff.size >= MAX_PUT_OFF) this.#putOff.delete(oldest);
    this.#putOff.add(process);
    return true;
  }
}

interface Planned {
  readonly store: Store;
  readonly compiler: string;
  readonly run: CargoRun;
  readonly plan: Plan;
  /** The units of packages that the lockfile has. */
  readonly units: readonly PlannedUnit[];
}

/** What is known of the build that asks; undefined where nothing is, or nothing is to be filled. */
export function planFor(call: LaunchedCall): Planned | undefined {
  const { settings } = loadSettings(call.env, call.cwd);
  const compiler = call.argv.find(isRustcName);
  if (settings.disabled || !settings.cacheFingerprints || compiler === undefined) return undefined;
  const store = openStore(settings.cacheDir);
  if (store.kind === 'problem') return undefined;
  const run = cargoRun(call.caller.parentPid, compiler);
  const plan = run === undefined ? undefined : readPlan(store, run);
  if (run === undefined || plan === undefined) return undefined;
  const locked = packagesOf(readText(`${run.root}/Cargo.lock`) ?? '');
  const units = plan.units.filter(({ crate }) => locked.has(crate.join(' ')));
  const planned = { store, compiler, run, plan, units };
  return units.length > 0 && isNew(planned) ? planned : undefined;
}

/** Whether units can be looked up without a program that says which compiler this is. */
function isCompilerKnown({ store, compiler, run }: Planned): boolean {
  const invocation = { compiler: [compiler], env: run.env, cwd: run.root } as const;
  return identifyToolchain({ store, invocation, ask: () => undefined }) !== undefined;
}

/** Whether nobody has built there: what is there else is his, and Cargo's. */
function isNew({ run, plan }: Planned): boolean {
  const profiles = new Set(plan.units.map(({ folder }) => dirname(dirname(folder))));
  return ![...profiles].some((profile) => stat(`${run.targetDir}/${profile}/.fingerprint`) !== undefined);
}

/** Whether Cargo has yet to fetch or unpack a package. */
function lacksSources({ run, units }: Planned): boolean {
  const places = placesOf(run);
  const folders = new Set(units.map(({ cwd }) => places.detokenize(cwd)));
  return [...folders].some((folder) => stat(folder) === undefined);
}

function fillAnswer(planned: Planned, asked: Asked): FillAnswer {
  const { store, run, plan } = planned;
  const { targetDir } = run;
  const locks = plan.locks.map((path): Step => ({ kind: 'lock', path: `${targetDir}/${path}` }));
  return {
    kind: 'fill',
    proof: store.temporaryPath(),
    steps: [...(stat(targetDir) === undefined ? asCargoMakes(targetDir) : []), ...locks],
    begin: () => {
      if (!isNew(planned)) return undefined;
      touchPlan(store, run);
      return new Units(planned, asked);
    },
  };
}

/** Tools that make backups leave such a folder out. */
const asCargoMakes = (targetDir: string): Step[] => [
  { kind: 'folder', path: targetDir },
  {
    kind: 'new',
    path: `${targetDir}/CACHEDIR.TAG`,
    bytes: utf8(
      'Signature: 8a477f597d28d172789f06886806bc55\n' +
        '# This file is a cache directory tag created by cargo.\n' +
        '# For information about cache directory tags see https://bford.info/cachedir/\n',
    ),
  },
];

/** The call that fills. */
type Asked = LaunchedCall & { readonly self: string };

/** Steps one after the other, each list behind what became of the last; whether the unit is in its place in the end. */
type Placing = Generator<readonly Step[], boolean, InPlace | undefined>;

/** The units of a plan on their way into a target folder, each behind those that it is built on. */
class Units implements Filling {
  readonly #run: CargoRun;
  readonly #asked: Asked;
  #folders: readonly Step[];
  /** Undefined where a record does not tell what its unit is built on. */
  readonly #waiting: { readonly unit: PlannedUnit; readonly on: readonly string[] | undefined }[];
  readonly #placed = new Set<string>();

  constructor({ run, plan, units }: Planned, asked: Asked) {
    this.#run = run;
    this.#asked = asked;
    this.#folders = plan.folders.map((path) => ({ kind: 'folder', path: `${run.targetDir}/${path}` }));
    this.#waiting = units.map((unit) => ({ unit, on: builtOn(unit) }));
  }

  next(): Batch | 'not-this' | undefined {
    const steps = this.#folders;
    this.#folders = [];
    if (steps.length > 0) return { steps, carriedOut: () => undefined };
    // Cargo takes nothing for fresh that is built on something that is not.
    const at = this.#waiting.findIndex(({ on }) => on?.every((one) => this.#placed.has(one)) === true);
    const [found] = at < 0 ? [] : this.#waiting.splice(at, 1);
    if (found === undefined) return undefined;
    const placing = placeUnit(found.unit, this.#run, this.#asked);
    return this.#batchOf(found.unit, placing, placing.next()) ?? 'not-this';
  }

  #batchOf(unit: PlannedUnit, placing: Placing, at: ReturnType<Placing['next']>): Batch | undefined {
    if (at.done !== true)
      return {
        steps: at.value,
        carriedOut: (files) => this.#batchOf(unit, placing, placing.next(files)),
      };
    if (at.value) this.#placed.add(fingerprintOf(unit));
    return undefined;
  }
}

/** Name and version of every package of a lockfile. */
function packagesOf(lockfile: string): Set<string> {
  const value = (section: string, name: string): string =>
    new RegExp(`^${name} = "([^"]+)"`, 'm').exec(section)?.[1] ?? '';
  const sections = lockfile.split('[[package]]').slice(1);
  return new Set(sections.map((section) => `${value(section, 'name')} ${value(section, 'version')}`));
}

/** Has a unit and its record put in place, if it is a hit. */
function* placeUnit(unit: PlannedUnit, run: CargoRun, { caller, self }: Asked): Placing {
  const places = placesOf(run);
  const call = callOf(unit, run, caller.pid);
  const recordFolder = `${run.targetDir}/${unit.folder}`;
  const record = recordSteps(recordFolder, unit.record);
  if (!isCallOfStandIn(call.argv[0])) {
    const hit = inFolderOf(call, () => answer(call, self, MAX_PROVEN_BYTES));
    if (typeof hit !== 'object' || hit.kind !== 'hit' || !isAllInside(run, hit)) return false;
    const files = yield [...hit.files, ...scriptLink(call, hit), ...record];
    return files !== undefined && isSettled(call, hit, files);
  }
  const outDir = call.env['OUT_DIR'] ?? '';
  // What somebody has left there is his.
  if (!isInside(run, outDir) || stat(outDir) !== undefined) return false;
  const folder: Step = { kind: 'folder', path: outDir };
  // A script finds its folder there, and empty.
  if ((yield [folder]) === undefined) return false;
  const hit = inFolderOf(call, () => answerRun(call, self, MAX_PROVEN_BYTES));
  // What a script prints is in the calls behind it: with anything else they are not those that are foreseen.
  const isForeseen = (found: HitAnswer): boolean =>
    sha256(places.tokenize(found.stdout)) === unit.printed && isAllInside(run, found);
  if (hit !== undefined && hit !== 'none' && isForeseen(hit)) {
    const files = yield [
      filledNote(outDir, run.pid),
      ...hit.files,
      ...printedSteps(dirname(outDir), hit, outDir),
      ...record,
    ];
    if (files !== undefined && isSettled(call, hit, files)) return true;
  }
  // With a record Cargo would not look whether the folder is there.
  yield [
    { kind: 'remove', path: recordFolder },
    { kind: 'remove', path: outDir },
  ];
  return false;
}

/** Whether all of a hit goes into the target folder: a plan may come from elsewhere. */
const isAllInside = (run: CargoRun, { files }: HitAnswer): boolean =>
  files.every(({ target, aside }) => isInside(run, target) && isInside(run, aside));

const isInside = ({ targetDir }: CargoRun, path: string): boolean =>
  isWithin(path, targetDir) && !path.split('/').includes('..');

/** Others wait for the daemon while bytes are read that have to be proven; Cargo asks for units of more. */
const MAX_PROVEN_BYTES = 64 * 1024 * 1024;

/** Runs a step where a call would run; undefined where that is nowhere: Cargo has yet to unpack the package, say. */
function inFolderOf<T>({ cwd }: LaunchedCall, step: () => T): T | undefined {
  try {
    process.chdir(cwd);
    return step();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/** Has the store know of the files of a hit that are in their places. */
const isSettled = (call: LaunchedCall, hit: HitAnswer, { ways, states }: InPlace): boolean =>
  inFolderOf(call, () => {
    hit.settle(ways, states);
    hit.note();
    return true;
  }) === true;

/** The call of a unit as Cargo would make it in this place, by the process `pid`. */
export function callOf({ argv, cwd, env }: PlannedUnit, run: CargoRun, pid: number): LaunchedCall {
  const places = placesOf(run);
  const own: Record<string, string | undefined> = { ...run.env };
  for (const [name, value] of Object.entries(env)) {
    if (value === null) delete own[name];
    else own[name] = places.detokenize(value);
  }
  return {
    argv: argv.map((arg) => places.detokenize(arg)),
    env: own,
    cwd: places.detokenize(cwd),
    caller: { pid, parentPid: run.pid, foreseen: true },
  };
}

/** What Cargo notes of a run beside its folder. */
const printedSteps = (folder: string, { stdout, stderr }: HitAnswer, outDir: string): Step[] =>
  Object.entries({
    'invoked.timestamp': 'This file has an mtime of when this was started.',
    stderr,
    'root-output': outDir,
    output: stdout,
  }).map(([name, text]) => ({ kind: 'new', path: `${folder}/${name}`, bytes: utf8(text) }));

/** The name by which Cargo calls a build script is a second one of what the compiler made. */
function scriptLink({ argv, env, cwd }: LaunchedCall, { files }: HitAnswer): Step[] {
  const invocation = parseInvocation(argv, env, cwd);
  if ('reason' in invocation || !invocation.crateName.startsWith('build_script_')) return [];
  const { crateName, source } = invocation;
  const program = files.find(({ target }) => new RegExp(`^${crateName}-[0-9a-f]+$`).test(basename(target)));
  if (program === undefined) return [];
  const path = `${dirname(program.target)}/${calledName(source)}`;
  return [{ kind: 'link', from: program.target, path }];
}

/** The record of a unit whose outputs are there. The hash by which Cargo takes it for fresh comes last. */
function recordSteps(folder: string, record: PlannedUnit['record']): Step[] {
  const others = record.filter((file) => !isFingerprint(file));
  return [...others, ...record.filter(isFingerprint)].map(([name, bytes]) => ({
    kind: 'new',
    path: `${folder}/${name}`,
    bytes: Buffer.from(bytes, 'latin1'),
  }));
}
