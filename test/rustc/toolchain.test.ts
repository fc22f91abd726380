import { expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  findProgram,
  inspectToolchain,
  isCurrent,
  isOfToolchain,
  named,
  throughProxy,
} from '../../src/rustc/toolchain.ts';
import { outputOf } from '../../src/sys/process.ts';
import { Lab } from '../support/lab.ts';

const HASH = '0123456789abcdef0123456789abcdef01234567';

/** A toolchain of files, whose compiler is asked by {@link inspect} alone. */
function fakeRustc(lab: Lab, prefix: string, hash: string, version = '1.99.0'): string {
  const root = lab.write(prefix, {
    'bin/rustc': 'a program',
    version: `rustc ${version}\nbinary: rustc\ncommit-hash: ${hash}\nhost: x86_64-unknown-linux-gnu\nrelease: ${version}\n`,
    'lib/librustc_driver-123.so': 'driver',
    'lib/libLLVM.so.22': 'llvm',
    'lib/libother.so': 'other',
    'lib/rustlib/x86_64-unknown-linux-gnu/lib/libstd-1.rlib': 'std',
  });
  chmodSync(`${root}/bin/rustc`, 0o755);
  return `${root}/bin/rustc`;
}

/** Answers for a fake as a compiler of this sysroot would; the real one answers itself. */
const answering =
  (sysroot: string) =>
  ([rustc = '', question]: readonly string[]): string | undefined => {
    const isFake = existsSync(join(sysroot, 'version'));
    if (!isFake) return outputOf([rustc, ...(question === '-vV' ? ['-vV'] : ['--print', 'sysroot'])]);
    return question === '-vV' ? readFileSync(join(sysroot, 'version'), 'utf8') : sysroot;
  };

const inspect = (rustc: string, sysroot = dirname(dirname(rustc))) => {
  const record = inspectToolchain(rustc, answering(sysroot));
  if (record === undefined) throw new Error('no rustc');
  return record;
};

test('a program is found as a shell finds it', () => {
  using lab = new Lab();
  const [a, b] = [lab.write('a', { rustc: '' }), lab.write('b', { rustc: '' })];
  chmodSync(`${b}/rustc`, 0o755);
  mkdirSync(lab.path('c'));
  const env = { PATH: `${lab.path('none')}:${a}:${b}` };
  expect(findProgram('rustc', env, '/')).toBe(`${b}/rustc`);
  chmodSync(`${a}/rustc`, 0o755);
  expect(findProgram('rustc', env, '/')).toBe(`${a}/rustc`);
  expect(findProgram('none-such', env, '/')).toBeUndefined();
  // An empty entry is the folder one is in.
  expect(findProgram('rustc', { PATH: ':/none' }, a)).toBe(`${a}/rustc`);
  expect(findProgram('./rustc', {}, a)).toBe(`${a}/rustc`);
  expect(findProgram('/x/rustc', env, a)).toBe('/x/rustc');
});

test('a proxy is looked through, whether it is a symbolic or a hard link', () => {
  using lab = new Lab();
  const stable = fakeRustc(lab, 'home/toolchains/stable', HASH);
  const custom = fakeRustc(lab, 'custom', HASH);
  const bin = lab.write('cargo/bin', { rustup: 'the proxy' });
  symlinkSync('rustup', `${bin}/rustc`);
  linkSync(`${bin}/rustup`, `${bin}/clippy-driver`);
  writeFileSync(lab.path('home/toolchains/stable/bin/clippy-driver'), '');
  const env = { RUSTUP_HOME: lab.path('home'), RUSTUP_TOOLCHAIN: 'stable' };
  expect(throughProxy(`${bin}/rustc`, env)).toBe(stable);
  expect(throughProxy(`${bin}/clippy-driver`, env)).toBe(
    lab.path('home/toolchains/stable/bin/clippy-driver'),
  );
  expect(throughProxy(`${bin}/rustc`, { ...env, RUSTUP_TOOLCHAIN: lab.path('custom') })).toBe(custom);
  expect(throughProxy(`${bin}/rustc`, { HOME: lab.root, RUSTUP_TOOLCHAIN: 'stable' })).toBeUndefined();
  // Without a name only the proxy knows: a file of the project may decide.
  expect(throughProxy(`${bin}/rustc`, { RUSTUP_HOME: lab.path('home') })).toBeUndefined();
  expect(throughProxy(`${bin}/rustc`, { ...env, RUSTUP_TOOLCHAIN: 'gone' })).toBeUndefined();
  // What is no proxy is itself, through every link.
  symlinkSync(stable, lab.path('rustc-link'));
  expect(throughProxy(lab.path('rustc-link'), env)).toBe(stable);
  expect(throughProxy(lab.path('none'), env)).toBeUndefined();
});

