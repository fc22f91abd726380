import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  type Invocation,
  isRustcName,
  isWorkspaceMember,
  packageDir,
  parseInvocation,
  sourcePath,
  targetDir,
} from '../../src/rustc/invocation.ts';
import { Lab } from '../support/lab.ts';

const ARGS = [
  '--crate-name',
  'a',
  '--edition=2021',
  'a/src/lib.rs',
  '--crate-type',
  'lib',
  '--emit=dep-info,metadata,link',
  '-C',
  'metadata=123',
  '--out-dir',
  '/ws/target/debug/deps',
  '-L',
  'dependency=/ws/target/debug/deps',
  '--extern',
  'b=/ws/target/debug/deps/libb.rmeta',
];

const reasonOf = (argv: readonly string[], env = {}): string => {
  const result = parseInvocation(argv, env, '/ws');
  return 'reason' in result ? result.reason : 'a compile';
};

function compileOf(argv: readonly string[], env = {}, cwd = '/ws'): Invocation {
  const result = parseInvocation(argv, env, cwd);
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

test('a call as Cargo makes it', () => {
  const env = { CARGO_MANIFEST_DIR: '/ws/a' };
  const call = compileOf(['/bin/rustc', ...ARGS], env);
  expect(call).toMatchObject({
    compiler: ['/bin/rustc'],
    args: ARGS,
    crateName: 'a',
    crateTypes: ['lib'],
    isTest: false,
    source: 'a/src/lib.rs',
    emit: ['dep-info', 'metadata', 'link'],
    outDir: '/ws/target/debug/deps',
    externs: [{ options: '', name: 'b', path: '/ws/target/debug/deps/libb.rmeta' }],
    searchPaths: [{ kind: 'dependency', dir: '/ws/target/debug/deps' }],
  });
  expect([packageDir(call), sourcePath(call), isWorkspaceMember(call), targetDir(call)]).toEqual([
    '/ws/a',
    '/ws/a/src/lib.rs',
    true,
    '/ws/target',
  ]);
  expect(packageDir(compileOf(['rustc', ...ARGS]))).toBe('/ws');
  expect(compileOf(['rustc', ...ARGS, '--out-dir', 'out']).outDir).toBe('/ws/out');
  expect(isWorkspaceMember(compileOf(['rustc', ...ARGS.with(3, '/elsewhere/lib.rs')]))).toBe(false);
});

test('a compiler behind another: its own arguments start behind the second name', () => {
  for (const wrapper of ['/bin/clippy-driver', 'sccache', '/x/my-wrapper'])
    expect(compileOf([wrapper, '/bin/rustc', ...ARGS])).toMatchObject({
      compiler: [wrapper, '/bin/rustc'],
      args: ARGS,
    });
  expect(
    ['rustc', '/x/rustc', 'rustc.exe', '/x/rustc-dev', 'clippy-driver', '/rustc/x'].map(isRustcName),
  ).toEqual([true, true, true, false, false, false]);
});

test('questions, probes and standard input are no compiles', () => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [[], 'not-a-compile|no-arguments'],
    [['rustc'], 'not-a-compile|no-input'],
    [['rustc', '-vV'], 'not-a-compile|-vV'],
    [['rustc', '-V'], 'not-a-compile|-V'],
    [['rustc', '--version', '--verbose'], 'not-a-compile|--version'],
    [['rustc', '--help'], 'not-a-compile|--help'],
    [['rustc', '--explain', 'E0425'], 'not-a-compile|--explain'],
    [['rustc', '--print', 'cfg'], 'not-a-compile|--print'],
    [['rustc', ...ARGS, '--print=native-static-libs'], 'not-a-compile|--print'],
    [['rustc', '-', '--crate-name', '___', '--print=file-names'], 'not-a-compile|--print'],
    [['rustc', '--crate-name=x', '--out-dir=/o', '-'], 'not-a-compile|stdin'],
    [['rustc', 'x.rs'], 'not-a-compile|no-crate-name-or-out-dir'],
    [['rustc', '--crate-name', 'probe', 'x.rs', '-o', '/dev/null'], 'not-a-compile|no-crate-name-or-out-dir'],
    [['rustc', ...ARGS, '-o', 'x'], 'not-a-compile|no-crate-name-or-out-dir'],
    [['rustc', ...ARGS, 'second.rs'], 'unsupported|several-inputs'],
    [['rustc', ...ARGS, '--some-new-flag=1'], 'unsupported|flag --some-new-flag'],
    [['rustc', ...ARGS, '-C'], 'unsupported|flag -C'],
    [['rustc', ...ARGS, '--cfg', 'x="\ufffd"'], 'unsupported|not-utf8'],
    [['rustc', ...ARGS, '@/no/such/file'], 'unsupported|argfile'],
  ];
  for (const [argv, reason] of cases) expect([argv, reasonOf(argv)]).toEqual([argv, reason]);
});

test('compilers of C pass, by all their names', () => {
  for (const name of [
    'cc',
    '/usr/bin/gcc',
    'g++',
    'clang-18',
    'x86_64-linux-gnu-gcc-12',
    'clang++',
    'clang-cl',
    'c++',
  ])
    expect([name, reasonOf([name, '-c', 'x.c', '-o', 'x.o'])]).toEqual([name, 'not-a-compile|c-compiler']);
  expect(reasonOf(['/bin/rustc', ...ARGS])).toBe('a compile');
  expect(reasonOf(['clippy-driver', '/bin/rustc', ...ARGS])).toBe('a compile');
});

test('what rustc prints under a tracing variable cannot be repeated', () => {
  expect(reasonOf(['rustc', ...ARGS], { RUSTC_LOG: 'info' })).toBe('unsupported|tracing');
  expect(reasonOf(['rustc', ...ARGS], { RUSTC_LOG: '' })).toBe('unsupported|tracing');
});

test('arguments in a file are read, and handed on as they were given', () => {
  using lab = new Lab();
  const dir = lab.write('args', {
    plain: ARGS.join('\n'),
    windows: `${ARGS.join('\r\n')}\r\n`,
    more: '--cfg\nfeature="a b"\n',
    torn: '--cfg\nfeature="\ufffd"\n',
  });
  const whole = compileOf(['rustc', ...ARGS]);
  for (const file of ['plain', 'windows']) {
    const call = compileOf(['rustc', `@${dir}/${file}`]);
    expect(call).toEqual({ ...whole, args: [`@${dir}/${file}`] });
  }
  const mixed = compileOf(['rustc', ...ARGS, `@${dir}/more`, '-g']);
  expect(mixed.parsed).toEqual(compileOf(['rustc', ...ARGS, '--cfg', 'feature="a b"', '-g']).parsed);
  expect(reasonOf(['rustc', ...ARGS, `@${dir}/torn`])).toBe('unsupported|argfile');
});

test('no call whatever makes it throw', () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom('-C', '--emit', '@', '-', '--', '--crate-name', '', ...ARGS),
  );
  fc.assert(
    fc.property(fc.array(word), fc.dictionary(fc.string(), fc.string()), (argv, env) => {
      parseInvocation(
        argv.map((text) => text.replaceAll('\0', '')),
        env,
        '/ws',
      );
    }),
    { numRuns: 500 },
  );
});
