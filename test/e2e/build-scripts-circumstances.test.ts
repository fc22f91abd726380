// Builds with kept runs of build scripts, in circumstances: kache gone or another one, an observer that cannot observe,
// folders that move, are cleaned or lie elsewhere, and many builds at once. The script runs as if kache were not there
// wherever kache cannot help.
import { afterAll, beforeAll, expect } from 'bun:test';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type CompileEvent, isScriptRun } from '../../src/core/events.ts';
import { told } from '../support/fault-place.ts';
import { filesBelow, inspectStore } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { compileLauncher, endDaemons, hitSocketOf } from '../support/launcher.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import {
  AWAITED_INPUT,
  HIT,
  KEPT_RUN,
  onLinuxOnly,
  ScriptLab,
  type ScriptOptions,
  scripted,
} from '../support/script-lab.ts';
import { until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 120_000;
const onLinux = onLinuxOnly('builds with kept runs');

const PROJECT = scripted(
  `println!("cargo:rerun-if-changed=input.txt"); fs::write(out.join("begun"), "").unwrap(); ${AWAITED_INPUT}`,
);

const scripts = new ScriptLab();
const { lab } = scripts;
/** Copies, which a test may spoil. */
const kache = lab.path('bin', 'kache');
let observer: string;
beforeAll(() => {
  if (process.platform !== 'linux') return;
  mkdirSync(dirname(kache), { recursive: true });
  copyFileSync(KACHE, kache);
  observer = compileLauncher(lab.path('launcher'), { kache, socket: hitSocketOf(lab.store) });
}, 60_000);
afterAll(() => {
  if (process.platform === 'linux') endDaemons(kache, [lab.store]);
  scripts[Symbol.dispose]();
});

let checkouts = 0;
/** Another checkout, each time. */
const checkout = (): string => lab.write(`checkout-${checkouts++}/here`, PROJECT);

/** What the script of a checkout reads. */
const tell = (dir: string, input: string): void => writeFileSync(join(dir, 'scripted/input.txt'), input);

interface BuildOptions extends ScriptOptions {
  /** What is written into the input, and what the program must say. */
  readonly says?: string;
}

/** Builds, and returns what the log says of the run of the script; the program must say what the input does. */
function build(dir: string, { says = 'first', ...options }: BuildOptions = {}): string[] {
  tell(dir, says);
  const built = scripts.build(dir, { wrapper: observer, ...options });
  const said = built.status === 0 ? programSays(dir, options) : '';
  expect([built.status, said, /kache:/.test(built.stderr) ? built.stderr : '']).toEqual([
    0,
    `${says} None\n`,
    '',
  ]);
  return built.events.filter(isScriptRun).map(told);
}

const programSays = (dir: string, { target = join(dir, 'target') }: ScriptOptions = {}): string =>
  Bun.spawnSync([join(target, 'debug/scripted')]).stdout.toString();

/** Cargo behind the copies, which may fail. */
const cargo = (dir: string, args: readonly string[] = ['build'], options: ScriptOptions = {}) =>
  scripts.build(dir, { wrapper: observer, args, ...options });

/** Events of runs. */
const runs = (): CompileEvent[] => lab.events().filter(isScriptRun);

const standInOf = (dir: string): string => {
  const script = filesBelow(join(dir, 'target/debug/build')).find(({ name }) => name.endsWith('.script'));
  if (script === undefined) throw new Error('there is no stand-in');
  return script.path.slice(0, -'.script'.length);
};

onLinux(
  'what is done to a script in one checkout changes it nowhere else',
  () => {
    const first = scripts.checkout('String::from("made")');
    const env = { KACHE_LINK_MODE: 'hardlink' };
    expect(scripts.right(first, { env })).toEqual([KEPT_RUN]);
    const [second, third] = ['second', 'third'].map((name) => lab.copy(first, `private-script/${name}`)) as [
      string,
      string,
    ];
    for (const dir of [second, third]) expect(scripts.right(dir, { env })).toEqual([HIT]);
    const [theirs, other] = [second, third].map((dir) => `${standInOf(dir)}.script`) as [string, string];
    const before = readFileSync(other);
    writeFileSync(theirs, '#!/bin/sh\nexit 7\n');
    expect(readFileSync(other).equals(before)).toBe(true);
    expect(scripts.right(lab.copy(first, 'private-script/fourth'), { env })).toEqual([HIT]);
  },
  TIMEOUT_MS,
);

onLinux(
  'a run is a miss in one checkout and a hit in the next, also when Cargo runs it again',
  () => {
    const [first, second] = [checkout(), checkout()];
    expect(build(first)).toEqual(['miss never-compiled']);
    expect(build(second)).toEqual(['local_hit']);
    // What the first run has left there may be an input of the next: it is none that is kept.
    expect(build(second, { says: 'second' })).toEqual([]);
    expect(inspectStore(lab.store).wrong).toEqual([]);
  },
  TIMEOUT_MS,
);

/** What becomes of kache while stand-ins in target folders name it. */
const SPOILED: Readonly<Record<string, (kache: string) => void>> = {
  removed: () => {},
  'a folder': (kache) => mkdirSync(kache),
  'a link to nothing': (kache) => symlinkSync('/gone', kache),
  empty: (kache) => writeFileSync(kache, '', { mode: 0o755 }),
  'no program': (kache) => copyFileSync(KACHE, kache),
  // It knows commands and compilers, and none of the commands is about build scripts.
  'an older version': (kache) =>
    writeFileSync(
      kache,
      '#!/bin/sh\ncase "$1" in */*) exec "$@";; *) echo "error: unknown command" >&2; exit 2;; esac\n',
      { mode: 0o755 },
    ),
};

for (const [what, spoil] of Object.entries(SPOILED))
  onLinux(
    `kache is ${what}: the script runs all the same`,
    () => {
      const dir = checkout();
      build(dir);
      const kept = `${kache}.kept`;
      renameSync(kache, kept);
      try {
        spoil(kache);
        if (what === 'no program') chmodSync(kache, 0o644);
        expect(build(dir, { wrapper: '', says: what })).toEqual([]);
      } finally {
        rmSync(kache, { recursive: true, force: true });
        renameSync(kept, kache);
      }
    },
    TIMEOUT_MS,
  );

/** Programs in the place of the observer. */
const OBSERVERS: Readonly<Record<string, (kache: string) => string>> = {
  'an older launcher': (kache) => `[ "$1" = --observe ] && exit 127\nexec ${kache} "$@"`,
  'one that ends at once': (kache) => `[ "$1" = --observe ] && exit 0\nexec ${kache} "$@"`,
  'one that writes no end': (kache) =>
    `[ "$1" = --observe ] || exec ${kache} "$@"\necho > "$2"\nshift 3\nexec "$@"`,
};

for (const [what, text] of Object.entries(OBSERVERS))
  onLinux(
    `the observer is ${what}: the script runs, once more if need be, and nothing is kept`,
    () => {
      const folder = lab.write(`observer ${what}`, {
        'kache-launcher': `#!/bin/sh\n${text(kache)}\n`,
      });
      const wrapper = join(folder, 'kache-launcher');
      chmodSync(wrapper, 0o755);
      const says = `by ${what}`;
      for (const _ of ['in one checkout', 'and in the next'])
        for (const event of build(checkout(), { wrapper, says }))
          expect(event).toMatch(/^(error failed-while-watched\|exited \d+|skipped (not-watched|no-end))$/);
    },
    TIMEOUT_MS,
  );

onLinux(
  'without an observer the script runs, and the log says that there is none',
  () => {
    expect(build(checkout(), { wrapper: kache, says: 'unobserved' })).toEqual(['skipped no-observer']);
  },
  TIMEOUT_MS,
);

/** Refuses one system call to a program and all it starts. */
const REFUSING = `use std::os::unix::process::CommandExt;
extern "C" { fn prctl(option: i32, a: u64, b: u64, c: u64, d: u64) -> i32; }
#[repr(C)] struct Step { code: u16, yes: u8, no: u8, value: u32 }
#[repr(C)] struct Program { length: u16, steps: *const Step }
fn main() {
    let ptrace = if cfg!(target_arch = "x86_64") { 101 } else { 117 };
    let steps = [
        Step { code: 0x20, yes: 0, no: 0, value: 0 },
        Step { code: 0x15, yes: 0, no: 1, value: ptrace },
        Step { code: 0x06, yes: 0, no: 0, value: 0x0005_0001 },
        Step { code: 0x06, yes: 0, no: 0, value: 0x7fff_0000 },
    ];
    let program = Program { length: 4, steps: steps.as_ptr() };
    unsafe {
        assert_eq!(prctl(38, 1, 0, 0, 0), 0);
        assert_eq!(prctl(22, 2, &program as *const _ as u64, 0, 0), 0);
    }
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    panic!("{}", std::process::Command::new(&args[0]).args(&args[1..]).exec());
}
`;

onLinux(
  'where ptrace is refused nothing is kept; where it is not, the same run is, later',
  () => {
    const refusing = join(lab.write('refusing', { 'refusing.rs': REFUSING }), 'refusing');
    const made = lab.run(['rustc', '-o', refusing, `${refusing}.rs`]);
    expect(made.status).toBe(0);
    const says = 'refused';
    for (const _ of ['in one checkout', 'and in the next'])
      expect(build(checkout(), { through: [refusing], says })).toEqual([
        'skipped not-followed|it cannot be traced here',
      ]);
    expect(build(checkout(), { says })).toEqual([expect.stringMatching(/^miss /)]);
    expect(build(checkout(), { says })).toEqual(['local_hit']);
    expect(build(checkout(), { through: [refusing], says })).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

onLinux(
  'a target folder that is copied or moved to another place',
  () => {
    const dir = checkout();
    build(dir);
    const [copied, moved] = [lab.path('copied/to/small'), lab.path('moved/small')];
    mkdirSync(dirname(copied), { recursive: true });
    Bun.spawnSync(['cp', '-a', dir, copied]);
    build(copied);
    build(copied, { says: 'in the copy' });
    mkdirSync(dirname(moved), { recursive: true });
    renameSync(dir, moved);
    build(moved);
    build(moved, { says: 'where it was moved to' });
    expect(inspectStore(lab.store).wrong).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'a package that is cleaned leaves nothing of its script, and is a hit again',
  () => {
    const dir = checkout();
    build(dir);
    const standIn = standInOf(dir);
    const cleaned = cargo(dir, ['clean', '-p', 'scripted']);
    expect([cleaned.status, existsSync(standIn), existsSync(`${standIn}.script`)]).toEqual([0, false, false]);
    expect(build(dir)).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

onLinux(
  'a stand-in without its script, as a clean-up may leave it: Cargo fails as without the program, and a clean mends it',
  () => {
    const dir = checkout();
    build(dir);
    rmSync(`${standInOf(dir)}.script`);
    tell(dir, 'again');
    const failed = cargo(dir);
    expect([failed.status, failed.stderr]).toEqual([101, expect.stringContaining('.script')]);
    cargo(dir, ['clean']);
    build(dir, { says: 'again' });
  },
  TIMEOUT_MS,
);

onLinux(
  'a store that is deleted between two builds',
  () => {
    const dir = checkout();
    build(dir);
    rmSync(lab.store, { recursive: true });
    build(dir, { says: 'without a store' });
    expect(build(checkout())).toEqual(['miss never-compiled']);
    expect(build(checkout())).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

onLinux(
  'a target folder on another file system than the store, and one that has no room',
  () => {
    using mount = Mount.make('tmpfs', lab.root, 64);
    if (mount === undefined) return notRun('kept runs on another file system', 'no tmpfs can be mounted');
    const target = join(mount.path, 'target');
    const dir = checkout();
    // How it lies to the package is another way than in the checkout.
    build(dir, { target });
    rmSync(target, { recursive: true });
    expect(build(dir, { target })).toEqual(['local_hit']);
    rmSync(target, { recursive: true });
    Bun.spawnSync(['dd', 'if=/dev/zero', `of=${join(mount.path, 'filler')}`, 'bs=1M', 'count=64'], {
      stderr: 'ignore',
    });
    expect(cargo(dir, ['build'], { target }).status).toBe(101);
    rmSync(join(mount.path, 'filler'));
    build(dir, { target });
  },
  TIMEOUT_MS,
);

onLinux(
  "Cargo's home that nobody can write to",
  () => {
    const home = lab.path('home-of-cargo');
    mkdirSync(home);
    using mount = Mount.bind(home, lab.path('read-only'));
    if (mount === undefined) return notRun('kept runs with a read-only CARGO_HOME', 'it takes mounts');
    const env = { CARGO_HOME: mount.path };
    expect(build(checkout(), { env })).toEqual(['miss never-compiled']);
    expect(build(checkout(), { env })).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

for (const many of [2, 8])
  onLinux(
    `${many} checkouts that are built at once: one runs the script, the others wait and use its run`,
    async () => {
      const dirs = Array.from({ length: many }, () => checkout());
      const before = runs().length;
      const builds = dirs.map((dir) => {
        tell(dir, `${many} at once`);
        return scripts.start(dir, { wrapper: observer });
      });
      for (const [at, build] of builds.entries())
        expect([await build.exited, programSays(dirs[at] ?? '')]).toEqual([0, `${many} at once None\n`]);
      lab.settle();
      const results = runs()
        .slice(before)
        .map(({ result }): string => result);
      expect(results.sort()).toEqual([...Array.from({ length: many - 1 }, () => 'local_hit'), 'miss']);
      expect(inspectStore(lab.store)).toMatchObject({ wrong: [], temporaries: 0 });
    },
    TIMEOUT_MS,
  );

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  onLinux(
    `${signal} to a build during a watched run leaves no process behind`,
    async () => {
      const dir = checkout();
      tell(dir, 'wait');
      const running = scripts.start(dir, { wrapper: observer });
      await until('the script runs', () =>
        filesBelow(join(dir, 'target')).some(({ name }) => name === 'begun'),
      );
      // As a terminal does it, and whoever stops a service.
      process.kill(-running.pid, signal);
      expect([await running.exited, running.signalCode]).toEqual([expect.any(Number), signal]);
      await until('nothing runs there any more', () => processesIn(dir) === '');
      rmSync(join(dir, 'target'), { recursive: true });
      build(dir);
    },
    TIMEOUT_MS,
  );

/** The processes that work in a folder. */
const processesIn = (dir: string): string =>
  Bun.spawnSync([
    'sh',
    '-c',
    `for at in /proc/[0-9]*; do [ "$(readlink $at/cwd)" = "$0" ] && echo $at; done; :`,
    dir,
  ]).stdout.toString();

onLinux(
  'a store that has hardly room for anything',
  () => {
    const env = { KACHE_MAX_SIZE: '1' };
    for (const _ of [1, 2, 3])
      for (const event of build(checkout(), { env, says: 'no room' }))
        expect(event).toMatch(
          /^(local_hit|miss .*|skipped (larger-than-half-the-cap|store-failed\|eviction-behind))$/,
        );
    // A closure may outlive its entry.
    const { wrong } = inspectStore(lab.store);
    expect(wrong.filter((line) => !line.startsWith('a closure'))).toEqual([]);
  },
  TIMEOUT_MS,
);
