// What is seen of a run of Cargo: in which target folder it builds, and whether it asks for the same units as another one.
import { afterEach, beforeEach, expect } from 'bun:test';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type CargoRun, cargoRun, isCargo } from '../../src/fingerprints/cargo-run.ts';
import type { Env } from '../support/lab.ts';
import { linuxOnly } from '../support/linux.ts';

const onLinux = linuxOnly('what is seen of a run of Cargo', 'it is looked for on Linux alone');

let dir: string;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'kache-test-cargo-run-')));
  mkdirSync(join(dir, 'bin'));
  for (const name of ['cargo', 'other']) copyFileSync(realpathSync('/bin/sh'), join(dir, 'bin', name));
  for (const name of ['first', 'second']) workspace(name);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const PACKAGE = '\n[[package]]\nname = "app"\nversion = "0.1.0"\n';
const GIVEN =
  '\n[[package]]\nname = "given"\nversion = "1.0.0"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\n';

function workspace(name: string, files: Readonly<Record<string, string>> = {}): void {
  const all = {
    'Cargo.toml': '[package]\nname = "app"\nversion = "0.1.0"\n[workspace]\n',
    'Cargo.lock': `version = 4\n${PACKAGE}${GIVEN}`,
    'member/src/lib.rs': '',
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(dir, name, path)), { recursive: true });
    writeFileSync(join(dir, name, path), text);
  }
}

interface Started {
  readonly name?: string;
  readonly args?: readonly string[];
  readonly env?: Env;
  readonly program?: string;
  readonly compiler?: string;
}

