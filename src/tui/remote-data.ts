// What went to and came from the remote, over time and last. Pure; sums of lines of the transfer log.
import { type Network, networkOf, type Prefetch, prefetchOf } from '../cli/network.ts';
import type { CompileEvent } from '../core/events.ts';
import { isFailedTransfer, type TransferLine, type TransferRecord, timeOf } from '../core/transfers.ts';
import { PARTS } from './transfers.ts';

export interface RemoteData {
  /** Oldest first. */
  readonly lines: readonly TransferLine[];
  readonly network: Network;
  readonly prefetch: Prefetch;
  /** Bytes in each part of the span, oldest first. */
  readonly downOverTime: readonly number[];
  readonly upOverTime: readonly number[];
  /** Bytes a second, lately. */
  readonly rate: { readonly down: number; readonly up: number };
  /** Requests that moved something or failed, newest first. */
  readonly last: readonly TransferRecord[];
  /** Crates by cache key and unit, of those the log of compiles names. */
  readonly names: ReadonlyMap<string, string>;
}

const LAST = 100;
const RATE_MS = 10_000;

/** Lines that were read, put to those there are; what is older than `keepFromMs` is left out. */
export function addTransfers(
  lines: readonly TransferLine[],
  batch: {
    readonly lines: readonly TransferLine[];
    readonly age: 'older' | 'newer';
    readonly keepFromMs: number;
  },
): readonly TransferLine[] {
  const fresh = batch.lines.filter((line) => timeOf(line) >= batch.keepFromMs);
  return batch.age === 'older' ? [...fresh, ...lines] : [...lines, ...fresh];
}

/** `events`: the calls of the span. */
export function remoteDataOf(
  all: readonly TransferLine[],
  events: readonly CompileEvent[],
  { nowMs, spanMs }: { nowMs: number; spanMs: number },
): RemoteData {
  const lines = all.filter((line) => timeOf(line) >= nowMs - spanMs);
  const records = lines.flatMap((line) => (line.kind === 'request' ? line.record : []));
  const moved = records.filter((record) => record.bytes > 0 || isFailedTransfer(record));
  const last = moved.slice(-LAST).reverse();
  return {
    lines,
    // Where the remote and the queue are now is not in the log.
    network: networkOf(lines, { remote: 'off', queued: 0 }),
    prefetch: prefetchOf(lines, events),
    downOverTime: overTime(records, 'get', { nowMs, spanMs }),
    upOverTime: overTime(records, 'put', { nowMs, spanMs }),
    rate: { down: rate(records, 'get', nowMs), up: rate(records, 'put', nowMs) },
    last,
    names: namesOf(last, events),
  };
}

function overTime(
  records: readonly TransferRecord[],
  request: 'get' | 'put',
  { nowMs, spanMs }: { nowMs: number; spanMs: number },
): number[] {
  const parts = new Array<number>(PARTS).fill(0);
  for (const { ts, request: asked, bytes } of records) {
    if (asked !== request) continue;
    const part = Math.min(PARTS - 1, Math.max(0, PARTS - 1 - Math.floor(((nowMs - ts) / spanMs) * PARTS)));
    parts[part] = (parts[part] ?? 0) + bytes;
  }
  return parts;
}

function rate(records: readonly TransferRecord[], request: 'get' | 'put', nowMs: number): number {
  const recent = records.filter(({ ts, request: asked }) => asked === request && ts > nowMs - RATE_MS);
  return Math.round((recent.reduce((sum, { bytes }) => sum + bytes, 0) * 1000) / RATE_MS);
}

function namesOf(last: readonly TransferRecord[], events: readonly CompileEvent[]): Map<string, string> {
  const wanted = new Set(last.flatMap(({ id }) => id ?? []));
  const names = new Map<string, string>();
  for (const { cache_key: key, unit_id: unit, crate_name: crate } of events) {
    if (key !== undefined && wanted.has(key)) names.set(key, crate);
    if (unit !== undefined && wanted.has(unit)) names.set(unit, crate);
  }
  return names;
}
