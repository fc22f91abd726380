import { expect, test } from 'bun:test';
import {
  readAttempt,
  readUnstoredInputs,
  writeAttempt,
  writeUnstoredInputs,
} from '../../src/store/unstored.ts';
import { Lab } from '../support/lab.ts';
import { cacheKey, leftovers, NO_INPUTS, storeOf, unitId } from './stores.ts';

const inputs = { ...NO_INPUTS, flags: ['-C opt-level=3'] };

test('the last attempt of a unit is kept for each output folder', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const [unit, attempt] = [unitId('a'), { startedMs: 1, inputs, complete: true }];
  expect(readAttempt(store, unit, '/out')).toBeUndefined();
  expect(writeAttempt(store, { unit, outDir: '/out' }, attempt)).toBe(true);
  writeAttempt(store, { unit, outDir: '/other' }, { ...attempt, startedMs: 2 });
  expect(readAttempt(store, unit, '/out')).toEqual(attempt);
  writeAttempt(store, { unit, outDir: '/out' }, { ...attempt, startedMs: 3, complete: false });
  expect(readAttempt(store, unit, '/out')).toEqual({ startedMs: 3, inputs, complete: false });
  expect(readAttempt(store, unit, '/other')?.startedMs).toBe(2);
  expect(readAttempt(store, unitId('b'), '/out')).toBeUndefined();
  expect(leftovers(lab)).toEqual([]);
});

test('inputs of a linked output are found by what stands for it', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  expect(writeUnstoredInputs(store, cacheKey('a'), inputs)).toBe(true);
  expect(readUnstoredInputs(store, cacheKey('a'))).toEqual(inputs);
  expect(readUnstoredInputs(store, cacheKey('b'))).toBeUndefined();
});
