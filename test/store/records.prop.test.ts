import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { encodeRecord, isForeignRecord, parseLine, readRecord } from '../../src/store/records.ts';
import { Lab } from '../support/lab.ts';

const lines = fc.array(fc.jsonValue({ stringUnit: 'binary' }), { minLength: 1, maxLength: 4 });
const asRead = (values: unknown[]): unknown[] => JSON.parse(JSON.stringify(values));

test('a record is read as it was written', () => {
  using lab = new Lab();
  const path = lab.path('record');
  fc.assert(
    fc.property(lines, (values) => {
      writeFileSync(path, encodeRecord('kind-1', values));
      expect(readRecord(path, 'kind-1')?.map((line) => JSON.parse(line))).toEqual(asRead(values));
    }),
  );
});

test('a record with any one byte changed, cut off or appended is no record', () => {
  using lab = new Lab();
  const path = lab.path('record');
  fc.assert(
    fc.property(lines, fc.nat(), fc.integer({ min: 1, max: 255 }), (values, where, change) => {
      const bytes = Buffer.from(encodeRecord('kind-1', values));
      const at = where % bytes.length;
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ change;
      for (const damaged of [
        flipped,
        bytes.subarray(0, at),
        bytes.subarray(at + 1),
        Buffer.concat([bytes, Buffer.from([change])]),
        Buffer.concat([bytes.subarray(0, at), Buffer.alloc(bytes.length - at)]),
        Buffer.concat([bytes, bytes]),
      ]) {
        writeFileSync(path, damaged);
        expect(readRecord(path, 'kind-1')).toBeUndefined();
      }
    }),
    { numRuns: 60 },
  );
});

test('a record of another kind or version is none, and neither is what is not there', () => {
  using lab = new Lab();
  const path = lab.path('record');
  writeFileSync(path, encodeRecord('kind-1', ['x']));
  for (const kind of ['kind-2', 'kind-', 'kind-10', '', 'kind-1 '])
    expect(readRecord(path, kind)).toBeUndefined();
  expect(readRecord(lab.path('none'), 'kind-1')).toBeUndefined();
  for (const text of ['', '\n', 'kind-1', 'kind-1 \n', 'kind-1 undefined\nundefined\n']) {
    writeFileSync(path, text);
    expect(readRecord(path, 'kind-1')).toBeUndefined();
  }
});

test('a whole record of another version is foreign; one with a flipped digit is damaged', () => {
  using lab = new Lab();
  const path = lab.path('record');
  const isForeign = (text: string): boolean => {
    writeFileSync(path, text);
    return isForeignRecord(path, 'kind-1');
  };
  const own = encodeRecord('kind-1', ['x']);
  expect(isForeign(encodeRecord('kind-2', ['x', { y: 1 }]))).toBe(true);
  expect(isForeign(encodeRecord('kind-12', []))).toBe(true);
  for (const text of [own, own.replace('kind-1', 'kind-3'), encodeRecord('other-2', ['x']), 'kind-2 ', ''])
    expect([text, isForeign(text)]).toEqual([text, false]);
  expect(isForeignRecord(lab.path('none'), 'kind-1')).toBe(false);
});

test('a folder in the place of a record is none', () => {
  using lab = new Lab();
  mkdirSync(lab.path('folder'));
  expect(readRecord(lab.path('folder'), 'kind-1')).toBeUndefined();
  expect(existsSync(lab.path('folder'))).toBe(true);
});

test('a line is parsed alone', () => {
  expect(parseLine<number[]>('[1]')).toEqual([1]);
  expect(parseLine(undefined)).toBeUndefined();
  expect(parseLine('{')).toBeUndefined();
});
