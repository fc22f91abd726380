import { expect, test } from 'bun:test';
import { readUnit } from '../../src/store/closures.ts';
import { Lab } from '../support/lab.ts';
import { atOnce, leftovers, storeOf, unitId, writeProgram } from './stores.ts';

test('eight processes record closures of the same units at once, and nothing is lost', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const units = Array.from({ length: 12 }, (_, n) => unitId(`shared ${n}`));
  const program = writeProgram(
    lab,
    'record',
    `for (const unit of ${JSON.stringify(units)}) {
       const closure = { files: ['./' + own + '.rs'], env: [], bound: [], absent: [], observed: [], listed: [], natives: false };
       recordClosure(store, unit, { closure, key: sha256(own) });
       if (readUnit(store, unit).closures.length === 0) process.exit(3);
     }`,
  );
  await atOnce(program, 8);
  const everyone = Array.from({ length: 8 }, (_, n) => `./${n}.rs`);
  for (const unit of units) {
    const { closures, keys } = readUnit(store, unit);
    expect(closures.flatMap(({ files }) => files).sort()).toEqual(everyone);
    expect(new Set(keys).size).toBe(8);
  }
  expect(leftovers(lab)).toEqual([]);
}, 60_000);

test('who reads while others record sees one state or the next, never half of one', async () => {
  using lab = new Lab();
  storeOf(lab);
  const unit = JSON.stringify(unitId('read'));
  const program = writeProgram(
    lab,
    'read',
    `const names = Array.from({ length: 400 }, (_, n) => './' + own + '/' + n + '.rs');
     const closure = { files: names, env: [], bound: [], absent: [], observed: [], listed: [], natives: false };
     recordClosure(store, ${unit}, { closure, key: sha256(own) });
     for (let n = 0; n < 60; n++) {
       if (Number(own) < 3) recordClosure(store, ${unit}, { closure, key: sha256(own) });
       const found = readUnit(store, ${unit}).closures;
       if (found.length === 0 || found.some(({ files }) => files.length !== 400)) process.exit(3);
     }`,
  );
  await atOnce(program, 6);
}, 60_000);
