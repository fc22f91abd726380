// The plan of an eviction against a simple model of the store: what is left fits, is counted right, and is worth most.
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { BlobId, CacheKey } from '../../src/core/ids.ts';
import { type Candidate, planEviction, worth } from '../../src/store/eviction-plan.ts';
import { sha256 } from '../../src/sys/hash.ts';

const blob = fc.nat(12).map((n) => ({ id: sha256(`blob ${n}`) as BlobId, sizeBytes: (n + 1) * 1000 }));
const candidate = fc.record({
  key: fc.nat().map((n) => sha256(`key ${n}`) as CacheKey),
  usedMs: fc.nat(1e9),
  wasHit: fc.boolean(),
  compileMs: fc.nat(1e5),
  recordBytes: fc.constant(100),
  blobs: fc.uniqueArray(blob, { maxLength: 3, selector: ({ id }) => id }),
});
const candidates = fc.uniqueArray(candidate, { selector: ({ key }) => key });
const options = fc.record({ maxBytes: fc.nat(90_000), otherBytes: fc.nat(30_000) });

/** The simple model: what remains, each blob once. */
function occupied(list: readonly Candidate[], otherBytes: number): number {
  const blobs = new Map(
    list.flatMap((item) => item.blobs.map(({ id, sizeBytes }) => [id, sizeBytes] as const)),
  );
  const records = list.reduce((sum, item) => sum + item.recordBytes, 0);
  return otherBytes + records + [...blobs.values()].reduce((a, b) => a + b, 0);
}

/** The simplest eviction: take away the least worthy until it fits, counting everything anew each time. */
function model(list: readonly Candidate[], maxBytes: number, otherBytes: number): CacheKey[] {
  const left = list.toSorted((a, b) => worth(a) - worth(b) || (a.key < b.key ? -1 : 1));
  const gone: CacheKey[] = [];
  if (occupied(left, otherBytes) <= maxBytes * 0.95) return gone;
  while (left.length > 0 && occupied(left, otherBytes) > maxBytes * 0.9)
    gone.push(left.shift()?.key as CacheKey);
  return gone;
}

test('the plan is that of the model, in the same order', () => {
  fc.assert(
    fc.property(candidates, options, (list, { maxBytes, otherBytes }) => {
      const plan = planEviction(list, { maxBytes, otherBytes });
      expect(plan.evict).toEqual(model(list, maxBytes, otherBytes));
      expect(plan.bytesBefore).toBe(occupied(list, otherBytes));
      const left = list.filter(({ key }) => !plan.evict.includes(key));
      expect(plan.bytesAfter).toBe(occupied(left, otherBytes));
      if (plan.evict.length < list.length) expect(plan.bytesAfter).toBeLessThanOrEqual(maxBytes * 0.95);
    }),
  );
});

test('the order of the list does not matter, and a second run finds nothing to do', () => {
  fc.assert(
    fc.property(candidates, options, fc.nat(), (list, { maxBytes, otherBytes }, turn) => {
      const { evict } = planEviction(list, { maxBytes, otherBytes });
      const turned = [...list.slice(turn % (list.length + 1)), ...list.slice(0, turn % (list.length + 1))];
      expect(planEviction(turned, { maxBytes, otherBytes }).evict).toEqual(evict);
      const left = list.filter(({ key }) => !evict.includes(key));
      if (left.length > 0) expect(planEviction(left, { maxBytes, otherBytes }).evict).toEqual([]);
    }),
  );
});

test('what was used later, hit, took longer or is smaller does not go before what is otherwise the same', () => {
  fc.assert(
    fc.property(candidate, fc.nat(1e6), fc.nat(1e5), (base, laterMs, dearerMs) => {
      expect(worth({ ...base, usedMs: base.usedMs + laterMs })).toBeGreaterThanOrEqual(worth(base));
      expect(worth({ ...base, compileMs: base.compileMs + dearerMs })).toBeGreaterThanOrEqual(worth(base));
      expect(worth({ ...base, wasHit: true })).toBeGreaterThanOrEqual(worth(base));
      const larger = { id: sha256('another') as BlobId, sizeBytes: dearerMs };
      expect(worth({ ...base, blobs: [...base.blobs, larger] })).toBeLessThanOrEqual(worth(base));
    }),
  );
});

test('ten times dearer by the byte is worth a day, a hit another, and not for ever', () => {
  const blobs = [{ id: sha256('b') as BlobId, sizeBytes: 1e6 }];
  const base: Candidate = {
    key: sha256('k') as CacheKey,
    usedMs: 0,
    wasHit: false,
    compileMs: 999,
    recordBytes: 0,
    blobs,
  };
  const dayMs = 86_400_000;
  expect(worth({ ...base, compileMs: 9999 }) - worth(base)).toBeCloseTo(dayMs, 0);
  expect(worth({ ...base, wasHit: true }) - worth(base)).toBeCloseTo(dayMs, 0);
  expect(worth({ ...base, usedMs: 2 * dayMs })).toBeGreaterThan(worth({ ...base, compileMs: 9999 }));
});
