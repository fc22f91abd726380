// Which entries go when the store is above its cap, and in which order. Pure: eviction and its benchmark share it.
import type { BlobId, CacheKey } from '../core/ids.ts';

/** One entry as eviction sees it. */
export interface Candidate {
  readonly key: CacheKey;
  /** Last use, milliseconds since the epoch. */
  readonly usedMs: number;
  /** Whether it was used since it was stored. */
  readonly wasHit: boolean;
  /** What the compiler took. */
  readonly compileMs: number;
  readonly blobs: readonly { readonly id: BlobId; readonly sizeBytes: number }[];
  readonly recordBytes: number;
}

export interface Plan {
  readonly evict: readonly CacheKey[];
  /** With everything that is no entry. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface PlanOptions {
  readonly maxBytes: number;
  /** What occupies the store and is no entry's. */
  readonly otherBytes: number;
  /** What an entry is worth: the least goes first. */
  readonly worthOf?: (candidate: Candidate) => number;
}

/** Eviction begins here: until the next run a twentieth of the cap may be written, and then it is still kept. */
const BEGIN = 0.95;
/** And goes on to here, so that the next store does not start it again. */
const END = 0.9;
const DAY_MS = 24 * 3600 * 1000;

/**
 * The moment of last use, moved forward by a day for each factor of ten in compile time per megabyte, and by one more
 * when it has been hit at all: most edits are never seen again. So an entry that is dear, small or shared outlives one
 * that is cheap, large or nobody's, but not for ever. Chosen by replaying recorded builds (`bench/eviction.ts`).
 */
export function worth(candidate: Candidate): number {
  const sizeBytes = candidate.blobs.reduce((sum, blob) => sum + blob.sizeBytes, candidate.recordBytes);
  const msPerMegabyte = (candidate.compileMs + 1) / (sizeBytes / 1e6 + 1e-3);
  return candidate.usedMs + (Math.log10(msPerMegabyte) + (candidate.wasHit ? 1 : 0)) * DAY_MS;
}

/** Chooses what to evict so that the store fits `maxBytes`. A blob counts once and goes with its last entry. */
export function planEviction(candidates: readonly Candidate[], options: PlanOptions): Plan {
  const { maxBytes, otherBytes, worthOf = worth } = options;
  const users = new Map<BlobId, { count: number; sizeBytes: number }>();
  let bytes = otherBytes;
  for (const candidate of candidates) {
    bytes += candidate.recordBytes;
    for (const { id, sizeBytes } of candidate.blobs) {
      const known = users.get(id);
      if (known === undefined) bytes += sizeBytes;
      users.set(id, { count: (known?.count ?? 0) + 1, sizeBytes });
    }
  }
  const bytesBefore = bytes;
  const evict: CacheKey[] = [];
  if (bytes <= maxBytes * BEGIN) return { evict, bytesBefore, bytesAfter: bytes };
  const ranked = candidates.map((candidate) => ({ candidate, worth: worthOf(candidate) }));
  ranked.sort((a, b) => a.worth - b.worth || (a.candidate.key < b.candidate.key ? -1 : 1));
  for (const { candidate } of ranked) {
    if (bytes <= maxBytes * END) break;
    evict.push(candidate.key);
    bytes -= candidate.recordBytes;
    for (const { id } of candidate.blobs) {
      const user = users.get(id);
      if (user === undefined) continue;
      user.count--;
      if (user.count === 0) bytes -= user.sizeBytes;
    }
  }
  return { evict, bytesBefore, bytesAfter: bytes };
}
