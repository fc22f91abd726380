// Filling a target folder that is new, before Cargo looks at it: every unit of the last build like this one that is a hit
// comes into its place together with Cargo's own record of it. Cargo takes it for fresh then, and asks for it no more.
//
// Nothing is believed that would not be for a call: each unit is looked up under the call that Cargo would make, with the
// environment as it is now. That Cargo would make it is what its record says, for Cargo compares that before it uses it.
import { answer } from '../answer.ts';
import { calledName, isCallOfStandIn } from '../compile/stand-in.ts';
import type { HitAnswer, LaunchedCall } from '../daemon/protocol.ts';
import { startAnswering } from '../daemon/start.ts';
import { isRustcName, parseInvocation } from '../rustc/invocation.ts';
import type { PathMap } from '../rustc/path-map.ts';
import { answerRun } from '../script/answer.ts';
import { noteFilled } from '../script/filled.ts';
import { bring } from '../store/blobs.ts';
import { signatureNow } from '../store/hashes.ts';
import { openStore } from '../store/store.ts';
import { lockAll } from '../store/target-removal.ts';
import { makeAside } from '../sys/aside.ts';
import {
  bestEffort,
  createFile,
  isOsError,
  link,
  makeDirectory,
  readText,
  removeFile,
  removeTree,
  rename,
  stat,
  utf8,
} from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin } from '../sys/paths.ts';
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
} from './plan.ts';

/** As Cargo makes folders and files: what is left of it is for the user to say. */
const FOLDER_MODE = 0o777;
const FILE_MODE = 0o666;

export interface Asked extends LaunchedCall {
  /** Where its launcher asks. */
  readonly askedAt?: string | undefined;
  readonly self: string;
}

/** How long a build waits for the daemon to come up: what that does not see of a build is not known of the next one. */
const START_WAIT_MS = 1_000;
const LOOK_EVERY_MS = 5;

/**
 * Fills the target folder of the Cargo that asks. Whatever goes wrong leaves a folder that Cargo could have left: a unit
 * counts for it when the last file of its record is there.
 */
export function fillTarget(asked: Asked): void {
  try {
    const { settings } = loadSettings(asked.env, asked.cwd);
    const compiler = asked.argv.find(isRustcName);
    if (settings.disabled || !settings.cacheFingerprints || compiler === undefined) return;
    const isAnswered = startAnswering(asked);
    const store = openStore(settings.cacheDir);
    const run = store.kind === 'problem' ? undefined : cargoRun(asked.caller.parentPid, compiler);
    const plan = run === undefined || store.kind === 'problem' ? undefined : readPlan(store, run);
    if (run !== undefined && plan !== undefined) fill(run, plan, asked);
    if (run !== undefined && isAnswered) awaitDaemon(asked);
  } catch {
    // Cargo asks for what is not there.
  }
}

function awaitDaemon({ askedAt }: Asked): void {
  for (let waitedMs = 0; askedAt !== undefined && waitedMs < START_WAIT_MS; waitedMs += LOOK_EVERY_MS) {
    if (stat(askedAt) !== undefined) return;
    Bun.sleepSync(LOOK_EVERY_MS);
  }
}

function fill(run: CargoRun, plan: Plan, asked: Asked): void {
  const { targetDir } = run;
  const profiles = new Set(plan.units.map(({ folder }) => dirname(dirname(folder))));
  // Where somebody has built, what is there is his, and Cargo's.
  const isNew = (): boolean =>
    ![...profiles].some((profile) => stat(`${targetDir}/${profile}/.fingerprint`) !== undefined);
  if (!isNew()) return;
  if (stat(targetDir) === undefined) makeTarget(targetDir);
  using lock = lockAll(
    plan.locks.map((path) => `${targetDir}/${path}`),
    { create: true },
  );
  if (lock === undefined || !isNew()) return;
  for (const folder of plan.folders) makeDirectory(`${targetDir}/${folder}`, FOLDER_MODE);
  const locked = packagesOf(readText(`${run.root}/Cargo.lock`) ?? '');
  const placed = new Set<string>();
  try {
    for (const unit of plan.units) {
      // Cargo takes nothing for fresh that is built on something that is not.
      const isOfUse =
        locked.has(unit.crate.join(' ')) && builtOn(unit)?.every((one) => placed.has(one)) === true;
      if (isOfUse && isPlaced(unit, run, asked)) placed.add(fingerprintOf(unit));
    }
  } finally {
    process.chdir(asked.cwd);
  }
}

/** As Cargo makes one: tools that make backups leave it out. */
function makeTarget(targetDir: string): void {
  makeDirectory(targetDir, FOLDER_MODE);
  createFile(
    `${targetDir}/CACHEDIR.TAG`,
    utf8(
      'Signature: 8a477f597d28d172789f06886806bc55\n' +
        '# This file is a cache directory tag created by cargo.\n' +
        '# For information about cache directory tags see https://bford.info/cachedir/\n',
    ),
    FILE_MODE,
  );
}

