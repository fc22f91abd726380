// With executables cached: a warm build starts no compiler and no linker, and whatever a link took in is in its key.
import { expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CargoResult, type Env, type Files, freshness, Lab } from '../support/lab.ts';

const MINUTES = 60_000;
const ON: Env = { KACHE_CACHE_EXECUTABLES: '1' };

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

/** Every kind of linked output; no unit of it holds a path of its checkout. */
const KINDS: Files = {
  'Cargo.toml': '[workspace]\nmembers = ["app", "derive", "base", "shared", "plugin"]\nresolver = "2"\n',
  'derive/Cargo.toml': manifest('derive', '[lib]\nproc-macro = true\n'),
  'derive/src/lib.rs':
    'use proc_macro::TokenStream;\n#[proc_macro] pub fn answer(_: TokenStream) -> TokenStream { "42".parse().unwrap() }\n',
  'base/Cargo.toml': manifest('base', '[dependencies]\nderive = { path = "../derive" }\n'),
  'base/src/lib.rs': 'pub fn answer() -> u32 { derive::answer!() }\n',
  'shared/Cargo.toml': manifest('shared', '[lib]\ncrate-type = ["cdylib", "rlib"]\n'),
  'shared/src/lib.rs': '#[unsafe(no_mangle)] pub extern "C" fn shared() -> u32 { 5 }\n',
  'plugin/Cargo.toml': manifest('plugin', '[lib]\ncrate-type = ["staticlib"]\n'),
  'plugin/src/lib.rs': '#[unsafe(no_mangle)] pub extern "C" fn plugin() -> u32 { 6 }\n',
  'app/Cargo.toml': manifest(
    'app',
    '[dependencies]\nbase = { path = "../base" }\nshared = { path = "../shared" }\n[[bench]]\nname = "speed"\nharness = false\n',
  ),
  'app/src/lib.rs':
    '//! ```\n//! assert_eq!(app::twice(), 84);\n//! ```\npub fn twice() -> u32 { 2 * base::answer() }\n#[test] fn unit() { assert_eq!(twice(), 84); }\n',
  'app/src/main.rs': 'fn main() { println!("{} {}", app::twice(), shared::shared()); }\n',
  'app/examples/show.rs': 'fn main() { println!("example {}", app::twice()); }\n',
  'app/tests/whole.rs': '#[test] fn whole() { assert_eq!(app::twice(), 84); }\n',
  'app/benches/speed.rs': 'fn main() { println!("bench {}", app::twice()); }\n',
};

/** Compilers and linkers that were started, counted by shims in front of the real ones. */
function countingTools(lab: Lab): { env: Env; starts: () => string[] } {
  const sysroot = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();
  const log = lab.path('starts');
  const dir = lab.write('shim', {
    rustc: `#!/bin/sh\necho "$@" >> ${log}\nexec ${sysroot}/bin/rustc "$@"\n`,
  });
  chmodSync(join(dir, 'rustc'), 0o755);
  const isQuestion = (line: string): boolean => / -vV|^-vV|--print|--crate-name ___/.test(line);
  return {
    env: { RUSTC: join(dir, 'rustc') },
    starts: () =>
      existsSync(log)
        ? readFileSync(log, 'utf8')
            .trim()
            .split('\n')
            .filter((line) => !isQuestion(line))
        : [],
  };
}

const outcomes = (result: CargoResult): string[] =>
  result.events
    .filter(({ passthrough_reason }) => passthrough_reason?.startsWith('not-a-compile') !== true)
    .map(({ crate_name, crate_types, result: how, reason, passthrough_reason }) =>
      [crate_name, crate_types, how, passthrough_reason ?? reason ?? ''].join(' ').trim(),
    );

