// Crates that a source names with `extern crate`, and that only a search path leads to.
import { expect, test } from 'bun:test';
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../support/lab.ts';

const TIMEOUT_MS = 120_000;

/** A library that takes a crate from a search path, or does not. */
const project = (source: string): Record<string, string> => ({
  'Cargo.toml': '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
  'src/lib.rs': source,
  'src/main.rs': 'fn main() { println!("{}", app::value()); }\n',
});
const TAKES = 'extern crate apart;\npub fn value() -> u32 { apart::value() }\n';
const TAKES_NOTHING = 'pub fn value() -> u32 { 7 }\n';

/** What of the library became with two contents of what lies in the folder, and with the first again. */
function threeBuilds(lab: Lab, dir: string, how: { flags: string; make: (value: number) => void }): string[] {
  return [1, 2, 1].map((value) => {
    how.make(value);
    rmSync(join(dir, 'target'), { recursive: true, force: true });
    const built = lab.cargo(dir, ['build', '--offline'], { env: { RUSTFLAGS: how.flags } });
    expect(built.stderr.includes('error')).toBe(false);
    const event = built.events.find(({ crate_types: types }) => types === 'lib');
    const std = lab.run(['rustc', '--print', 'target-libdir']).stdout.trim();
    const env = { LD_LIBRARY_PATH: `${lab.path('elsewhere')}:${std}` };
    const printed = lab.run([join(dir, 'target/debug/app')], { env });
    return `${printed.stdout.trim()} ${event?.result} ${event?.passthrough_reason ?? ''}`.trim();
  });
}

/** Has the compiler make `apart` in a folder of its own. */
const compiled = (lab: Lab, crateType: string) => (value: number) => {
  const dir = lab.write('elsewhere', { 'apart.rs': `#[inline] pub fn value() -> u32 { ${value} }\n` });
  const flags = ['--edition', '2021', '-C', 'prefer-dynamic', '--crate-type', crateType, '--out-dir', dir];
  expect(lab.run(['rustc', ...flags, join(dir, 'apart.rs')]).status).toBe(0);
};

test.each([
  ['a library, by -L', 'rlib', '-L '],
  ['a library, by -L crate', 'rlib', '-L dependency=DIR -L crate='],
  ['a dynamic library, by -L all', 'dylib', '-C prefer-dynamic -L all='],
])(
  'what %s leads to is in no key: such crates are compiled',
  (_, crateType, option) => {
    using lab = new Lab();
    const dir = lab.write('here', project(TAKES));
    const reason = `passthrough unsupported|crates-in-search-path ${lab.path('elsewhere')}`;
    const built = threeBuilds(lab, dir, {
      flags: `${option.replace('DIR', lab.path('elsewhere'))}${lab.path('elsewhere')}`,
      make: compiled(lab, crateType),
    });
    expect(built).toEqual([`1 ${reason}`, `2 ${reason}`, `1 ${reason}`]);
  },
  TIMEOUT_MS,
);

test.each([
  ['-L native=', 'rlib'],
  ['-L dependency=', 'rlib'],
  ['-L framework=', 'dylib'],
])(
  'no crate is looked for by %s',
  (option, crateType) => {
    using lab = new Lab();
    const dir = lab.write('here', project(TAKES_NOTHING));
    const built = threeBuilds(lab, dir, {
      flags: `${option}${lab.path('elsewhere')}`,
      make: compiled(lab, crateType),
    });
    expect(built).toEqual(['7 miss', '7 local_hit', '7 local_hit']);
  },
  TIMEOUT_MS,
);

test(
  'libraries of other languages are no crates',
  () => {
    using lab = new Lab();
    const dir = lab.write('here', project(TAKES_NOTHING));
    const make = (value: number): void => {
      const folder = lab.write('elsewhere', { 'apart.c': `int value(void) { return ${value}; }\n` });
      const [source, library] = [join(folder, 'apart.c'), join(folder, 'libapart.so')];
      expect(lab.run(['cc', '-shared', '-fPIC', '-o', library, source]).status).toBe(0);
    };
    const flags = `-L ${lab.path('elsewhere')}`;
    expect(threeBuilds(lab, dir, { flags, make })).toEqual(['7 miss', '7 local_hit', '7 local_hit']);
    // One that cannot be looked at may be a crate.
    symlinkSync('libloop.so', join(lab.path('elsewhere'), 'libloop.so'));
    const reason = `7 passthrough unsupported|crates-in-search-path ${lab.path('elsewhere')}`;
    expect(threeBuilds(lab, dir, { flags, make })).toEqual([reason, reason, reason]);
  },
  TIMEOUT_MS,
);
