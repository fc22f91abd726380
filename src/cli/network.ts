// From the transfer log to figures: what went to and came from the remote, and what the prefetch was worth. Field names
// are those of the JSON report.
import type { CompileEvent } from '../core/events.ts';
import { isFailedTransfer, type TransferLine } from '../core/transfers.ts';
import { formatBytes, plural } from './terminal.ts';

export interface Network {
  /** What the settings name here; requests of another time may be of another remote. */
  readonly remote: 'off' | 's3' | 'filesystem';
  readonly uploaded_bytes: number;
  readonly downloaded_bytes: number;
  readonly requests: number;
  /** Requests the remote refused or did not answer. */
  readonly errors: number;
  readonly uploaded_entries: number;
  readonly downloaded_entries: number;
  /** Objects that were asked for and are not there. */
  readonly not_found: number;
  /** Uploads that wait now. */
  readonly queued: number;
}

export interface Prefetch {
  /** Entries of builds' lists that the store did not have. */
  readonly requested: number;
  readonly fetched: number;
  /** Hits on what was fetched ahead of the call. */
  readonly used: number;
  /** Fetched, and no hit on it yet. */
  readonly wasted: number;
  readonly bytes: number;
}

export function networkOf(lines: readonly TransferLine[], now: Pick<Network, 'remote' | 'queued'>): Network {
  const sums = { uploaded: 0, downloaded: 0, requests: 0, errors: 0, up: 0, down: 0, absent: 0 };
  for (const line of lines) {
    if (line.kind === 'plan') continue;
    const { record } = line;
    const { request, what, bytes, result } = record;
    sums.requests++;
    if (isFailedTransfer(record)) sums.errors++;
    if (request === 'get' && result === 'not-found') sums.absent++;
    if (request === 'get') sums.downloaded += bytes;
    if (request === 'put') sums.uploaded += bytes;
    if (what === 'entry' && request === 'get' && result === 'found') sums.down++;
    if (what === 'entry' && request === 'put' && result === 'done') sums.up++;
  }
  return {
    remote: now.remote,
    uploaded_bytes: sums.uploaded,
    downloaded_bytes: sums.downloaded,
    requests: sums.requests,
    errors: sums.errors,
    uploaded_entries: sums.up,
    downloaded_entries: sums.down,
    not_found: sums.absent,
    queued: now.queued,
  };
}

/** `events`: the calls of the same time. */
export function prefetchOf(lines: readonly TransferLine[], events: readonly CompileEvent[]): Prefetch {
  let [requested, bytes, used] = [0, 0, 0];
  const fetched = new Set<string>();
  for (const line of lines) {
    if (line.kind === 'plan') requested += line.plan.planned;
    else if (line.record.prefetch === true && line.record.result === 'found') {
      bytes += line.record.bytes;
      fetched.add(line.record.id ?? '');
    }
  }
  const hit = new Set<string>();
  for (const { result, cache_key } of events) {
    if (result === 'prefetch_hit') used++;
    if (result.endsWith('_hit') && cache_key !== undefined) hit.add(cache_key);
  }
  return {
    requested,
    fetched: fetched.size,
    used,
    wasted: [...fetched].filter((key) => !hit.has(key)).length,
    bytes,
  };
}

/** What moved, in a sentence; empty when nothing did. */
export function describeNetwork(network: Network, prefetch: Prefetch): string {
  const { requests, errors, queued } = network;
  const parts = [
    `${formatBytes(network.downloaded_bytes)} came (${plural(network.downloaded_entries, 'entry', 'entries')})`,
    `${formatBytes(network.uploaded_bytes)} went (${plural(network.uploaded_entries, 'entry', 'entries')})`,
    `${plural(requests, 'request')}${errors === 0 ? '' : `, ${errors} of them failed`}`,
    ...(prefetch.fetched === 0
      ? []
      : [`${prefetch.fetched} prefetched of ${prefetch.requested}, ${prefetch.wasted} of them not used yet`]),
    ...(queued === 0 ? [] : [plural(queued, 'upload waits', 'uploads wait')]),
  ];
  return requests === 0 && queued === 0 ? '' : `${parts.join('; ')}.`;
}

/** When a remote that rests is asked again. */
export const nextAsk = (restsForMs: number): string =>
  restsForMs === 0 ? 'asked again by the next request' : `asked again in ${Math.ceil(restsForMs / 1000)} s`;
