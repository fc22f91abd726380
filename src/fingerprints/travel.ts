// Plans on their way to another machine with the same places, in a pack. What a unit's call and record hold of the values of
// variables stays here; nothing of a plan that comes is believed but what it would be for a call: see fill.ts.
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { CARGOS_OWN, variableIn } from '../compile/share.ts';
import type { Environment } from '../core/config.ts';
import { type Digest, parseDigest } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import type { Store } from '../store/store.ts';
import { sha256 } from '../sys/hash.ts';
import { builtOn, fingerprintOf, type Plan, type PlannedUnit, plansOf, readPlan, writePlan } from './plan.ts';

/** Variables that Cargo sets for a call, as it does for everybody, and those that hold places. */
const CARGOS = /^(TARGET|HOST|PROFILE|OPT_LEVEL|DEBUG|NUM_JOBS|CARGO|RUST\w*|CARGO_\w+|LD_LIBRARY_PATH|PWD)$/;

/**
 * Variables of Cargo's environment that are no secret: the same for everybody, places, which a plan holds anyway, or names
 * of the run in CI whose packs the next ones get. A job that is called `features` would have every unit stay. Not all that
 * begin like these are names: there are GITHUB_PAT, and CI_REPOSITORY_URL with a password in it.
 */
const KNOWN_TO_ALL =
  /^(CARGO|RUST\w*|CARGO_\w+|GITHUB_(JOB|WORKFLOW|EVENT_NAME|REF_NAME|REF_TYPE)|RUNNER_(OS|ARCH|ENVIRONMENT)|CI_JOB_(NAME|STAGE)|HOME|USER|LOGNAME|PATH|PWD|LD_LIBRARY_PATH|LANG|LANGUAGE|LC_\w+|TERM|SHELL|TZ)$/;

/** Whether a unit holds the value of a variable that others need not know: from a script that prints it, say. */
export function holdsValue({ argv, env, record }: PlannedUnit, own: Environment): boolean {
  const given = Object.entries(env).filter(([name]) => !CARGOS_OWN.test(name) && !CARGOS.test(name));
  const files = record.map(([, bytes]) => Buffer.from(bytes, 'latin1').toString());
  const text = [...argv.filter((_, at) => argv[at - 1] === '--cfg'), ...given.flat(), ...files].join('\n');
  return variableIn(own, { known: KNOWN_TO_ALL, holds: (value) => text.includes(value) }) !== undefined;
}

/** A plan as it travels. */
export interface PackedPlan {
  readonly digest: Digest;
  readonly packed: Uint8Array;
}

/** The plans that builds have used since `sinceMs` (milliseconds since the epoch; undefined: all), as far as they may travel. */
export function packPlans(store: Store, sinceMs: number | undefined): PackedPlan[] {
  return plansOf(store)
    .filter(({ usedMs }) => sinceMs === undefined || usedMs >= sinceMs)
    .flatMap(({ id, plan }) => {
      const stays = new Set<string>();
      // What is built on a unit that is not there is of no use.
      const units = plan.units.filter((unit) => {
        const isOnStaying = builtOn(unit)?.some((one) => stays.has(one)) !== false;
        if (unit.travels !== true || isOnStaying) stays.add(fingerprintOf(unit));
        return !stays.has(fingerprintOf(unit));
      });
      if (units.length === 0) return [];
      const text = JSON.stringify([id, { ...plan, units }]);
      return [{ digest: sha256(text), packed: zstdCompressSync(text) }];
    })
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** A plan of four thousand units has some 20 MB. */
const MAX_PLAN_BYTES = 64 * 1024 * 1024;

/**
 * Takes a plan in, in the place of what is known of the same way of calling Cargo; says why it could not. Units of two
 * plans are not mixed: a call goes with what the scripts of its own build have printed, and Cargo does not compare that.
 */
export function unpackPlan(store: Store, { digest, packed }: PackedPlan): string | undefined {
  let text: string;
  try {
    text = zstdDecompressSync(packed, { maxOutputLength: MAX_PLAN_BYTES }).toString();
  } catch (error) {
    if (error instanceof Error) return 'a plan that cannot be unpacked';
    throw error;
  }
  const told: unknown = sha256(text) === digest ? parseJson(text) : undefined;
  const [name, plan] = Array.isArray(told) ? (told as unknown[]) : [];
  const id = parseDigest<Digest>(`${name}`);
  if (id === undefined || !isPlan(plan)) return 'a plan that is none';
  if (JSON.stringify(plan) !== JSON.stringify(readPlan(store, { id }))) writePlan(store, { id }, plan);
  return undefined;
}

function isPlan(value: unknown): value is Plan {
  if (!isObject(value)) return false;
  const { locks, folders, units } = value;
  return isList(locks, isBelow) && isList(folders, isBelow) && isList(units, isUnit);
}

function isUnit(value: unknown): value is PlannedUnit {
  if (!isObject(value)) return false;
  const { crate, argv, cwd, env, folder, record, printed, travels } = value;
  return (
    isList(crate, isText) &&
    isList(argv, isText) &&
    isText(cwd) &&
    isObject(env) &&
    Object.values(env).every((one) => one === null || isText(one)) &&
    isBelow(folder) &&
    isList(record, (file) => isList(file, isText) && file.length === 2 && isName(file[0])) &&
    (printed === undefined || isText(printed)) &&
    travels === true
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isName = (value: unknown): boolean =>
  isText(value) && /^[^/\0]+$/.test(value) && !/^\.\.?$/.test(value);
/** Whether a path leads to nothing but something below where it begins. */
const isBelow = (value: unknown): value is string => isText(value) && value.split('/').every(isName);

function isList<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[];
function isList(value: unknown, isItem: (item: unknown) => boolean): value is unknown[];
function isList(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem);
}
