// Two users and one store: root, and somebody who owns nothing. Whatever belongs to whom, builds succeed and are right,
// nothing of the other's is damaged, and doctor says why nothing is shared.
import { expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CompileEvent, isScriptRun } from '../../src/core/events.ts';
import { told } from '../support/fault-place.ts';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { compileLauncher, endDaemons, hitSocketOf } from '../support/launcher.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import { KEPT } from '../support/script-lab.ts';
import { asOtherUser, canSwitchUser, giveToOtherUser, OTHER_USER } from '../support/users.ts';

const PROJECT = {
  'Cargo.toml': '[package]\nname = "few"\nversion = "0.1.0"\nedition = "2021"\n',
  'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
  'src/main.rs': 'fn main() { println!("{}", few::few()); }\n',
};

const SCRIPT = `fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    std::thread::sleep(std::time::Duration::from_millis(40));
    std::fs::write(format!("{}/made", std::env::var("OUT_DIR").unwrap()), "made").unwrap();
}
`;

/** One laboratory that two users can reach: the compiler and the binary stand where both may run them. */
class SharedLab implements Disposable {
  readonly #toolchain: Mount;
  readonly #kache: string;

  readonly lab: Lab;

  private constructor(lab: Lab, toolchain: Mount) {
    this.lab = lab;
    this.#toolchain = toolchain;
    this.#kache = lab.path('kache');
    chmodSync(lab.root, 0o755);
    copyFileSync(KACHE, this.#kache);
    for (const user of ['root', 'other']) mkdirSync(lab.path(user, 'cargo'), { recursive: true });
    giveToOtherUser(lab.path('other'));
  }

  /** Undefined where there cannot be two users; then it has been said that `what` was not run. */
  static make(what: string): SharedLab | undefined {
    const lab = new Lab();
    const sysroot = Bun.spawnSync(['rustc', '--print', 'sysroot']).stdout.toString().trim();
    const toolchain = canSwitchUser() ? Mount.bind(sysroot, lab.path('toolchain')) : undefined;
    if (toolchain !== undefined) return new SharedLab(lab, toolchain);
    lab[Symbol.dispose]();
    notRun(what, 'needs root, setpriv and mounts');
    return undefined;
  }

  run(user: 'root' | 'other', argv: readonly string[], cwd: string, env: Env = {}) {
    return this.lab.run(user === 'root' ? argv : asOtherUser(argv), {
      cwd,
      env: {
        PATH: `${this.#toolchain.path}/bin:/usr/local/bin:/usr/bin:/bin`,
        HOME: this.lab.path(user),
        CARGO_HOME: this.lab.path(user, 'cargo'),
        RUSTUP_HOME: undefined,
        RUSTUP_TOOLCHAIN: undefined,
        RUSTC_WRAPPER: this.#kache,
        ...env,
      },
    });
  }

  /** Builds a checkout of its own as `user`, runs the program, and returns how the library ended. */
  build(user: 'root' | 'other', name: string, answer = 3): CompileEvent | undefined {
    const dir = this.lab.write(name, { ...PROJECT, 'src/lib.rs': `pub fn few() -> u32 { ${answer} }\n` });
    if (user === 'other') giveToOtherUser(dir);
    const built = this.run(user, ['cargo', 'build', '--offline'], dir);
    expect([built.status, /kache:|EACCES/.test(built.stderr)]).toEqual([0, false]);
    expect(Bun.spawnSync([join(dir, 'target/debug/few')]).stdout.toString()).toBe(`${answer}\n`);
    const events = this.lab.events().filter(({ out_dir }) => out_dir?.startsWith(`${dir}/`));
    return events.find(({ crate_types }) => crate_types === 'lib');
  }

  /** Builds a package with a build script whose runs are kept; how its run ended. */
  buildWithScript(user: 'root' | 'other', name: string): string[] {
    const launchers = this.lab.path('launcher');
    const socket = hitSocketOf(this.lab.store);
    const env = {
      RUSTC_WRAPPER: existsSync(launchers)
        ? join(launchers, 'kache-launcher')
        : compileLauncher(launchers, { kache: this.#kache, socket }),
      ...KEPT,
    };
    const dir = this.lab.write(name, { ...PROJECT, 'build.rs': SCRIPT });
    if (user === 'other') giveToOtherUser(dir);
    const built = this.run(user, ['cargo', 'build', '--offline'], dir, env);
    expect([built.status, /kache:|EACCES/.test(built.stderr)]).toEqual([0, false]);
    expect(Bun.spawnSync([join(dir, 'target/debug/few')]).stdout.toString()).toBe('3\n');
    const events = this.lab.events().filter(({ out_dir }) => out_dir?.startsWith(`${dir}/`));
    return events.filter(isScriptRun).map(told);
  }

  kache(user: 'root' | 'other', ...args: string[]) {
    return this.run(user, [this.#kache, ...args], this.lab.path(user));
  }

  doctor(user: 'root' | 'other', id: string): { state: string; detail: string; remedy: string } {
    return JSON.parse(this.kache(user, 'doctor', '--json').stdout).checks.find(
      (check: { id: string }) => check.id === id,
    );
  }

  [Symbol.dispose](): void {
    endDaemons(this.#kache, [this.lab.store]);
    this.#toolchain[Symbol.dispose]();
    this.lab[Symbol.dispose]();
  }
}

test('a private store of another user: builds pass through, doctor says whose it is', () => {
  using shared = SharedLab.make('the private store of another user');
  if (shared === undefined) return;
  expect(shared.build('root', 'a')?.result).toBe('miss');
  expect(shared.build('other', 'b')).toBeUndefined();
  const found = shared.doctor('other', 'store');
  expect(found.state).toBe('fail');
  expect(found.detail).toContain('EACCES');
  expect(found.remedy).toContain('KACHE_CACHE_DIR');
  // Nothing of it has come to harm.
  expect(shared.build('root', 'c')?.result).toBe('local_hit');
}, 120_000);

test("records, seals and locks that root left in one's store: read as absent, replaced, and named by doctor", () => {
  using shared = SharedLab.make('files of root in a store of somebody else');
  if (shared === undefined) return;
  expect(shared.doctor('other', 'owners')).toBeUndefined();
  mkdirSync(shared.lab.store);
  giveToOtherUser(shared.lab.store);
  expect(shared.build('other', 'a', 1)?.result).toBe('miss');
  expect(shared.doctor('other', 'owners').state).toBe('ok');
  // A build under sudo: its records are root's, and so are folders it was the first to need.
  expect(shared.build('root', 'b', 2)?.result).toBe('miss');
  const lock = join(shared.lab.store, 'locks', 'f'.repeat(32));
  writeFileSync(lock, '', { mode: 0o600 });
  const found = shared.doctor('other', 'owners');
  expect([found.state, found.remedy.includes('chown')]).toEqual(['look', true]);
  // As if root had been the first to write them.
  for (const name of ['events/log', 'events/written', 'hashes/outputs']) {
    const path = join(shared.lab.store, name);
    chownSync(path, 0, 0);
    chmodSync(path, statSync(path).isDirectory() ? 0o700 : 0o600);
  }
  expect(shared.kache('other', 'gc')).toMatchObject({ status: 0, stderr: '' });
  expect(shared.kache('other', 'stats')).toMatchObject({ status: 0, stderr: '' });
  for (const name of ['events/log', 'hashes/outputs'])
    chownSync(join(shared.lab.store, name), OTHER_USER, OTHER_USER);
  // What root has written is compiled once more and replaced: never an error, and never a call without its event.
  expect(shared.build('other', 'c', 1)).toMatchObject({ result: 'dup', compiler_runs: 1 });
  expect(shared.build('other', 'd', 1)).toMatchObject({ result: 'local_hit', compiler_runs: 0 });
  // A folder of root's cannot be written to; then every compile says why it is not stored.
  expect(shared.build('other', 'e', 2)).toMatchObject({ compiler_runs: 1 });
  const again = shared.build('other', 'f', 2);
  expect(again?.result === 'local_hit' || again?.reason?.startsWith('store-failed|EACCES')).toBe(true);
}, 120_000);

test('a store opened to everyone: the other hits by copies, since the kernel protects links to files of others', () => {
  using shared = SharedLab.make('a store opened to everyone');
  if (shared === undefined) return;
  expect(shared.build('root', 'a')?.result).toBe('miss');
  const open = (path: string): void => {
    const isFolder = statSync(path).isDirectory();
    // Blobs stay closed for writing: then fs.protected_hardlinks lets only their owner link them.
    chmodSync(path, isFolder ? 0o777 : path.includes('/blobs/') ? 0o644 : 0o666);
    if (isFolder) for (const name of readdirSync(path)) open(join(path, name));
  };
  open(shared.lab.store);
  const hit = shared.build('other', 'b');
  expect([hit?.result, hit?.restored?.hardlinked]).toEqual(['local_hit', 0]);
  expect(shared.doctor('other', 'permissions').state).toBe('look');
  expect(shared.doctor('other', 'owners').state).toBe('look');
  expect(shared.build('root', 'c')).toMatchObject({ result: 'local_hit' });
}, 120_000);

test('runs of build scripts are those of one user, and what the other left in the store is no error', () => {
  using shared = SharedLab.make('kept runs of two users');
  if (shared === undefined) return;
  mkdirSync(shared.lab.store);
  giveToOtherUser(shared.lab.store);
  expect(shared.buildWithScript('other', 'a')).toEqual(['miss never-compiled']);
  expect(shared.buildWithScript('root', 'b')).toEqual(['miss never-compiled']);
  expect(shared.buildWithScript('root', 'c')).toEqual(['local_hit']);
  expect(shared.buildWithScript('other', 'd')).toEqual(['local_hit']);
  // As if root had been there first: nothing can be written, and nothing need be.
  for (const name of ['units', 'entries', 'blobs', 'hashes'])
    Bun.spawnSync(['chown', '-R', '0:0', join(shared.lab.store, name)]);
  for (const event of shared.buildWithScript('other', 'e'))
    expect(event).toMatch(/^(local_hit|miss .*|skipped (store|cache)-failed\|EACCES .*)$/);
}, 120_000);
