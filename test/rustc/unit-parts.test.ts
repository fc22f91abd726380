import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Invocation, parseInvocation } from '../../src/rustc/invocation.ts';
import { PathMap } from '../../src/rustc/path-map.ts';
import { canonicalFlags, targetsNativeCpu, unitEnvironment } from '../../src/rustc/unit-parts.ts';

const map = new PathMap([{ name: 'ws', path: '/ws', placeholder: '.' }]);

function call(args: readonly string[], type = 'lib'): Invocation {
  const base = ['--crate-name=a', `--crate-type=${type}`, '--emit=dep-info,metadata,link', '--out-dir=/t'];
  const result = parseInvocation(['rustc', ...base, ...args, 'lib.rs'], {}, '/ws');
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

const flags = (...args: string[]): string[] => canonicalFlags(call(args), map);

test('where outputs go and how messages look is no part of a unit', () => {
  const none = flags();
  for (const args of [
    ['--color=always'],
    ['--diagnostic-width=80'],
    ['-L', 'dependency=/x'],
    ['-Lnative=/x'],
    ['--extern', 'b=/x/libb.rmeta'],
    ['-C', 'incremental=/x'],
    ['-Cextra-filename=-123'],
    ['-Cprofile-use=/x.profdata'],
    ['-Clinker=clang'],
    ['-Clink-arg=-fuse-ld=mold'],
    ['--out-dir=/elsewhere'],
  ])
    expect([args, flags(...args)]).toEqual([args, none]);
});

test('what reaches the outputs or the messages is', () => {
  const seen = new Map<string, string>([[JSON.stringify(flags()), 'nothing']]);
  for (const args of [
    ['--edition=2018'],
    ['--edition=2021'],
    ['--cfg=feature="a"'],
    ['--cfg=feature="b"'],
    ['--check-cfg=cfg(x)'],
    ['--cap-lints=allow'],
    ['--cap-lints=warn'],
    ['-Dwarnings'],
    ['-Wwarnings'],
    ['-Adead_code'],
    ['-Fdead_code'],
    ['--force-warn=dead_code'],
    ['-Copt-level=3'],
    ['-Copt-level=2'],
    ['-O'],
    ['-g'],
    ['-Cdebuginfo=1'],
    ['-Cmetadata=1'],
    ['-Cmetadata=2'],
    ['-Cpanic=abort'],
    ['-Clto'],
    ['-Clto=thin'],
    ['-Ctarget-cpu=native'],
    ['-Ctarget-feature=+avx2'],
    ['-Cstrip=debuginfo'],
    ['-Ccodegen-units=1'],
    ['-Cembed-bitcode=no'],
    ['--target=x86_64-unknown-linux-musl'],
    ['--emit=dep-info,metadata'],
    ['--error-format=json'],
    ['--json=artifacts'],
    ['-Zshare-generics=y'],
    ['-lstatic=x'],
    ['-lx'],
    ['--test'],
    ['-v'],
    ['--remap-path-prefix=/a=/b'],
    ['--remap-path-scope=macro'],
    ['--crate-type=rlib'],
  ]) {
    const text = JSON.stringify(flags(...args));
    expect([args, seen.get(text)]).toEqual([args, undefined]);
    seen.set(text, args.join(' '));
  }
});

test('order counts, spelling does not', () => {
  expect(flags('-Copt-level=1', '-C', 'opt_level=3')).toEqual(
    flags('--codegen=opt-level=1', '-Copt-level=3'),
  );
  expect(flags('-Copt-level=1', '-Copt-level=3')).not.toEqual(flags('-Copt-level=3', '-Copt-level=1'));
  expect(flags('-Adead_code', '-Dwarnings')).not.toEqual(flags('-Dwarnings', '-Adead_code'));
  expect(flags('--emit=metadata,dep-info')).toEqual(flags('--emit=dep-info,metadata'));
});

test('no two flag lists become one', () => {
  const option = fc.tuple(
    fc.constantFrom(
      '--cfg',
      '-C',
      '-A',
      '-W',
      '-Z',
      '-l',
      '--cap-lints',
      '--check-cfg',
      '--remap-path-prefix',
    ),
    fc.constantFrom('a', 'b', 'a=b', 'a b', '-C a', 'x', 'x=', '\n', 'a --cfg b', '/ws=/x', '/w=/x'),
  );
  fc.assert(
    fc.property(fc.array(option, { maxLength: 3 }), fc.array(option, { maxLength: 3 }), (one, two) => {
      const same = JSON.stringify(one) === JSON.stringify(two);
      expect(JSON.stringify(flags(...one.flat())) === JSON.stringify(flags(...two.flat()))).toBe(same);
    }),
    { numRuns: 500 },
  );
});

test('a linker counts where one runs', () => {
  const linked = (...args: string[]): string[] => canonicalFlags(call(args, 'cdylib'), map);
  for (const flag of ['-Clinker=clang', '-Clink-arg=-s', '-Clink-args=-s -x', '-Clinker-flavor=gcc'])
    expect([flag, linked(flag)]).not.toEqual([flag, linked()]);
});

test("a user's own remapping is against the roots: the same in every checkout, and its order counts", () => {
  const elsewhere = new PathMap([{ name: 'ws', path: '/other/place', placeholder: '.' }]);
  const here = canonicalFlags(call(['--remap-path-prefix=/ws/src=/s', '--remap-path-prefix=/ws=/w']), map);
  const there = canonicalFlags(
    call(['--remap-path-prefix=/other/place/src=/s', '--remap-path-prefix=/other/place=/w']),
    elsewhere,
  );
  expect(here).toEqual(there);
  expect(flags('--remap-path-prefix=/ws=/a', '--remap-path-prefix=/ws=/b')).not.toEqual(
    flags('--remap-path-prefix=/ws=/b', '--remap-path-prefix=/ws=/a'),
  );
});

test('the processor counts when code is made for it', () => {
  for (const args of [
    ['-Ctarget-cpu=native'],
    ['-C', 'target_cpu=native'],
    ['--codegen=target-cpu=native', '-O'],
    ['-Ztune-cpu=native'],
    ['-Z', 'tune_cpu=native'],
  ])
    expect(targetsNativeCpu(call(args))).toBe(true);
  expect(targetsNativeCpu(call(['-Ctarget-cpu=znver3']))).toBe(false);
});

test('of the environment what is portable or changes the compiler, sorted', () => {
  const env = {
    CARGO_PKG_VERSION: '1.0.0',
    CARGO_PKG_NAME: 'a',
    CARGO_PKG_AUTHORS: '',
    CARGO_PKG_README: 'README.md',
    CARGO_MANIFEST_LINKS: 'z',
    CARGO_BIN_NAME: 'b',
    RUSTC_BOOTSTRAP: '1',
    MACOSX_DEPLOYMENT_TARGET: '11.0',
    CLIPPY_CONF_DIR: '/x',
  };
  const noise = {
    CARGO_MANIFEST_DIR: '/ws/a',
    CARGO_MAKEFLAGS: '-j',
    CARGO_HOME: '/h',
    CARGO_TARGET_DIR: '/t',
    CARGO_HTTP_PROXY: 'p',
    CARGO_BUILD_JOBS: '4',
    HOME: '/h',
    PATH: '/bin',
    OUT_DIR: '/o',
    USER: 'me',
    MY_PKG_NAME: 'x',
  };
  const { CARGO_PKG_README: _, ...kept } = env;
  expect(unitEnvironment({ ...noise, ...env }, [])).toEqual(
    Object.entries(kept).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
});

test('what a user names counts too, with a star for the rest of a name', () => {
  const env = { MY_A: '1', MY_B: '2', MYSELF: '3', OTHER: '4', EMPTY: '' };
  expect(unitEnvironment(env, ['MY_*', 'EMPTY', 'ABSENT'])).toEqual([
    ['EMPTY', ''],
    ['MY_A', '1'],
    ['MY_B', '2'],
  ]);
  expect(unitEnvironment(env, ['MY_'])).toEqual([]);
  expect(unitEnvironment(env, ['*']).length).toBe(5);
});
