// The figures of transfers, on lines made by hand.
import { expect, test } from 'bun:test';
import { describeNetwork, networkOf, prefetchOf } from '../../src/cli/network.ts';
import type { CompileEvent } from '../../src/core/events.ts';
import type { TransferLine, TransferRecord } from '../../src/core/transfers.ts';

const line = (record: Partial<TransferRecord>): TransferLine => ({
  kind: 'request',
  record: { ts: 1, request: 'get', what: 'entry', bytes: 0, elapsed_ms: 1, result: 'found', ...record },
});

const LINES: readonly TransferLine[] = [
  { kind: 'plan', plan: { ts: 1, planned: 5 } },
  line({ id: 'a', bytes: 100, prefetch: true }),
  line({ id: 'b', bytes: 50, prefetch: true }),
  line({ id: 'c', bytes: 0, prefetch: true, result: 'not-found' }),
  line({ id: 'd', bytes: 7 }),
  line({ what: 'unit', id: 'u', bytes: 3 }),
  line({ what: 'unit', id: 'v', result: 'throttled' }),
  line({ request: 'put', id: 'e', bytes: 1000, result: 'done' }),
  line({ request: 'put', id: 'f', bytes: 0, result: 'exists' }),
  line({ request: 'has', id: 'e', result: 'not-found' }),
];
const EVENTS = [
  { result: 'prefetch_hit', cache_key: 'a' },
  { result: 'local_hit', cache_key: 'x' },
  { result: 'remote_hit', cache_key: 'd' },
] as CompileEvent[];

test('bytes, entries, failures and what the prefetch was worth', () => {
  const network = networkOf(LINES, { remote: 's3', queued: 2 });
  expect(network).toEqual({
    remote: 's3',
    uploaded_bytes: 1000,
    downloaded_bytes: 160,
    requests: 9,
    errors: 1,
    uploaded_entries: 1,
    downloaded_entries: 3,
    not_found: 1,
    queued: 2,
  });
  const prefetch = prefetchOf(LINES, EVENTS);
  expect(prefetch).toEqual({ requested: 5, fetched: 2, used: 1, wasted: 1, bytes: 150 });
  expect(describeNetwork(network, prefetch)).toBe(
    '160 B came (3 entries); 1000 B went (1 entry); 9 requests, 1 of them failed; 2 prefetched of 5, 1 of them not used yet; 2 uploads wait.',
  );
});

test('nothing moved, nothing said', () => {
  expect(describeNetwork(networkOf([], { remote: 'off', queued: 0 }), prefetchOf([], EVENTS.slice(1)))).toBe(
    '',
  );
});
