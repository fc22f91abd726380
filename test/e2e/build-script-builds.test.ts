// Builds with kept runs of build scripts, in circumstances: kache gone or another one, an observer that cannot observe,
// folders that move, are cleaned or lie elsewhere, and many builds at once. The script runs as if kache were not there
// wherever kache cannot help.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import { filesBelow, inspectStore } from '../support/invariants.ts';
import { type Env, type Files, KACHE, Lab } from '../support/lab.ts';
import { compileLauncher, endDaemons, hitSocketOf } from '../support/launcher.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import { told } from '../support/script-lab.ts';
import { until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 120_000;
const isLinux = process.platform === 'linux';
const onLinux = test.if(isLinux);

const PROJECT: Files = {
  'Cargo.toml': '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
  'build.rs': `fn main() {
    println!("cargo:rerun-if-changed=input.txt");
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/begun"), "").unwrap();
    let text = loop {
        let text = std::fs::read_to_string("input.txt").unwrap();
        if text != "wait" { break text; }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    std::thread::sleep(std::time::Duration::from_millis(40));
    std::fs::write(format!("{out}/made.rs"), format!("\\"{text}\\"")).unwrap();
}
`,
  'src/main.rs': 'fn main() { print!("{}", include!(concat!(env!("OUT_DIR"), "/made.rs"))); }\n',
  'input.txt': 'first',
};

/** A laboratory whose kache and launcher are copies that a test may spoil. */
class Place implements Disposable {
  readonly lab = new Lab();
  readonly kache = this.lab.path('bin', 'kache');
  readonly observer: string;
  #checkouts = 0;

  constructor() {
    mkdirSync(dirname(this.kache), { recursive: true });
    copyFileSync(KACHE, this.kache);
    this.observer = compileLauncher(this.lab.path('launcher'), {
      kache: this.kache,
      socket: hitSocketOf(this.lab.store),
    });
  }

  /** Another checkout, each time. */
  checkout(): string {
    return this.lab.write(`checkout-${this.#checkouts++}/small`, PROJECT);
  }

  env(changes: Env = {}): Record<string, string> {
    return this.lab.env({
      KACHE_CACHE_EXECUTABLES: '1',
      KACHE_CACHE_BUILD_SCRIPTS: 'all',
      RUSTC_WRAPPER: this.observer,
      ...changes,
    });
  }

  /** Builds, and returns what the log says of the run of the script; the program must say what the input does. */
  build(dir: string, { env = {}, says = 'first', through = [] }: BuildOptions = {}): string[] {
    const before = this.runs().length;
    writeFileSync(join(dir, 'input.txt'), says);
    const built = this.lab.run([...through, 'cargo', 'build', '--offline'], { cwd: dir, env: this.env(env) });
    const said = built.status === 0 ? programSays(dir, env) : '';
    expect([built.status, said, /kache:/.test(built.stderr) ? built.stderr : '']).toEqual([0, says, '']);
    return this.runs().slice(before).map(told);
  }

  /** Events of runs. */
  runs(): CompileEvent[] {
    return this.lab.events().filter(({ crate_types: types }) => types === 'build-script-run');
  }

  [Symbol.dispose](): void {
    endDaemons(this.kache, [this.lab.store]);
    this.lab[Symbol.dispose]();
  }
}

interface BuildOptions {
  readonly env?: Env;
  /** What is written into the input, and what the program must say. */
  readonly says?: string;
  readonly through?: readonly string[];
}

const programSays = (dir: string, env: Env = {}): string =>
  Bun.spawnSync([join(env['CARGO_TARGET_DIR'] ?? join(dir, 'target'), 'debug/small')]).stdout.toString();

let place: Place;
beforeAll(() => {
  if (!isLinux) return notRun('builds with kept runs', 'they are kept on Linux alone');
  place = new Place();
}, 60_000);
afterAll(() => place?.[Symbol.dispose]());

const standInOf = (dir: string): string => {
  const script = filesBelow(join(dir, 'target/debug/build')).find(({ name }) => name.endsWith('.script'));
  if (script === undefined) throw new Error('there is no stand-in');
  return script.path.slice(0, -'.script'.length);
};

onLinux(
  'a run is a miss in one checkout and a hit in the next, also when Cargo runs it again',
  () => {
    const [first, second] = [place.checkout(), place.checkout()];
    expect(place.build(first)).toEqual(['miss never-compiled']);
    expect(place.build(second)).toEqual(['local_hit']);
    // What the first run has left there may be an input of the next: it is none that is kept.
    expect(place.build(second, { says: 'second' })).toEqual([]);
    expect(inspectStore(place.lab.store).wrong).toEqual([]);
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
      const dir = place.checkout();
      place.build(dir);
      const kept = `${place.kache}.kept`;
      renameSync(place.kache, kept);
      try {
        spoil(place.kache);
        if (what === 'no program') chmodSync(place.kache, 0o644);
        expect(place.build(dir, { env: { RUSTC_WRAPPER: '' }, says: what })).toEqual([]);
      } finally {
        rmSync(place.kache, { recursive: true, force: true });
        renameSync(kept, place.kache);
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
      const folder = place.lab.write(`observer ${what}`, {
        'kache-launcher': `#!/bin/sh\n${text(place.kache)}\n`,
      });
      const observer = join(folder, 'kache-launcher');
      chmodSync(observer, 0o755);
      const says = `by ${what}`;
      for (const _ of ['in one checkout', 'and in the next'])
        for (const event of place.build(place.checkout(), { env: { RUSTC_WRAPPER: observer }, says }))
          expect(event).toMatch(/^(error failed-while-watched\|exited \d+|skipped (not-watched|no-end))$/);
    },
    TIMEOUT_MS,
  );

onLinux(
  'without an observer the script runs, and the log says that there is none',
  () => {
    const env = { RUSTC_WRAPPER: place.kache };
    expect(place.build(place.checkout(), { env, says: 'unobserved' })).toEqual(['skipped no-observer']);
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
    const refusing = join(place.lab.write('refusing', { 'refusing.rs': REFUSING }), 'refusing');
    const made = place.lab.run(['rustc', '-o', refusing, `${refusing}.rs`]);
    expect(made.status).toBe(0);
    const says = 'refused';
    for (const _ of ['in one checkout', 'and in the next'])
      expect(place.build(place.checkout(), { through: [refusing], says })).toEqual([
        'skipped not-followed|it cannot be traced here',
      ]);
    expect(place.build(place.checkout(), { says })).toEqual([expect.stringMatching(/^miss /)]);
    expect(place.build(place.checkout(), { says })).toEqual(['local_hit']);
    expect(place.build(place.checkout(), { through: [refusing], says })).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

onLinux(
  'a target folder that is copied or moved to another place',
  () => {
    const dir = place.checkout();
    place.build(dir);
    const [copied, moved] = [place.lab.path('copied/to/small'), place.lab.path('moved/small')];
    mkdirSync(dirname(copied), { recursive: true });
    Bun.spawnSync(['cp', '-a', dir, copied]);
    place.build(copied);
    place.build(copied, { says: 'in the copy' });
    mkdirSync(dirname(moved), { recursive: true });
    renameSync(dir, moved);
    place.build(moved);
    place.build(moved, { says: 'where it was moved to' });
    expect(inspectStore(place.lab.store).wrong).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'a package that is cleaned leaves nothing of its script, and is a hit again',
  () => {
    const dir = place.checkout();
    place.build(dir);
    const standIn = standInOf(dir);
    const cleaned = place.lab.run(['cargo', 'clean', '--offline', '-p', 'small'], {
      cwd: dir,
      env: place.env(),
    });
    expect([cleaned.status, existsSync(standIn), existsSync(`${standIn}.script`)]).toEqual([0, false, false]);
    expect(place.build(dir)).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

onLinux(
  'a stand-in without its script, as a clean-up may leave it: Cargo fails as without the program, and a clean mends it',
  () => {
    const dir = place.checkout();
    place.build(dir);
    rmSync(`${standInOf(dir)}.script`);
    writeFileSync(join(dir, 'input.txt'), 'again');
    const failed = place.lab.run(['cargo', 'build', '--offline'], { cwd: dir, env: place.env() });
    expect([failed.status, failed.stderr]).toEqual([101, expect.stringContaining('.script')]);
    place.lab.run(['cargo', 'clean', '--offline'], { cwd: dir, env: place.env() });
    place.build(dir, { says: 'again' });
  },
  TIMEOUT_MS,
);

onLinux(
  'a store that is deleted between two builds',
  () => {
    const dir = place.checkout();
    place.build(dir);
    rmSync(place.lab.store, { recursive: true });
    place.build(dir, { says: 'without a store' });
    expect(place.build(place.checkout())).toEqual(['miss never-compiled']);
    expect(place.build(place.checkout())).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

onLinux(
  'a target folder on another file system than the store, and one that has no room',
  () => {
    using mount = Mount.make('tmpfs', place.lab.root, 64);
    if (mount === undefined) return notRun('kept runs on another file system', 'no tmpfs can be mounted');
    const env = { CARGO_TARGET_DIR: join(mount.path, 'target') };
    const dir = place.checkout();
    // How it lies to the package is another way than in the checkout.
    place.build(dir, { env });
    rmSync(join(mount.path, 'target'), { recursive: true });
    expect(place.build(dir, { env })).toEqual(['local_hit']);
    rmSync(join(mount.path, 'target'), { recursive: true });
    Bun.spawnSync(['dd', 'if=/dev/zero', `of=${join(mount.path, 'filler')}`, 'bs=1M', 'count=64'], {
      stderr: 'ignore',
    });
    const failed = place.lab.run(['cargo', 'build', '--offline'], { cwd: dir, env: place.env(env) });
    expect(failed.status).toBe(101);
    rmSync(join(mount.path, 'filler'));
    place.build(dir, { env });
  },
  TIMEOUT_MS,
);

onLinux(
  "Cargo's home that nobody can write to",
  () => {
    const home = place.lab.path('home-of-cargo');
    mkdirSync(home);
    using mount = Mount.bind(home, place.lab.path('read-only'));
    if (mount === undefined) return notRun('kept runs with a read-only CARGO_HOME', 'it takes mounts');
    const env = { CARGO_HOME: mount.path };
    expect(place.build(place.checkout(), { env })).toEqual(['miss never-compiled']);
    expect(place.build(place.checkout(), { env })).toEqual(['local_hit']);
  },
  TIMEOUT_MS,
);

for (const many of [2, 8])
  onLinux(
    `${many} checkouts that are built at once: one runs the script, the others wait and use its run`,
    async () => {
      const dirs = Array.from({ length: many }, () => place.checkout());
      const before = place.runs().length;
      const builds = dirs.map((dir) => {
        writeFileSync(join(dir, 'input.txt'), `${many} at once`);
        return Bun.spawn(['cargo', 'build', '--offline'], {
          cwd: dir,
          env: place.env(),
          stdio: ['ignore', 'ignore', 'ignore'],
        });
      });
      for (const [at, build] of builds.entries())
        expect([await build.exited, programSays(dirs[at] ?? '')]).toEqual([0, `${many} at once`]);
      const results = place
        .runs()
        .slice(before)
        .map(({ result }): string => result);
      expect(results.sort()).toEqual([...Array.from({ length: many - 1 }, () => 'local_hit'), 'miss']);
      expect(inspectStore(place.lab.store)).toMatchObject({ wrong: [], temporaries: 0 });
    },
    TIMEOUT_MS,
  );

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  onLinux(
    `${signal} to a build during a watched run leaves no process behind`,
    async () => {
      const dir = place.checkout();
      writeFileSync(join(dir, 'input.txt'), 'wait');
      const build = Bun.spawn(['cargo', 'build', '--offline'], {
        cwd: dir,
        env: place.env(),
        stdio: ['ignore', 'ignore', 'ignore'],
        detached: true,
      });
      await until('the script runs', () =>
        filesBelow(join(dir, 'target')).some(({ name }) => name === 'begun'),
      );
      // As a terminal does it, and whoever stops a service.
      process.kill(-build.pid, signal);
      expect([await build.exited, build.signalCode]).toEqual([expect.any(Number), signal]);
      await until('nothing runs there any more', () => processesIn(dir) === '');
      rmSync(join(dir, 'target'), { recursive: true });
      place.build(dir);
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
      for (const event of place.build(place.checkout(), { env, says: 'no room' }))
        expect(event).toMatch(
          /^(local_hit|miss .*|skipped (larger-than-half-the-cap|store-failed\|eviction-behind))$/,
        );
    // A closure may outlive its entry.
    const { wrong } = inspectStore(place.lab.store);
    expect(wrong.filter((line) => !line.startsWith('a closure'))).toEqual([]);
  },
  TIMEOUT_MS,
);
