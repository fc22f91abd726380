// What could be taken for something else: externs under each other's names, crates of one name, inputs that change while
// the compiler runs, other layouts of the build folder.
import { expect, test } from 'bun:test';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freshness, KACHE, Lab, libraries } from '../support/lab.ts';

const TIMEOUT_MS = 120_000;
const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

test(
  'two dependencies that change names change what is built on them',
  () => {
    using lab = new Lab();
    const uses = (left: string, right: string): string =>
      `${manifest('uses', `[dependencies]\nleft = { path = "${left}", package = "${left}" }\nright = { path = "${right}", package = "${right}" }\n`)}[workspace]\n`;
    const dir = lab.write('a', {
      'Cargo.toml': uses('one', 'two'),
      'src/lib.rs': "pub fn names() -> [&'static str; 2] { [left::NAME, right::NAME] }\n",
      'src/main.rs': 'fn main() { println!("{:?}", uses::names()); }\n',
      'one/Cargo.toml': manifest('one'),
      'one/src/lib.rs': 'pub const NAME: &str = "one";\n',
      'two/Cargo.toml': manifest('two'),
      'two/src/lib.rs': 'pub const NAME: &str = "two";\n',
    });
    const printed = (): string => lab.run([join(dir, 'target/debug/uses')]).stdout.trim();
    expect(lab.cargo(dir, ['build', '--offline']).status).toBe(0);
    expect(printed()).toBe('["one", "two"]');
    writeFileSync(join(dir, 'Cargo.toml'), uses('two', 'one'));
    rmSync(join(dir, 'target'), { recursive: true });
    expect(libraries(lab.cargo(dir, ['build', '--offline']))).toEqual({
      one: 'local_hit',
      two: 'local_hit',
      uses: 'miss',
    });
    expect(printed()).toBe('["two", "one"]');
  },
  TIMEOUT_MS,
);

/** Three crates in a row. What one inlines of another takes the checksum of its source along, in bitcode. */
const inRow = (comment: string): Record<string, string> => ({
  'Cargo.toml': `${manifest('top', '[dependencies]\nmiddle = { path = "middle" }\n')}[workspace]\n`,
  'src/lib.rs': 'pub fn third(list: &[u8]) -> u8 { middle::first(list, 3u8) }\n',
  'middle/Cargo.toml': manifest('middle', '[dependencies]\nbottom = { path = "../bottom" }\n'),
  'middle/src/lib.rs': 'pub use bottom::*;\n',
  'bottom/Cargo.toml': manifest('bottom'),
  'bottom/src/lib.rs': `// ${comment}\npub fn first<T: Into<usize>>(list: &[u8], at: T) -> u8 { list[at.into()] }\n`,
});

test(
  'a word in a comment of an indirect dependency, by which no metadata between changes',
  () => {
    using lab = new Lab();
    const dir = lab.write('a', inRow('one'));
    const env = { RUSTFLAGS: '-C embed-bitcode=yes' };
    const build = (): ReturnType<Lab['cargo']> => lab.cargo(dir, ['build', '--offline'], { env });
    const holds = (comment: string): boolean => {
      const source = inRow(comment)['bottom/src/lib.rs'] ?? '';
      const deps = join(dir, 'target/debug/deps');
      const [path = ''] = new Bun.Glob('libtop-*.rlib').scanSync({ cwd: deps, absolute: true });
      return readFileSync(path).includes(new Bun.CryptoHasher('md5').update(source).digest('hex'));
    };
    expect(build().status).toBe(0);
    expect([holds('one'), holds('two')]).toEqual([true, false]);
    lab.write(dir, inRow('two'));
    // The library in between comes out as it was.
    expect(libraries(build())).toEqual({ bottom: 'miss', middle: 'dup', top: 'miss' });
    expect([holds('one'), holds('two')]).toEqual([false, true]);
    const why = lab.run([KACHE, 'why-miss', 'top']).stdout;
    expect(why).toContain('dependency middle is built on something that changed');
    lab.write(dir, inRow('one'));
    expect(libraries(build())).toEqual({ bottom: 'local_hit', middle: 'local_hit', top: 'local_hit' });
    expect([holds('one'), holds('two')]).toEqual([true, false]);
  },
  TIMEOUT_MS,
);