test('a released compiler is what it says it is', () => {
  using lab = new Lab();
  const record = inspect(fakeRustc(lab, 'stable', HASH));
  expect(record).toMatchObject({
    host: 'x86_64-unknown-linux-gnu',
    release: '1.99.0',
    sysroot: lab.path('stable'),
  });
  expect(record.identity).toContain(`commit-hash: ${HASH}`);
  // The same release at another place is the same compiler.
  expect(inspect(fakeRustc(lab, 'elsewhere', HASH)).identity).toBe(record.identity);
  expect(inspect(fakeRustc(lab, 'later', HASH.replace('0', 'f'))).identity).not.toBe(record.identity);
  expect(inspect(fakeRustc(lab, 'other', HASH, '1.98.0')).identity).not.toBe(record.identity);
});

test('the same commit that somebody else has built is another compiler, and a component that is added is none', () => {
  using lab = new Lab();
  const std = 'lib/rustlib/x86_64-unknown-linux-gnu/lib';
  const identityWith = (prefix: string, file: string, text: string): string => {
    const rustc = fakeRustc(lab, prefix, HASH);
    lab.write(prefix, { [file]: text });
    return inspect(rustc).identity;
  };
  const usual = inspect(fakeRustc(lab, 'usual', HASH)).identity;
  expect(identityWith('a', `${std}/libstd-1.rlib`, 'another std')).not.toBe(usual);
  expect(identityWith('b', `${std}/libcore-2.rlib`, 'core')).not.toBe(usual);
  expect(identityWith('c', 'lib/librustc_driver-123.so', 'another driver')).not.toBe(usual);
  expect(identityWith('d', `${std}/librustc_ast-3.rlib`, 'of rustc-dev')).toBe(usual);
  expect(identityWith('e', 'lib/rustlib/wasm32-unknown-unknown/lib/libstd-4.rlib', 'a target')).toBe(usual);
});

test('a program in front of rustc is told from rustc, and is its content', () => {
  using lab = new Lab();
  const rustc = fakeRustc(lab, 'stable', HASH);
  const sysroot = lab.path('stable');
  expect(inspect(rustc).isCompiler).toBe(true);
  linkSync(rustc, lab.path('rustc'));
  expect(inspect(lab.path('rustc'), sysroot).isCompiler).toBe(true);
  const front = lab.write('front', { rustc: 'in front' });
  const before = inspect(`${front}/rustc`, sysroot);
  expect(before.isCompiler).toBe(false);
  writeFileSync(`${front}/rustc`, 'in front, changed');
  expect(isCurrent(before)).toBe(false);
  expect(inspect(`${front}/rustc`, sysroot).identity).not.toBe(before.identity);
  // What lies in the place of rustc may be a script that starts it.
  writeFileSync(rustc, '#!/bin/sh\n');
  expect(inspect(rustc).isCompiler).toBe(false);
});

test('one built from a working tree is its bytes, and those of its std', () => {
  using lab = new Lab();
  const identityWith = (file: string, text: string): string => {
    const rustc = fakeRustc(lab, 'dev', 'unknown');
    writeFileSync(lab.path('dev', file), text, { flag: 'a' });
    return inspect(rustc).identity;
  };
  const seen = [
    identityWith('lib/librustc_driver-123.so', ''),
    identityWith('lib/librustc_driver-123.so', 'changed'),
    identityWith('lib/libLLVM.so.22', 'changed'),
    identityWith('lib/rustlib/x86_64-unknown-linux-gnu/lib/libstd-1.rlib', 'changed'),
    identityWith('bin/rustc', '# changed\n'),
    identityWith('lib/rustlib/x86_64-unknown-linux-gnu/lib/libcore-1.rlib', 'new'),
  ];
  expect(new Set(seen).size).toBe(seen.length);
});