/** Name and version of every package of a lockfile. */
function packagesOf(lockfile: string): Set<string> {
  const value = (section: string, name: string): string =>
    new RegExp(`^${name} = "([^"]+)"`, 'm').exec(section)?.[1] ?? '';
  const sections = lockfile.split('[[package]]').slice(1);
  return new Set(sections.map((section) => `${value(section, 'name')} ${value(section, 'version')}`));
}

/** Whether a unit could be put in place. What a file system refuses, Cargo asks for. */
function isPlaced(unit: PlannedUnit, run: CargoRun, asked: Asked): boolean {
  try {
    return placeUnit(unit, run, asked);
  } catch (error) {
    // Of either kind: the folder of a package that Cargo has yet to unpack, say.
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}

/** Puts a unit and its record in place, if it is a hit. */
function placeUnit(unit: PlannedUnit, run: CargoRun, { caller, self }: Asked): boolean {
  const places = placesOf(run);
  const call = callHere(unit, run, { places, pid: caller.pid });
  const outDir = call.env['OUT_DIR'] ?? '';
  const record = `${run.targetDir}/${unit.folder}`;
  process.chdir(call.cwd);
  if (!isCallOfStandIn(call.argv[0])) {
    const hit = answer(call, self, PROVE_ALL);
    if (hit === 'none' || hit.kind !== 'hit' || !isInPlace(hit)) return false;
    linkScript(call, hit);
    writeRecord(record, unit.record);
    return true;
  }
  // What somebody has left there is his.
  if (!isWithin(outDir, run.targetDir) || stat(outDir) !== undefined) return false;
  let isWhole = false;
  try {
    // A script finds its folder there, and empty.
    makeDirectory(outDir, FOLDER_MODE);
    const hit = answerRun(call, self, PROVE_ALL);
    // What a script prints is in the calls behind it: with anything else they are not those that are foreseen.
    if (hit === 'none' || sha256(places.tokenize(hit.stdout)) !== unit.printed) return false;
    noteFilled(outDir, run.pid);
    if (!isInPlace(hit)) return false;
    writePrinted(dirname(outDir), hit, outDir);
    writeRecord(record, unit.record);
    isWhole = true;
    return true;
  } finally {
    if (!isWhole) bestEffort(() => removeTree(outDir));
  }
}

/** Nobody else waits for this process. */
const PROVE_ALL = Number.POSITIVE_INFINITY;

/** Puts the files of a hit in place, and has the store know. */
function isInPlace(hit: HitAnswer): boolean {
  const ways = putInPlace(hit);
  if (ways === undefined) return false;
  hit.settle(
    ways,
    hit.files.map(({ target }) => signatureNow(target) ?? ''),
  );
  hit.note();
  return true;
}

/** The call of a unit as Cargo would make it in this place. */
function callHere(
  { argv, cwd, env }: PlannedUnit,
  run: CargoRun,
  { places, pid }: { places: PathMap; pid: number },
): LaunchedCall {
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

type Ways = Parameters<HitAnswer['settle']>[0];

/** Makes every file aside, then renames them all. Undefined, and nothing left aside, where that cannot be done. */
function putInPlace({ files }: HitAnswer): Ways | undefined {
  try {
    for (const { target } of files) makeDirectory(dirname(target), FOLDER_MODE);
    const ways = files.map((file) =>
      makeAside(file.aside, () => {
        if (file.kind === 'blob') return bring(file.source, file.aside, file.ways, file.mode);
        createFile(file.aside, utf8(file.text));
        return undefined;
      }),
    );
    for (const { aside, target } of files) {
      rename(aside, target);
      // rename(2) does nothing when both names are one inode already.
      removeFile(aside);
    }
    return ways;
  } catch (error) {
    if (!isOsError(error)) throw error;
    for (const { aside } of files) bestEffort(() => removeFile(aside));
    return undefined;
  }
}

/** What Cargo notes of a run beside its folder. */
function writePrinted(folder: string, { stdout, stderr }: HitAnswer, outDir: string): void {
  const files = {
    'invoked.timestamp': 'This file has an mtime of when this was started.',
    stderr,
    'root-output': outDir,
    output: stdout,
  };
  for (const [name, text] of Object.entries(files)) createFile(`${folder}/${name}`, utf8(text), FILE_MODE);
}

/** The name by which Cargo calls a build script is a second one of what the compiler made. */
function linkScript({ argv, env, cwd }: LaunchedCall, { files }: HitAnswer): void {
  const invocation = parseInvocation(argv, env, cwd);
  if ('reason' in invocation || !invocation.crateName.startsWith('build_script_')) return;
  const { crateName, source } = invocation;
  const program = files.find(({ target }) => new RegExp(`^${crateName}-[0-9a-f]+$`).test(basename(target)));
  if (program !== undefined) link(program.target, `${dirname(program.target)}/${calledName(source)}`);
}

/** Writes the record of a unit whose outputs are there. The hash by which Cargo takes it for fresh comes last. */
function writeRecord(folder: string, record: PlannedUnit['record']): void {
  makeDirectory(folder, FOLDER_MODE);
  const others = record.filter((file) => !isFingerprint(file));
  for (const [name, bytes] of [...others, ...record.filter(isFingerprint)])
    createFile(`${folder}/${name}`, Buffer.from(bytes, 'latin1'), FILE_MODE);
}
