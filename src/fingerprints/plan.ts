// What is kept of a build for the next target folder: of each unit that came from a package which does not change, how Cargo
// asked for it, and Cargo's own record of it.
import { isCallOfStandIn } from '../compile/stand-in.ts';
import { PathMap } from '../rustc/path-map.ts';
import { readMemo, writeMemo } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import type { CargoRun } from './cargo-run.ts';

/** A unit in the terms of no checkout: the places of one stand in it as tokens. */
export interface PlannedUnit {
  /** Name and version, as a lockfile has them. */
  readonly crate: readonly [name: string, version: string];
  /** As a launcher tells it: the compiler first, or the script that a stand-in calls for. */
  readonly argv: readonly string[];
  readonly cwd: string;
  /** What the call was given beside Cargo's own environment; null: what it was not given. */
  readonly env: Readonly<Record<string, string | null>>;
  /** Cargo's folder for the record of the unit, below the target folder. */
  readonly folder: string;
  /** The files of that folder, byte for byte as latin1. */
  readonly record: readonly (readonly [name: string, bytes: string])[];
  /** Of a build script's run: the SHA-256 of what it printed, on which the calls after it depend. */
  readonly printed?: string;
}

export interface Plan {
  /** The files that Cargo locks, below the target folder. */
  readonly locks: readonly string[];
  /** The folders that Cargo makes before it builds, below the target folder: scripts and their loader may look for them. */
  readonly folders: readonly string[];
  /** Every unit behind those it depends on. */
  readonly units: readonly PlannedUnit[];
}

/** The digits by which Cargo tells a unit from others: its folders and files end in them. */
export const hashOf = ({ folder }: Pick<PlannedUnit, 'folder'>): string => folder.slice(-16);

const FILE_OF_UNIT = /-([0-9a-f]{16})\.(?:rlib|rmeta|so)$/;
const FOLDER_OF_UNIT = /-([0-9a-f]{16})\/[^/]*$/;

/** The units a call is built on: its externs; the run of its build script; the script that a run is of. */
export function unitsNamed({ argv, env }: PlannedUnit): string[] {
  const hashIn = (text: string, pattern: RegExp): string[] => {
    const hash = pattern.exec(text)?.[1];
    return hash === undefined ? [] : [hash];
  };
  const [first = ''] = argv;
  if (isCallOfStandIn(first)) return hashIn(first, FOLDER_OF_UNIT);
  const externs = argv.flatMap((arg, at) =>
    argv[at - 1] === '--extern' || arg.startsWith('--extern=') ? hashIn(arg, FILE_OF_UNIT) : [],
  );
  return [...externs, ...hashIn(env['OUT_DIR'] ?? '', FOLDER_OF_UNIT)];
}

const memoOf = ({ id }: CargoRun): string => `fingerprints of ${id}`;

export const readPlan = (store: Store, run: CargoRun): Plan | undefined =>
  readMemo<Plan>(store, 'fingerprints', memoOf(run));

export const writePlan = (store: Store, run: CargoRun, plan: Plan): boolean =>
  writeMemo(store, 'fingerprints', memoOf(run), plan);

/** The places of a run that are others in the next checkout. */
export const placesOf = ({ root, targetDir }: Pick<CargoRun, 'root' | 'targetDir'>): PathMap =>
  new PathMap([
    { name: 'target', path: targetDir, placeholder: undefined },
    { name: 'root', path: root, placeholder: undefined },
  ]);
