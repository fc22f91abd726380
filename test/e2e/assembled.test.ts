// Files that the assembler reads for inline assembly, which no dep-info names: what was compiled with them is compiled again.
import { afterAll, expect, test } from 'bun:test';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Files, Lab } from '../support/lab.ts';

const TIMEOUT_MS = 180_000;
const onX64 = test.if(process.platform === 'linux' && process.arch === 'x64');

const lab = new Lab();
afterAll(() => lab[Symbol.dispose](), TIMEOUT_MS);

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;
const library = (name: string, text: string, rest = ''): Files => ({
  [`${name}/Cargo.toml`]: manifest(name, rest),
  [`${name}/src/lib.rs`]: text,
});
const needs = (...names: string[]): string =>
  `[dependencies]\n${names.map((name) => `${name} = { path = "../${name}" }\n`).join('')}`;

/** A text of the read-only data by its symbol. */
const SAID = `pub fn said() -> String {
    extern "C" { static told: std::os::raw::c_char; }
    unsafe { std::ffi::CStr::from_ptr(&told) }.to_str().unwrap().trim().to_string()
}
`;
const around = (directive: string): string =>
  `".pushsection .rodata", ".globl told", "told:", ${directive}, ".byte 0", ".popsection"`;
const IN_PACKAGE = 'concat!(".incbin \\"", env!("CARGO_MANIFEST_DIR"), "/../told.txt\\"")';

/** Projects whose crate \`teller\` holds what stands in told.txt, or in told.s, and the crates that are not kept. */
const PROJECTS: Readonly<Record<string, { files: Files; again: string[]; flags?: string }>> = {
  'a file in inline assembly': {
    files: library('teller', `std::arch::global_asm!(${around(IN_PACKAGE)});\n${SAID}`),
    again: ['teller'],
  },
  'one that is written in capitals, from where Cargo is called': {
    files: library('teller', `std::arch::global_asm!(${around('".INCBIN \\"told.txt\\""')});\n${SAID}`),
    again: ['teller'],
  },
  'a file that a file of assembly names': {
    files: {
      ...library('teller', `std::arch::global_asm!(include_str!("code.s"));\n${SAID}`),
      'teller/src/code.s': '.pushsection .rodata\n.globl told\ntold:\n  .include "told.s"\n.popsection\n',
    },
    again: ['teller'],
  },
  'a macro of a dependency, by way of another one': {
    files: {
      ...library(
        'carrier',
        `#[macro_export] macro_rules! tell { ($path:expr) => { std::arch::global_asm!(${around('concat!(".incbin \\"", $path, "\\"")')}); } }\n`,
      ),
      ...library('between', 'pub use carrier::tell;\n', needs('carrier')),
      ...library(
        'teller',
        `between::tell!(concat!(env!("CARGO_MANIFEST_DIR"), "/../told.txt"));\n${SAID}`,
        needs('between'),
      ),
    },
    again: ['between', 'carrier', 'teller'],
  },
  'a macro of a dynamic library': {
    files: {
      ...library(
        'carrier',
        `#[macro_export] macro_rules! tell { ($path:expr) => { std::arch::global_asm!(${around('concat!(".incbin \\"", $path, "\\"")')}); } }\n`,
        '[lib]\ncrate-type = ["dylib"]\n',
      ),
      ...library(
        'teller',
        `carrier::tell!(concat!(env!("CARGO_MANIFEST_DIR"), "/../told.txt"));\n${SAID}`,
        needs('carrier'),
      ),
    },
    again: ['teller'],
    flags: '-C prefer-dynamic',
  },
  'an inline function of a dependency': {
    files: {
      ...library(
        'carrier',
        `#[inline(always)] pub fn told<T>() -> *const u8 {
    let at: *const u8;
    unsafe { std::arch::asm!(".pushsection .rodata", "2:", ".incbin \\"told.txt\\"", ".byte 0", ".popsection", "lea {0}, [rip + 2b]", out(reg) at) };
    at
}
`,
      ),
      ...library(
        'teller',
        'pub fn said() -> String { unsafe { std::ffi::CStr::from_ptr(carrier::told::<u8>().cast()) }.to_str().unwrap().trim().to_string() }\n',
        needs('carrier'),
      ),
    },
    again: ['carrier', 'teller'],
  },
  'a proc macro': {
    files: {
      ...library(
        'carrier',
        `use proc_macro::TokenStream;
#[proc_macro] pub fn tell(path: TokenStream) -> TokenStream {
    let path = path.to_string();
    format!(r#"std::arch::global_asm!(".pushsection .rodata", ".globl told", "told:", concat!(".incbin \\"", {path}, "\\""), ".byte 0", ".popsection");"#).parse().unwrap()
}
`,
        '[lib]\nproc-macro = true\n',
      ),
      ...library('teller', `carrier::tell!("told.txt");\n${SAID}`, needs('carrier')),
    },
    again: ['teller'],
  },
};

