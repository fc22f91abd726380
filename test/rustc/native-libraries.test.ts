import { expect, test } from 'bun:test';
import { mkdirSync, readFileSync } from 'node:fs';
import { NativeSearch } from '../../src/rustc/archive.ts';
import { type Invocation, parseInvocation } from '../../src/rustc/invocation.ts';
import { asksForStatic, nativeArchives, nativeFolders } from '../../src/rustc/native-libraries.ts';
import { Lab } from '../support/lab.ts';

const BASE = ['--crate-name=a', '--crate-type=lib', '--emit=dep-info,metadata,link'];

function call(args: readonly string[], cwd = '/ws'): Invocation {
  const result = parseInvocation(['rustc', ...BASE, '--out-dir=/t', ...args, 'lib.rs'], {}, cwd);
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

test('folders rustc searches for native libraries, in order, absolute', () => {
  const args = [
    '-L',
    'native=/b',
    '-Ldependency=/no',
    '-L',
    'rel',
    '-Lcrate=/no',
    '-L',
    'all=/a',
    '-Lframework=/no',
  ];
  expect(nativeFolders(call(args))).toEqual(['/b', '/ws/rel', '/a']);
});

test('archives by folder and by name; what is gone or something else is left out', () => {
  using lab = new Lab();
  lab.write('one', { 'libz.a': '', 'liba.a': '', 'a.lib': '', 'liba.so': '', 'notes.txt': '' });
  lab.write('two', { 'liba.a': '' });
  mkdirSync(lab.path('empty'));
  const folders = ['two', 'gone', 'one', 'empty'].flatMap((name) => ['-L', `native=${lab.path(name)}`]);
  expect(nativeArchives(call(folders)).map(({ folder, name, path }) => [folder, name, path])).toEqual([
    [0, 'liba.a', lab.path('two', 'liba.a')],
    [2, 'a.lib', lab.path('one', 'a.lib')],
    [2, 'liba.a', lab.path('one', 'liba.a')],
    [2, 'libz.a', lab.path('one', 'libz.a')],
  ]);
});

test('a static library that is asked for, in every form', () => {
  for (const args of [
    ['-lstatic=x'],
    ['-l', 'static=x'],
    ['-l', 'static:+whole-archive=x'],
    ['-lstatic:-bundle=x:y'],
  ])
    expect([args, asksForStatic(call(args))]).toEqual([args, true]);
  for (const args of [['-lx'], ['-ldylib=x'], ['-l', 'statically'], ['-L', 'static=x'], []])
    expect([args, asksForStatic(call(args))]).toEqual([args, false]);
});

test('whatever archive rustc swallows is among those that are keyed', () => {
  using lab = new Lab();
  const c = lab.write('c', { 'tiny.c': 'int tiny(void) { return 7; }\n' });
  mkdirSync(lab.path('out'));
  expect(lab.run(['cc', '-c', 'tiny.c', '-o', 'tiny.o'], { cwd: c }).status).toBe(0);
  for (const [archive, attribute] of [
    ['libtiny.a', 'name = "tiny", kind = "static"'],
    ['libtiny.a', 'name = "libtiny.a", kind = "static", modifiers = "+verbatim"'],
    ['tiny.archive', 'name = "tiny.archive", kind = "static", modifiers = "+verbatim"'],
  ] as const) {
    expect(lab.run(['ar', 'crsD', archive, 'tiny.o'], { cwd: c }).status).toBe(0);
    lab.write('src', {
      'lib.rs': `#[link(${attribute})]\nunsafe extern "C" { fn tiny() -> i32; }\npub fn number() -> i32 { unsafe { tiny() } }\n`,
    });
    const args = ['-L', `native=${c}`, '--edition=2021'];
    const out = ['--out-dir', lab.path('out')];
    const run = lab.run(['rustc', ...BASE, ...out, ...args, 'lib.rs'], { cwd: lab.path('src') });
    expect(run).toMatchObject({ status: 0 });
    const search = new NativeSearch();
    search.see(readFileSync(lab.path('out', 'liba.rlib')));
    expect(search.found).toBe(true);
    const names = nativeArchives(call(args)).map(({ name }) => name);
    expect([attribute, names.includes(archive)]).toEqual([attribute, true]);
  }
});
