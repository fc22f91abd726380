// Checkouts of a program with vendored dependencies, built behind the launcher with Cargo's records kept, and by plain
// cargo beside: the two must agree, whatever Cargo took for fresh.
import { expect } from 'bun:test';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import { inspectStore } from './invariants.ts';
import { type Env, type Files, freshness, KACHE, Lab } from './lab.ts';
import { manifest } from './script-lab.ts';
import { stopDaemon } from './wrapper-call.ts';

export const KEPT: Env = {
  KACHE_CACHE_EXECUTABLES: '1',
  KACHE_CACHE_BUILD_SCRIPTS: 'dependencies',
  KACHE_CACHE_FINGERPRINTS: '1',
};

/** A package of the registry. */
export const given = (name: string, files: Files, rest = '', version = '0.1.0'): Files => {
  const all = {
    'Cargo.toml': manifest(name, rest).replace('0.1.0', version),
    '.cargo-checksum.json': '{"files":{},"package":null}',
    ...files,
  };
  const folder = `${name}-${version}`;
  return Object.fromEntries(Object.entries(all).map(([path, text]) => [`${folder}/${path}`, text]));
};

/** A program. */
export const PROGRAM: Files = {
  'Cargo.toml': manifest(
    'app',
    '[dependencies]\ntop = "0.1"\nlinked = "0.1"\n[features]\nloud = ["top/loud"]\n',
  ),
  'src/main.rs':
    'fn main() { println!("{} {} {:?} {}", top::said(), linked::SAID, option_env!("APP_SAYS"), cfg!(debug_assertions)); }\n',
};

/** What it depends on: a library with a build script, a proc macro, a library on both, and one with what a script hands on. */
export const PACKAGES: Files = {
  ...given('scripted', {
    'build.rs': `fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=SCRIPT_SAID={}", std::env::var("SCRIPT_HEARS").unwrap_or("nothing".into()));
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/made.rs"), "pub const MADE: u32 = 7;").unwrap();
}
`,
    'src/lib.rs':
      'include!(concat!(env!("OUT_DIR"), "/made.rs"));\npub const SAID: &str = env!("SCRIPT_SAID");\npub const HEARD: Option<&str> = option_env!("SCRIPTED_HEARS");\n',
  }),
  ...given(
    'mac',
    {
      'src/lib.rs':
        'use proc_macro::TokenStream;\n#[proc_macro] pub fn word(_: TokenStream) -> TokenStream { "\\"word\\"".parse().unwrap() }\n',
    },
    '[lib]\nproc-macro = true\n',
  ),
  ...given(
    'top',
    {
      'src/lib.rs':
        'pub fn said() -> String { format!("{} {} {} {:?} {}", mac::word!(), scripted::MADE, scripted::SAID, scripted::HEARD, cfg!(feature = "loud")) }\n',
    },
    '[dependencies]\nscripted = "0.1"\nmac = "0.1"\n[features]\nloud = []\n',
  ),
  ...given(
    'native-sys',
    {
      'build.rs':
        'fn main() { println!("cargo:level={}", std::env::var("NATIVE_LEVEL").unwrap_or("1".into())); }\n',
      'src/lib.rs': '',
    },
    'links = "native"\n',
  ),
  ...given(
    'linked',
    {
      'build.rs':
        'fn main() { println!("cargo:rustc-env=LEVEL={}", std::env::var("DEP_NATIVE_LEVEL").unwrap()); }\n',
      'src/lib.rs': 'pub const SAID: &str = env!("LEVEL");\n',
    },
    '[dependencies]\nnative-sys = "0.1"\n',
  ),
};

/** Units of its packages: five libraries, three scripts and their runs. */
export const DEPENDENCY_UNITS = 11;

export interface FreshBuild {
  /** Packages of the registry for units of which Cargo asked itself. */
  readonly asked: string[];
  readonly events: readonly CompileEvent[];
}

export interface FreshOptions {
  readonly env?: Env;
  readonly args?: readonly string[];
  /** What is asked of Cargo; by default a build. */
  readonly verb?: string;
  /** Below the target folder; by default where a build puts it. */
  readonly program?: string;
  /** Where Cargo is called, below the checkout. */
  readonly below?: string;
  /** What cargo is started by. */
  readonly through?: readonly string[];
}

