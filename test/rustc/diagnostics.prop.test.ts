import { expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import fc from 'fast-check';
import {
  announcedName,
  artifactLine,
  fromTemplate,
  PLACEHOLDER_BASE,
  parseLine,
  toTemplate,
  withRealPaths,
} from '../../src/rustc/diagnostics.ts';
import { PathMap, type Root } from '../../src/rustc/path-map.ts';
import { Lab } from '../support/lab.ts';

const root = (name: string, path: string, placeholder?: string): Root => ({ name, path, placeholder });

/** Characters that JSON escapes, and some that it leaves alone. */
const odd = fc.stringMatching(/^[a-z"\\ü'é]{1,6}$/);
const place = fc.array(odd, { minLength: 2, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);

test('an announcement is told from a diagnostic', () => {
  const line = '{"$message_type":"artifact","artifact":"/t/deps/liba.rmeta","emit":"metadata"}';
  const parsed = parseLine(line);
  expect(parsed).toEqual({ kind: 'artifact', emit: 'metadata', file: '/t/deps/liba.rmeta' });
  if (parsed.kind === 'artifact') expect(announcedName(parsed)).toBe('liba.rmeta');
  expect(artifactLine('/t/deps/liba.rmeta', 'metadata')).toBe(line);
  for (const other of [
    '',
    'warning: "artifact"',
    '{"artifact"',
    '{"$message_type":"diagnostic","message":"\\"artifact\\""}',
    '{"artifact":7,"emit":"link"}',
    '{"artifact":"/x"}',
    '["artifact"]',
  ])
    expect(parseLine(other)).toEqual({ kind: 'text', text: other });
});

test('an announcement names any path as rustc does', () => {
  fc.assert(
    fc.property(place, (path) => {
      expect(parseLine(artifactLine(path, 'link'))).toEqual({ kind: 'artifact', emit: 'link', file: path });
    }),
  );
});

test('what rustc itself announces is understood, and written the same', () => {
  using lab = new Lab();
  const dir = lab.write('crate "quoted" \\ back', { 'lib.rs': '' });
  mkdirSync(`${dir}/out`);
  const args = ['--crate-name=a', '--crate-type=lib', '--emit=dep-info,metadata,link', '--error-format=json'];
  const { stderr } = lab.run([
    'rustc',
    ...args,
    '--json=artifacts',
    '--out-dir',
    `${dir}/out`,
    `${dir}/lib.rs`,
  ]);
  const lines = stderr.trim().split('\n');
  const parsed = lines.map(parseLine);
  expect(parsed.map((line) => (line.kind === 'artifact' ? [line.emit, announcedName(line)] : line))).toEqual([
    ['dep-info', 'a.d'],
    ['metadata', 'liba.rmeta'],
    ['link', 'liba.rlib'],
  ]);
  for (const [index, line] of parsed.entries())
    if (line.kind === 'artifact') expect(artifactLine(line.file, line.emit)).toBe(lines[index] ?? '');
});

/** What may stand before a path in a message, and behind one. */
const before = fc.constantFrom(' --> ', '"', "'", ' ', '(', '`', 'note: ', '\\', '=');
const behind = fc.constantFrom(':3:5\n', '"', "'", '\t', '\n', ' ', ')', '`', '\\', ':');

test('a stored line comes back with the paths of the checkout it is shown in', () => {
  fc.assert(
    fc.property(
      place,
      place,
      fc.array(fc.tuple(before, odd, behind), { maxLength: 4 }),
      fc.boolean(),
      (here, there, parts, json) => {
        const message = (path: string): string => {
          const text = parts.map(([left, file, right]) => `${left}${path}/${file}${right}`).join(' ');
          return json
            ? JSON.stringify({
                $message_type: 'diagnostic',
                rendered: text,
                spans: [{ file_name: `${path}/x.rs` }],
              })
            : text.replaceAll('\n', ' ');
        };
        const [one, two] = [new PathMap([root('ws', here, '.')]), new PathMap([root('ws', there, '.')])];
        expect(fromTemplate(toTemplate(message(here), one), one)).toBe(message(here));
        expect(fromTemplate(toTemplate(message(here), one), two)).toBe(message(there));
      },
    ),
    { numRuns: 500 },
  );
});

test('a path behind an escape of JSON is found too: at the start of a line, behind a tab or a colour', () => {
  const [one, two] = [new PathMap([root('pkg', '/a/here')]), new PathMap([root('pkg', '/there')])];
  // Cargo always asks for rendered messages in colour: there the path follows the code that ends one.
  for (const escaped of ['\n', '\t', '\u001b[0m', '\r']) {
    const line = (path: string): string =>
      JSON.stringify({ rendered: `see${escaped}${path}/x.rs:1:1${escaped}` });
    expect([escaped, fromTemplate(toTemplate(line('/a/here'), one), two)]).toEqual([escaped, line('/there')]);
  }
});

test('placeholders become real paths, escaped where they stand in JSON', () => {
  fc.assert(
    fc.property(place, odd, (out, file) => {
      const map = new PathMap([root('out', out, `${PLACEHOLDER_BASE}out/a-1.0.0`), root('ws', '/w', '.')]);
      const line = JSON.stringify({ rendered: ` --> ${PLACEHOLDER_BASE}out/a-1.0.0/${file}:1:1` });
      expect(JSON.parse(withRealPaths(line, map))).toEqual({ rendered: ` --> ${out}/${file}:1:1` });
      expect(withRealPaths(` --> ${PLACEHOLDER_BASE}out/a-1.0.0/${file}`, map)).toBe(` --> ${out}/${file}`);
    }),
  );
});

test('a placeholder is a whole component: another one that begins the same is left alone', () => {
  const bases = Array.from({ length: 12 }, (_, n) =>
    root(`base${n}`, `/${'long/'.repeat(12 - n)}b${n}`, `${PLACEHOLDER_BASE}base${n}`),
  );
  const map = new PathMap(bases);
  for (const { path, placeholder } of bases)
    expect(withRealPaths(`at ${placeholder}/x.rs`, map)).toBe(`at ${path}/x.rs`);
  const vendored = new PathMap([root('vendor', '/v', `${PLACEHOLDER_BASE}vendor`)]);
  expect(withRealPaths(`the text "${PLACEHOLDER_BASE}vendored/x"`, vendored)).toBe(
    `the text "${PLACEHOLDER_BASE}vendored/x"`,
  );
});

test('a line without any path is the same line', () => {
  const map = new PathMap([root('ws', '/a', '.'), root('out', '/a/out', `${PLACEHOLDER_BASE}out/x`)]);
  fc.assert(
    fc.property(
      fc.string().filter((text) => !text.includes('\0') && !text.includes('/')),
      (text) => {
        expect(withRealPaths(text, map)).toBe(text);
        expect(toTemplate(text, map)).toBe(text);
        expect(fromTemplate(text, map)).toBe(text);
      },
    ),
  );
});
