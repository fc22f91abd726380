import { expect, test } from 'bun:test';
import { describeDifference, differences } from '../../src/cli/miss-causes.ts';
import type { EntryInputs } from '../../src/store/entries.ts';

const INPUTS: EntryInputs = {
  identity: '',
  unit: [
    ['key version', 'kache-key-1'],
    ['key salt', 's'],
    ['toolchain', 'rustc 1.94.0'],
    ['toolchain build', 'b'],
    ['files that flags name', 'f'],
    ['crate root', './src/lib.rs'],
    ['roots', 'ws .'],
    ['processor', 'p'],
    ['env CARGO_PKG_VERSION', '1'],
    ['env CARGO_PKG_VERSION_PATCH', '1'],
    ['env CARGO_PKG_DESCRIPTION', 'd'],
  ],
  flags: ['--edition 2021', '-C opt-level=0', '-C metadata=aa', '--cfg feature="std"', '-W dead_code'],
  files: [
    ['./src/a.rs', '1'],
    ['./src/lib.rs', '1'],
  ],
  env: [
    ['EMPTY', 'unset'],
    ['NAME', '1'],
  ],
  externs: [
    ['b', 'one', 'libb-1.rmeta'],
    ['std', 'sysroot', ''],
  ],
  other: [['root ws', '1']],
};

const unit = (name: string, value: string): Partial<EntryInputs> => ({
  unit: INPUTS.unit.map(([part, old]) => [part, part === name ? value : old]),
});
const flags = (from: string, ...to: string[]): Partial<EntryInputs> => ({
  flags: INPUTS.flags.flatMap((flag) => (flag === from ? to : [flag])),
});
/** In words, what a change of `INPUTS` is. */
const said = (...changes: Partial<EntryInputs>[]): string[] =>
  differences(INPUTS, Object.assign({}, INPUTS, ...changes)).map((one) => describeDifference(one, 'c'));

test('equal inputs do not differ', () => {
  expect(differences(INPUTS, structuredClone(INPUTS))).toEqual([]);
});

