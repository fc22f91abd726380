import { expect, test } from 'bun:test';
import { mkdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { parseDepInfo, renderDepInfo } from '../../src/rustc/dep-info.ts';
import { Lab } from '../support/lab.ts';

/** What rustc writes as dep-info for a crate, whose root is `lib.rs` in the folder of the sources. */
function depInfoOf(lab: Lab, files: Record<string, string>, env = {}, out = 'out'): string {
  const dir = lab.write('crate', files);
  mkdirSync(`${dir}/${out}`);
  const args = ['--crate-name', 'odd', '--crate-type', 'lib', '--emit', 'dep-info,metadata,link'];
  expect(lab.run(['rustc', ...args, '--out-dir', out, 'lib.rs'], { cwd: dir, env })).toMatchObject({
    status: 0,
    stderr: '',
  });
  return readFileSync(`${dir}/${out}/odd.d`, 'utf8');
}

const include = (names: readonly string[]): string =>
  names.map((name, n) => `pub const I${n}: &str = include_str!(${JSON.stringify(name)});\n`).join('');

test('what rustc writes is read, and written back to the byte', () => {
  using lab = new Lab();
  const names = [
    'we ird.txt',
    'two  blanks',
    'end ',
    'a: b',
    '#hash $dollar %',
    'back\\slash',
    'ünïcode',
    "it's",
  ];
  const text = depInfoOf(
    lab,
    {
      'lib.rs': `mod m;\n${['SET', 'EMPTY', 'UNSET', 'PLAIN'].map((name) => `pub const ${name}: Option<&str> = option_env!("${name}");\n`).join('')}pub const V: &str = env!("VALUE");\n${include(names)}`,
      'm.rs': 'mod inner { pub mod deep; }',
      'm/inner/deep.rs': '',
      ...Object.fromEntries(names.map((name) => [name, 'text'])),
    },
    {
      SET: 'two\nlines \\ and a backslash\r\n',
      EMPTY: '',
      PLAIN: ' # env-dep:X=1 ',
      VALUE: 'a=b=c \\n',
    },
  );
  const info = parseDepInfo(text);
  expect(info?.files.toSorted()).toEqual(['lib.rs', 'm.rs', 'm/inner/deep.rs', ...names].sort());
  expect(info?.files[0]).toBe('lib.rs');
  expect(info?.targets).toEqual(['out/odd.d', 'out/libodd.rlib', 'out/libodd.rmeta']);
  expect(info?.env).toEqual([
    { name: 'EMPTY', value: '' },
    { name: 'PLAIN', value: ' # env-dep:X=1 ' },
    { name: 'SET', value: 'two\nlines \\ and a backslash\r\n' },
    { name: 'UNSET', value: undefined },
    { name: 'VALUE', value: 'a=b=c \\n' },
  ]);
  expect(info && renderDepInfo(info)).toBe(text);
});

test('a crate of one file that asks for no variable', () => {
  using lab = new Lab();
  const text = depInfoOf(lab, { 'lib.rs': '' });
  const info = parseDepInfo(text);
  expect(info).toMatchObject({ files: ['lib.rs'], env: [] });
  expect(info && renderDepInfo(info)).toBe(text);
});

test('an output folder with blanks and colons, which rustc does not escape', () => {
  using lab = new Lab();
  const text = depInfoOf(lab, { 'lib.rs': 'mod m;', 'm.rs': '' }, {}, 'my: out dir');
  const info = parseDepInfo(text);
  expect(info?.files).toEqual(['lib.rs', 'm.rs']);
  expect(info && renderDepInfo(info)).toBe(text);
});

test('a name rustc cannot write down in one line is never read as other names', () => {
  using lab = new Lab();
  const info = parseDepInfo(depInfoOf(lab, { 'lib.rs': include(['new\nline']), 'new\nline': '' }));
  // Either all of it is understood or nothing.
  if (info !== undefined) expect(info.files).toContain('new\nline');
});

const character = fc.constantFrom('a', 'b', '/', '.', ' ', ':', '#', '$', '%', 'ü', '"', '=', '~');
/** As dep-info holds them: a final backslash would be read as an escaped blank, by make as well. */
const file = fc
  .array(character, { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join(''))
  .filter((text) => text.trim() !== '' && !text.startsWith('#') && !text.endsWith(':'));
const target = fc.stringMatching(/^\/[a-z /]{0,5}[a-z]\.(d|rlib|rmeta)$/);
const variable = fc.record({
  name: fc.stringMatching(/^[A-Z_]+$/),
  value: fc.option(
    fc
      .array(fc.oneof(fc.string(), fc.constantFrom('\n', '\r', '\\', '\\n', '=', '#', ' ', '\u2028')))
      .map((parts) => parts.join('')),
    { nil: undefined },
  ),
});

test('any files and variables come back as they went', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(target, { minLength: 1, maxLength: 3 }),
      fc.uniqueArray(file, { minLength: 1, maxLength: 6 }),
      fc.array(variable, { maxLength: 4 }),
      (targets, files, env) => {
        const info = { targets, files, env };
        expect(parseDepInfo(renderDepInfo(info))).toEqual(info);
      },
    ),
    { numRuns: 500 },
  );
});

test('unset and empty are two things, also when rendered', () => {
  const render = (value: string | undefined): string =>
    renderDepInfo({ targets: ['x.d'], files: ['x.rs'], env: [{ name: 'V', value }] });
  expect(render(undefined)).toEndWith('# env-dep:V\n');
  expect(render('')).toEndWith('# env-dep:V=\n');
});

test('something else is not taken for dep-info', () => {
  for (const text of ['', '\n', 'no rule here\n', '# only a comment\n', 'phony:\n', '# env-dep:A=1\n'])
    expect([text, parseDepInfo(text)]).toEqual([text, undefined]);
});

test('no text whatever makes it throw', () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom('a: b', 'a:', ': ', ' :', '# env-dep:', '# env-dep:A\\'),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      parseDepInfo(lines.join('\n'));
    }),
  );
});
