// Target folders that are new, filled from a store with Cargo's records of what is put there: whatever has changed since a
// build like it, the next one gives what plain cargo gives.
import { afterAll, expect } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FreshBuild, FreshLab, type FreshOptions, given, PROGRAM } from '../support/fresh-lab.ts';
import type { Env, Files } from '../support/lab.ts';
import { linuxOnly } from '../support/linux.ts';
import { manifest } from '../support/script-lab.ts';
import { processesLeft } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 60_000;
const onLinux = linuxOnly('filled target folders', 'target folders are filled on Linux alone');
const test = (what: string, run: () => Promise<void>): void => onLinux(what, run, TIMEOUT_MS);

const fresh = new FreshLab();
const { lab } = fresh;
const crates = join(fresh.home, 'registry/src/crates');
afterAll(() => fresh[Symbol.dispose](), TIMEOUT_MS);

/** A package whose script runs `body`. */
const scripted = (name: string, body: string, lib: string, rest = ''): Files =>
  given(name, { 'build.rs': `fn main() { ${body} }\n`, 'src/lib.rs': lib }, rest);

/** Of a script: makes a folder that must not be there yet. */
const makes = (text: string): string =>
  `let dir = std::env::var("OUT_DIR").unwrap() + "/made"; std::fs::create_dir(&dir).unwrap(); std::fs::write(dir + "/x.rs", ${text}).unwrap();`;
const INCLUDES = 'include!(concat!(env!("OUT_DIR"), "/made/x.rs"));\n';

/** Of a script: tells its library in the variable SAYS what is in a file. */
const TELLS =
  'let file = std::env::var("TOLD").unwrap(); println!("cargo:rerun-if-changed={file}\\ncargo:rustc-env=SAYS={}", std::fs::read_to_string(&file).unwrap());';

lab.write(crates, {
  ...scripted(
    'declares-nothing-there',
    `println!("cargo:rerun-if-changed=/kache-nothing-there"); ${makes('"pub const X: u32 = 5;"')}`,
    INCLUDES,
  ),
  ...scripted(
    'declares-a-variable',
    `println!("cargo:rerun-if-env-changed=GITHUB_SHA"); ${makes('"pub const X: u32 = 6;"')}`,
    INCLUDES,
  ),
  ...scripted(
    'reads-the-time-sys',
    'println!("cargo:uptime={}", !std::fs::read_to_string("/proc/uptime").unwrap().is_empty());',
    '',
    'links = "time"\n',
  ),
  ...scripted(
    'is-told',
    `println!("cargo:rerun-if-changed=build.rs"); ${makes('format!("pub const X: bool = {};", std::env::var("DEP_TIME_UPTIME").unwrap())')}`,
    INCLUDES,
    '[dependencies]\nreads-the-time-sys = "0.1"\n',
  ),
  ...given(
    'other-script',
    {
      'the_build.rs': 'fn main() { println!("cargo:rustc-env=OTHER=1"); }\n',
      'src/lib.rs': 'pub const X: &str = env!("OTHER");\n',
    },
    'build = "the_build.rs"\n',
  ),
  ...given(
    'odd-script',
    {
      'odd.script': 'fn main() { println!("cargo:rustc-env=ODD=1"); }\n',
      'src/lib.rs': 'pub const X: &str = env!("ODD");\n',
    },
    'build = "odd.script"\n',
  ),
  ...scripted(
    'library-path',
    'println!("cargo:rustc-env=HEARD={}", std::env::var("LD_LIBRARY_PATH").unwrap().contains("/special"));',
    'pub const X: &str = env!("HEARD");\n',
  ),
  ...scripted('says', TELLS, 'pub const X: Option<&str> = option_env!("SAYS");\n'),
  ...given(
    'hearing',
    {
      'src/lib.rs':
        'use proc_macro::TokenStream;\n#[proc_macro] pub fn heard(_: TokenStream) -> TokenStream { format!("{:?}", std::env::var("MACRO_HEARS").unwrap_or_default()).parse().unwrap() }\n',
    },
    '[lib]\nproc-macro = true\n',
  ),
  ...given(
    'hears',
    { 'src/lib.rs': 'pub const X: &str = hearing::heard!();\n' },
    '[dependencies]\nhearing = "0.1"\n',
  ),
  ...given('twice', { 'src/lib.rs': 'pub const X: u32 = 1;\n' }),
  ...given('twice', { 'src/lib.rs': 'pub const X: u32 = 2;\n' }, '', '0.2.0'),
  ...given(
    'both-versions',
    { 'src/lib.rs': 'pub const X: (u32, u32) = (old::X, twice::X);\n' },
    '[lib]\nname = "both"\n[dependencies]\ntwice = "0.2"\nold = { package = "twice", version = "0.1" }\n',
  ),
  ...given('dynamic', { 'src/lib.rs': 'pub const X: u32 = 4;\n' }, '[lib]\ncrate-type = ["dylib", "rlib"]\n'),
  ...given('warns', { 'src/lib.rs': 'pub const X: u32 = { let unused = 1; 4 };\n' }),
});