test(
  'every kind of linked output comes back in another checkout, and no compiler starts',
  () => {
    using lab = new Lab();
    const tools = countingTools(lab);
    const env = { ...ON, ...tools.env };
    const a = lab.write('a', KINDS);
    const commands = [
      ['build', '--workspace', '--all-targets'],
      ['test', '--no-run', '--workspace'],
    ];
    for (const args of commands)
      expect(lab.cargo(a, [...args, '--offline'], { env })).toMatchObject({ status: 0 });
    const b = lab.copy(a, 'some/where/deeper/b');
    const before = tools.starts().length;
    for (const args of commands) {
      const warm = lab.cargo(b, [...args, '--offline'], { env });
      expect(warm.status).toBe(0);
      expect(outcomes(warm).filter((line) => !line.endsWith(' local_hit'))).toEqual([]);
    }
    expect(tools.starts().slice(before)).toEqual([]);
    for (const dir of [b, a, b, a])
      for (const args of commands) {
        const again = lab.cargo(dir, [...args, '--offline', '--message-format=json'], { env });
        expect(freshness(again.stdout).rebuilt).toEqual([]);
      }
    const at = (name: string): string => join(b, 'target/debug', name);
    expect(lab.run([at('app')]).stdout).toBe('84 5\n');
    expect(lab.run([at('examples/show')]).stdout).toBe('example 84\n');
    expect(statSync(at('app')).mode & 0o777).toBe(statSync(join(a, 'target/debug/app')).mode & 0o777);
    for (const name of ['app', 'libshared.so', 'libplugin.a'])
      expect(readFileSync(at(name)).equals(readFileSync(join(a, 'target/debug', name)))).toBe(true);
    expect(lab.cargo(b, ['test', '--workspace', '--offline'], { env }).status).toBe(0);
    expect(lab.cargo(b, ['bench', '--offline'], { env }).stdout).toContain('bench 84');
  },
  6 * MINUTES,
);

/** A binary above an indirect `-sys` crate; its own C archive; a search folder for system libraries; a linker script. */
const LINKS: Files = {
  'Cargo.toml': '[workspace]\nmembers = ["tiny-sys", "middle", "app"]\nresolver = "2"\n',
  'tiny-sys/Cargo.toml': manifest('tiny-sys', 'links = "tiny"\nbuild = "build.rs"\n'),
  'tiny-sys/build.rs': `use std::process::Command;
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    let run = |program: &str, args: &[&str]| assert!(Command::new(program).args(args).status().unwrap().success());
    run("cc", &["-c", "-O1", "c/tiny.c", "-o", &format!("{out}/tiny.o")]);
    let _ = std::fs::remove_file(format!("{out}/libtiny.a"));
    run("ar", &["crsD", &format!("{out}/libtiny.a"), &format!("{out}/tiny.o")]);
    println!("cargo:rerun-if-changed=c/tiny.c");
    println!("cargo:rustc-link-search=native={out}");
    println!("cargo:rustc-link-lib=static=tiny");
}
`,
  'tiny-sys/c/tiny.c': 'int tiny(void) { return 7; }\n',
  'tiny-sys/src/lib.rs': 'unsafe extern "C" { pub fn tiny() -> i32; }\n',
  'middle/Cargo.toml': manifest('middle', '[dependencies]\ntiny-sys = { path = "../tiny-sys" }\n'),
  'middle/src/lib.rs': '#[inline(never)] pub fn number() -> i32 { unsafe { tiny_sys::tiny() } }\n',
  'app/Cargo.toml': manifest('app', '[dependencies]\nmiddle = { path = "../middle" }\n'),
  'app/src/main.rs': 'fn main() { println!("{}", middle::number()); }\n',
};

const program = (lab: Lab, dir: string, env: Env = {}): string =>
  lab.run([join(dir, 'target/debug/app')], { env }).stdout.trim();

test(
  'C code below an unchanged rmeta changes the binary two levels up, in a fresh checkout too',
  () => {
    using lab = new Lab();
    const a = lab.write('a', LINKS);
    expect(lab.cargo(a, ['build', '--offline'], { env: ON })).toMatchObject({ status: 0 });
    expect(program(lab, a)).toBe('7');
    const b = lab.copy(a, 'b');
    writeFileSync(join(b, 'tiny-sys/c/tiny.c'), 'int tiny(void) { return 8; }\n');
    expect(lab.cargo(b, ['build', '--offline'], { env: ON }).status).toBe(0);
    expect(program(lab, b)).toBe('8');
    const c = lab.copy(a, 'c');
    const warm = lab.cargo(c, ['build', '--offline'], { env: ON });
    expect(outcomes(warm).filter((line) => !line.endsWith(' local_hit'))).toEqual([]);
    expect(program(lab, c)).toBe('7');
  },
  3 * MINUTES,
);

