import { afterAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  enumeratesEnvironment,
  literalSections,
  macroCandidates,
  mentions,
} from '../../src/rustc/macro-code.ts';
import { Lab } from '../support/lab.ts';

const lab = new Lab();
afterAll(() => lab[Symbol.dispose]());

/** A macro that reads variables and files in the ways macros do. */
const SOURCE = `
extern crate proc_macro;
use proc_macro::TokenStream;
use std::{env, fs};
const CONSTANT: &str = "NAME_IN_A_CONSTANT";
static TABLE: [&str; 2] = ["NAME_IN_A_TABLE", "ANOTHER_IN_A_TABLE"];
fn by_argument(name: &str) -> Option<String> { env::var(name).ok() }
#[proc_macro]
pub fn read(_: TokenStream) -> TokenStream {
    let mut all = vec![env::var("SOME_NAME").unwrap_or_default(), env::var("X9").unwrap_or_default()];
    all.push(env::var(CONSTANT).unwrap_or_default());
    for name in TABLE { all.extend(by_argument(name)); }
    all.extend(by_argument(concat!("NAME_", "PUT_TOGETHER")));
    all.push(fs::read_to_string(format!("{}/query-data.json", env::var("CARGO_MANIFEST_DIR").unwrap())).unwrap_or_default());
    format!("{:?}", all.concat()).parse().unwrap()
}
`;

const READ = [
  'SOME_NAME',
  'X9',
  'NAME_IN_A_CONSTANT',
  'NAME_IN_A_TABLE',
  'ANOTHER_IN_A_TABLE',
  'NAME_PUT_TOGETHER',
  'CARGO_MANIFEST_DIR',
  'query-data',
];
const UNREAD = ['SOME_OTHER_NAME', 'SOME_NAMES', 'DATABASE_URL'];

const PROFILES: Readonly<Record<string, readonly string[]>> = {
  debug: ['-Cdebuginfo=2'],
  release: ['-Copt-level=3'],
  small: ['-Copt-level=z', '-Ccodegen-units=1'],
  stripped: ['-Copt-level=3', '-Cstrip=symbols'],
};

function compiled(profile: string, source = SOURCE): Uint8Array {
  lab.write('src', { 'names.rs': source });
  const args = ['--crate-type=proc-macro', '--edition=2021', '--out-dir', lab.path(profile)];
  const run = lab.run(['rustc', ...args, ...(PROFILES[profile] ?? []), 'src/names.rs'], { cwd: lab.root });
  expect(run).toMatchObject({ status: 0 });
  return readFileSync(lab.path(profile, 'libnames.so'));
}

for (const profile of Object.keys(PROFILES)) {
  test(`names are found in a macro built as ${profile}, and no others`, () => {
    const library = compiled(profile);
    const sections = literalSections(library);
    for (const name of READ) expect([name, mentions(sections, name)]).toEqual([name, true]);
    for (const name of UNREAD) expect([name, mentions(sections, name)]).toEqual([name, false]);
    // Searching the code, the symbols and the debug information would be slow, and find what is not read.
    const searched = sections.reduce((sum, section) => sum + section.length, 0);
    expect(searched).toBeLessThan(library.length / 2);
  });
}

/** By what a macro goes through the environment, or does not, in its own words. */
const GOES_THROUGH: Readonly<Record<string, boolean>> = {
  'std::env::vars().map(|(_, value)| value).collect::<String>()': true,
  'std::env::var("ONE").unwrap_or_default()': false,
  'format!("{:?}", std::process::Command::new("true").env("ONE", "1").status())': false,
  '"std::env::vars".to_string()': false,
};

for (const profile of ['debug', 'release', 'small'])
  for (const [words, goes] of Object.entries(GOES_THROUGH))
    test(`${goes ? 'goes' : 'does not go'} through the environment, built as ${profile}: ${words}`, () => {
      const library = compiled(
        profile,
        `extern crate proc_macro; use proc_macro::TokenStream;
#[proc_macro] pub fn all(_: TokenStream) -> TokenStream { format!("{:?}", ${words}).parse().unwrap() }\n`,
      );
      expect(enumeratesEnvironment(library)).toBe(goes);
    });

test('what is no ELF library is searched whole', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  for (const text of ['', 'xSOME_NAMEx', '\x7fELF short', `\x7fELF${'\x01'.repeat(80)}SOME_NAME`])
    expect([text, mentions(literalSections(bytes(text)), 'SOME_NAME')]).toEqual([
      text,
      text.includes('SOME_NAME'),
    ]);
  // Part of a larger buffer is only that part.
  const part = bytes('SOME_NAME and SOME').subarray(5);
  expect(mentions(literalSections(part), 'SOME_NAME')).toBe(false);
});

test('a damaged library never makes it throw', () => {
  const library = compiled('stripped');
  fc.assert(
    fc.property(fc.nat(63), fc.nat(255), fc.nat(library.length), (at, byte, length) => {
      const bytes = Uint8Array.from(library.subarray(0, Math.max(length, 64)));
      bytes[at] = byte;
      mentions(literalSections(bytes), 'SOME_NAME');
    }),
    { numRuns: 50 },
  );
});

test('the variables a macro may mean: not the noise of the machine, not what is keyed anyway', () => {
  const names = [
    'PATH',
    'HOME',
    'CARGO_PKG_NAME',
    'CARGO_PKG_README',
    'KACHE_CACHE_DIR',
    'DATABASE_URL',
    'OUT_DIR',
  ];
  expect(macroCandidates([...names, 'CARGO_MANIFEST_DIR', 'PATHS'])).toEqual([
    'CARGO_PKG_README',
    'DATABASE_URL',
    'OUT_DIR',
    'CARGO_MANIFEST_DIR',
    'PATHS',
  ]);
  expect(macroCandidates([])).toEqual([]);
});
