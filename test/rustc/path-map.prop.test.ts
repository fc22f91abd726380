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
  const cases: readonly (readonly [string, string])[] = [
    ['/home/me/code/target/out/gen.rs', '<out>/gen.rs'],
    ['/home/me/code/target/output/gen.rs', '<ws>/target/output/gen.rs'],
    ['/home/me/code/src/lib.rs', '<ws>/src/lib.rs'],
    ['/home/me/code', '<ws>'],
    ['/home/me/codeer/lib.rs', '<home>/codeer/lib.rs'],
    ['/home/men/lib.rs', '/home/men/lib.rs'],
    ['/home', '/home'],
    ['src/lib.rs', './src/lib.rs'],
    ['../x.rs', './../x.rs'],
    ['<ws>/x.rs', './<ws>/x.rs'],
    ['', './'],
  ];
  for (const [path, rooted] of cases) {
    expect([path, map.toRooted(path) as string]).toEqual([path, rooted]);
    expect(map.fromRooted(rooted)).toBe(path);
  }
});

test('a path under a root this call does not have leads nowhere', () => {
  expect(map.fromRooted('<elsewhere>/x.rs')).toBeUndefined();
  expect(map.fromRooted('<w>/x.rs')).toBeUndefined();
  expect(map.without(['ws']).fromRooted('<ws>/x.rs')).toBeUndefined();
});

test('without some roots their paths belong to the next, or are literal', () => {
  expect(map.without(['out']).toRooted('/home/me/code/target/out/x') as string).toBe('<ws>/target/out/x');
  expect(map.without(['ws', 'out', 'home']).tokenize('/home/me/code')).toBe('/home/me/code');
  expect(map.without([])).toBe(map);
});

test('of two roots at one place the first counts; what is no folder of its own is no root', () => {
  const odd = new PathMap([
    root('a', '/x'),
    root('b', '/x'),
    root('c', '/'),
    root('d', 'relative'),
    root('e', ''),
  ]);
  expect(odd.roots.map(({ name }) => name)).toEqual(['a']);
});

test('remap arguments go from general to specific, as the last match wins in rustc', () => {
  expect(map.remapArguments()).toEqual([
    '--remap-path-prefix=/home/me/code=.',
    '--remap-path-prefix=/home/me/code/target/out=/kache/out',
  ]);
});

test('the order in which roots are given does not matter', () => {
  const roots = [root('a', '/a'), root('b', '/a/b'), root('c', '/c'), root('d', '/a/b/c'), root('e', '/d')];
  const expected = new PathMap(roots).roots;
  fc.assert(
    fc.property(fc.shuffledSubarray(roots, { minLength: roots.length }), (shuffled) => {
      expect(new PathMap(shuffled).roots).toEqual(expected);
    }),
  );
});

const name = fc.stringMatching(/^[a-c<>. ]{1,3}$/);
const absolute = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
const relative = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const roots = fc
  .uniqueArray(absolute, { maxLength: 5 })
  .map((paths) => new PathMap(paths.map((path, index) => root(`r${index}`, path, `/kache/r${index}`))));
/** Below a root as often as not. */
const anyPath = (any: PathMap): fc.Arbitrary<string> => {
  const below = any.roots.flatMap(({ path }) => [path, `${path}/a`, `${path}a`, `${path}/../b`]);
  return fc.oneof(absolute, relative, ...(below.length === 0 ? [] : [fc.constantFrom(...below)]));
};
const rootsAndPaths = roots.chain((any) =>
  fc.tuple(fc.constant(any), anyPath(any), anyPath(any)).map(([kept, one, two]) => ({ any: kept, one, two })),
);

test('rooted paths lead back to where they came from', () => {
  fc.assert(
    fc.property(rootsAndPaths, ({ any, one }) => expect(any.fromRooted(any.toRooted(one))).toBe(one)),
    {
      numRuns: 500,
    },
  );
});

test('different paths have different rooted forms', () => {
  fc.assert(
    fc.property(rootsAndPaths, ({ any, one, two }) => {
      if (one !== two) expect(any.toRooted(one)).not.toBe(any.toRooted(two));
    }),
    { numRuns: 500 },
  );
});

test('the same place in two checkouts has one rooted form, whatever the checkouts are called', () => {
  fc.assert(
    fc.property(absolute, absolute, relative, (here, there, below) => {
      const [one, two] = [new PathMap([root('ws', here)]), new PathMap([root('ws', there)])];
      expect(one.toRooted(`${here}/${below}`)).toBe(two.toRooted(`${there}/${below}`));
    }),
  );
});

const words = (any: PathMap): fc.Arbitrary<string> =>
  fc
    .array(fc.oneof(anyPath(any), fc.constantFrom(' ', ':', '"', 'word', '\n', '=', ',', '/')))
    .map((parts) => parts.join(''));
const rootsAndTexts = roots.chain((any) =>
  fc.tuple(fc.constant(any), words(any), words(any)).map(([kept, one, two]) => ({ any: kept, one, two })),
);

test('texts come back from tokens, and different texts have different ones', () => {
  fc.assert(
    fc.property(rootsAndTexts, ({ any, one, two }) => {
      expect(any.detokenize(any.tokenize(one))).toBe(one);
      if (one !== two) expect(any.tokenize(one)).not.toBe(any.tokenize(two));
    }),
    { numRuns: 500 },
  );
});

test('a path is a token where it stands as a whole, not inside another', () => {
  const here = new PathMap([root('ws', '/a')]);
  expect(here.tokenize('/a')).toBe('\0ws\0');
  expect(here.tokenize('/a/x:/a /ab "/a" /b/a=/a,(/a)')).toBe(
    '\0ws\0/x:\0ws\0 /ab "\0ws\0" /b/a=\0ws\0,(\0ws\0)',
  );
  expect(here.tokenize('-I/a/x')).toBe('-I/a/x');
  expect(here.tokenize('/a/a/a')).toBe('\0ws\0/a/a');
});

test('overlapping roots: each place is claimed once, by the longest', () => {
  const both = new PathMap([root('inner', '/a/b'), root('outer', '/a')]);
  expect(both.tokenize('/a /a/b /a/b/c /a/bc')).toBe('\0outer\0 \0inner\0 \0inner\0/c \0outer\0/bc');
});

test('tokens become the paths of another checkout; those of unknown roots stay', () => {
  const [here, there] = [new PathMap([root('ws', '/a')]), new PathMap([root('ws', '/else/where')])];
  expect(there.detokenize(here.tokenize('x=/a/b'))).toBe('x=/else/where/b');
  expect(there.detokenize('\0home\0/x \0ws\0')).toBe('\0home\0/x /else/where');
});

test('which roots a value names', () => {
  expect(map.rootsIn('-L/home/me/code/target').sort()).toEqual(['home', 'ws']);
  expect(map.rootsIn('/home/you')).toEqual([]);
});
