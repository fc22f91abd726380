// Checkouts of one small package whose build script is the test's own, built behind the launcher with runs of build
// scripts kept, and by plain cargo beside: the two must agree.
import { afterAll, expect } from 'bun:test';
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type CompileEvent, isScriptRun } from '../../src/core/events.ts';
import { inspectStore } from './invariants.ts';
import { type Env, type Files, freshness, Lab } from './lab.ts';
import { told } from './launch-lab.ts';
import { linuxOnly } from './linux.ts';

export const KEPT: Env = { KACHE_CACHE_EXECUTABLES: '1', KACHE_CACHE_BUILD_SCRIPTS: 'all' };

/** How a run ends that is kept, and one that is put back. */
export const KEPT_RUN = 'scripted miss';
export const HIT = 'scripted local_hit';

/** Of a build script: its input, once that does not say any more that it is to wait. */
export const AWAITED_INPUT = `loop {
        let input = fs::read_to_string("input.txt").unwrap();
        if input != "wait" { break input; }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }`;

/** A build script that takes long enough to be worth keeping; `body` is an expression, the text the program prints. */
export const scriptOf = (body: string): string => `#![allow(unused)]
use std::{env, fs, io::Write, os::unix::fs::symlink, path::{Path, PathBuf}, process::Command};
fn text(path: impl AsRef<Path>) -> String { fs::read_to_string(path).unwrap_or("nothing".into()) }
fn variable(name: &str) -> String { env::var(name).unwrap_or("nothing".into()) }
fn said(program: &str, args: &[&str]) -> String { String::from_utf8(Command::new(program).args(args).output().unwrap().stdout).unwrap() }
fn main() {
    std::thread::sleep(std::time::Duration::from_millis(20));
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let made: String = { ${body} };
    fs::write(out.join("out.txt"), made).unwrap();
}
`;

export const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

/** The files of a workspace with one package. */
export const scripted = (body: string, more: Files = {}): Files => ({
  'Cargo.toml': '[workspace]\nmembers = ["scripted"]\nresolver = "2"\n',
  'Cargo.lock': 'version = 4\n\n[[package]]\nname = "scripted"\nversion = "0.1.0"\n',
  'scripted/Cargo.toml': manifest('scripted'),
  'scripted/build.rs': scriptOf(body),
  'scripted/src/main.rs':
    'fn main() { println!("{} {:?}", include_str!(concat!(env!("OUT_DIR"), "/out.txt")), option_env!("SAID")); }\n',
  ...more,
});

export interface ScriptBuild {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** How each run of a build script ended: name, result and reason. */
  readonly runs: readonly string[];
  readonly events: readonly CompileEvent[];
}

export interface ScriptOptions {
  readonly env?: Env;
  readonly args?: readonly string[];
  /** Where the target folder is; by default in the checkout. */
  readonly target?: string;
  /** What is there of an earlier build stays. */
  readonly again?: true;
  /** The program in front of rustc; by default the launcher. */
  readonly wrapper?: string;
  /** The program that is built, below the target folder. */
  readonly program?: string;
  /** What cargo is started by. */
  readonly through?: readonly string[];
}

export class ScriptLab implements Disposable {
  readonly lab = new Lab();
  #scripts = 0;

  /** A script whose program is like no other: whether its runs are kept is noted by its bytes. */
  own(script: string): string {
    return `std::hint::black_box("script ${++this.#scripts}"); ${script}`;
  }

  /** A checkout with such a script, in a folder of its own. */
  checkout(script: string, files: Files = {}): string {
    const own = this.own(script);
    return this.lab.write(`checkouts/${this.#scripts}/here`, scripted(own, files));
  }

  /** The environment of a build behind the launcher. */
  env({ wrapper, target, env }: ScriptOptions = {}): Record<string, string> {
    return this.lab.env({
      ...KEPT,
      RUSTC_WRAPPER: wrapper ?? this.lab.launcher(),
      ...(target === undefined ? {} : { CARGO_TARGET_DIR: target }),
      ...env,
    });
  }

  /** Cargo behind the launcher. */
  build(dir: string, options: ScriptOptions = {}): ScriptBuild {
    const before = this.lab.events().length;
    const done = this.lab.run(commandOf(options), { cwd: dir, env: this.env(options) });
    this.lab.settle();
    const events = this.lab.events().slice(before);
    return { ...done, events, runs: runsOf(events) };
  }

  /** The same, started; in a group of processes of its own, as a shell makes one for a command. */
  start(dir: string, options: ScriptOptions = {}) {
    return Bun.spawn(commandOf(options), {
      cwd: dir,
      env: this.env(options),
      stdio: ['ignore', 'ignore', 'ignore'],
      detached: true,
    });
  }

  /** Cargo alone, with a target folder beside the other one. */
  plain(dir: string, options: ScriptOptions = {}): Pick<ScriptBuild, 'status' | 'stdout' | 'stderr'> {
    const env = { ...options.env, CARGO_TARGET_DIR: plainTarget(dir, options) };
    return this.lab.run(commandOf(options), { cwd: dir, env });
  }

  /** Builds with and without kache, which must agree in everything; returns how the runs ended. */
  right(dir: string, options: ScriptOptions = {}): readonly string[] {
    const [target, beside] = [options.target ?? join(dir, 'target'), plainTarget(dir, options)];
    if (options.again !== true)
      for (const folder of [target, beside]) rmSync(folder, { recursive: true, force: true });
    const plain = this.plain(dir, options);
    const built = this.build(dir, options);
    // Its real name may be another one.
    const same = (text: string): string =>
      text.replaceAll(basename(beside), basename(target)).replace(/\(\d+\) panicked/, 'panicked');
    expect([built.status, told(same(built.stderr))]).toEqual([plain.status, told(same(plain.stderr))]);
    if (plain.status !== 0) return built.runs;
    const program = options.program ?? 'debug/scripted';
    const says = (folder: string): string => this.lab.run([join(folder, program)]).stdout;
    expect(says(target)).toBe(same(says(beside)));
    const args = [...(options.args ?? ['build']), '--message-format=json'];
    const again = this.build(dir, { ...options, args });
    expect([again.status, freshness(again.stdout).rebuilt, again.runs]).toEqual([0, [], []]);
    return built.runs;
  }

  /** That nothing of the store is wrong. */
  expectSound(): void {
    expect(inspectStore(this.lab.store).wrong).toEqual([]);
  }

  [Symbol.dispose](): void {
    this.lab[Symbol.dispose]();
  }
}

const commandOf = ({ through = [], args = ['build'] }: ScriptOptions): string[] => [
  ...through,
  'cargo',
  ...args,
  '--offline',
];

const plainTarget = (dir: string, { target }: ScriptOptions): string =>
  `${target ?? join(dir, 'target')}-plain`;

const runsOf = (events: readonly CompileEvent[]): string[] =>
  events
    .filter(isScriptRun)
    .map(({ crate_name: name, result, reason }) =>
      `${name} ${result} ${result === 'skipped' ? (reason ?? '').split('|')[0] : ''}`.trim(),
    );

/** Tests of kept runs of build scripts. */
export const onLinuxOnly = (what: string) => linuxOnly(what, 'runs of build scripts are kept on Linux alone');

/** The laboratory of a file of them; when they are done its store must be sound. */
export function scriptTests(what: string) {
  const scripts = new ScriptLab();
  afterAll(() => {
    using _ = scripts;
    scripts.expectSound();
  }, 60_000);
  return { scripts, lab: scripts.lab, onLinux: onLinuxOnly(what) };
}
