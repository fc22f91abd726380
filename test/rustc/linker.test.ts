// The link step of a call, and what a linker says it read: by real linkers where they are there.
import { expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Invocation, parseInvocation } from '../../src/rustc/invocation.ts';
import {
  candidateNames,
  compressesSections,
  dependencyFileArguments,
  inspectLinker,
  isCurrentLinker,
  type LinkRequest,
  linkRequest,
  parseLinkDependencies,
} from '../../src/rustc/linker.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { outputOf } from '../../src/sys/process.ts';
import { Lab } from '../support/lab.ts';

const TARGET = 'x86_64-unknown-linux-gnu';

function invocation(args: readonly string[], env: Record<string, string> = {}): Invocation {
  const call = [
    '--crate-name',
    'it',
    '--crate-type',
    'bin',
    '--emit=dep-info,link',
    '--out-dir',
    '/out',
    'm.rs',
  ];
  const parsed = parseInvocation(['rustc', ...call, ...args], env, '/project');
  if ('reason' in parsed) throw new Error(parsed.reason);
  return parsed;
}

const request = (...args: string[]): LinkRequest | { why: string } => linkRequest(invocation(args), TARGET);

test('what is asked of a linker', () => {
  expect(request()).toMatchObject({ program: 'cc', choice: [], folders: [], mentioned: [] });
  const args = [
    ...['-L', 'native=/n', '-L', 'dependency=/deps', '-L/all'],
    ...['-Clink-arg=-fuse-ld=mold', '-C', 'link-args=-Lown -L /other', '-Clinker=/opt/bin/clang-18'],
    ...['-Clink-arg=-Wl,-T,script.ld', '-Clink-arg=-Xlinker', '-Clink-arg=--retain-symbols-file=keep.txt'],
  ];
  const asked = request(...args);
  expect(asked).toMatchObject({ program: '/opt/bin/clang-18', choice: ['-fuse-ld=mold'] });
  if ('why' in asked) throw new Error(asked.why);
  expect(asked.folders).toEqual(['/n', '/all', '/project/own', '/other']);
  expect(asked.mentioned).toEqual(expect.arrayContaining(['/project/script.ld', '/project/keep.txt']));
});

test('variables a driver reads, unset ones too', () => {
  const asked = linkRequest(invocation([], { LIBRARY_PATH: '/lib1:/lib2', PATH: '/bin' }), TARGET);
  if ('why' in asked) throw new Error(asked.why);
  const env = Object.fromEntries(asked.env);
  expect([env['LIBRARY_PATH'], env['SOURCE_DATE_EPOCH'], env['PATH']]).toEqual([
    '/lib1:/lib2',
    null,
    undefined,
  ]);
});

const REFUSED: readonly (readonly [readonly string[], string])[] = [
  [['-Clinker=/opt/my-linker'], 'linker my-linker'],
  [['-Clinker=rust-lld'], 'linker rust-lld'],
  [['-Clinker-flavor=gnu-lld'], 'linker-flavor gnu-lld'],
  [['-Clink-arg=@/tmp/args'], 'link-arg @/tmp/args'],
  [['-Clink-arg=-specs=own.specs'], 'link-arg -specs'],
  [['-Clink-args=-lfoo -B/own'], 'link-arg -B/own'],
  [['-Clink-arg=-Wl,-plugin,own.so'], 'link-arg -plugin'],
  [['-Clink-arg=-flto'], 'link-arg -flto'],
  [['-Clinker-plugin-lto=/own/LLVMgold.so'], 'linker-plugin-lto'],
  [['-Crpath'], 'rpath'],
  [['-Crpath=no', '-Crpath=yes'], 'rpath'],
  [['-Clink-arg=--sysroot=/own'], 'link-arg --sysroot'],
  [['-Clink-arg=-Wl,--library-path=/own'], 'link-arg --library-path'],
  [['-Clink-arg=-Wl,-Map=out.map'], 'link-arg -Map'],
  [['-Clink-arg=-Wl,--trace'], 'link-arg --trace'],
  [['-Clink-arg=-Xlinker', '-Clink-arg=--reproduce=x.tar'], 'link-arg --reproduce'],
  [['--crate-type', 'cdylib'], 'several-links'],
];

for (const [args, why] of REFUSED) {
  test(`cannot be followed: ${args.join(' ')}`, () => {
    expect(request(...args)).toEqual({ why });
  });
}

test('targets that cc does not link', () => {
  for (const target of ['x86_64-apple-darwin', 'x86_64-pc-windows-gnu', 'wasm32-unknown-unknown'])
    expect(linkRequest(invocation([]), target)).toEqual({ why: `linker-of ${target}` });
  for (const target of [TARGET, 'aarch64-unknown-linux-musl'])
    expect(linkRequest(invocation([]), target)).toMatchObject({ program: 'cc' });
});

test('sections that are compressed', () => {
  expect(compressesSections(invocation(['-Clink-arg=-Wl,--compress-debug-sections=zlib']))).toBe(true);
  expect(compressesSections(invocation(['-Clink-arg=-gz']))).toBe(true);
  expect(compressesSections(invocation(['-Clink-arg=-g']))).toBe(false);
});

