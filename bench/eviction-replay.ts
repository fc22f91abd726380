// Replaying a trace against eviction policies. The plan itself is the product's own; a policy only says what each entry
// is worth.
import type { BlobId, CacheKey } from '../src/core/ids.ts';
import { type Candidate, planEviction, worth } from '../src/store/eviction-plan.ts';
import type { Trace } from './eviction-record.ts';

/** One entry in the store, as a policy sees it. */
interface Resident extends Candidate {
  /** How often it was used since it was stored, the store included. */
  uses: number;
  /** Moments of every use the log knows of, in milliseconds, also from before it was evicted and stored again. */
  readonly history: number[];
  usedMs: number;
  wasHit: boolean;
  /** For policies that keep a number per entry. */
  priority: number;
  readonly unit: number;
}

interface Policy {
  readonly name: string;
  /** Called at each use. */
  readonly use?: (resident: Resident) => void;
  readonly worthOf: (resident: Resident, nowMs: number) => number;
  /** Called with what goes. */
  readonly evicted?: (resident: Resident) => void;
}

const HOUR_MS = 3600 * 1000;

const bytesOf = (candidate: Candidate): number =>
  candidate.blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, candidate.recordBytes);

const density = (candidate: Candidate): number => (candidate.compileMs + 1) / bytesOf(candidate);

/** GreedyDual-Size-Frequency (Cherkasova 1998): a clock that moves to the priority of what was evicted last. */
function greedyDual(name: string, measure: (resident: Resident) => number): Policy {
  let clock = 0;
  return {
    name,
    use: (resident) => {
      resident.priority = clock + measure(resident);
    },
    worthOf: ({ priority }) => priority,
    evicted: ({ priority }) => {
      clock = Math.max(clock, priority);
    },
  };
}

/** Least Recently/Frequently Used (Lee 2001), weighed: each past use counts, halved every `halfLifeMs`. */
const decayingFrequency = (name: string, halfLifeMs: number): Policy => ({
  name,
  worthOf: (resident, nowMs) => {
    const frequency = resident.history.reduce((sum, at) => sum + 2 ** ((at - nowMs) / halfLifeMs), 0);
    return Math.log(frequency) + Math.log(density(resident));
  },
});

const recencyAnd = (name: string, perDecadeMs: number): Policy => ({
  name,
  worthOf: (resident) => resident.usedMs + Math.log10(density(resident)) * perDecadeMs,
});

/** As kache's, and an entry that is not the last of its unit counts as used earlier: an edit has come since. */
const superseded = (name: string, penaltyMs: number): Policy => {
  const newest = new Map<number, string>();
  return {
    name,
    use: ({ unit, key }) => {
      newest.set(unit, key);
    },
    worthOf: (resident) => worth(resident) - (newest.get(resident.unit) === resident.key ? 0 : penaltyMs),
  };
};

/** What nobody can know: the next use. Something to compare with, not a policy. */
function foresight(trace: Trace): Policy {
  const uses = new Map<string, number[]>();
  for (const [seconds, entry] of trace.uses) {
    const known = uses.get(`${entry}`) ?? [];
    known.push(seconds * 1000);
    uses.set(`${entry}`, known);
  }
  return {
    name: 'foresight',
    worthOf: (resident, nowMs) => {
      const next = uses.get(resident.key)?.find((at) => at > nowMs);
      return next === undefined ? Number.NEGATIVE_INFINITY : Math.log(density(resident) / (next - nowMs));
    },
  };
}

/** Every policy, with fresh state. */
export const policies = (trace: Trace): Policy[] => [
  { name: '**kache**', worthOf: (resident) => worth(resident) },
  { name: 'LRU', worthOf: ({ usedMs }) => usedMs },
  greedyDual('GreedyDual-Size', density),
  greedyDual('GDSF', (resident) => resident.uses * density(resident)),
  recencyAnd('recency and ms/MB, 6 h', 6 * HOUR_MS),
  recencyAnd('recency and ms/MB, 24 h', 24 * HOUR_MS),
  recencyAnd('recency and ms/MB, 72 h', 72 * HOUR_MS),
  decayingFrequency('decaying frequency × ms/MB, 6 h', 6 * HOUR_MS),
  decayingFrequency('decaying frequency × ms/MB, 24 h', 24 * HOUR_MS),
  superseded('kache, 12 h less when superseded', 12 * HOUR_MS),
  foresight(trace),
];

export interface Rates {
  readonly hits: number;
  readonly bytes: number;
  /** Compile time saved by hits, of what a compile of everything would have taken. */
  readonly saved: number;
}

/** Eviction looks at the store after this part of the cap was written, as the wrapper does. */
const STEP = 1 / 20;

const candidatesOf = (trace: Trace): Candidate[] =>
  trace.entries.map((entry, index) => ({
    key: `${index}` as CacheKey,
    usedMs: 0,
    wasHit: false,
    compileMs: entry.compileMs,
    recordBytes: entry.recordBytes,
    blobs: entry.blobs.map(([blob, sizeBytes]) => ({ id: `${blob}` as BlobId, sizeBytes })),
  }));

/** Bytes of the store that keeps everything. */
export function footprint(trace: Trace): number {
  return planEviction(candidatesOf(trace), { maxBytes: Number.POSITIVE_INFINITY, otherBytes: 0 }).bytesBefore;
}

/** What a store with this cap and policy would have served. */
export function replay(trace: Trace, policy: Policy, maxBytes: number): Rates {
  const all = candidatesOf(trace);
  const histories = all.map((): number[] => []);
  const store = new Map<string, Resident>();
  const total = { hits: 0, bytes: 0, saved: 0 };
  const served = { hits: 0, bytes: 0, saved: 0 };
  let written = 0;
  for (const [seconds, index] of trace.uses) {
    const candidate = all[index];
    const history = histories[index];
    if (candidate === undefined || history === undefined) throw new Error(`no entry ${index} in the trace`);
    const nowMs = seconds * 1000;
    history.push(nowMs);
    const values = { hits: 1, bytes: bytesOf(candidate), saved: candidate.compileMs };
    add(total, values);
    let resident = store.get(candidate.key);
    if (resident !== undefined) {
      resident.wasHit = true;
      add(served, values);
    } else {
      resident = { ...candidate, uses: 0, history, priority: 0, unit: trace.entries[index]?.unit ?? -1 };
      if (values.bytes <= maxBytes / 2) {
        store.set(candidate.key, resident);
        written += values.bytes;
      }
    }
    resident.uses++;
    resident.usedMs = nowMs;
    policy.use?.(resident);
    if (written < maxBytes * STEP) continue;
    written = 0;
    const worthOf = (item: Candidate): number => policy.worthOf(item as Resident, nowMs);
    for (const key of planEviction([...store.values()], { maxBytes, otherBytes: 0, worthOf }).evict) {
      const gone = store.get(key);
      if (gone !== undefined) policy.evicted?.(gone);
      store.delete(key);
    }
  }
  return {
    hits: served.hits / total.hits,
    bytes: served.bytes / total.bytes,
    saved: served.saved / total.saved,
  };
}

function add(sum: { hits: number; bytes: number; saved: number }, values: Rates): void {
  sum.hits += values.hits;
  sum.bytes += values.bytes;
  sum.saved += values.saved;
}