/** A binary that takes a library from wherever the linker finds it, and what else a flag may bring in. */
function nativeProject(lab: Lab): {
  dir: string;
  library: (folder: string, value: number, dynamic?: boolean) => void;
} {
  const dir = lab.write('app', {
    'Cargo.toml': manifest('app', '[workspace]\n'),
    'build.rs':
      'fn main() {\n    for dir in ["first", "second"] { println!("cargo:rustc-link-search=native={}/{dir}", env!("NATIVE_OF_TESTS")); }\n    println!("cargo:rustc-link-lib=value");\n    println!("cargo:rerun-if-changed=build.rs");\n}\n',
    'src/main.rs':
      'unsafe extern "C" { fn value() -> i32; }\nfn main() { println!("{}", unsafe { value() }); }\n',
  });
  for (const folder of ['first', 'second']) mkdirSync(lab.path('native', folder), { recursive: true });
  const library = (folder: string, value: number, dynamic = false): void => {
    const [source, object] = [lab.path('value.c'), lab.path('value.o')];
    writeFileSync(source, `int value(void) { return ${value}; }\n`);
    const target = lab.path('native', folder, dynamic ? 'libvalue.so' : 'libvalue.a');
    rmSync(target, { force: true });
    const commands = dynamic
      ? [['cc', '-shared', '-o', target, source]]
      : [
          ['cc', '-c', '-o', object, source],
          ['ar', 'crsD', target, object],
        ];
    for (const argv of commands) expect(lab.run(argv).status).toBe(0);
  };
  return { dir, library };
}

/** Builds from nothing in `target/`, so that Cargo asks for every unit. */
function fresh(lab: Lab, dir: string, env: Env): CargoResult {
  rmSync(join(dir, 'target'), { recursive: true, force: true });
  return lab.cargo(dir, ['build', '--offline'], {
    env: { ...ON, NATIVE_OF_TESTS: lab.path('native'), ...env },
  });
}

const ofBinary = (result: CargoResult): string | undefined =>
  result.events.find(({ crate_name, crate_types }) => crate_name === 'app' && crate_types === 'bin')?.result;

test(
  'a native library that changes, one that appears in an earlier folder, and the dynamic one beside it',
  () => {
    using lab = new Lab();
    const { dir, library } = nativeProject(lab);
    const here = { LD_LIBRARY_PATH: `${lab.path('native/first')}:${lab.path('native/second')}` };
    const expectValue = (value: string, how: string): void => {
      const built = fresh(lab, dir, {});
      expect([built.status, program(lab, dir, here), ofBinary(built)]).toEqual([0, value, how]);
    };
    library('second', 1);
    expectValue('1', 'miss');
    expectValue('1', 'local_hit');
    library('second', 2);
    expectValue('2', 'miss');
    library('first', 3);
    expectValue('3', 'miss');
    library('first', 4, true);
    expectValue('4', 'miss');
    for (const name of ['libvalue.a', 'libvalue.so']) rmSync(lab.path('native/first', name));
    expectValue('2', 'local_hit');
  },
  3 * MINUTES,
);

test(
  'linker scripts, version scripts and what they include count by content',
  () => {
    using lab = new Lab();
    const { dir, library } = nativeProject(lab);
    library('second', 1);
    const script = lab.path('native/extra.ld');
    const included = lab.path('native/inner.ld');
    writeFileSync(script, `INCLUDE ${included}\n`);
    writeFileSync(included, 'chosen = 0x1111;\n');
    const env = { RUSTFLAGS: `-C link-arg=${script} -C linker-features=-lld` };
    expect(fresh(lab, dir, env)).toMatchObject({ status: 0 });
    expect(ofBinary(fresh(lab, dir, env))).toBe('local_hit');
    writeFileSync(included, 'chosen = 0x2222;\n');
    const changed = fresh(lab, dir, env);
    expect([changed.status, ofBinary(changed)]).toEqual([0, 'miss']);
    expect(lab.run(['nm', join(dir, 'target/debug/app')]).stdout).toContain('2222 A chosen');
  },
  3 * MINUTES,
);