function contentOf(path: string): { digest: string; isScript: boolean } {
  const bytes = readFileSync(path);
  return { digest: sha256(bytes), isScript: bytes.toString('latin1', 0, 2) === '#!' };
}

test("the system's linker, and what makes it another one", () => {
  using lab = new Lab();
  const around = { env: lab.env(), cwd: lab.root, run: outputOf, contentOf };
  const asked = request();
  if ('why' in asked) throw new Error(asked.why);
  const record = inspectLinker(asked, around);
  if ('why' in record) throw new Error(record.why);
  expect(isCurrentLinker(record)).toBe(true);
  expect(record.folders.length).toBeGreaterThan(1);
  expect(record.identity).toContain(contentOf(Bun.which('cc') ?? '').digest);
  const [first] = record.files;
  if (first === undefined) throw new Error('files expected');
  expect(isCurrentLinker({ ...record, files: [[first[0], 'another state']] })).toBe(false);

  const script = lab.path('cc');
  writeFileSync(script, '#!/bin/sh\nexec /usr/bin/cc "$@"\n');
  chmodSync(script, 0o755);
  expect(inspectLinker({ ...asked, program: script }, around)).toEqual({ why: 'linker-is-a-script cc' });
  expect(inspectLinker({ ...asked, program: 'no-such-cc' }, around)).toEqual({
    why: 'linker-missing no-such-cc',
  });
  const silent = {
    ...around,
    run: (argv: readonly string[]) => (argv.includes('-Wl,--help') ? '' : outputOf(argv)),
  };
  expect(inspectLinker(asked, silent)).toEqual({ why: 'linker-without-dependency-file' });
});

test('a driver that reads a configuration is what stands there, and one that was built to call lld calls lld', () => {
  using lab = new Lab();
  const asked = request();
  if ('why' in asked) throw new Error(asked.why);
  const dir = lab.write('clang', { 'clang.cfg': '-Wl,-z,now\n', cc: 'a driver', 'ld.lld': 'a linker' });
  for (const name of ['cc', 'ld.lld']) chmodSync(join(dir, name), 0o755);
  const config = join(dir, 'clang.cfg');
  const said: Readonly<Record<string, string>> = {
    '--version': `clang version 19.1.0\nConfiguration file: ${config}\n`,
    '-Wl,--version': 'LLD 19.1.0 (compatible with GNU linkers)\n',
    '-Wl,--help': '  --dependency-file=<path>\n',
  };
  const run = ([, question = '']: readonly string[]): string => said[question] ?? '';
  const around = { env: { PATH: dir }, cwd: lab.root, run, contentOf };
  const inspected = () => inspectLinker({ ...asked, program: 'cc' }, around);
  const before = inspected();
  if ('why' in before) throw new Error(before.why);
  expect(before.identity).toContain(contentOf(join(dir, 'ld.lld')).digest);
  writeFileSync(config, '-Wl,-z,lazy,--as-needed\n');
  expect(isCurrentLinker(before)).toBe(false);
  const after = inspected();
  expect('why' in after || after.identity !== before.identity).toBe(true);
  writeFileSync(config, '@more.cfg\n');
  expect(inspected()).toEqual({ why: 'linker-configuration clang.cfg' });
});

test('every file of a real link, and nothing rustc wrote for it alone', () => {
  using lab = new Lab();
  const places = { cwd: lab.root, outDir: lab.path('out'), temporaryDir: '/tmp' };
  mkdirSync(places.outDir);
  writeFileSync(lab.path('odd #$ name.ld'), 'chosen = 1;\n');
  writeFileSync(lab.path('m.rs'), 'fn main() {}\n');
  for (const more of [[], ['-Clinker-features=-lld']]) {
    const report = lab.path('report.d');
    const args = [...more, `-Clink-arg=${lab.path('odd #$ name.ld')}`, ...dependencyFileArguments(report)];
    const done = lab.run(['rustc', '--out-dir', 'out', ...args, 'm.rs']);
    expect(done).toMatchObject({ status: 0 });
    const files = parseLinkDependencies(readFileSync(report, 'utf8'), places);
    expect(files).toContain(lab.path('odd #$ name.ld'));
    expect(files.some((path) => /\/libstd-[0-9a-f]+\.rlib$/.test(path))).toBe(true);
    expect(files.some((path) => /\/libc\.so(\.6)?$/.test(path))).toBe(true);
    expect(files.filter((path) => path.startsWith(lab.root))).toEqual([lab.path('odd #$ name.ld')]);
  }
});

test('the names a library may have been looked for under', () => {
  expect(candidateNames('/x/libz.a')).toEqual(['libz.so', 'libz.a']);
  expect(candidateNames('/x/libz.so.1.2.3')).toEqual(['libz.so', 'libz.a']);
  expect(candidateNames('/x/crt1.o')).toEqual(['crt1.o']);
});