const commandOf = ({ through = [], verb = 'build', args = [] }: FreshOptions): string[] => [
  ...through,
  'cargo',
  verb,
  '--offline',
  ...args,
];

export class FreshLab implements Disposable {
  readonly lab = new Lab();
  readonly home = this.lab.path('cargo-home');
  #checkouts = 0;

  constructor() {
    const packages = `${this.home}/registry/src/crates`;
    this.lab.write(packages, PACKAGES);
    this.lab.write(this.home, {
      'config.toml': `[source.crates-io]\nreplace-with = "given"\n[source.given]\ndirectory = "${packages}"\n`,
    });
  }

  /** A new checkout, each as deep as its number. */
  checkout(changes: Files = {}): string {
    const depth = '/deeper'.repeat(this.#checkouts % 3);
    return this.lab.write(`checkouts/${this.#checkouts++}${depth}/app`, { ...PROGRAM, ...changes });
  }

  env(env: Env = {}): Record<string, string> {
    return this.lab.env({ ...KEPT, CARGO_HOME: this.home, RUSTC_WRAPPER: this.lab.launcher(), ...env });
  }

  /** Builds a checkout once, for what the store gets of it. */
  async learn(dir: string, options: FreshOptions = {}): Promise<void> {
    const { env = {}, below = '' } = options;
    const done = this.lab.run(commandOf(options), { cwd: join(dir, below), env: this.env(env) });
    expect([done.status, done.stderr]).toEqual([0, expect.anything()]);
    await this.kept();
  }

  /** Builds a checkout, and compares with plain cargo: success, what the program says, and that nothing is left to do. */
  async right(dir: string, options: FreshOptions = {}): Promise<FreshBuild> {
    const { env = {}, args = [], below = '' } = options;
    const before = this.lab.events().length;
    const build = (more: readonly string[], own: Record<string, string>) =>
      Bun.spawnSync(commandOf({ ...options, args: [...more, ...args] }), {
        cwd: join(dir, below),
        env: own,
        stdin: 'ignore',
      });
    const done = build(['--message-format=json'], this.env(env));
    const plain = build(
      [],
      this.lab.env({ CARGO_HOME: this.home, ...env, CARGO_TARGET_DIR: this.lab.plainTarget(dir) }),
    );
    expect([done.exitCode, done.stderr.toString()]).toEqual([plain.exitCode, expect.anything()]);
    const program = options.program ?? join(args.includes('--release') ? 'release' : 'debug', 'app');
    const says = (target: string): string => {
      const path = join(target, program);
      return existsSync(path) ? this.lab.run([path]).stdout : 'nothing';
    };
    if (plain.exitCode === 0) {
      expect(says(join(dir, 'target'))).toBe(says(this.lab.plainTarget(dir)));
      const again = freshness(build(['--message-format=json'], this.env(env)).stdout.toString());
      expect(again.rebuilt).toEqual([]);
    }
    rmSync(this.lab.plainTarget(dir), { recursive: true, force: true });
    await this.kept();
    expect(inspectStore(this.lab.store).wrong).toEqual([]);
    const { rebuilt } = freshness(done.stdout.toString());
    const asked = rebuilt.flatMap((id) => /^registry\+.*#([\w-]+)@/.exec(id)?.[1] ?? []);
    return { asked: [...new Set(asked)].sort(), events: this.lab.events().slice(before) };
  }

  /** Has the daemon keep what the last build asked for: it does so at once when it ends. Another one answers then. */
  async kept(): Promise<void> {
    await this.stop();
    this.lab.run([KACHE, 'daemon', 'start']);
  }

  plans(): string[] {
    const folder = join(this.lab.store, 'hashes', 'fingerprints');
    return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  }

  /** Stops the daemon. */
  stop(): Promise<void> {
    return stopDaemon(this.lab);
  }

  [Symbol.dispose](): void {
    this.lab[Symbol.dispose]();
  }
}