const project = (folder: string, files: Files): string =>
  lab.write(folder, {
    'Cargo.toml': '[workspace]\nmembers = ["*"]\nexclude = ["target"]\nresolver = "2"\n',
    ...library('plain', 'pub fn plain() -> u32 { 7 }\n'),
    ...files,
    'app/Cargo.toml': manifest('app', needs('plain', 'teller')),
    'app/src/main.rs': 'fn main() { println!("{} {}", teller::said(), plain::plain()); }\n',
  });

/** Writes what is to be told; nothing of an earlier build is left. */
function tell(dir: string, word: string): void {
  writeFileSync(join(dir, 'told.txt'), `${word}\n`);
  writeFileSync(join(dir, 'told.s'), `.asciz "${word}"\n`);
  rmSync(join(dir, 'target'), { recursive: true, force: true });
}

const sysroot = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();

/** What the program of a project prints. */
const said = (dir: string): string =>
  lab.run([join(dir, 'target/debug/app')], {
    env: { LD_LIBRARY_PATH: `${dir}/target/debug/deps:${sysroot}/lib/rustlib/x86_64-unknown-linux-gnu/lib` },
  }).stdout;

for (const [name, { files, again, flags = '' }] of Object.entries(PROJECTS))
  for (const executables of /proc macro|dynamic/.test(name) ? ['', '1'] : ['1'])
    onX64(
      `${name}${executables === '' ? ', executables not cached' : ''}`,
      () => {
        const dir = project(`${name} ${executables}`, files);
        for (const [nth, word] of ['one', 'two', 'one'].entries()) {
          tell(dir, word);
          const built = lab.cargo(dir, ['build', '--offline'], {
            env: { KACHE_CACHE_EXECUTABLES: executables, RUSTFLAGS: flags },
          });
          expect([built.status, said(dir)]).toEqual([0, `${word} 7\n`]);
          const ended = (crate: string) => built.events.find(({ crate_name }) => crate_name === crate);
          if (nth > 0) expect(ended('plain')?.result).toBe('local_hit');
          for (const crate of again)
            expect([crate, ended(crate)?.reason]).toEqual([crate, 'assembler-reads-files']);
        }
      },
      TIMEOUT_MS,
    );

onX64(
  'a dependency with such a macro that plain cargo has compiled',
  () => {
    const dir = project(
      'compiled before',
      PROJECTS['a macro of a dependency, by way of another one']?.files ?? {},
    );
    for (const word of ['one', 'two', 'one']) {
      tell(dir, word);
      const env = { CARGO_INCREMENTAL: '0' };
      const before = lab.cargo(dir, ['build', '--offline', '-p', 'carrier'], {
        env: { ...env, RUSTC_WRAPPER: '' },
      });
      const built = lab.cargo(dir, ['build', '--offline'], { env });
      expect([before.status, built.status]).toEqual([0, 0]);
      expect(said(dir)).toBe(`${word} 7\n`);
      const reasons = built.events
        .filter(({ crate_types, crate_name }) => crate_types === 'lib' && crate_name !== 'plain')
        .map(({ crate_name, reason }) => `${crate_name} ${reason}`);
      expect(reasons.sort()).toEqual(['between assembler-reads-files', 'teller assembler-reads-files']);
    }
  },
  TIMEOUT_MS,
);
