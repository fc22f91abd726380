// Verified hits: compiled once more and compared; a wrong entry is noticed, reported and replaced.
import { expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import type { CompileEvent } from '../../src/core/events.ts';
import type { BlobId, CacheKey } from '../../src/core/ids.ts';
import { readEntry, readEntryInputs, writeEntry } from '../../src/store/entries.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { Store } from '../../src/store/store.ts';
import { stat } from '../../src/sys/files.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { type CargoResult, Lab } from '../support/lab.ts';

const project = (value: number): Record<string, string> => ({
  'Cargo.toml': '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
  'src/lib.rs': `pub fn value() -> u32 { ${value} }\n`,
  'src/main.rs': 'fn main() { println!("{}", app::value()); }\n',
});

const libraryEvent = (result: CargoResult): CompileEvent | undefined =>
  result.events.find(({ crate_types }) => crate_types === 'lib');

const library = (result: CargoResult): unknown[] => {
  const event = libraryEvent(result);
  return [event?.result, event?.reason, event?.compiler_runs];
};

/** A store that lies: under the key of the first build stand the outputs of the second. */
function lie(lab: Lab, first: CargoResult, second: CargoResult): void {
  const store = new Store(new StoreLayout(lab.store), false);
  const key = (result: CargoResult): CacheKey => libraryEvent(result)?.cache_key as CacheKey;
  const [entry, other] = [readEntry(store, key(first)), readEntry(store, key(second))];
  const inputs = readEntryInputs(store, key(first));
  if (entry === undefined || other === undefined || inputs === undefined) throw new Error('entries expected');
  writeEntry(store, { ...entry, outputs: other.outputs }, inputs);
}

test('a blob that has rotted under its seal is found and replaced', () => {
  using lab = new Lab();
  const build = (folder: string, mode: string): CargoResult =>
    lab.cargo(lab.write(folder, project(1)), ['build', '--offline'], {
      env: { KACHE_VERIFY_RESTORES: mode },
    });
  const first = build('a', 'off');
  const store = new Store(new StoreLayout(lab.store), false);
  const key = libraryEvent(first)?.cache_key as CacheKey;
  const blob = readEntry(store, key)?.outputs.find(({ kind }) => kind === 'metadata')?.blob as BlobId;
  const path = store.layout.blob(blob);
  // As a disk does it: the seal holds for the bytes that are there now.
  const bytes = readFileSync(path);
  bytes[bytes.length - 40] = (bytes[bytes.length - 40] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const info = stat(path);
  const seal = readFileSync(store.layout.seal(blob), 'utf8').split(' ');
  const state = `${info?.ino} ${info?.size} ${info?.mtimeSec}.${info?.mtimeNsec} ${info?.ctimeSec}.${info?.ctimeNsec}`;
  writeFileSync(store.layout.seal(blob), [seal[0], state, ...seal.slice(5)].join(' '));
  expect(libraryEvent(build('b', 'always'))?.reason).toBe('verify-mismatch|rotten metadata');
  expect(sha256(readFileSync(path)) as string).toBe(blob);
  expect(library(build('c', 'always'))).toEqual(['dup', 'verified', 1]);
});

test('a sound hit is confirmed, a lying one is replaced, and then hits are right', () => {
  using lab = new Lab();
  const build = (folder: string, mode?: string): CargoResult => {
    const dir = lab.write(folder, project(1));
    return lab.cargo(dir, ['build', '--offline'], {
      env: mode === undefined ? {} : { KACHE_VERIFY_RESTORES: mode },
    });
  };
  const value = (folder: string): string => lab.run([lab.path(folder, 'target/debug/app')]).stdout.trim();
  const first = build('a');
  expect(library(first)).toEqual(['miss', 'never-compiled', 1]);
  const dir = lab.write('other', project(2));
  const second = lab.cargo(dir, ['build', '--offline']);
  expect(library(build('b', 'always'))).toEqual(['dup', 'verified', 1]);
  expect(library(build('c', 'off'))).toEqual(['local_hit', undefined, 0]);

  lie(lab, first, second);
  build('wrong');
  expect(value('wrong')).toBe('2');
  const caught = build('d', 'always');
  expect(library(caught)[1]).toMatch(/^verify-mismatch\|(link|metadata)$/);
  expect(value('d')).toBe('1');
  expect(library(build('e'))).toEqual(['local_hit', undefined, 0]);
  expect(value('e')).toBe('1');
});

/** A crate whose macro does one thing more where a file outside of the project tells it to. */
const withMacro = (flag: string, more: string): Record<string, string> => ({
  'Cargo.toml':
    '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nmac = { path = "mac" }\n[workspace]\n',
  'src/lib.rs': "pub fn value() -> &'static str { mac::word!() }\n",
  'notes.txt': 'notes',
  'mac/Cargo.toml':
    '[package]\nname = "mac"\nversion = "0.1.0"\nedition = "2021"\n[lib]\nproc-macro = true\n',
  'mac/src/lib.rs': `use proc_macro::TokenStream;
#[proc_macro] pub fn word(_: TokenStream) -> TokenStream {
    if std::path::Path::new("${flag}").exists() { ${more} }
    "\\"word\\"".parse().unwrap()
}
`,
});

const SEEN: [what: string, more: string, reason: string][] = [
  ['that only one compile was seen to open', 'let _ = std::fs::read("notes.txt");', 'verified'],
  [
    'whose content the outputs hold',
    'return format!("{:?}", std::fs::read_to_string("notes.txt").unwrap()).parse().unwrap();',
    'verify-mismatch|',
  ],
  [
    'that only one compile names as an input',
    'return "include_str!(\\"../notes.txt\\")".parse().unwrap();',
    'verify-mismatch|key',
  ],
];
test.each(SEEN)('a file %s', (_, more, reason) => {
  using lab = new Lab();
  const flag = lab.path('flag');
  const build = (folder: string, mode: string): CargoResult =>
    lab.cargo(lab.write(folder, withMacro(flag, more)), ['build', '--offline'], {
      env: { KACHE_VERIFY_RESTORES: mode },
    });
  build('a', 'off');
  writeFileSync(flag, '');
  expect(libraryEvent(build('b', 'always'))?.reason).toStartWith(reason);
  // What was found to be wrong is not served any more.
  const served = libraryEvent(build('c', 'always'));
  expect(served?.reason).toBe('verified');
});
