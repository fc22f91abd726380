import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { BlobId, CacheKey } from '../../src/core/ids.ts';
import { type Candidate, planEviction, worth } from '../../src/store/eviction-plan.ts';
import { sha256 } from '../../src/sys/hash.ts';

const blob = fc.nat(12).map((n) => ({ id: sha256(`blob ${n}`) as BlobId, sizeBytes: (n + 1) * 1000 }));
const candidate = fc.record({
  key: fc.nat().map((n) => sha256(`key ${n}`) as CacheKey),
  usedMs: fc.nat(1e9),
  compileMs: fc.nat(1e5),
  recordBytes: fc.constant(100),
  blobs: fc.uniqueArray(blob, { maxLength: 3, selector: ({ id }) => id }),
});
const candidates = fc.uniqueArray(candidate, { selector: ({ key }) => key });

/** The simple model: what remains, each blob once. */
function occupied(list: readonly Candidate[]): number {
  const blobs = new Map(
    list.flatMap((item) => item.blobs.map(({ id, sizeBytes }) => [id, sizeBytes] as const)),
  );
  return (
    list.reduce((sum, item) => sum + item.recordBytes, 0) + [...blobs.values()].reduce((a, b) => a + b, 0)
  );
}

test('what is left fits, is counted right, and nothing goes without need', () => {
  fc.assert(
    fc.property(candidates, fc.nat(60_000), (list, cap) => {
      const plan = planEviction(list, { maxBytes: cap, otherBytes: 0 });
      const left = list.filter(({ key }) => !plan.evict.includes(key));
      expect(plan.bytesBefore).toBe(occupied(list));
      expect(plan.bytesAfter).toBe(occupied(left));
      if (plan.bytesBefore <= cap) expect(plan.evict).toEqual([]);
      else expect(plan.bytesAfter).toBeLessThanOrEqual(cap * 0.9);
      // Without the last one that went it would not have fitted.
      const last = plan.evict.at(-1);
      if (last !== undefined)
        expect(occupied([...left, ...list.filter(({ key }) => key === last)])).toBeGreaterThan(cap * 0.9);
      const worths = plan.evict.map((key) => worth(list.find((item) => item.key === key) as Candidate));
      expect(worths).toEqual(worths.toSorted((a, b) => a - b));
    }),
  );
});

test('later use and more compile time per byte are worth more', () => {
  const base: Candidate = {
    key: sha256('k') as CacheKey,
    usedMs: 0,
    compileMs: 1000,
    recordBytes: 100,
    blobs: [{ id: sha256('b') as BlobId, sizeBytes: 1e6 }],
  };
  expect(worth({ ...base, usedMs: 1 })).toBeGreaterThan(worth(base));
  expect(worth({ ...base, compileMs: 20_000 })).toBeGreaterThan(worth(base));
  expect(worth({ ...base, blobs: [{ id: sha256('b') as BlobId, sizeBytes: 1e8 }] })).toBeLessThan(
    worth(base),
  );
  // But not for ever: ten times dearer per byte counts as much as a day.
  expect(worth({ ...base, usedMs: 2 * 86_400_000 })).toBeGreaterThan(worth({ ...base, compileMs: 10_000 }));
});