/** A program that shows what one package says. */
const on = (name: string, crate = name.replaceAll('-', '_')): Files => ({
  'Cargo.toml': manifest('app', `[dependencies]\n${name} = "0.1"\n`),
  'src/main.rs': `fn main() { println!("{:?}", ${crate}::X); }\n`,
});
const config = (text: string): Files => ({ '.cargo/config.toml': text });
const withManifest = (more: string): Files => ({ 'Cargo.toml': `${PROGRAM['Cargo.toml']}${more}` });

/** A build: of which files, and how. */
type Build = readonly [files: Files, options?: FreshOptions];
const learn = ([files, options]: Build): Promise<void> => fresh.learn(fresh.checkout(files), options);
const right = ([files, options]: Build): Promise<FreshBuild> => fresh.right(fresh.checkout(files), options);

/** One build after another one, and for what of the registry Cargo asks in the second; undefined: for whatever it likes. */
interface Case {
  readonly first: Build;
  readonly second: Build;
  readonly asked?: readonly string[];
}
const again = (...build: Build): Case => ({ first: build, second: build, asked: [] });
const changed = (files: Files, first: Env, second: Env): Case => ({
  first: [files, { env: first }],
  second: [files, { env: second }],
});
const CONFIGURED = config('[env]\nSCRIPT_HEARS = "config"\n');
/** Builds by an alias that adds a file to the configuration, of which nothing is seen elsewhere; it says something else then. */
const configured = (text: string, env: Env): Case => {
  const saying = (heard: string): Build => [
    { ...config(text), 'other.toml': `[env]\nSCRIPT_HEARS = "${heard}"\n` },
    { verb: 'own', env },
  ];
  return { first: saying('one'), second: saying('two') };
};
const ALL = ['linked', 'mac', 'native-sys', 'scripted', 'top'];

