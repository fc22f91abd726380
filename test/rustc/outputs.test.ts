import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync } from 'node:fs';
import { parseInvocation } from '../../src/rustc/invocation.ts';
import { isDynamicLibrary, type OutputPlan } from '../../src/rustc/outputs.ts';
import { Lab } from '../support/lab.ts';

const BUILD = 'dep-info,metadata,link';
const CHECK = 'dep-info,metadata';
const LINK = 'dep-info,link';

/** Crate types, what Cargo asks to be emitted, further arguments, and what kind of unit that is. */
const CALLS: readonly (readonly [string, string, readonly string[], OutputPlan['unitKind']])[] = [
  ['lib', BUILD, [], 'library'],
  ['lib', CHECK, [], 'library'],
  ['lib', 'link', [], 'library'],
  ['lib', 'metadata', [], 'library'],
  ['rlib', BUILD, [], 'library'],
  ['rlib', LINK, [], 'library'],
  ['bin', LINK, [], 'linked'],
  ['bin', CHECK, [], 'library'],
  ['proc-macro', LINK, [], 'linked'],
  ['proc-macro', CHECK, [], 'library'],
  ['cdylib', LINK, [], 'linked'],
  ['cdylib', CHECK, [], 'library'],
  ['dylib', LINK, [], 'linked'],
  ['staticlib', LINK, [], 'linked'],
  ['cdylib,rlib', LINK, [], 'linked'],
  ['lib,cdylib', BUILD, [], 'linked'],
  ['lib', LINK, ['--test'], 'linked'],
  ['bin', LINK, ['-g', '-Csplit-debuginfo=packed'], 'linked'],
  ['bin', LINK, ['-Csplit-debuginfo=packed'], 'linked'],
  ['cdylib', LINK, ['-Cdebuginfo=1', '-Csplit-debuginfo=packed'], 'linked'],
  ['rlib', LINK, ['-g', '-Csplit-debuginfo=packed'], 'library'],
  ['staticlib', LINK, ['-g', '-Csplit-debuginfo=packed'], 'linked'],
  ['lib', CHECK, ['--test'], 'library'],
  ['bin', CHECK, ['--test'], 'library'],
  ['lib', 'dep-info,metadata,link,asm', [], 'other'],
  ['lib', 'dep-info,obj', [], 'other'],
];

function planned(args: readonly string[], cwd: string): OutputPlan {
  const invocation = parseInvocation(['rustc', ...args], {}, cwd);
  if ('reason' in invocation) throw new Error(invocation.reason);
  return invocation.outputs;
}

for (const [types, emit, more, unitKind] of CALLS) {
  test(`the files planned for ${[types, emit, ...more].join(' ')} are the files rustc writes`, () => {
    using lab = new Lab();
    const source = lab.write('src', { 'lib.rs': types === 'bin' ? 'fn main() {}\n' : '' });
    mkdirSync(lab.path('out'));
    const args = [
      '--crate-name',
      'it',
      '--edition=2021',
      ...types.split(',').flatMap((type) => ['--crate-type', type]),
      `--emit=${emit}`,
      '-C',
      'extra-filename=-x1',
      '--out-dir',
      lab.path('out'),
      ...more,
      `${source}/lib.rs`,
    ];
    expect(lab.run(['rustc', ...args])).toMatchObject({ status: 0 });
    const plan = planned(args, lab.root);
    expect(plan.unitKind).toBe(unitKind);
    const names = [...plan.files.map(({ name }) => name), ...(plan.depInfo ?? '').split(' ').filter(Boolean)];
    const written = readdirSync(lab.path('out')).sort();
    // Of what kache does not store it need not know the names.
    if (unitKind === 'other') expect(written).toEqual(expect.arrayContaining(names));
    else expect(names.sort()).toEqual(written);
  });
}

test('names without an extra part, and emits in several options', () => {
  const args = [
    '--crate-name',
    'it',
    '--crate-type=lib',
    '--emit=link',
    '--emit',
    'metadata',
    '--out-dir=/o',
    'x.rs',
  ];
  expect(planned(args, '/')).toEqual({
    unitKind: 'library',
    files: [
      { kind: 'link', name: 'libit.rlib' },
      { kind: 'metadata', name: 'libit.rmeta' },
    ],
    depInfo: undefined,
    links: 0,
  });
});

test('a crate whose type only its source says is no library', () => {
  const args = ['--crate-name', 'it', `--emit=${BUILD}`, '--out-dir=/o', 'x.rs'];
  expect(planned(args, '/').unitKind).toBe('linked');
});

test('an emit with a path of its own is nothing kache stores', () => {
  const args = [
    '--crate-name',
    'it',
    '--crate-type=lib',
    '--emit=metadata=/elsewhere/x.rmeta',
    '--out-dir=/o',
    'x.rs',
  ];
  expect(planned(args, '/').unitKind).toBe('other');
});

test('how often the linker runs', () => {
  const links = (types: string, ...more: string[]): number =>
    planned(
      ['--crate-name=it', `--crate-type=${types}`, `--emit=${LINK}`, '--out-dir=/o', 'x.rs', ...more],
      '/',
    ).links;
  expect([links('lib'), links('staticlib'), links('lib', '--test')]).toEqual([0, 0, 1]);
  expect([links('bin'), links('rlib,cdylib'), links('cdylib,dylib')]).toEqual([1, 1, 2]);
});

test('dynamic libraries by their names', () => {
  expect(['liba.so', '/x/liba.dylib', 'a.dll'].map(isDynamicLibrary)).toEqual([true, true, true]);
  expect(['liba.rlib', 'liba.rmeta', 'liba.so.1', 'so', 'liba.a'].map(isDynamicLibrary)).toEqual(
    Array(5).fill(false),
  );
});
