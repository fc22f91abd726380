import { expect, test } from 'bun:test';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import type { CacheKey } from '../../src/core/ids.ts';
import { type Closure, readUnit, recordClosure } from '../../src/store/closures.ts';
import { Lab } from '../support/lab.ts';
import { cacheKey, closureOf, leftovers, storeOf, unitId } from './stores.ts';

const MAX = 8;
const key = (n: number): CacheKey => cacheKey(`${n}`);
const closure = (n: number): Closure => closureOf(`./f${n}.rs`);

test('closures and keys are what a bounded list with the newest in front would hold', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(11), fc.nat(11)), { maxLength: 25 }), fc.nat(), (recorded, name) => {
      const unit = unitId(`${name}`);
      rmSync(store.layout.unit(unit), { force: true });
      let model: { closures: Closure[]; keys: CacheKey[] } = { closures: [], keys: [] };
      for (const [c, k] of recorded) {
        recordClosure(store, unit, { closure: closure(c), key: key(k) });
        const others = model.closures.filter(({ files }) => files[0] !== closure(c).files[0]);
        model = {
          closures: [closure(c), ...others].slice(0, MAX),
          keys: [key(k), ...model.keys.filter((one) => one !== key(k))].slice(0, MAX),
        };
      }
      expect(readUnit(store, unit)).toEqual(model);
    }),
    { numRuns: 30 },
  );
  expect(leftovers(lab)).toEqual([]);
});

test('units do not mix, and one never recorded has nothing', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  recordClosure(store, unitId('a'), { closure: closure(1), key: key(1) });
  recordClosure(store, unitId('b'), { closure: closure(2), key: key(2) });
  expect(readUnit(store, unitId('a')).closures).toEqual([closure(1)]);
  expect(readUnit(store, unitId('c'))).toEqual({ closures: [], keys: [] });
});

test('closures that differ in anything are two', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const base = closureOf('./lib.rs');
  const variants: Closure[] = [
    base,
    { ...base, env: ['A'] },
    { ...base, bound: ['ws'] },
    { ...base, absent: ['./a.rs'] },
    { ...base, observed: ['./data'] },
    { ...base, listed: ['./items'] },
    { ...base, natives: true },
    closureOf('./lib.rs', './a.rs'),
  ];
  for (const [n, one] of variants.entries()) recordClosure(store, unitId('u'), { closure: one, key: key(n) });
  expect(readUnit(store, unitId('u')).closures).toEqual(variants.toReversed());
});

test('a damaged record is as none, and the next recording replaces it', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const path = store.layout.unit(unitId('u'));
  recordClosure(store, unitId('u'), { closure: closure(1), key: key(1) });
  writeFileSync(path, readFileSync(path, 'utf8').replace('f1.rs', 'f2.rs'));
  expect(readUnit(store, unitId('u'))).toEqual({ closures: [], keys: [] });
  recordClosure(store, unitId('u'), { closure: closure(3), key: key(3) });
  expect(readUnit(store, unitId('u')).closures).toEqual([closure(3)]);
});