test('what is remembered stops holding when any of its files changes', () => {
  using lab = new Lab();
  const changes: readonly (readonly [string, (path: string) => void])[] = [
    ['bin/rustc', (path) => writeFileSync(path, '# more\n', { flag: 'a' })],
    ['bin/rustc', (path) => utimesSync(path, 1, 1)],
    ['lib/librustc_driver-123.so', (path) => writeFileSync(path, 'another one')],
    ['lib/libLLVM.so.22', unlinkSync],
    [
      'lib/librustc_driver-123.so',
      (path) => {
        rmSync(path);
        writeFileSync(path, 'driver of dev');
      },
    ],
  ];
  for (const [index, [file, change]] of changes.entries()) {
    const prefix = `toolchain${index}`;
    const record = inspect(fakeRustc(lab, prefix, HASH));
    expect(isCurrent(record)).toBe(true);
    change(lab.path(prefix, file));
    expect([file, index, isCurrent(record)]).toEqual([file, index, false]);
  }
});

test('for a compiler without a commit its std is watched too', () => {
  using lab = new Lab();
  const record = inspect(fakeRustc(lab, 'dev', 'unknown'));
  writeFileSync(lab.path('dev/lib/rustlib/x86_64-unknown-linux-gnu/lib/libstd-1.rlib'), 'STD');
  expect(isCurrent(record)).toBe(false);
});

test('a link that leads to another compiler is noticed', () => {
  using lab = new Lab();
  const [one, two] = [fakeRustc(lab, 'one', HASH), fakeRustc(lab, 'two', HASH.replace('0', 'f'))];
  const link = lab.path('rustc');
  symlinkSync(one, link);
  const record = named(link, inspect(one));
  expect(isCurrent(record)).toBe(true);
  unlinkSync(link);
  symlinkSync(two, link);
  expect(isCurrent(record)).toBe(false);
});

test('what answers nothing sensible is no rustc', () => {
  using lab = new Lab();
  for (const [name, text] of [
    ['silent', '#!/bin/sh\n'],
    ['failing', '#!/bin/sh\nexit 1\n'],
    ['other', '#!/bin/sh\necho "gcc 12"\n'],
  ] as const) {
    lab.write('bin', { [name]: text });
    chmodSync(lab.path('bin', name), 0o755);
    expect(inspectToolchain(lab.path('bin', name), outputOf)).toBeUndefined();
  }
  expect(inspectToolchain('/no/such', outputOf)).toBeUndefined();
});

test('the compiler of this machine', () => {
  const rustc = Bun.which('rustc') ?? '';
  const record = inspect(rustc);
  expect(record.identity).toContain(`host: ${record.host}`);
  expect(isCurrent(record)).toBe(true);
});

test('what came with the compiler, also where its sysroot holds everything else too', () => {
  const of = (sysroot: string, path: string): boolean => isOfToolchain({ sysroot }, path);
  for (const sysroot of ['/usr', '/home/me/.rustup/toolchains/stable']) {
    for (const path of [
      'lib/rustlib/x86_64-unknown-linux-gnu/lib/libstd-0a1b.rlib',
      'lib/librustc_driver-0a1b.so',
      'lib/libLLVM.so.22.1-rust-1.95.0-stable',
      'lib/libLLVM-22-rust-1.95.0-stable.so',
    ])
      expect([path, of(sysroot, `${sysroot}/${path}`)]).toEqual([path, true]);
    for (const path of [
      'lib/x86_64-linux-gnu/libssl.a',
      'lib/x86_64-linux-gnu/crt1.o',
      'lib/libssl.so',
      'lib/rustlib-of-mine/libx.a',
      'include/stdio.h',
      'bin/cc',
    ])
      expect([path, of(sysroot, `${sysroot}/${path}`)]).toEqual([path, false]);
  }
});
