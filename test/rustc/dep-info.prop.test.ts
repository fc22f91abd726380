import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { parseDepInfo, renderDepInfo } from '../../src/rustc/dep-info.ts';
import { Lab } from '../support/lab.ts';

test('what rustc writes is read and written back to the byte', () => {
  using lab = new Lab();
  const dir = lab.write('crate', {
    'lib.rs':
      'mod m;\npub const A: Option<&str> = option_env!("SET");\npub const B: Option<&str> = option_env!("EMPTY");\npub const C: Option<&str> = option_env!("UNSET");\npub const D: &str = include_str!("a name with blanks.txt");\n',
    'm.rs': '',
    'a name with blanks.txt': 'text',
  });
  const env = { SET: 'two\nlines \\ and a backslash', EMPTY: '' };
  const args = [
    '--crate-name',
    'odd',
    '--crate-type',
    'lib',
    '--emit',
    'dep-info,metadata,link',
    '--out-dir',
    dir,
    'lib.rs',
  ];
  expect(lab.run(['rustc', ...args], { cwd: dir, env }).status).toBe(0);
  const text = readFileSync(`${dir}/odd.d`, 'utf8');
  const info = parseDepInfo(text);
  expect(info?.files).toEqual(['lib.rs', 'm.rs', 'a name with blanks.txt']);
  expect(info?.env).toEqual([
    { name: 'EMPTY', value: '' },
    { name: 'SET', value: 'two\nlines \\ and a backslash' },
    { name: 'UNSET', value: undefined },
  ]);
  expect(info && renderDepInfo(info)).toBe(text);
});

const path = fc.stringMatching(/^[a-z/ .]*[a-z]$/).filter((text) => !text.startsWith(' '));
const variable = fc.record({
  name: fc.stringMatching(/^[A-Z_]+$/),
  value: fc.option(fc.string(), { nil: undefined }),
});

test('any files and variables come back as they went', () => {
  fc.assert(
    fc.property(fc.uniqueArray(path, { minLength: 1 }), fc.array(variable), (files, env) => {
      const info = { targets: ['/t/x.d', '/t/libx.rlib'], files, env };
      expect(parseDepInfo(renderDepInfo(info))).toEqual(info);
    }),
  );
});

test('something else is not taken for dep-info', () => {
  expect(parseDepInfo('')).toBeUndefined();
  expect(parseDepInfo('no rule here\n')).toBeUndefined();
});
