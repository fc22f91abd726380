import { expect, test } from 'bun:test';
import { posix } from 'node:path';
import fc from 'fast-check';
import { basename, dirname, isWithin, resolve } from '../../src/sys/paths.ts';

const component = fc.oneof(
  fc.constantFrom('', '.', '..', '...', '.a', 'a', 'b', 'ab', ' ', 'ü', '-'),
  fc.stringMatching(/^[^/\0]{1,4}$/),
);
const anyPath = fc.array(component, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));
const absolute = anyPath.map((path) => `/${path}`);
/** As roots and results of resolve are: absolute, without `.`, `..`, doubled or final slashes. */
const normal = absolute.map((path) => posix.resolve(path));

test('resolving is what node:path does', () => {
  fc.assert(
    fc.property(absolute, anyPath, (base, path) => {
      expect(resolve(base, path)).toBe(posix.resolve(base, path));
    }),
    { numRuns: 2000 },
  );
});

test('resolving what is resolved changes nothing', () => {
  fc.assert(fc.property(normal, absolute, (path, base) => expect(resolve(base, path)).toBe(path)));
});

test('being within is what the relative path says, and both ends count', () => {
  fc.assert(
    fc.property(normal, normal, (path, root) => {
      const relative = posix.relative(root, path);
      expect(isWithin(path, root)).toBe(relative !== '..' && !relative.startsWith('../'));
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(normal, component, (root, name) => {
      expect(isWithin(resolve(root, `./${name.replaceAll('..', 'x')}`), root)).toBe(true);
      if (root !== '/' && name !== '') expect(isWithin(`${root}${name}`, root)).toBe(false);
    }),
  );
});

test('a normal path is its folder and its name', () => {
  fc.assert(
    fc.property(
      normal.filter((path) => path !== '/'),
      (path) => {
        expect(dirname(path)).toBe(posix.dirname(path));
        expect(basename(path)).toBe(posix.basename(path));
        expect(resolve(dirname(path), basename(path))).toBe(path);
      },
    ),
  );
  expect([dirname('name'), dirname('/'), dirname('/name'), basename('name')]).toEqual([
    '.',
    '/',
    '/',
    'name',
  ]);
});