test(
  'a macro that goes through the environment reads every variable',
  () => {
    using lab = new Lab();
    const dir = lab.write('a', {
      'Cargo.toml': `${manifest('uses', '[dependencies]\nall = { path = "all" }\n')}[workspace]\n`,
      'src/lib.rs': "pub fn values() -> &'static str { all::values!() }\n",
      'src/main.rs': 'fn main() { println!("{}", uses::values()); }\n',
      'all/Cargo.toml': manifest('all', '[lib]\nproc-macro = true\n'),
      'all/src/lib.rs': `use proc_macro::TokenStream;
#[proc_macro] pub fn values(_: TokenStream) -> TokenStream {
    let all = std::env::vars().filter(|(name, _)| name.starts_with("OF_TESTS_"));
    let mut values: Vec<String> = all.map(|(_, value)| value).collect();
    values.sort();
    format!("{:?}", values.join(" ")).parse().unwrap()
}
`,
    });
    const build = (env: Record<string, string>): string => {
      rmSync(join(dir, 'target'), { recursive: true, force: true });
      const built = lab.cargo(dir, ['build', '--offline'], { env });
      return `${lab.run([join(dir, 'target/debug/uses')]).stdout.trim()}: ${libraries(built)['uses']}`;
    };
    expect(build({ OF_TESTS_A: 'one' })).toBe('one: miss');
    expect(build({ OF_TESTS_A: 'two' })).toBe('two: miss');
    expect(build({ OF_TESTS_A: 'one', OF_TESTS_B: 'more' })).toBe('more one: miss');
    // Another window is no other environment.
    expect(build({ OF_TESTS_A: 'one', WINDOWID: '77', TMUX_PANE: '%3' })).toBe('one: local_hit');
  },
  TIMEOUT_MS,
);

test.each(['target/site', 'node_modules/site', 'site'])(
  'a macro that takes in every file of %s takes in what is new there, also further down',
  (folder) => {
    using lab = new Lab();
    const dir = lab.write('a', {
      'Cargo.toml': `${manifest('uses', '[dependencies]\nall = { path = "all" }\n')}[workspace]\n`,
      'src/lib.rs': `pub const FILES: &[&str] = all::files!("${folder}");\n`,
      'src/main.rs': 'fn main() { println!("{}", uses::FILES.join(" ")); }\n',
      [`${folder}/one.txt`]: 'one',
      [`${folder}/below/two.txt`]: 'two',
      'all/Cargo.toml': manifest('all', '[lib]\nproc-macro = true\n'),
      'all/src/lib.rs': `use proc_macro::TokenStream;
fn below(dir: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { below(&path, found) } else { found.push(format!("include_str!({path:?})")) }
    }
}
#[proc_macro] pub fn files(folder: TokenStream) -> TokenStream {
    let folder: String = folder.to_string().trim_matches('"').into();
    let mut found = Vec::new();
    below(&std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join(folder), &mut found);
    found.sort();
    format!("&[{}]", found.join(",")).parse().unwrap()
}
`,
    });
    const build = (files: Record<string, string>): string => {
      lab.write(dir, files);
      rmSync(join(dir, 'out'), { recursive: true, force: true });
      const built = lab.cargo(dir, ['build', '--offline'], { env: { CARGO_TARGET_DIR: join(dir, 'out') } });
      return `${lab.run([join(dir, 'out/debug/uses')]).stdout.trim()}: ${libraries(built)['uses']}`;
    };
    expect(build({})).toBe('two one: miss');
    expect(build({})).toBe('two one: local_hit');
    expect(build({ [`${folder}/more.txt`]: 'more' })).toBe('two more one: miss');
    expect(build({ [`${folder}/other/three.txt`]: 'three' })).toBe('two more one three: miss');
    expect(build({ [`${folder}/one.txt`]: 'uno' })).toBe('two more uno three: miss');
    expect(build({})).toBe('two more uno three: local_hit');
  },
  TIMEOUT_MS,
);

test(
  'projects that have nothing but a name in common keep apart, and the same content elsewhere is shared',
  () => {
    using lab = new Lab();
    const project = (value: number): Record<string, string> => ({
      'Cargo.toml': `${manifest('common')}[workspace]\n`,
      'src/lib.rs': `pub fn value() -> u32 { ${value} }\n`,
      'src/main.rs': 'fn main() { println!("{}", common::value()); }\n',
    });
    for (const [folder, value, result] of [
      ['a', 1, 'miss'],
      ['b', 2, 'miss'],
      ['deeper/c', 1, 'local_hit'],
    ] as const) {
      const dir = lab.write(folder, project(value));
      expect(libraries(lab.cargo(dir, ['build', '--offline']))).toEqual({ common: result });
      expect(lab.run([join(dir, 'target/debug/common')]).stdout).toBe(`${value}\n`);
    }
  },
  TIMEOUT_MS,
);

