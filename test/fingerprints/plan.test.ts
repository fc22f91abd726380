// How units of a plan are built on each other, as Cargo's records have it.
import { expect, test } from 'bun:test';
import { merged } from '../../src/fingerprints/keep.ts';
import { builtOn, fingerprintOf, isFingerprint, type PlannedUnit } from '../../src/fingerprints/plan.ts';

/** A fingerprint as Cargo names it in a file, and as a number in a record. */
const fingerprint = (number: bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(number);
  return bytes.toString('hex');
};

interface Made {
  readonly own: bigint;
  readonly deps?: readonly bigint[];
  readonly argv?: readonly string[];
  readonly json?: string;
}

const unit = (name: string, { own, deps = [], argv = ['rustc'], json }: Made): PlannedUnit => ({
  crate: [name, '1.0.0'],
  argv,
  cwd: '/',
  env: {},
  folder: `debug/.fingerprint/${name}-${fingerprint(own)}`,
  record: [
    [`dep-lib-${name}`, '\0\0'],
    [`lib-${name}`, fingerprint(own)],
    [
      `lib-${name}.json`,
      json ??
        `{"rustc":1,"features":"[]","deps":[${deps.map((dep) => `[5,"dep",false,${dep}]`).join()}],"local":[]}`,
    ],
  ],
});

test('the hash by which Cargo takes a unit for fresh is told from what is beside it', () => {
  const { record } = unit('one', { own: 0x1122334455667788n });
  expect(record.filter(isFingerprint)).toEqual([['lib-one', '8877665544332211']]);
  expect(fingerprintOf({ record })).toBe('8877665544332211');
  expect(fingerprintOf({ record: [] })).toBe('');
});

test('what a unit is built on stands in its record, and in no other form', () => {
  expect(builtOn(unit('one', { own: 1n }))).toEqual([]);
  expect(builtOn(unit('one', { own: 1n, deps: [2n, 2n ** 64n - 1n] }))).toEqual([
    '0200000000000000',
    'ffffffffffffffff',
  ]);
  for (const json of [
    '',
    '{}',
    '{"deps":[["2"]],"local":[]}',
    '{"deps":[[5,"a",false,2]',
    '{"deps":{},"local":[]}',
  ])
    expect([json, builtOn(unit('one', { own: 1n, json }))]).toEqual([json, undefined]);
});

test('units come behind those they are built on, in whatever order they were asked for', () => {
  const names = (units: readonly PlannedUnit[]): string[] => units.map(({ crate: [name] }) => name);
  const top = unit('top', { own: 1n, deps: [2n, 3n] });
  const middle = unit('middle', { own: 2n, deps: [3n] });
  const leaf = unit('leaf', { own: 3n });
  expect(names(merged([], [top, middle, leaf]))).toEqual(['leaf', 'middle', 'top']);
  // Also when a build asks for what others of an earlier one are built on.
  expect(names(merged([top, middle], [leaf]))).toEqual(['leaf', 'middle', 'top']);
  // What names a circle, or nothing, ends somewhere.
  const [one, two] = [unit('one', { own: 4n, deps: [5n, 9n] }), unit('two', { own: 5n, deps: [4n] })];
  expect(names(merged([], [one, two])).sort()).toEqual(['one', 'two']);
});

test('what was asked for now takes the place of what was known, the rest stays', () => {
  const [old, other] = [unit('one', { own: 1n, argv: ['old'] }), unit('two', { own: 2n, argv: ['old'] })];
  const now = unit('one', { own: 1n, argv: ['new'] });
  expect(merged([old, other], [now]).map(({ argv }) => argv)).toEqual([['new'], ['old']]);
});
