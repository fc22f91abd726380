// The object of a build: the entries it used, in the order it asked for them.
import { zstdDecompressSync } from 'node:zlib';
import type { CacheKey, UnitId } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import { sha256 } from '../sys/hash.ts';
import { isCount, isDigest } from './shapes.ts';

const KIND = 'kache-remote-build-1';

export const MAX_BUILD_BYTES = 8 * 1024 * 1024;
/** A list is never longer than this; what is oldest falls out. */
const MAX_ITEMS = 20_000;

/** Of a build of which it was not recorded: what it used may be of use to any. */
export const ANY_TOOLCHAIN = '00000000';

export interface BuildItem {
  readonly key: CacheKey;
  readonly unit: UnitId;
  /** What a hit saves, milliseconds. */
  readonly compileMs: number;
  /** Bytes of the outputs. */
  readonly sizeBytes: number;
  /** The first digits of the hash of the toolchain's identity: keys of another one are of no use. */
  readonly toolchain: string;
}

export function encodeBuild(items: readonly BuildItem[]): Uint8Array {
  const rows = items
    .slice(0, MAX_ITEMS)
    .map(({ key, unit, compileMs, sizeBytes, toolchain }) => [
      key,
      unit,
      Math.round(compileMs),
      sizeBytes,
      toolchain,
    ]);
  const body = JSON.stringify(rows);
  return Bun.zstdCompressSync(`${KIND} ${sha256(body).slice(0, 32)}\n${body}\n`);
}

/** Undefined when it is no such object. */
export function decodeBuild(object: Uint8Array): BuildItem[] | undefined {
  const text = inflate(object);
  if (text === undefined) return undefined;
  const newline = text.indexOf('\n');
  const body = text.slice(newline + 1, -1);
  if (text.slice(0, newline) !== `${KIND} ${sha256(body).slice(0, 32)}`) return undefined;
  const rows = parseJson(body);
  if (!Array.isArray(rows) || rows.length > MAX_ITEMS) return undefined;
  const items: BuildItem[] = [];
  for (const row of rows) {
    if (!Array.isArray(row)) return undefined;
    const [key, unit, compileMs, sizeBytes, toolchain] = row as unknown[];
    if (!isDigest(key) || !isDigest(unit) || !isCount(compileMs) || !isCount(sizeBytes)) return undefined;
    if (typeof toolchain !== 'string' || !/^[0-9a-f]{8}$/.test(toolchain)) return undefined;
    items.push({ key: key as CacheKey, unit: unit as UnitId, compileMs, sizeBytes, toolchain });
  }
  return items;
}

function inflate(object: Uint8Array): string | undefined {
  try {
    return new TextDecoder().decode(zstdDecompressSync(object, { maxOutputLength: 4 * MAX_BUILD_BYTES }));
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/** The newest build first, then what earlier ones of the same workspace used besides. */
export function mergeBuilds(newest: readonly BuildItem[], earlier: readonly BuildItem[]): BuildItem[] {
  const units = new Set(newest.map(({ unit }) => unit));
  // Of a unit only the key it had last: an older one is of sources that have changed.
  return [...newest, ...earlier.filter(({ unit }) => !units.has(unit))].slice(0, MAX_ITEMS);
}
