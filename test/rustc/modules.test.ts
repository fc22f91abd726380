import { expect, test } from 'bun:test';
import { otherSpelling } from '../../src/rustc/modules.ts';
import { Lab } from '../support/lab.ts';

test('each spelling of a module names the other', () => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['./src/a.rs', './src/a/mod.rs'],
    ['./src/a/mod.rs', './src/a.rs'],
    ['<ws>/src/a/b.rs', '<ws>/src/a/b/mod.rs'],
    ['./src/amod.rs', './src/amod/mod.rs'],
    ['./src/data.txt', undefined],
    ['./src/mod.rs.txt', undefined],
    ['./rs', undefined],
  ];
  for (const [file, other] of cases) expect([file, otherSpelling(file)]).toEqual([file, other]);
});

test('it is the spelling rustc refuses beside the first', () => {
  using lab = new Lab();
  const check = (files: Record<string, string>): number | null => {
    const dir = lab.write(`crate${Object.keys(files).length}`, { 'lib.rs': 'mod a;', ...files });
    return lab.run(['rustc', '--crate-type=lib', '--emit=metadata', 'lib.rs'], { cwd: dir }).status;
  };
  expect(check({ 'a.rs': '' })).toBe(0);
  expect(check({ 'a.rs': '', [otherSpelling('a.rs') ?? '']: '' })).toBe(1);
});
