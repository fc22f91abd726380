import { expect, test } from 'bun:test';
import { type Invocation, parseInvocation } from '../../src/rustc/invocation.ts';
import { type PackageOrigin, packageOrigin, pathMapOf, type RootOptions } from '../../src/rustc/roots.ts';
import { Lab } from '../support/lab.ts';

interface Where {
  readonly cwd: string;
  readonly source: string;
  readonly env?: Record<string, string>;
  readonly args?: readonly string[];
}

function call({ cwd, source, env = {}, args = [] }: Where): Invocation {
  const argv = ['rustc', '--crate-name=a', '--crate-type=lib', '--emit=dep-info,metadata', ...args];
  const result = parseInvocation([...argv, '--out-dir=/t/target/debug/deps', source], env, cwd);
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

const OPTIONS: RootOptions = { normalizePaths: true, baseDirs: [], sysroot: '/toolchain' };

/** Name, path and placeholder of every root, as text. */
const rootsOf = (where: Where, origin: PackageOrigin, options = OPTIONS): string[] =>
  pathMapOf(call(where), origin, options)
    .roots.map(({ name, path, placeholder }) => `${name} ${path} ${placeholder ?? '-'}`)
    .sort();

const PACKAGE = { CARGO_PKG_NAME: 'a', CARGO_PKG_VERSION: '1.2.3' };

test('where a package comes from', () => {
  using lab = new Lab();
  lab.write('vendor/a', { '.cargo-checksum.json': '{}' });
  const origin = (where: Where): PackageOrigin => packageOrigin(call(where));
  const home = { HOME: '/home/me' };
  expect(origin({ cwd: '/ws', source: 'src/lib.rs' })).toBe('workspace');
  const registry = '/home/me/.cargo/registry/src/index/a-1.0.0';
  expect(
    origin({
      cwd: registry,
      source: `${registry}/src/lib.rs`,
      env: { ...home, CARGO_MANIFEST_DIR: registry },
    }),
  ).toBe('registry');
  const git = '/cargo/git/checkouts/a/123';
  expect(
    origin({ cwd: git, source: `${git}/lib.rs`, env: { CARGO_HOME: '/cargo', CARGO_MANIFEST_DIR: git } }),
  ).toBe('registry');
  // Only what Cargo itself manages: a project somebody keeps inside the folder is their own.
  const own = '/cargo/projects/a';
  expect(
    origin({ cwd: own, source: `${own}/lib.rs`, env: { CARGO_HOME: '/cargo', CARGO_MANIFEST_DIR: own } }),
  ).toBe('path');
  const vendored = lab.path('vendor', 'a');
  expect(origin({ cwd: '/ws', source: `${vendored}/lib.rs`, env: { CARGO_MANIFEST_DIR: vendored } })).toBe(
    'vendored',
  );
  expect(origin({ cwd: '/ws', source: '/else/lib.rs', env: { CARGO_MANIFEST_DIR: '/else' } })).toBe('path');
});

test('a workspace member: the workspace is a dot, what lies around keeps its real path', () => {
  const env = {
    ...PACKAGE,
    HOME: '/home/me',
    OUT_DIR: '/t/target/debug/build/a/out',
    CARGO_MANIFEST_DIR: '/ws/a',
  };
  expect(rootsOf({ cwd: '/ws', source: 'a/src/lib.rs', env }, 'workspace')).toEqual([
    'cargo-home /home/me/.cargo /kache/cargo',
    'home /home/me -',
    'out /t/target/debug/build/a/out /kache/out/a-1.2.3',
    'sysroot /toolchain -',
    'target /t/target -',
    'ws /ws .',
  ]);
});

test('a path package outside the workspace keeps its real paths', () => {
  const env = { ...PACKAGE, HOME: '/home/me', CARGO_MANIFEST_DIR: '/else/a' };
  const roots = rootsOf({ cwd: '/ws', source: '/else/a/lib.rs', env }, 'path');
  expect(roots).toContain('pkg /else/a -');
  expect(roots.some((text) => text.startsWith('ws '))).toBe(false);
});

test('a vendored package, whatever the folder of the checkout is called', () => {
  const env = { ...PACKAGE, CARGO_MANIFEST_DIR: '/ws/vendor/a' };
  expect(rootsOf({ cwd: '/ws', source: '/ws/vendor/a/lib.rs', env }, 'vendored')).toContain(
    'vendor /ws/vendor /kache/vendor',
  );
});

test('a cargo home behind a symbolic link has both its paths', () => {
  const dir = '/link/registry/src/a-1';
  const env = { ...PACKAGE, CARGO_HOME: '/link', CARGO_MANIFEST_DIR: dir };
  const roots = rootsOf({ cwd: '/real/registry/src/a-1', source: `${dir}/lib.rs`, env }, 'registry');
  expect(roots).toContain('cargo-home /link /kache/cargo');
  expect(roots).toContain('cargo-home-real /real /kache/cargo');
});

test('base folders have a place of their own, with or without a final slash', () => {
  const options = { ...OPTIONS, baseDirs: ['/mnt/gen/', 'relative', '/data'] };
  const roots = rootsOf({ cwd: '/ws', source: 'lib.rs' }, 'workspace', options);
  expect(roots).toContain('base0 /mnt/gen /kache/base0');
  expect(roots).toContain('base2 /data /kache/base2');
  expect(roots.some((text) => text.startsWith('base1'))).toBe(false);
});

test('real paths on request, and for coverage and profiles: then there is no root', () => {
  const where = { cwd: '/ws', source: 'lib.rs', env: { HOME: '/home/me' } };
  expect(rootsOf(where, 'workspace', { ...OPTIONS, normalizePaths: false })).toEqual([]);
  for (const flag of ['-Cinstrument-coverage', '-Cprofile-generate=/x'])
    expect(rootsOf({ ...where, args: [flag] }, 'workspace')).toEqual([]);
});

test('a workspace at the root of the file system, or in the home folder', () => {
  expect(rootsOf({ cwd: '/', source: 'lib.rs' }, 'workspace').some((text) => text.startsWith('ws'))).toBe(
    false,
  );
  const home = rootsOf({ cwd: '/home/me', source: 'lib.rs', env: { HOME: '/home/me' } }, 'workspace');
  expect(home).toContain('ws /home/me .');
  expect(home.some((text) => text.startsWith('home '))).toBe(false);
});
