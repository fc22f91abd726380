import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { PathMap, type Root } from '../../src/rustc/path-map.ts';

const root = (name: string, path: string, placeholder?: string): Root => ({ name, path, placeholder });
const map = new PathMap([
  root('ws', '/home/me/code', '.'),
  root('out', '/home/me/code/target/out', '/kache/out'),
  root('home', '/home/me'),
]);

test('the most specific root claims a path, on whole components', () => {
  expect(map.toRooted('/home/me/code/target/out/gen.rs') as string).toBe('<out>/gen.rs');
  expect(map.toRooted('/home/me/code/src/lib.rs') as string).toBe('<ws>/src/lib.rs');
  expect(map.toRooted('/home/me/codeer/lib.rs') as string).toBe('<home>/codeer/lib.rs');
  expect(map.toRooted('/home/men/lib.rs') as string).toBe('/home/men/lib.rs');
  expect(map.toRooted('src/lib.rs') as string).toBe('./src/lib.rs');
});

test('remap arguments go from general to specific, as the last match wins in rustc', () => {
  expect(map.remapArguments()).toEqual([
    '--remap-path-prefix=/home/me/code=.',
    '--remap-path-prefix=/home/me/code/target/out=/kache/out',
  ]);
});

const name = fc.stringMatching(/^[a-z<>.]{1,4}$/);
const absolute = fc.array(name, { minLength: 1, maxLength: 5 }).map((parts) => `/${parts.join('/')}`);
const anyPath = fc.oneof(
  absolute,
  fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
);
const roots = fc
  .uniqueArray(absolute, { maxLength: 5 })
  .map((paths) => new PathMap(paths.map((path, index) => root(`r${index}`, path))));

test('rooted paths lead back to where they came from', () => {
  fc.assert(
    fc.property(roots, anyPath, (any, path) => expect(any.fromRooted(any.toRooted(path))).toBe(path)),
  );
});

test('different paths have different rooted forms', () => {
  fc.assert(
    fc.property(roots, anyPath, anyPath, (any, one, two) => {
      if (one !== two) expect(any.toRooted(one)).not.toBe(any.toRooted(two));
    }),
  );
});

test('texts come back from tokens, and other roots give other texts the same tokens', () => {
  fc.assert(
    fc.property(roots, fc.array(fc.oneof(absolute, fc.constantFrom(' ', ':', '"', 'word'))), (any, parts) => {
      const text = parts.join('');
      expect(any.detokenize(any.tokenize(text))).toBe(text);
    }),
  );
  const [here, there] = [new PathMap([root('ws', '/a')]), new PathMap([root('ws', '/else/where')])];
  expect(here.tokenize('-I/a/x:/a /ab "/a"')).toBe('-I/a/x:\0ws\0 /ab "\0ws\0"');
  expect(there.detokenize(here.tokenize('x=/a/b'))).toBe('x=/else/where/b');
});
