// What is kept of a build for the next target folder: of each unit that came from a package which does not change, how Cargo
// asked for it, and Cargo's own record of it.
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

/** Whether a file of a record is the hash by which Cargo takes the unit for fresh. */
export const isFingerprint = ([, bytes]: readonly [string, string]): boolean => /^[0-9a-f]{16}$/.test(bytes);

/** That hash: with what a unit is built on in it, but for what a script has printed. */
export const fingerprintOf = ({ record }: Pick<PlannedUnit, 'record'>): string =>
  record.find(isFingerprint)?.[1] ?? '';

/**
 * The fingerprints of the units that one is built on, as its record has them: numbers, whose bytes Cargo writes as names
 * of files. A script's run is built on those that tell it something, too. Undefined where the record has them another way.
 */
export function builtOn({ record }: Pick<PlannedUnit, 'record'>): string[] | undefined {
  const told = record.find(([name]) => name.endsWith('.json'))?.[1] ?? '';
  const list = /"deps":\[((?:\[\d+,"[^"]*",(?:true|false),\d+\],?)*)\],"/.exec(told)?.[1];
  return list?.match(/\d+(?=\](,|$))/g)?.map(asFingerprint) ?? (list === '' ? [] : undefined);
}

function asFingerprint(number: string): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(number));
  return bytes.toString('hex');
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
