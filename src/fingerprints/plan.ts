// What is kept of a build for the next target folder: of each unit that came from a package which does not change, how Cargo
// asked for it, and Cargo's own record of it.
import { PathMap } from '../rustc/path-map.ts';
import { memoAt, readMemo, writeMemo } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import { bestEffort, listDirectory, stat, touch } from '../sys/files.ts';
import { dirname } from '../sys/paths.ts';
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
  /** Set where it holds no value of a variable: without, it leaves this machine in no pack. */
  readonly travels?: true;
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

const KIND = 'fingerprints';
const PREFIX = 'fingerprints of ';
type Id = Pick<CargoRun, 'id'>;
const memoOf = ({ id }: Id): string => `${PREFIX}${id}`;

export const readPlan = (store: Store, run: Id): Plan | undefined => readMemo<Plan>(store, KIND, memoOf(run));

export const writePlan = (store: Store, run: Id, plan: Plan): boolean =>
  writeMemo(store, KIND, memoOf(run), plan);

/** Notes that a plan was used. */
export const touchPlan = (store: Store, run: Id): boolean =>
  bestEffort(() => touch(store.layout.memo(KIND, memoOf(run))));

/** Every plan that can be read, and when it was used last, in milliseconds since the epoch. */
export function plansOf(store: Store): { id: string; plan: Plan; usedMs: number }[] {
  const folder = dirname(store.layout.memo(KIND, ''));
  return (listDirectory(folder) ?? []).flatMap(({ name }) => {
    const path = `${folder}/${name}`;
    const [memo, info] = [memoAt<Plan>(path), stat(path)];
    if (memo === undefined || info === undefined || !memo.name.startsWith(PREFIX)) return [];
    return [{ id: memo.name.slice(PREFIX.length), plan: memo.value, usedMs: info.mtimeSec * 1000 }];
  });
}

/** The places of a run that are others in the next checkout. */
export const placesOf = ({ root, targetDir }: Pick<CargoRun, 'root' | 'targetDir'>): PathMap =>
  new PathMap([
    { name: 'target', path: targetDir, placeholder: undefined },
    { name: 'root', path: root, placeholder: undefined },
  ]);