const CASES: Readonly<Record<string, Case>> = {
  'the same': again({}),
  'a check': again({}, { verb: 'check' }),
  'a build of tests': again({}, { verb: 'test', args: ['--no-run'] }),
  'for a target': again(
    {},
    { args: ['--target=x86_64-unknown-linux-gnu'], program: 'x86_64-unknown-linux-gnu/debug/app' },
  ),
  'called in a sub folder': again({}, { below: 'src' }),
  'hard links': again({}, { env: { KACHE_LINK_MODE: 'hardlink' } }),
  'two versions of a package, one by another name': again(on('both-versions', 'both')),
  'a dynamic library': again(on('dynamic')),
  'a script whose file has an underscore': again(on('other-script')),
  'a script whose file has another ending': again(on('odd-script')),
  'an alias that nobody asks for': again(
    config('[alias]\nxtask = "run --manifest-path xtask/Cargo.toml --"\n'),
  ),
  'a configuration that an alias names': configured('[alias]\nown = "build --config other.toml"\n', {}),
  'a configuration that a variable names': configured('', { CARGO_ALIAS_OWN: 'build --config other.toml' }),
  'a script that runs, for it declares what is not there': {
    first: [on('declares-nothing-there')],
    second: [on('declares-nothing-there')],
    asked: ['declares-nothing-there'],
  },
  'a script that runs, for it declares a variable of CI': changed(
    on('declares-a-variable'),
    { GITHUB_SHA: 'a' },
    { GITHUB_SHA: 'b' },
  ),
  'a script that hears of one whose runs are not kept': {
    first: [on('is-told')],
    second: [on('is-told')],
    asked: ['is-told', 'reads-the-time-sys'],
  },
  'a variable that a configuration does not force': changed(CONFIGURED, {}, { SCRIPT_HEARS: 'own' }),
  'a variable that a configuration would set': changed(CONFIGURED, { SCRIPT_HEARS: 'own' }, {}),
  'where libraries are looked for': changed(on('library-path'), {}, { LD_LIBRARY_PATH: '/special' }),
  'a variable that a macro reads': changed(on('hears'), { MACRO_HEARS: 'a' }, { MACRO_HEARS: 'b' }),
  'flags of the compiler': {
    first: [config('[build]\nrustflags = ["--cfg", "one"]\n')],
    second: [config('[build]\nrustflags = ["--cfg", "other"]\n')],
    asked: ALL,
  },
  'another profile': {
    first: [{}],
    second: [
      withManifest('[profile.dev]\ndebug-assertions = false\n[profile.dev.package.top]\nopt-level = 2\n'),
    ],
    asked: ALL,
  },
  'a patched package': {
    first: [{}],
    second: [
      {
        ...withManifest('[patch.crates-io]\nscripted = { path = "scripted" }\n'),
        'scripted/Cargo.toml': manifest('scripted'),
        'scripted/src/lib.rs':
          'pub const MADE: u32 = 9;\npub const SAID: &str = "patched";\npub const HEARD: Option<&str> = None;\n',
      },
    ],
  },
};

for (const [what, { first, second, asked }] of Object.entries(CASES))
  test(`${what}: as plain cargo`, async () => {
    await learn(first);
    const built = await right(second);
    if (asked !== undefined) expect(built.asked).toEqual([...asked]);
  });

for (const name of ["it's here", 'a"b', 'größe', 'a=b,c;d'])
  test(`a checkout called ${name}`, async () => {
    await learn([{}]);
    const dir = lab.copy(fresh.checkout(), `odd/${name}/app`);
    expect((await fresh.right(dir)).asked).toEqual([]);
  });

test('a target folder behind a link', async () => {
  await learn([{}]);
  const dir = fresh.checkout();
  mkdirSync(lab.path('elsewhere'));
  symlinkSync(lab.path('elsewhere'), join(dir, 'target'));
  await fresh.right(dir);
});

/** A file that the script of a package tells of, with a new text; and builds of that package. */
const told = (text: string, own: Env = {}): Build => {
  const path = lab.path('told');
  writeFileSync(path, text);
  return [on('says'), { env: { TOLD: path, ...own } }];
};

test('a build whose first call is the run of a script is kept as well', async () => {
  await learn(told('one'));
  await learn(told('two'));
  expect((await right(told('two'))).asked).toEqual([]);
});

test('a variable that a script sets as it was set already', async () => {
  await learn(told('b'));
  await learn(told('a', { SAYS: 'b' }));
  await learn(told('a', { SAYS: 'a' }));
  await right(told('a', { SAYS: 'b' }));
});

test('plain cargo builds in the folder before its records are kept', async () => {
  await learn(told('a'));
  await learn(told('b'));
  const dir = fresh.checkout(on('says'));
  const build = ([, options]: Build, wrapper: Env): void => {
    const env = fresh.env({ ...options?.env, ...wrapper });
    expect(lab.run(['cargo', 'build', '--offline'], { cwd: dir, env }).status).toBe(0);
  };
  const signal = (name: NodeJS.Signals): void => {
    for (const pid of processesLeft(lab.store)) process.kill(pid, name);
  };
  build(told('a'), {});
  signal('SIGSTOP');
  try {
    build(told('b'), { RUSTC_WRAPPER: '' });
  } finally {
    signal('SIGCONT');
  }
  await fresh.kept();
  await right(told('b'));
});

