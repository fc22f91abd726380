// Counting what goes over the wire: for `daemon status` and for the benchmark, and request by request for the log.
import type { TransferRecord } from '../core/transfers.ts';
import { type Backend, describeFailure, isOutage } from './backend.ts';
import { parseName } from './names.ts';

export interface Traffic {
  requests: number;
  failures: number;
  downloadedBytes: number;
  uploadedBytes: number;
  /** Requests under way. */
  inFlight: number;
  lastFailure: { readonly atMs: number; readonly why: string } | null;
}

export interface Meter {
  readonly traffic: Traffic;
  /** Told of every request when it has ended. */
  readonly record: (record: TransferRecord) => void;
}

const KINDS = { entries: 'entry', units: 'unit', builds: 'build' } as const;

/** Counts every request of a remote into `traffic`, and reports it. */
export function metered(backend: Backend, { traffic, record }: Meter): Backend {
  const count = async <T extends { readonly kind: TransferRecord['result'] }>(
    asked: { readonly request: TransferRecord['request']; readonly name: string; readonly ahead?: boolean },
    ask: () => Promise<T>,
    bytesOf: (answer: T) => number = () => 0,
  ): Promise<T> => {
    traffic.requests++;
    traffic.inFlight++;
    const from = performance.now();
    try {
      const answer = await ask();
      const bytes = bytesOf(answer);
      if (isOutage(answer)) {
        traffic.failures++;
        traffic.lastFailure = { atMs: Date.now(), why: describeFailure(answer) };
      }
      if (asked.request === 'get') traffic.downloadedBytes += bytes;
      if (asked.request === 'put') traffic.uploadedBytes += bytes;
      record({ ...named(asked), bytes, elapsed_ms: tenths(performance.now() - from), result: answer.kind });
      return answer;
    } finally {
      traffic.inFlight--;
    }
  };
  return {
    place: backend.place,
    get: (name, options) =>
      count(
        { request: 'get', name, ahead: options.ahead === true },
        () => backend.get(name, options),
        (answer) => (answer.kind === 'found' ? answer.bytes.length : 0),
      ),
    has: (name) => count({ request: 'has', name }, () => backend.has(name)),
    put: (name, bytes, options) =>
      count(
        { request: 'put', name },
        () => backend.put(name, bytes, options),
        ({ kind }) => (kind === 'done' ? bytes.length : 0),
      ),
    async *list(prefix) {
      traffic.requests++;
      const from = performance.now();
      let result: TransferRecord['result'] = 'done';
      for await (const item of backend.list(prefix)) {
        if ('kind' in item) result = item.kind;
        yield item;
      }
      const elapsed_ms = tenths(performance.now() - from);
      record({ ...named({ request: 'list', name: prefix }), bytes: 0, elapsed_ms, result });
    },
    remove: (name) => count({ request: 'remove', name }, () => backend.remove(name)),
  };
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;

function named(asked: {
  readonly request: TransferRecord['request'];
  readonly name: string;
  readonly ahead?: boolean;
}): Pick<TransferRecord, 'ts' | 'request' | 'what' | 'id' | 'prefetch'> {
  const parsed = parseName(asked.name);
  return {
    ts: Date.now(),
    request: asked.request,
    what: parsed === undefined ? 'other' : KINDS[parsed.kind],
    ...(parsed === undefined ? {} : { id: parsed.id }),
    ...(asked.ahead === true ? { prefetch: true as const } : {}),
  };
}
