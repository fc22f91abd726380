// Which calls are not looked up, and why: each reason by the call that has it.
import { expect, test } from 'bun:test';
import { bypassReason, LINKED } from '../../src/compile/bypass.ts';
import { resolveSettings } from '../../src/core/config.ts';
import { parseInvocation } from '../../src/rustc/invocation.ts';

interface Given {
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
  readonly compiler?: readonly string[];
  readonly settings?: Record<string, unknown>;
  readonly type?: string;
  readonly emit?: string;
}

function reasonFor(given: Given): string | undefined {
  const { args = [], env = {}, compiler = ['/toolchain/bin/rustc'], settings = {} } = given;
  const call = [
    ...['--crate-name', 'it', '--edition=2021', 'src/lib.rs', '--crate-type', given.type ?? 'lib'],
    ...[`--emit=${given.emit ?? 'dep-info,metadata,link'}`, '--out-dir', '/out', ...args],
  ];
  const invocation = parseInvocation([...compiler, ...call], env, '/project');
  return 'reason' in invocation
    ? invocation.reason
    : bypassReason(invocation, resolveSettings(env, settings).settings);
}

test('an ordinary library is looked up, a linked output when it is asked for', () => {
  expect(reasonFor({})).toBeUndefined();
  expect(reasonFor({ type: 'bin' })).toBe(LINKED);
  expect(reasonFor({ args: ['--test'] })).toBe(LINKED);
  expect(reasonFor({ type: 'bin', env: { KACHE_CACHE_EXECUTABLES: '1' } })).toBeUndefined();
});

const UNSUPPORTED: readonly (readonly [readonly string[], string])[] = [
  [['-Z', 'time-passes'], 'flag -Z time-passes'],
  [['-Ztime-passes'], 'flag -Z time-passes'],
  [['-Z', 'self-profile=/tmp/p'], 'flag -Z self-profile=/tmp/p'],
  [['-Z', 'print-type-sizes'], 'flag -Z print-type-sizes'],
  [['-Z', 'dump-mir=all'], 'flag -Z dump-mir=all'],
  [['-Z', 'unpretty=hir'], 'flag -Z unpretty=hir'],
  [['-Z', 'codegen-backend=/lib/own.so'], 'flag -Z codegen-backend=/lib/own.so'],
  [['-Z', 'llvm-plugins=/lib/own.so'], 'flag -Z llvm-plugins=/lib/own.so'],
  [['-Z', 'profile_sample_use=a.prof'], 'flag -Z profile_sample_use=a.prof'],
  [['-Z', 'to-be-invented=some/file'], 'flag -Z to-be-invented=some/file'],
  [['-Csave-temps'], 'flag -C save-temps'],
  [['-C', 'save_temps=yes'], 'flag -C save-temps'],
  [['-C', 'remark=all'], 'flag -C remark'],
  [['-C', 'llvm-args=-stats'], 'flag -C llvm-args'],
  [['-C', 'split-debuginfo=unpacked'], 'split-debuginfo=unpacked'],
  [['--sysroot', '/own'], 'flag --sysroot'],
  [['--emit=metadata=/elsewhere/x.rmeta'], 'emit-path'],
  [['--extern', 'unknown'], 'extern-without-path unknown'],
];

for (const [args, reason] of UNSUPPORTED) {
  test(`unsupported: ${args.join(' ')}`, () => {
    expect(reasonFor({ args })).toBe(`unsupported|${reason}`);
  });
}

test('what is like them and does no harm is looked up', () => {
  const fine = [
    ['-Z', 'share-generics=y'],
    ['-Z', 'remap-cwd-prefix=/here'],
    ['-C', 'split-debuginfo=packed'],
    ['-C', 'split-debuginfo=off'],
    ['-C', 'incremental=/out/incremental'],
    ['--extern', 'proc_macro'],
    ['--extern', 'noprelude:std'],
  ];
  for (const args of fine) expect([args, reasonFor({ args })]).toEqual([args, undefined]);
});

test('emits kache does not store, and calls that say nothing of what they read', () => {
  expect(reasonFor({ emit: 'dep-info,asm' })).toBe('unsupported|emit');
  expect(reasonFor({ emit: 'metadata,link' })).toBe('unsupported|no-dep-info');
});

test('only rustc and clippy-driver are known', () => {
  expect(reasonFor({ compiler: ['/toolchain/bin/clippy-driver', '/toolchain/bin/rustc'] })).toBeUndefined();
  expect(reasonFor({ compiler: ['/toolchain/bin/clippy-driver'] })).toBeUndefined();
  expect(reasonFor({ compiler: ['/own/wrapper', '/toolchain/bin/rustc'] })).toBe(
    'unsupported|workspace-wrapper wrapper',
  );
  expect(reasonFor({ compiler: ['/toolchain/bin/miri'] })).toBe('unsupported|compiler miri');
});

test('target specifications that a variable finds', () => {
  expect(reasonFor({ env: { RUST_TARGET_PATH: '/specs' } })).toBe('unsupported|RUST_TARGET_PATH');
});

test('what settings leave out', () => {
  const cache = (settings: Record<string, unknown>): Given => ({ settings: { cache: settings } });
  expect(reasonFor(cache({ bypass_crates: ['it'] }))).toBe('policy|bypass_crates');
  expect(reasonFor(cache({ bypass_crates: ['other'] }))).toBeUndefined();
  const argv = cache({ bypass_argv: ['--cfg=slow'] });
  expect(reasonFor({ ...argv, args: ['--cfg=slow'] })).toBe('policy|bypass_argv --cfg=slow');
  expect(reasonFor(argv)).toBeUndefined();
  const env = cache({ bypass_env: ['CI', 'MODE=fast'] });
  expect(reasonFor({ ...env, env: { CI: '' } })).toBe('policy|bypass_env CI');
  expect(reasonFor({ ...env, env: { MODE: 'fast' } })).toBe('policy|bypass_env MODE');
  expect(reasonFor({ ...env, env: { MODE: 'slow' } })).toBeUndefined();
  expect(reasonFor(cache({ exclude: ['**/src/*.rs'] }))).toBe('policy|exclude **/src/*.rs');
  expect(reasonFor(cache({ exclude: ['**/other/*.rs'] }))).toBeUndefined();
});
