import { expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import type { CacheKey, UnitId } from '../../src/core/ids.ts';
import { type Closure, readUnit, recordClosure } from '../../src/store/closures.ts';
import { encodeRecord, readRecord } from '../../src/store/records.ts';
import { openStore } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { Lab } from '../support/lab.ts';

test('a record with any one byte changed, cut off or appended is no record', () => {
  using lab = new Lab();
  const path = lab.path('record');
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue(), { minLength: 1 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (lines, where, change) => {
        const bytes = Buffer.from(encodeRecord('kind-1', lines));
        writeFileSync(path, bytes);
        expect(readRecord(path, 'kind-1')?.map((line) => JSON.parse(line))).toEqual(
          JSON.parse(JSON.stringify(lines)),
        );
        expect(readRecord(path, 'kind-2')).toBeUndefined();
        const at = where % bytes.length;
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] ?? 0) ^ change;
        writeFileSync(path, flipped);
        expect(readRecord(path, 'kind-1')).toBeUndefined();
        writeFileSync(path, bytes.subarray(0, at));
        expect(readRecord(path, 'kind-1')).toBeUndefined();
        writeFileSync(path, Buffer.concat([bytes, Buffer.from([change])]));
        expect(readRecord(path, 'kind-1')).toBeUndefined();
      },
    ),
    { numRuns: 60 },
  );
});

test('closures are bounded, newest first, and each is kept once', () => {
  using lab = new Lab();
  const store = openStore(lab.path('store'));
  if (store.kind !== 'store') throw new Error(store.detail);
  mkdirSync(lab.path('x'));
  const unit = sha256('unit') as UnitId;
  const closure = (n: number): Closure => ({
    files: [`./f${n}.rs`],
    env: [],
    bound: [],
    absent: [],
    observed: [],
    listed: [],
    natives: false,
  });
  const key = (n: number): CacheKey => sha256(`${n}`) as CacheKey;
  for (let n = 0; n < 20; n++) recordClosure(store, unit, { closure: closure(n), key: key(n) });
  recordClosure(store, unit, { closure: closure(15), key: key(15) });
  const { closures, keys } = readUnit(store, unit);
  expect(closures.map(({ files }) => files[0])).toEqual(
    [15, 19, 18, 17, 16, 14, 13, 12].map((n) => `./f${n}.rs`),
  );
  expect(keys[0]).toBe(key(15));
});
