// The object of a unit: the closures any machine has recorded for it, newest first, and the keys there are entries of.
import type { CacheKey } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import type { Closure, UnitRecord } from '../store/closures.ts';
import { sha256 } from '../sys/hash.ts';
import { isClosure, isDigest } from './shapes.ts';

const KIND = 'kache-remote-unit-1';

export const MAX_UNIT_BYTES = 8 * 1024 * 1024;
/** Several machines, branches and lockfiles share a unit: more than one store keeps for itself. */
const MAX_CLOSURES = 16;
const MAX_REMOTE_KEYS = 64;

export function encodeUnit(record: UnitRecord): Uint8Array {
  const body = JSON.stringify(record);
  return new TextEncoder().encode(`${KIND} ${sha256(body).slice(0, 32)}\n${body}\n`);
}

/** Undefined when it is no such object. */
export function decodeUnit(object: Uint8Array): UnitRecord | undefined {
  const text = new TextDecoder().decode(object);
  const newline = text.indexOf('\n');
  const body = text.slice(newline + 1, -1);
  if (text.slice(0, newline) !== `${KIND} ${sha256(body).slice(0, 32)}`) return undefined;
  const value = parseJson(body);
  if (typeof value !== 'object' || value === null) return undefined;
  const { closures, keys } = value as Partial<Record<keyof UnitRecord, unknown>>;
  if (!Array.isArray(closures) || !Array.isArray(keys)) return undefined;
  if (closures.length > MAX_CLOSURES || keys.length > MAX_REMOTE_KEYS) return undefined;
  if (!closures.every(isClosure) || !keys.every(isDigest)) return undefined;
  return { closures, keys: keys as CacheKey[] };
}

/** Both, what is new first; undefined when `known` has it all. */
export function mergeUnits(
  known: UnitRecord,
  added: { readonly closure: Closure; readonly key: CacheKey },
): UnitRecord | undefined {
  const text = JSON.stringify(added.closure);
  const hasClosure = known.closures.some((closure) => JSON.stringify(closure) === text);
  if (hasClosure && known.keys.includes(added.key)) return undefined;
  const closures = hasClosure ? known.closures : [added.closure, ...known.closures];
  const keys = [added.key, ...known.keys.filter((key) => key !== added.key)];
  return { closures: closures.slice(0, MAX_CLOSURES), keys: keys.slice(0, MAX_REMOTE_KEYS) };
}
