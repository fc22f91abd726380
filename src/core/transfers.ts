// The transfer log's vocabulary: one line of JSON per request to a remote, and one per prefetch that was planned. Read
// by reports and by users' scripts: never rename, only add.
import { parseJson } from './json.ts';

export interface TransferRecord {
  /** End of the request, milliseconds since the epoch. */
  ts: number;
  /** What was asked of the remote; `get` brings something here, `put` takes it there. */
  request: 'get' | 'has' | 'put' | 'list' | 'remove';
  /** An entry, the closures of a unit, the list of a build; `other`: a probe, a listing. */
  what: 'entry' | 'unit' | 'build' | 'other';
  /** The cache key, unit or build. */
  id?: string;
  /** Of an entry that was asked for ahead of the call that needs it. */
  prefetch?: true;
  /** Bytes of the object, when it was moved. */
  bytes: number;
  elapsed_ms: number;
  /** The remote's answer. */
  result: 'found' | 'done' | 'exists' | 'not-found' | 'denied' | 'throttled' | 'unavailable' | 'corrupt';
}

/** The other kind of line: a build's list names entries the store does not have, and they are being downloaded. */
export interface PrefetchPlan {
  ts: number;
  /** How many. */
  planned: number;
  /** Process id of the build; absent when it was asked for by hand. */
  build_pid?: number;
}

export type TransferLine =
  | { readonly kind: 'request'; readonly record: TransferRecord }
  | { readonly kind: 'plan'; readonly plan: PrefetchPlan };

/** Either kind of line; undefined for what is neither, such as a torn one. */
export function parseTransferLine(line: string): TransferLine | undefined {
  const value = parseJson(line);
  if (typeof value !== 'object' || value === null) return undefined;
  const { ts, planned, request, bytes, result } = value as Partial<TransferRecord & PrefetchPlan>;
  if (typeof ts !== 'number') return undefined;
  if (typeof planned === 'number') return { kind: 'plan', plan: value as PrefetchPlan };
  const isRequest = typeof request === 'string' && typeof bytes === 'number' && typeof result === 'string';
  return isRequest ? { kind: 'request', record: value as TransferRecord } : undefined;
}

export const timeOf = (line: TransferLine): number => (line.kind === 'plan' ? line.plan : line.record).ts;

/** Whether the remote did not do its part: neither an answer nor a definite no. */
export const isFailedTransfer = ({ result }: TransferRecord): boolean =>
  ['denied', 'throttled', 'unavailable', 'corrupt'].includes(result);
