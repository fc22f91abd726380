// A project that would leak if anything could, the secrets around it, and what of it has to stay where it was built.
import { expect } from 'bun:test';
import type { CompileEvent } from '../../src/core/events.ts';
import type { CacheKey } from '../../src/core/ids.ts';
import { unpack } from '../../src/remote/pack.ts';
import type { Files } from './lab.ts';
import { unpackedOutputs } from './unpacked.ts';

/** What the environment of its build holds, and nothing that leaves the machine may. */
export const SECRETS = {
  NOT_FOR_OTHERS: 'value-of-a-variable-0123456789',
  SOME_TOKEN: 'token-in-a-file-0123456789',
  AWS_SECRET_ACCESS_KEY: 'aws-secret-of-the-machine-0123',
};

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

/** Everything that may carry a value or a path: a variable, a constant made of it, generated code, warnings. */
export const LEAKING: Files = {
  'Cargo.toml':
    '[workspace]\nmembers = ["app", "holder", "user", "generated", "plain", "warns", "place", "named"]\nresolver = "2"\n',
  'holder/Cargo.toml': manifest('holder'),
  'holder/src/lib.rs': 'pub const KEY: &str = env!("NOT_FOR_OTHERS");\n',
  'user/Cargo.toml': manifest('user', '[dependencies]\nholder = { path = "../holder" }\n'),
  'user/src/lib.rs':
    'pub fn shown() -> String { format!("<{}>", holder::KEY) }\npub static COPY: &str = holder::KEY;\n',
  'generated/Cargo.toml': manifest('generated'),
  'generated/build.rs':
    'fn main() { let out = std::env::var("OUT_DIR").unwrap(); std::fs::write(format!("{out}/x.rs"), "pub const X: u32 = 1;").unwrap(); println!("cargo:rerun-if-changed=build.rs"); }\n',
  'generated/src/lib.rs': 'include!(concat!(env!("OUT_DIR"), "/x.rs"));\n',
  'plain/Cargo.toml': manifest('plain'),
  'plain/src/lib.rs': 'pub fn plain() -> u32 { 1 }\n',
  'warns/Cargo.toml': manifest('warns'),
  'warns/src/lib.rs': 'pub fn warned() { let unused = 1; }\n',
  'place/Cargo.toml': manifest('place'),
  'place/src/lib.rs': 'pub fn dir() -> &\'static str { env!("CARGO_MANIFEST_DIR") }\n',
  'named/Cargo.toml': manifest('named'),
  'named/src/lib.rs': 'pub const TOKEN: &str = include_str!("token.txt");\n',
  'named/src/token.txt': 'token-in-a-file-0123456789',
  'app/Cargo.toml': manifest(
    'app',
    ['holder', 'user', 'generated', 'plain', 'warns', 'place', 'named'].reduce(
      (text, name) => `${text}${name} = { path = "../${name}" }\n`,
      '[dependencies]\n',
    ),
  ),
  'app/src/main.rs':
    'fn main() { println!("{} {} {} {} {}", user::shown(), generated::X, plain::plain(), place::dir(), named::TOKEN); warns::warned(); }\n',
};

/** Checks the verdicts of its first build. */
export function expectStays(events: readonly CompileEvent[]): void {
  const stays = new Map(events.map(({ crate_name, withheld }) => [crate_name, withheld]));
  expect(stays.get('holder')).toBe('variable NOT_FOR_OTHERS');
  expect(stays.get('user')).toBe('variable NOT_FOR_OTHERS');
  expect(stays.get('place')).toBe('holds-a-path');
  expect(stays.get('named')).toBe('variable SOME_TOKEN');
  for (const name of ['generated', 'plain', 'warns'])
    expect([name, stays.get(name)]).toEqual([name, undefined]);
}

/** Every byte of a packed entry, unpacked. */
export async function everythingInEntry(packed: Uint8Array, key: string): Promise<string> {
  const unpacked = unpack(packed, key as CacheKey);
  if (unpacked.kind === 'refused') throw new Error(unpacked.why);
  const texts = [JSON.stringify([unpacked.entry, unpacked.closure, unpacked.inputs])];
  for (const { bytes } of (await unpackedOutputs(unpacked)).outputs) texts.push(bytes.toString('latin1'));
  return texts.join('\n');
}
