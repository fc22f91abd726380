// `kache launcher --dir`: a launcher for one job, on a machine on which nothing has been built.
import { afterEach, expect, test } from 'bun:test';
import { existsSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readMemo } from '../../src/store/hashes.ts';
import { openStore } from '../../src/store/store.ts';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { endDaemons, hitSocketOf, processesOf } from '../support/launcher.ts';
import { until } from '../support/wrapper-call.ts';

const onLinux = test.if(process.platform === 'linux');
const TIMEOUT_MS = 60_000;
const KEPT: Env = { KACHE_CACHE_EXECUTABLES: '1', KACHE_CACHE_BUILD_SCRIPTS: 'dependencies' };

let lab = new Lab();
afterEach(() => {
  endDaemons(KACHE, [lab.store]);
  lab[Symbol.dispose]();
  lab = new Lab();
});

const launcher = (env: Env = KEPT) => lab.run([KACHE, 'launcher', '--dir', lab.path('job')], { env });
const daemons = (): number => processesOf(KACHE, lab.store).length;

onLinux(
  'what a build would ask first is known, and somebody answers',
  async () => {
    const made = launcher();
    expect([made.status, made.stdout, made.stderr]).toEqual([0, `${lab.path('job/kache-launcher')}\n`, '']);
    await until('the daemon listens', () => existsSync(hitSocketOf(lab.store)));
    const sysroot = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();
    const rustc = realpathSync(join(sysroot, 'bin/rustc'));
    const store = openStore(lab.store);
    if (store.kind === 'problem') throw new Error(store.detail);
    expect(readMemo(store, 'toolchain', rustc)).toMatchObject({ isCompiler: true, sysroot });
    expect(readMemo(store, 'toolchain', `driver cc  ${lab.env()['PATH']} `)).toMatchObject({
      files: expect.anything(),
    });
    expect(readdirSync(join(lab.store, 'stand-ins'))).toHaveLength(1);
    // Again, nothing of it is done again.
    const before = readdirSync(join(lab.store, 'hashes/toolchain'));
    expect(launcher().stdout).toBe(made.stdout);
    expect(daemons()).toBe(1);
    expect(readdirSync(join(lab.store, 'hashes/toolchain'))).toEqual(before);
    // A build asks neither compiler nor linker for what they are.
    const dir = lab.write('app', {
      'Cargo.toml': '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n',
      'src/main.rs': 'fn main() {}\n',
    });
    const built = lab.cargo(dir, ['build'], {
      env: { ...KEPT, RUSTC_WRAPPER: lab.path('job/kache-launcher') },
    });
    expect(built.status).toBe(0);
    const names = readdirSync(join(lab.store, 'hashes/toolchain'));
    // The compiler under the name by which Cargo calls it.
    expect(names.filter((name) => !before.includes(name)).length).toBeLessThanOrEqual(1);
  },
  TIMEOUT_MS,
);

onLinux(
  'where kache is off, or has no store, there is a launcher and nothing else',
  () => {
    expect(launcher({ ...KEPT, KACHE_DISABLED: '1' }).status).toBe(0);
    expect([daemons(), existsSync(lab.store)]).toEqual([0, false]);
    rmSync(lab.path('job'), { recursive: true });
    lab.write('file', { 'in-the-way': '' });
    const nowhere = launcher({ ...KEPT, KACHE_CACHE_DIR: lab.path('file/in-the-way') });
    expect([nowhere.status, existsSync(lab.path('job/kache-launcher'))]).toEqual([0, true]);
  },
  TIMEOUT_MS,
);