test(
  'the linker itself counts, and what cannot be followed is compiled in place, with its reason',
  () => {
    using lab = new Lab();
    const { dir, library } = nativeProject(lab);
    library('second', 1);
    const reasonFor = (flags: string): string | undefined => {
      const built = fresh(lab, dir, { RUSTFLAGS: flags });
      expect([flags, built.status, program(lab, dir)]).toEqual([flags, 0, '1']);
      return built.events.find(({ crate_name, crate_types }) => crate_name === 'app' && crate_types === 'bin')
        ?.passthrough_reason;
    };
    const wrapper = lab.path('my-cc');
    writeFileSync(wrapper, '#!/bin/sh\nexec cc "$@"\n');
    chmodSync(wrapper, 0o755);
    expect(reasonFor(`-C linker=${wrapper}`)).toBe('unsupported|linker-is-a-script my-cc');
    expect(reasonFor(`-C link-arg=-Wl,-Map=${lab.path('out.map')}`)).toBe('unsupported|link-arg -Map');
    expect(reasonFor(`-C link-arg=-B${lab.root}`)).toBe(`unsupported|link-arg -B${lab.root}`);
    expect(reasonFor('')).toBe(undefined);
    // Another driver is another linker, though it may make the same bytes.
    const other = lab.path('other-cc');
    const real = Bun.which('cc') ?? '';
    writeFileSync(
      lab.path('main.c'),
      `#include <unistd.h>\nint main(int n, char **v) { (void)n; v[0] = "${real}"; return execv(v[0], v); }\n`,
    );
    expect(lab.run(['cc', '-o', other, lab.path('main.c')]).status).toBe(0);
    const first = fresh(lab, dir, { RUSTFLAGS: `-C linker=${other}` });
    expect([first.status, ofBinary(first)]).toEqual([0, 'dup']);
    expect(ofBinary(fresh(lab, dir, { RUSTFLAGS: `-C linker=${other}` }))).toBe('local_hit');
    writeFileSync(other, Buffer.concat([readFileSync(other), Buffer.from('more')]));
    expect(ofBinary(fresh(lab, dir, { RUSTFLAGS: `-C linker=${other}` }))).toBe('dup');
  },
  4 * MINUTES,
);

test(
  'a program that finds its libraries from where it lies finds them at every depth',
  () => {
    using lab = new Lab();
    const files = {
      'Cargo.toml': manifest('app', '[workspace]\n[profile.dev]\nrpath = true\n'),
      'src/main.rs': 'fn main() { println!("found"); }\n',
    };
    for (const folder of ['a', 'b', 'much/deeper/c']) {
      const dir = lab.write(folder, files);
      const env = { ...ON, RUSTFLAGS: '-C prefer-dynamic' };
      const built = lab.cargo(dir, ['build', '--offline'], { env });
      expect([folder, built.status, lab.run([join(dir, 'target/debug/app')]).stdout]).toEqual([
        folder,
        0,
        'found\n',
      ]);
      const { passthrough_reason: reason } =
        built.events.find(({ crate_types: types }) => types === 'bin') ?? {};
      expect(reason).toBe('unsupported|rpath');
    }
    // It is a program's business alone.
    const library = { ...files, 'src/lib.rs': 'pub fn nothing() {}\n' };
    for (const [folder, result] of [
      ['d', 'miss never-compiled'],
      ['much/deeper/e', 'local_hit'],
    ] as const) {
      const built = lab.cargo(lab.write(folder, library), ['build', '--offline'], { env: ON });
      expect(outcomes(built)).toEqual([`app lib ${result}`, 'app bin passthrough unsupported|rpath']);
    }
  },
  2 * MINUTES,
);

test(
  'packed debug info comes back beside its program',
  () => {
    using lab = new Lab();
    const files = {
      'Cargo.toml': manifest('app', '[workspace]\n[profile.dev]\nsplit-debuginfo = "packed"\n'),
      'src/main.rs': 'fn main() { println!("hi"); }\n',
    };
    const a = lab.write('a', files);
    expect(lab.cargo(a, ['build', '--offline'], { env: ON })).toMatchObject({ status: 0 });
    const b = lab.write('deeper/b', files);
    const warm = lab.cargo(b, ['build', '--offline'], { env: ON });
    expect(outcomes(warm)).toEqual(['app bin local_hit']);
    const dwp = (dir: string): string => join(dir, 'target/debug/app.dwp');
    expect(existsSync(dwp(a))).toBe(true);
    expect(readFileSync(dwp(b)).equals(readFileSync(dwp(a)))).toBe(true);
  },
  2 * MINUTES,
);

test(
  'a program that holds a path of its checkout is made anew in another one, and writing to one harms nobody',
  () => {
    using lab = new Lab();
    const files = {
      'Cargo.toml': manifest('app', '[workspace]\n'),
      'src/main.rs': 'fn main() { println!("{}", env!("CARGO_MANIFEST_DIR")); }\n',
    };
    const a = lab.write('a', files);
    const b = lab.write('deeper/b', files);
    for (const dir of [a, b]) {
      expect(lab.cargo(dir, ['build', '--offline'], { env: ON })).toMatchObject({ status: 0 });
      expect(program(lab, dir)).toBe(dir);
    }
    // As strip and signing tools do: in place.
    const path = join(a, 'target/debug/app');
    writeFileSync(path, Buffer.alloc(statSync(path).size));
    utimesSync(path, new Date(), new Date());
    const again = fresh(lab, a, {});
    expect([ofBinary(again), program(lab, a)]).toEqual(['local_hit', a]);
  },
  2 * MINUTES,
);
