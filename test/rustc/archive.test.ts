import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { NativeSearch } from '../../src/rustc/archive.ts';
import { Lab } from '../support/lab.ts';

const lab = new Lab();
afterAll(() => lab[Symbol.dispose]());

/** Compiles a library crate and returns its rlib. */
function rlib(name: string, source: string, args: readonly string[] = []): Uint8Array {
  lab.write('src', { [`${name}.rs`]: source });
  const run = lab.run(
    ['rustc', '--crate-type=lib', '--edition=2021', ...args, '--out-dir', lab.path('out'), `src/${name}.rs`],
    { cwd: lab.root },
  );
  expect(run).toMatchObject({ status: 0 });
  return readFileSync(lab.path('out', `lib${name}.rlib`));
}

beforeAll(() => {
  lab.write('c', { 'tiny.c': 'int tiny(void) { return 7; }\n' });
  const run = (argv: readonly string[]): void => {
    expect(lab.run(argv, { cwd: lab.path('c') })).toMatchObject({ status: 0 });
  };
  run(['cc', '-c', 'tiny.c', '-o', 'tiny.o']);
  run(['cc', '-c', 'tiny.c', '-o', 'a_native_object_with_a_rather_long_name.o']);
  run(['ar', 'crsD', 'libtiny.a', 'tiny.o']);
  run(['ar', 'crsD', 'liblong.a', 'a_native_object_with_a_rather_long_name.o']);
  run(['ar', 'crsTD', 'libthin.a', 'tiny.o']);
  return () => lab[Symbol.dispose]();
});

/** What is told of an archive whose bytes come in pieces of this size. */
function bundlesNativeCode(bytes: Uint8Array, pieceBytes = 64 * 1024): boolean | undefined {
  const search = new NativeSearch();
  for (let at = 0; at < bytes.length; at += pieceBytes) search.see(bytes.subarray(at, at + pieceBytes));
  return search.found;
}

const FUNCTIONS = 'pub fn f(n: u32) -> u32 { n + 1 }\npub fn g() -> String { format!("{}", f(2)) }\n';

test('an rlib of Rust code alone holds nothing native', () => {
  for (const [name, args] of [
    ['plain', []],
    ['optimised', ['-O']],
    ['one_unit', ['-Ccodegen-units=1']],
    ['many_units_and_a_name_that_does_not_fit_into_a_header', ['-Ccodegen-units=16', '-g']],
    ['bitcode', ['-Clinker-plugin-lto', '-O']],
    ['embedded', ['-Cembed-bitcode=yes', '-O']],
  ] as const)
    expect([name, bundlesNativeCode(rlib(name, FUNCTIONS, args))]).toEqual([name, false]);
  expect(bundlesNativeCode(rlib('empty', ''))).toBe(false);
});

const EXTERN = 'pub fn number() -> i32 { unsafe { tiny() } }\n';
const declared = (library: string, more = ''): string =>
  `#[link(name = "${library}", kind = "static"${more})]\nunsafe extern "C" { fn tiny() -> i32; }\n${EXTERN}`;

test('an rlib with a static library in it is told, however that came in', () => {
  const native = ['-L', `native=${lab.path('c')}`];
  expect(bundlesNativeCode(rlib('attribute', declared('tiny'), native))).toBe(true);
  expect(bundlesNativeCode(rlib('long_member', declared('long'), native))).toBe(true);
  expect(bundlesNativeCode(rlib('whole', declared('tiny', ', modifiers = "+whole-archive"'), native))).toBe(
    true,
  );
  expect(
    bundlesNativeCode(rlib('verbatim', declared('libtiny.a', ', modifiers = "+verbatim"'), native)),
  ).toBe(true);
  const plain = `unsafe extern "C" { fn tiny() -> i32; }\n${EXTERN}`;
  expect(bundlesNativeCode(rlib('by_flag', plain, [...native, '-lstatic=tiny']))).toBe(true);
  expect(bundlesNativeCode(rlib('renamed', declared('other'), [...native, '-lstatic=other:tiny']))).toBe(
    true,
  );
});

test('a library that is only linked later is not in it', () => {
  const native = ['-L', `native=${lab.path('c')}`];
  const unbundled = declared('tiny', ', modifiers = "-bundle"');
  expect(bundlesNativeCode(rlib('unbundled', unbundled, native))).toBe(false);
  expect(bundlesNativeCode(rlib('dynamic', `#[link(name = "c")]\nunsafe extern "C" {}\n`))).toBe(false);
});

test('what is no archive of a kind it knows is not judged', () => {
  const archive = (name: string): Uint8Array => readFileSync(lab.path('c', name));
  expect(bundlesNativeCode(archive('libtiny.a'))).toBe(true);
  expect(bundlesNativeCode(archive('libthin.a'))).toBeUndefined();
  expect(bundlesNativeCode(archive('tiny.o'))).toBeUndefined();
  expect(bundlesNativeCode(new Uint8Array())).toBeUndefined();
});

test('an archive in the BSD form, long names in front of the bodies', () => {
  const member = (name: string, body: string): string =>
    `${`#1/${name.length}`.padEnd(16)}${''.padEnd(32)}${String(name.length + body.length).padEnd(10)}\`\n${name}${body}`;
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(`!<arch>\n${text}`);
  const own = member('lib.rmeta\0\0\0', 'xxxx') + member('a.b.rcgu.o\0\0', 'yy');
  expect(bundlesNativeCode(bytes(member('__.SYMDEF SORTED', 'zz') + own))).toBe(false);
  expect(bundlesNativeCode(bytes(own + member('tiny.o\0\0', 'zz')))).toBe(true);
});

test('a damaged archive never makes it throw or run on', () => {
  const whole = rlib('damaged', FUNCTIONS);
  fc.assert(
    fc.property(fc.nat(400), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
      const bytes = Uint8Array.from(whole.subarray(0, length));
      if (at < bytes.length) bytes[at] = byte;
      bundlesNativeCode(bytes);
    }),
    { numRuns: 300 },
  );
});

test('wherever it is cut into pieces, the same is told', () => {
  const native = ['-L', `native=${lab.path('c')}`];
  for (const whole of [
    rlib('cut_plain', FUNCTIONS, ['-Ccodegen-units=16']),
    rlib('cut_native', declared('long'), native),
    readFileSync(lab.path('c', 'libthin.a')),
  ])
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9000 }), fc.nat(whole.length), (pieceBytes, length) => {
        const bytes = whole.subarray(0, length);
        expect(bundlesNativeCode(bytes, pieceBytes)).toBe(bundlesNativeCode(bytes, bytes.length + 1));
      }),
      { numRuns: 100 },
    );
});