const CASES: readonly (readonly [string, Partial<EntryInputs>, readonly string[]])[] = [
  ['another toolchain', unit('toolchain', 'rustc 1.95.0'), ['toolchain: rustc 1.94.0 -> rustc 1.95.0']],
  ['another build of it', unit('toolchain build', 'x'), ['toolchain: another build or host']],
  ['a later kache', unit('key version', 'kache-key-2'), ['the version of the key changed']],
  ['another crate root', unit('crate root', './lib.rs'), ['flag: crate root ./src/lib.rs -> ./lib.rs']],
  ['the salt', unit('key salt', 'x'), ['cache.key_salt changed']],
  ['a processor', unit('processor', 'x'), ['the processor of -C target-cpu=native changed']],
  ['a described package', unit('env CARGO_PKG_DESCRIPTION', 'x'), ['variable CARGO_PKG_DESCRIPTION changed']],
  ['a new version', unit('env CARGO_PKG_VERSION', '2'), ['version of c changed']],
  ['a feature less', flags('--cfg feature="std"'), ['feature std of c removed']],
  ['a feature more', flags('-W dead_code', '-W dead_code', '--cfg feature="x"'), ['feature x of c added']],
  ['the profile', flags('-C opt-level=0', '-C opt-level=3'), ['profile: opt-level 0 -> 3']],
  ['a profile option more', flags('-C opt-level=0', '-C opt-level=0', '-C lto'), ['profile: lto added']],
  ['the edition', flags('--edition 2021', '--edition 2024'), ['flag: --edition 2021 -> 2024']],
  [
    'a lint',
    flags('-W dead_code', '-D dead_code'),
    ['flag: -D dead_code added', 'flag: -W dead_code removed'],
  ],
  ['a flag twice', flags('-W dead_code', '-W dead_code', '-W dead_code'), ['flag: -W dead_code added']],
  ['the order', { flags: INPUTS.flags.toReversed() }, ['flag: the order of the flags changed']],
  [
    'a file',
    {
      files: [
        ['./src/a.rs', '2'],
        ['./src/lib.rs', '1'],
      ],
    },
    ['file ./src/a.rs changed'],
  ],
  [
    'files come and go',
    {
      files: [
        ['./src/b.rs', '1'],
        ['./src/lib.rs', '1'],
      ],
    },
    ['file ./src/b.rs added', 'file ./src/a.rs removed'],
  ],
  [
    'a variable',
    {
      env: [
        ['EMPTY', 'unset'],
        ['NAME', '2'],
      ],
    },
    ['variable NAME changed'],
  ],
  [
    'a variable set',
    {
      env: [
        ['EMPTY', '0'],
        ['NAME', '1'],
      ],
    },
    ['variable EMPTY set'],
  ],
  [
    'a variable unset',
    {
      env: [
        ['EMPTY', 'unset'],
        ['NAME', 'unset'],
      ],
    },
    ['variable NAME unset'],
  ],
  [
    'variables read',
    {
      env: [
        ['EMPTY', 'unset'],
        ['OTHER', '1'],
      ],
    },
    ['variable OTHER read now', 'variable NAME no longer read'],
  ],
  [
    'an extern',
    {
      externs: [
        ['b', 'two', 'libb-1.rmeta'],
        ['std', 'sysroot', ''],
      ],
    },
    ['dependency b changed'],
  ],
  ['an extern less', { externs: [['std', 'sysroot', '']] }, ['dependency b removed']],
  [
    'another checkout',
    { other: [['root ws', '2']] },
    ['c holds the path of its checkout, and this is another folder'],
  ],
  [
    'names in a folder',
    {
      other: [
        ['root ws', '1'],
        ['names in ./items', '1'],
      ],
    },
    ['names in ./items added'],
  ],
  [
    'a linker',
    {
      other: [
        ['root ws', '1'],
        ['linker', '1'],
      ],
    },
    ['linker added'],
  ],
  [
    'a linked library',
    {
      other: [
        ['root ws', '1'],
        ['linked /usr/lib/libz.so', '1'],
      ],
    },
    ['native library /usr/lib/libz.so added'],
  ],
  [
    'an indirect library',
    { externs: [...INPUTS.externs, ['libz-2.rlib', 'one', 'libz-2.rlib']] },
    ['dependency z added'],
  ],
  [
    'an archive',
    {
      other: [
        ['root ws', '1'],
        ['native 0 libz.a', '1'],
      ],
    },
    ['native library 0 libz.a added'],
  ],
  [
    'a named input',
    {
      other: [
        ['root ws', '1'],
        ['extra data/x.sql', '1'],
      ],
    },
    ['file data/x.sql added'],
  ],
];

for (const [name, change, expected] of CASES) test(name, () => expect(said(change)).toEqual([...expected]));

test("Cargo's own hash is told of only when nothing else differs", () => {
  const metadata = flags('-C metadata=aa', '-C metadata=bb');
  expect(said(metadata)).toEqual(["Cargo's own hash of the package (-C metadata) changed"]);
  expect(said(unit('toolchain', 'rustc 1.95.0'), metadata)).toEqual([
    'toolchain: rustc 1.94.0 -> rustc 1.95.0',
  ]);
});

test('that more or less was read comes last: it follows from something, or another process read it', () => {
  const noise = {
    files: [...INPUTS.files, ['./other.txt', '1']] as const,
    externs: [['b', 'two', 'libb-1.rmeta'], INPUTS.externs[1] ?? ['', '', '']] as const,
  };
  expect(said(noise)).toEqual(['dependency b changed', 'file ./other.txt added']);
});

test('causes come before what follows from them', () => {
  const everything = {
    ...unit('toolchain', 'rustc 1.95.0'),
    ...flags('-C opt-level=0', '-C opt-level=3'),
    files: [['./src/lib.rs', '2']] as const,
    env: [],
    externs: [['b', 'two', 'libb-1.rmeta']] as const,
    other: [],
  };
  const kinds = differences(INPUTS, { ...INPUTS, ...everything }).map(({ kind }) => kind);
  expect([...new Set(kinds)]).toEqual(['toolchain', 'profile', 'file', 'extern', 'checkout', 'env']);
});
