// How units of a plan name each other: by the digits at the end of Cargo's folders and files.
import { expect, test } from 'bun:test';
import { hashOf, type PlannedUnit, unitsNamed } from '../../src/fingerprints/plan.ts';

const [A, B, C] = ['0123456789abcdef', '00000000deadbeef', 'fedcba9876543210'];

const unit = (argv: readonly string[], env: PlannedUnit['env'] = {}): PlannedUnit => ({
  crate: ['some', '1.0.0'],
  argv,
  cwd: '/',
  env,
  folder: `debug/.fingerprint/some-crate-${A}`,
  record: [],
});

test('a unit is known by the end of its folder', () => {
  expect(hashOf(unit([]))).toBe(A);
});

test('a compile names its externs and the run of its script', () => {
  const argv = [
    'rustc',
    '--crate-name',
    'some',
    '--extern',
    `noprelude:one=\0target\0/debug/deps/libone-${B}.rmeta`,
    `--extern=two=\0target\0/debug/deps/libtwo-${C}.rlib`,
    '--extern',
    `mac=\0target\0/debug/deps/libmac-${A}.so`,
    '--extern',
    'proc_macro',
    '-C',
    `extra-filename=-${A}`,
    '-L',
    `dependency=\0target\0/debug/deps/libnone-${A}.rlib`,
  ];
  expect(unitsNamed(unit(argv))).toEqual([B, C, A]);
  expect(unitsNamed(unit(['rustc'], { OUT_DIR: `\0target\0/debug/build/some-${B}/out` }))).toEqual([B]);
  expect(unitsNamed(unit(['rustc'], { OUT_DIR: null }))).toEqual([]);
  expect(unitsNamed(unit(['rustc', '--extern']))).toEqual([]);
  expect(unitsNamed(unit([]))).toEqual([]);
});

test('a run names its script, not its own folder', () => {
  const script = `\0target\0/debug/build/some-${C}/build-script-build.script`;
  expect(unitsNamed(unit([script, 'stand-in'], { OUT_DIR: `\0target\0/debug/build/some-${A}/out` }))).toEqual(
    [C],
  );
});