test(
  'a source that is edited while the compiler runs is compiled and not stored',
  () => {
    using lab = new Lab();
    const dir = lab.write('a', {
      'Cargo.toml': `${manifest('moving')}[workspace]\n`,
      'src/lib.rs': 'pub mod part;\npub fn value() -> u32 { part::VALUE }\n',
      'src/part.rs': 'pub const VALUE: u32 = 1;\n',
    });
    const sysroot = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();
    const part = join(dir, 'src/part.rs');
    // The real compiler has read everything when the file changes; nobody could tell from its outputs.
    const shim = lab.write('shim', {
      rustc: `#!/bin/sh\n${sysroot}/bin/rustc "$@"\nstatus=$?\ncase "$*" in *"--crate-name moving"*) echo 'pub const VALUE: u32 = 2;' > ${part};; esac\nexit $status\n`,
    });
    chmodSync(join(shim, 'rustc'), 0o755);
    const moved = lab.cargo(dir, ['build', '--offline'], { env: { RUSTC: join(shim, 'rustc') } });
    expect(moved.status).toBe(0);
    const event = moved.events.find(({ crate_types }) => crate_types === 'lib');
    expect([event?.result, event?.reason]).toEqual([
      'skipped',
      'input-changed-during-compile|<ws>/src/part.rs'.replace('<ws>', '.'),
    ]);
    expect(readFileSync(part, 'utf8')).toContain('2');
  },
  TIMEOUT_MS,
);

/** Cargo's settings for where a build goes; the second is an unstable layout with one folder per unit. */
const LAYOUTS: Readonly<Record<string, { args: string[]; env: Record<string, string> }>> = {
  'a build folder of its own': { args: [], env: { CARGO_BUILD_BUILD_DIR: 'elsewhere/build' } },
  'one folder per unit': {
    args: ['-Zbuild-dir-new-layout'],
    env: { __CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS: 'nightly', RUSTC_BOOTSTRAP: '1' },
  },
};

for (const [name, { args, env }] of Object.entries(LAYOUTS)) {
  test(
    `layouts of the build folder: ${name}`,
    () => {
      using lab = new Lab();
      const a = lab.write('a', {
        'Cargo.toml': `${manifest('app', '[dependencies]\nbase = { path = "base" }\n')}[workspace]\n`,
        'src/lib.rs': 'pub fn twice() -> u32 { 2 * base::ANSWER }\n',
        'src/main.rs': 'fn main() { println!("{}", app::twice()); }\n',
        'base/Cargo.toml': manifest('base'),
        'base/build.rs':
          'fn main() { std::fs::write(format!("{}/a.rs", std::env::var("OUT_DIR").unwrap()), "pub const ANSWER: u32 = 21;").unwrap() }\n',
        'base/src/lib.rs': 'include!(concat!(env!("OUT_DIR"), "/a.rs"));\n',
      });
      const all = { ...env, KACHE_CACHE_EXECUTABLES: '1' };
      expect(lab.cargo(a, ['build', '--offline', ...args], { env: all })).toMatchObject({ status: 0 });
      const b = lab.copy(a, 'deeper/b');
      rmSync(join(b, 'elsewhere'), { recursive: true, force: true });
      const warm = lab.cargo(b, ['build', '--offline', ...args], { env: all });
      expect(warm.status).toBe(0);
      const compiled = warm.events.filter(({ result }) => result !== 'local_hit' && result !== 'passthrough');
      expect(compiled).toEqual([]);
      expect(libraries(warm)).toEqual({ app: 'local_hit', base: 'local_hit' });
      expect(lab.run([join(b, 'target/debug/app')]).stdout).toBe('42\n');
      for (const dir of [b, a, b]) {
        const again = lab.cargo(dir, ['build', '--offline', '--message-format=json', ...args], { env: all });
        expect(freshness(again.stdout).rebuilt).toEqual([]);
      }
    },
    TIMEOUT_MS,
  );
}
