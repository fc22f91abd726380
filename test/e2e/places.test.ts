// Where a package can be: generated code that keeps its path, vendored, outside the workspace, behind a symbolic link, in a
// git checkout. Each in two places; what is shared is shared, what is bound is right.
import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Lab, libraries } from '../support/lab.ts';

const TIMEOUT_MS = 120_000;
const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;
const run = (dir: string, name: string): string =>
  Bun.spawnSync([join(dir, 'target/debug', name)]).stdout.toString();

test(
  'OUT_DIR at run time is the one of the checkout, OUT_DIR in an include is shared',
  () => {
    using lab = new Lab();
    const a = lab.write('a', {
      'Cargo.toml': `${manifest('both', '[dependencies]\nkeeps = { path = "keeps" }\nincludes = { path = "includes" }\n')}[workspace]\n`,
      'src/main.rs': 'fn main() { println!("{} {}", keeps::DIR, includes::NUMBER); }\n',
      'keeps/Cargo.toml': manifest('keeps'),
      'keeps/build.rs': 'fn main() {}\n',
      'keeps/src/lib.rs': 'pub const DIR: &str = env!("OUT_DIR");\n',
      'includes/Cargo.toml': manifest('includes'),
      'includes/build.rs':
        'fn main() { std::fs::write(format!("{}/n.rs", std::env::var("OUT_DIR").unwrap()), "pub const NUMBER: u8 = 5;").unwrap() }\n',
      'includes/src/lib.rs': 'include!(concat!(env!("OUT_DIR"), "/n.rs"));\n',
    });
    expect(lab.cargo(a, ['build', '--offline']).status).toBe(0);
    const b = lab.copy(a, 'other/b');
    expect(libraries(lab.cargo(b, ['build', '--offline']))).toEqual({ keeps: 'miss', includes: 'local_hit' });
    expect(run(a, 'both')).toContain(`${a}/target/`);
    expect(run(b, 'both')).toContain(`${b}/target/`);
    expect(lab.cargo(b, ['build', '--offline']).events).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  'a path package outside the workspace says where it is, and is shared when it holds no path',
  () => {
    using lab = new Lab();
    const files = {
      'shared/Cargo.toml': manifest('shared'),
      'shared/src/lib.rs': "pub fn place() -> &'static str { file!() }\n",
      'main/Cargo.toml': manifest('uses', '[dependencies]\nshared = { path = "../shared" }\n'),
      'main/src/main.rs': 'fn main() { println!("{}", shared::place()); }\n',
    };
    for (const name of ['one', 'two/deeper']) {
      const root = lab.write(name, files);
      const dir = join(root, 'main');
      expect(lab.cargo(dir, ['build', '--offline']).status).toBe(0);
      expect(lab.cargo(dir, ['build', '--offline'], { kache: false }).status).toBe(0);
      const plain = Bun.spawnSync([join(lab.plainTarget(dir), 'debug/uses')]).stdout.toString();
      expect(run(dir, 'uses')).toBe(plain);
      expect(plain).toContain(join(root, 'shared/src/lib.rs'));
    }
  },
  TIMEOUT_MS,
);

test(
  'vendored packages are shared between checkouts',
  () => {
    using lab = new Lab();
    const a = lab.write('a', {
      'Cargo.toml': `${manifest('uses', '[dependencies]\ngiven = "1"\n')}[workspace]\n`,
      'src/main.rs': 'fn main() { println!("{}", given::place()); }\n',
      '.cargo/config.toml':
        '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n',
      'vendor/given/Cargo.toml': manifest('given').replace('0.1.0', '1.0.0'),
      'vendor/given/src/lib.rs': "pub fn place() -> &'static str { file!() }\n",
      'vendor/given/.cargo-checksum.json': '{"files":{},"package":null}',
    });
    const cold = lab.cargo(a, ['build', '--offline']);
    expect([cold.status, cold.stderr.includes('error')]).toEqual([0, false]);
    const b = lab.copy(a, 'elsewhere/b');
    expect(libraries(lab.cargo(b, ['build', '--offline']))).toEqual({ given: 'local_hit' });
    expect(run(b, 'uses')).toBe(run(a, 'uses'));
    expect(run(b, 'uses')).not.toContain(a);
  },
  TIMEOUT_MS,
);

test(
  'a checkout behind a symbolic link builds, and has nothing to do by its other name',
  () => {
    using lab = new Lab();
    const real = lab.write('real', {
      'Cargo.toml': `${manifest('linked')}[workspace]\n`,
      'src/lib.rs': 'pub fn f() -> u32 { 1 }\n',
      'src/main.rs': 'fn main() { println!("{}", linked::f()); }\n',
    });
    mkdirSync(lab.path('links'));
    const link = lab.path('links/checkout');
    symlinkSync(real, link);
    const first = lab.cargo(link, ['build', '--offline', '--manifest-path', join(link, 'Cargo.toml')]);
    expect(libraries(first)).toEqual({ linked: 'miss' });
    expect(run(real, 'linked')).toBe('1\n');
    const copy = lab.copy(real, 'copy');
    expect(libraries(lab.cargo(copy, ['build', '--offline']))).toEqual({ linked: 'local_hit' });
  },
  TIMEOUT_MS,
);

test(
  'a git dependency is shared between checkouts',
  () => {
    using lab = new Lab();
    const repository = lab.write('repository', {
      'Cargo.toml': manifest('ingit'),
      'src/lib.rs': 'pub fn f() -> u32 { 9 }\n',
    });
    const git = (...args: string[]): void =>
      expect(
        lab.run(['git', '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd: repository }).status,
      ).toBe(0);
    git('init', '-q');
    git('add', '-A');
    git('commit', '-qm', 'one');
    const env = { CARGO_HOME: lab.path('cargo-home') };
    const a = lab.write('a', {
      'Cargo.toml': `${manifest('uses', `[dependencies]\ningit = { git = "file://${repository}" }\n`)}[workspace]\n`,
      'src/main.rs': 'fn main() { println!("{}", ingit::f()); }\n',
    });
    const cold = lab.cargo(a, ['build'], { env });
    expect([cold.status, libraries(cold)]).toEqual([0, { ingit: 'miss' }]);
    const b = lab.copy(a, 'elsewhere/b');
    expect(libraries(lab.cargo(b, ['build'], { env }))).toEqual({ ingit: 'local_hit' });
    expect(run(b, 'uses')).toBe('9\n');
  },
  TIMEOUT_MS,
);

test(
  'a note that points into generated or vendored code of another crate names the file that is there',
  () => {
    using lab = new Lab();
    const a = lab.write('a', {
      'Cargo.toml': `${manifest('uses', '[dependencies]\ngiven = "1"\ngenerated = { path = "generated" }\n')}[workspace]\n`,
      'src/main.rs': 'fn main() { let _: u8 = generated::wants(1u64); given::Given.missing(); }\n',
      '.cargo/config.toml':
        '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n',
      'vendor/given/Cargo.toml': manifest('given').replace('0.1.0', '1.0.0'),
      'vendor/given/src/lib.rs': 'pub struct Given;\n',
      'vendor/given/.cargo-checksum.json': '{"files":{},"package":null}',
      'generated/Cargo.toml': manifest('generated'),
      'generated/build.rs':
        'fn main() { std::fs::write(format!("{}/w.rs", std::env::var("OUT_DIR").unwrap()), "pub fn wants(_: &str) -> u8 { 0 }").unwrap() }\n',
      'generated/src/lib.rs': 'include!(concat!(env!("OUT_DIR"), "/w.rs"));\n',
    });
    // The second checkout has its libraries from the store: what it prints is about itself all the same.
    for (const dir of [a, lab.copy(a, 'elsewhere/b')]) {
      const failed = lab.cargo(dir, ['build', '--offline']);
      expect(failed.status).not.toBe(0);
      expect(failed.stderr).not.toContain('/kache/');
      const notes = [...failed.stderr.matchAll(/--> (.+?):\d+:\d+/g)].map(([, path]) => path ?? '');
      const elsewhere = notes.filter((path) => !path.startsWith('src/'));
      expect(elsewhere.some((path) => path.endsWith('/out/w.rs'))).toBe(true);
      for (const path of elsewhere)
        expect([path, existsSync(join(dir, path)) || existsSync(path)]).toEqual([path, true]);
    }
  },
  TIMEOUT_MS,
);