test('a build that is to show the warnings of dependencies shows them', async () => {
  await learn([on('warns')]);
  const dir = fresh.checkout(on('warns'));
  const { status, stderr } = lab.run(['cargo', 'build', '--offline', '-vv'], { cwd: dir, env: fresh.env() });
  expect([status, stderr.includes('unused variable')]).toEqual([0, true]);
});

const member = (folder: string, more = ''): Files => ({
  [`${folder}/Cargo.toml`]: `${PROGRAM['Cargo.toml']}${more}`,
  [`${folder}/src/main.rs`]: PROGRAM['src/main.rs'] ?? '',
});

test('a member with a lockfile that is left over gets no target folder of its own', async () => {
  const alone = fresh.checkout();
  await fresh.learn(alone);
  const dir = fresh.checkout({
    'Cargo.toml': '[workspace]\nmembers = ["member"]\nresolver = "2"\n',
    ...member('member'),
    'member/Cargo.lock': readFileSync(join(alone, 'Cargo.lock'), 'utf8'),
  });
  await fresh.right(dir, { below: 'member' });
  expect(existsSync(join(dir, 'member/target'))).toBe(false);
});

test('a workspace in another one builds in its own folder alone', async () => {
  const outer = fresh.checkout({ 'Cargo.toml': '[workspace]\nmembers = ["sub"]\n', ...member('sub') });
  await fresh.learn(outer, { below: 'sub' });
  const dir = fresh.checkout({
    'Cargo.lock': readFileSync(join(outer, 'Cargo.lock'), 'utf8'),
    ...member('sub', '[workspace]\n'),
  });
  await fresh.learn(dir, { below: 'sub' });
  expect(existsSync(join(dir, 'target'))).toBe(false);
});

test('a package that is edited where it lies', async () => {
  await learn([{}]);
  const edits: [path: string, from: string, to: string, asked: string[]][] = [
    ['top-0.1.0/src/lib.rs', '{:?} {}"', '{:?} {}!"', ['top']],
    ['native-sys-0.1.0/build.rs', '"1"', '"2"', ['linked', 'native-sys']],
  ];
  for (const [path, from, to, asked] of edits) {
    const text = readFileSync(join(crates, path), 'utf8');
    writeFileSync(join(crates, path), text.replace(from, to));
    try {
      expect((await right([{}])).asked).toEqual(asked);
    } finally {
      writeFileSync(join(crates, path), text);
    }
  }
});

test('what somebody left in an OUT_DIR stays there', async () => {
  await learn([{}]);
  const dir = fresh.checkout();
  await fresh.learn(dir);
  const [left] = [
    ...new Bun.Glob('debug/build/scripted-*/out').scanSync({ cwd: join(dir, 'target'), onlyFiles: false }),
  ];
  writeFileSync(join(dir, 'target', left ?? '', 'left'), '');
  for (const name of ['debug/.fingerprint', '.rustc_info.json'])
    rmSync(join(dir, 'target', name), { recursive: true });
  await fresh.right(dir);
  expect(existsSync(join(dir, 'target', left ?? '', 'left'))).toBe(true);
});

test('builds of one checkout that begin together', async () => {
  await learn([{}]);
  const dir = fresh.checkout();
  const builds = [[], [], ['--release'], ['--features=loud']].map((args) =>
    Bun.spawn(['cargo', 'build', '--offline', ...args], {
      cwd: dir,
      env: fresh.env(),
      stdio: ['ignore', 'ignore', 'ignore'],
    }),
  );
  expect(await Promise.all(builds.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
  await fresh.right(dir, { args: ['--features=loud'] });
});

test('a build that is ended while its folder is filled', async () => {
  await learn([{}]);
  for (const ms of [60, 90, 120, 150]) {
    const dir = fresh.checkout();
    const build = Bun.spawn(['cargo', 'build', '--offline'], {
      cwd: dir,
      env: fresh.env(),
      stdio: ['ignore', 'ignore', 'ignore'],
      detached: true,
    });
    await Bun.sleep(ms);
    if (build.exitCode === null) process.kill(-build.pid, 'SIGKILL');
    await build.exited;
    await fresh.right(dir);
    rmSync(join(dir, 'target'), { recursive: true });
  }
});