/** Looks at a process that is called as Cargo is. */
async function seen(started: Started = {}): Promise<CargoRun | undefined> {
  const { name = 'first', args = ['build'], env = {}, program = 'cargo', compiler = 'rustc' } = started;
  const child = Bun.spawn([join(dir, 'bin', program), '-s', '--', ...args], {
    cwd: join(dir, name),
    env: { HOME: join(dir, 'home'), ...env },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  try {
    child.stdin.write('echo\nread line\n');
    await child.stdin.flush();
    // Until then what it was called with may not be there to be seen.
    await child.stdout.getReader().read();
    expect(isCargo(child.pid)).toBe(program === 'cargo');
    return cargoRun(child.pid, compiler);
  } finally {
    child.stdin.end();
    await child.exited;
    expect(isCargo(child.pid)).toBe(false);
  }
}

onLinux('it builds beside its lockfile, wherever below that it was started', async () => {
  const [run, below] = [await seen(), await seen({ name: 'first/member' })];
  const places = { root: join(dir, 'first'), targetDir: join(dir, 'first/target') };
  expect([run, below]).toMatchObject([places, places]);
  expect(run?.env).toEqual({ HOME: join(dir, 'home') });
});

onLinux('of one that builds in a place of its own, or is no Cargo, nothing is said', async () => {
  for (const arg of [
    '--target-dir',
    '--target-dir=/tmp/elsewhere',
    '--config',
    '--config=build.jobs=1',
    '--manifest-path=Cargo.toml',
    '--artifact-dir=out',
    '--out-dir=out',
    '--lockfile-path=Cargo.lock',
    '--build-plan',
    '-C',
    '-Cmember',
    '-Zunstable-options',
    '+nightly',
    '-vv',
  ])
    expect([arg, await seen({ args: ['build', arg] })]).toEqual([arg, undefined]);
  for (const name of ['CARGO_TARGET_DIR', 'CARGO_BUILD_TARGET_DIR', 'CARGO_BUILD_BUILD_DIR']) {
    expect([name, await seen({ env: { [name]: '/tmp/elsewhere' } })]).toEqual([name, undefined]);
    expect([name, (await seen({ env: { [name]: '' } })) === undefined]).toEqual([name, false]);
  }
  expect(await seen({ program: 'other' })).toBeUndefined();
  rmSync(join(dir, 'second/Cargo.lock'));
  expect(await seen({ name: 'second' })).toBeUndefined();
});

onLinux('nor where a configuration places it', async () => {
  for (const text of [
    '[build]\ntarget-dir = "elsewhere"\n',
    '[build]\nbuild-dir = "elsewhere"\n',
    'include = "other.toml"\n',
    // Of what cannot be read, all counts.
    '[alias]\nb = "build --target-dir elsewhere"\nnot toml',
    '[alias]\nb = "build"\n[build]\ntarget-dir = "elsewhere"\n',
    'alias.b = "build"\nbuild.target-dir = "elsewhere"\n',
    // Names that cannot be read off.
    '[build]\n"target\\u002ddir" = "elsewhere"\n',
    'alias.b = "build"\n[env]\n"HEARD\\u005fBY" = "none"\n',
  ])
    for (const path of [
      'first/.cargo/config.toml',
      'first/.cargo/config',
      '.cargo/config.toml',
      'home/.cargo/config.toml',
    ]) {
      workspace('.', { [path]: text });
      expect([path, await seen()]).toEqual([path, undefined]);
      rmSync(join(dir, path));
    }
  workspace('.', { 'first/.cargo/config.toml': '[build]\njobs = 1\n' });
  expect(await seen()).toBeDefined();
});

onLinux('nor where an alias does that was asked for, or may have been', async () => {
  const alias = 'build --manifest-path other/Cargo.toml --target-dir elsewhere';
  const variable = { CARGO_ALIAS_B: alias };
  const isSeen = async (args: readonly string[], env: Env = {}): Promise<boolean> =>
    (await seen({ args, env })) !== undefined;
  workspace('first', { '.cargo/config.toml': `[alias]\nb = "${alias}"\n` });
  expect([await isSeen(['build']), await isSeen(['--offline', 'test', 'b'])]).toEqual([true, true]);
  for (const args of [['b'], ['clippy'], ['--color', 'always', 'build'], ['-v']])
    expect([args, await isSeen(args)]).toEqual([args, false]);
  workspace('first', { '.cargo/config.toml': '' });
  expect([await isSeen(['build'], variable), await isSeen(['b'], variable)]).toEqual([true, false]);
});

onLinux(
  'the same is asked for in another checkout, however it is told and whatever else is set',
  async () => {
    const id = (await seen())?.id;
    expect(id).toBeDefined();
    const same: readonly Started[] = [
      { name: 'second' },
      ...['-v', '--verbose', '-q', '--quiet', '--offline', '--locked', '--frozen'].map((arg) => ({
        args: ['build', arg],
      })),
      { args: ['--color=always', 'build', '--message-format=json'] },
      { env: { CARGO_REGISTRY_TOKEN: 'a', CARGO_REGISTRIES_OUR_OWN_TOKEN: 'b' } },
      { env: { TERM: 'xterm', PWD: '/elsewhere', KACHE_MAX_SIZE: '1GB' } },
    ];
    for (const started of same) expect([started, (await seen(started))?.id]).toEqual([started, id]);
    const told = { CARGO_MANIFEST_DIR: join(dir, 'first/member') };
    const there = { CARGO_MANIFEST_DIR: join(dir, 'second/member') };
    expect((await seen({ env: told }))?.id).toBe((await seen({ name: 'second', env: there }))?.id);
  },
);

onLinux(
  'and something else by other arguments, variables, configurations, members and compilers',
  async () => {
    const ids = new Map<string | undefined, Started>();
    const others: readonly Started[] = [
      {},
      { name: 'first/member' },
      { args: ['build', '--release'] },
      { args: ['check'] },
      { args: ['build', '--features', 'loud'] },
      { args: ['build', '--target=x86_64-unknown-linux-musl'] },
      { args: ['build', '-p', 'given'] },
      { compiler: '/opt/rustc' },
      { env: { RUSTFLAGS: '-Copt-level=2' } },
      { env: { RUSTFLAGS: '' } },
      { env: { CARGO_INCREMENTAL: '1' } },
      { env: { CARGO_HOME: join(dir, 'other-home') } },
      { env: { RUSTC_WRAPPER: 'other' } },
    ];
    const add = async (started: Started): Promise<void> => {
      const id = (await seen(started))?.id;
      expect([started, id, ids.get(id)]).toEqual([started, expect.any(String), undefined]);
      ids.set(id, started);
    };
    for (const started of others) await add(started);
    workspace('first', { '.cargo/config.toml': '[build]\njobs = 1\n' });
    await add({});
    workspace('first', { '.cargo/config.toml': '[build]\njobs = 2\n' });
    await add({});
    workspace('second', { 'Cargo.lock': `version = 4\n${PACKAGE}${PACKAGE.replace('app', 'more')}${GIVEN}` });
    await add({ name: 'second' });
  },
);

onLinux('versions of what comes from registries are no other build', async () => {
  workspace('second', { 'Cargo.lock': `version = 4\n${PACKAGE}${GIVEN.replace('1.0.0', '1.0.1')}` });
  expect((await seen({ name: 'second' }))?.id).toBe((await seen())?.id);
});

onLinux('what a configuration names by its whole name counts', async () => {
  workspace('first', { '.cargo/config.toml': '[env]\nHEARD_BY_ALL = "yes"\n' });
  const id = async (env: Env): Promise<string | undefined> => (await seen({ env }))?.id;
  const plain = await id({});
  expect(await id({ _: '/usr/bin/make', HEARD: 'a', BY: 'b' })).toBe(plain);
  expect(await id({ HEARD_BY_ALL: 'no' })).not.toBe(plain);
});
