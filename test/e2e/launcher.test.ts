// Behind the launcher: hits that the daemon answers are those of kache itself, file by file and line by line, and what is
// no hit reaches kache and the compiler as it was.
import { expect } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { KACHE, type Lab } from '../support/lab.ts';
import { type LaunchLab, launcherTests, outputsOf, results, told, UNITS } from '../support/launch-lab.ts';
import { compileLauncher } from '../support/launcher.ts';

let place: LaunchLab;
const onLinux = launcherTests('builds behind the launcher', (lab) => {
  place = lab;
});

onLinux(
  'a second checkout: every compile is a hit, and the daemon answers each',
  async () => {
    const pid = place.startDaemon();
    const dir = place.checkout();
    const built = await place.build(dir);
    expect(place.daemon()).toMatchObject({ pid, hits: UNITS });
    const logged = built.events;
    expect(results(logged)).toEqual([
      'build_script_build bin local_hit',
      'gate lib local_hit',
      'mac proc-macro local_hit',
      'part lib local_hit',
      'small bin local_hit',
      'small lib local_hit',
    ]);
    await place.expectRight(dir, built);
    await place.expectDone(place.first);
    // Questions go to the compiler at once: nothing but the hits is in the log.
    expect(logged.length).toBe(UNITS);
    for (const { phases, cache_key: key, restored } of logged) {
      expect(Object.keys(phases ?? {})).toEqual(['key', 'lookup', 'restore']);
      expect(key).toMatch(/^[0-9a-f]{64}$/);
      expect(Object.values(restored ?? {}).some((bytes) => bytes > 0)).toBe(true);
    }
  },
  120_000,
);

onLinux(
  'events carry the processes that Cargo knows: the launcher, and Cargo',
  async () => {
    place.startDaemon();
    const [dir, log] = [place.checkout(), place.lab.path('pids')];
    const noting = place.lab.write('noting', {
      'kache-launcher': `#!/bin/sh\ncase " $* " in *" --out-dir "*) echo "$$ $PPID" >> ${log};; esac\nexec ${place.lab.launcher()} "$@"\n`,
    });
    chmodSync(join(noting, 'kache-launcher'), 0o755);
    const built = await place.build(dir, { wrapper: join(noting, 'kache-launcher') });
    const noted = readFileSync(log, 'utf8').trim().split('\n').sort();
    expect(built.events.map(({ pid, build_pid }) => `${pid} ${build_pid}`).sort()).toEqual(noted);
    expect(new Set(noted.map((line) => line.split(' ')[1])).size).toBe(1);
  },
  120_000,
);

onLinux(
  'an rlib is one file in every checkout, an rmeta is private',
  async () => {
    place.startDaemon();
    const dir = place.checkout();
    await place.build(dir);
    const files = Object.keys(outputsOf(dir)).filter((name) => /\/lib(part|gate|small)-\w+\.r/.test(name));
    expect(files.length).toBe(6);
    for (const name of files) {
      const [one, two] = [statSync(join(place.first, name)), statSync(join(dir, name))];
      if (name.endsWith('.rlib') && two.nlink > 1) expect(two.ino).toBe(one.ino);
      if (name.endsWith('.rmeta')) expect(two.ino).not.toBe(one.ino);
    }
  },
  120_000,
);

onLinux(
  'one state gives the same files, modes and messages with launcher and without',
  async () => {
    const dir = place.checkout();
    const built = async (options: { wrapper?: string }, args: readonly string[]) => {
      rmSync(join(dir, 'target'), { recursive: true, force: true });
      const done = await place.build(dir, { ...options, args });
      // Cargo writes messages of units that run at the same time in any order.
      const messages = done.stdout.split('\n').filter((line) => line.includes('"compiler-'));
      return { ...done, files: outputsOf(dir), messages: messages.sort() };
    };
    for (const args of [
      ['build', '--offline', '--message-format=json'],
      ['check', '--offline', '--message-format=json'],
      ['test', '--no-run', '--offline', '--message-format=json'],
      ['build', '--release', '--offline', '--message-format=json'],
    ]) {
      // A first time for what the store does not have yet; and links have an inode of their own only once.
      await built({ wrapper: KACHE }, args);
      const direct = await built({ wrapper: KACHE }, args);
      place.startDaemon();
      const launched = await built({}, args);
      const hits = launched.events.filter(({ result }) => result === 'local_hit').length;
      expect([launched.status, hits, place.daemon()?.hits]).toEqual([0, launched.events.length, hits]);
      expect(launched.files).toEqual(direct.files);
      expect(launched.messages).toEqual(direct.messages);
      expect(told(launched.stderr)).toEqual(told(direct.stderr));
      expect(direct.messages.length).toBeGreaterThan(UNITS);
    }
  },
  240_000,
);

onLinux(
  'what is edited is compiled by kache, the rest stays with the daemon',
  async () => {
    const pid = place.startDaemon();
    const dir = place.checkout();
    writeFileSync(join(dir, 'gate/src/lib.rs'), 'pub fn doubled() -> u32 { 0 + part::number() * 2 }\n');
    const built = await place.build(dir);
    await place.expectRight(dir, built);
    expect(results(built.events)).toEqual([
      'build_script_build bin local_hit',
      'gate lib miss',
      'mac proc-macro local_hit',
      'part lib local_hit',
      'small bin miss',
      // Another key for what it is built on, and the same output again.
      'small lib dup',
    ]);
    expect(place.daemon()).toMatchObject({ pid, hits: 3 });
  },
  120_000,
);

onLinux(
  'errors of the compiler and their status are those of rustc',
  async () => {
    place.startDaemon();
    const dir = place.checkout();
    writeFileSync(join(dir, 'src/lib.rs'), 'pub mod inner;\npub fn text() -> u32 { "text" }\n');
    const plain = place.lab.cargo(dir, ['build', '--offline'], { kache: false });
    // Whether there are other jobs to wait for is a matter of time.
    const errors = (text: string): string =>
      told(text).replace(/^ +Finished.*$|^.*waiting for other jobs.*\n/gm, '');
    for (let round = 0; round < 2; round++) {
      const failed = await place.build(dir);
      expect([failed.status, errors(failed.stderr)]).toEqual([plain.status ?? 0, errors(plain.stderr)]);
      expect(results(failed.events)).toContain('small lib error');
    }
    writeFileSync(join(dir, 'src/lib.rs'), readFileSync(join(place.first, 'src/lib.rs')));
    await place.expectRight(dir, await place.build(dir));
  },
  120_000,
);

onLinux(
  'the daemon is started by the first question of a build, once',
  async () => {
    const dir = place.checkout();
    rmSync(place.socket, { force: true });
    const built = await place.build(dir);
    await place.expectRight(dir, built);
    const pid = place.daemon()?.pid;
    expect(place.processes).toEqual(pid === undefined ? [] : [pid]);
    expect(pid).toBeGreaterThan(0);
    expect(existsSync(join(place.store, 'daemon/starting'))).toBe(true);
    // The next checkout has it from the first call on.
    const before = place.daemon()?.hits ?? 0;
    await place.buildAnew();
    expect(place.daemon()).toMatchObject({ pid, hits: before + UNITS });
  },
  120_000,
);

onLinux(
  'settings count as without launcher: disabled, verified, left out, a fallback',
  async () => {
    place.startDaemon();
    const disabled = await place.buildAnew({ env: { KACHE_DISABLED: '1' } });
    expect(disabled.events).toEqual([]);
    const verified = await place.buildAnew({ env: { KACHE_VERIFY_RESTORES: 'always' } });
    expect(verified.events.filter(({ reason }) => reason === 'verified').length).toBe(UNITS);
    const without = await place.buildAnew({ env: { KACHE_CACHE_EXECUTABLES: '0' } });
    expect(results(without.events).filter((line) => line.endsWith('local_hit')).length).toBe(3);
    expect(results(without.events).filter((line) => line.endsWith('passthrough')).length).toBe(3);
    expect(place.daemon()?.hits).toBe(3);
    const log = place.lab.path('fallback-log');
    const fallback = join(
      place.lab.write('fallback', { run: `#!/bin/sh\necho "$*" >> ${log}\nexec "$@"\n` }),
      'run',
    );
    chmodSync(fallback, 0o755);
    const config = place.lab.write('config', { 'kache.toml': '[cache]\nbypass_crates = ["part"]\n' });
    const env = { KACHE_FALLBACK: fallback, KACHE_CONFIG: join(config, 'kache.toml') };
    const fallen = await place.buildAnew({ env });
    expect(results(fallen.events)).toContain('part lib passthrough');
    // What is built on it has to be compiled, too.
    expect(results(fallen.events).filter((line) => line.endsWith('local_hit')).length).toBe(2);
    const compiled = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line.includes('--crate-name part'));
    expect(compiled.length).toBe(1);
    expect(place.daemon()?.hits).toBe(3 + 2);
  },
  240_000,
);

onLinux(
  'a project with a store of its own is answered by the same daemon, from that store',
  async () => {
    const env = { KACHE_CACHE_DIR: place.lab.path('own-store') };
    await place.buildAnew({ env, wrapper: KACHE });
    const pid = place.startDaemon();
    const before = place.lab.events().length;
    const dir = place.checkout();
    const built = await place.build(dir, { env });
    expect(place.daemon()).toMatchObject({ pid, hits: UNITS });
    await place.expectRight(dir, built, { env });
    expect(place.lab.events().length).toBe(before);
  },
  120_000,
);

onLinux(
  'three builds at the same time',
  async () => {
    place.startDaemon();
    const dirs = [place.checkout(), place.checkout(), place.checkout()];
    const builds = await Promise.all(dirs.map((dir) => place.build(dir)));
    for (const [at, dir] of dirs.entries()) {
      const built = builds[at];
      if (built !== undefined) await place.expectRight(dir, built);
    }
    expect(place.daemon()?.hits).toBe(dirs.length * UNITS);
  },
  120_000,
);

onLinux(
  'a compile is known by every form of its arguments',
  () => {
    place.startDaemon();
    const dir = place.lab.write('forms', {
      'lib.rs': 'pub fn form() {}\n',
      'apart/.keep': '',
      'joined/.keep': '',
      'in-file/.keep': '',
    });
    const rest = ['--crate-name', 'form', 'lib.rs', '--crate-type', 'lib', '--emit=dep-info,metadata,link'];
    place.lab.write(dir, { arguments: ['--out-dir', 'in-file', ...rest].join('\n') });
    // What a proxy of rustup starts is known where Cargo has named the toolchain.
    const rustc = `${place.lab.run(['rustc', '--print', 'sysroot']).stdout.trim()}/bin/rustc`;
    const forms = [['--out-dir', 'apart', ...rest], ['--out-dir=joined', ...rest], ['@arguments']];
    for (const [at, form] of forms.entries()) {
      const before = place.lab.events().length;
      const done = place.lab.run([place.lab.launcher(), rustc, ...form], { cwd: dir });
      place.lab.settle();
      expect([done.status, results(place.lab.events().slice(before))]).toEqual([
        0,
        [`form lib ${at === 0 ? 'miss' : 'local_hit'}`],
      ]);
    }
    expect(place.daemon()?.hits).toBe(2);
  },
  120_000,
);

/** A compiler that shows how it was called. */
function showing(lab: Lab): string {
  const dir = lab.write('showing', {
    rustc:
      '#!/bin/sh\ntr "\\0" "\\n" < /proc/$$/cmdline | tail -n +3\ntr "\\0" "\\n" < /proc/$$/environ\ncase "$*" in *37*) exit 37;; *killed*) kill -TERM $$;; *through*) echo through >&9;; esac\n',
  });
  chmodSync(join(dir, 'rustc'), 0o755);
  return join(dir, 'rustc');
}

onLinux(
  'arguments, variables, descriptors, status and signals reach the compiler as they are',
  () => {
    place.startDaemon();
    const rustc = showing(place.lab);
    const file = place.lab.path('descriptor');
    const ODD = `A=1 'CARGO_BIN_EXE_my-bin=/x y' 'ODD='$'\\xff\\xfe' 'EMPTY=' 'LINES=a\nb' ÄÖ=ü`;
    const shown = (front: string, rest: string) => {
      rmSync(file, { force: true });
      const line = `exec env -i PATH="$PATH" HOME="$HOME" ${ODD} ${front} ${rustc} ${rest} 9>${file}`;
      const done = Bun.spawnSync(['bash', '-c', line], {
        env: place.lab.env(),
        cwd: place.lab.root,
      });
      const through = existsSync(file) ? readFileSync(file, 'utf8') : '';
      return [
        done.exitCode,
        String(done.signalCode),
        done.stdout.toString('latin1'),
        done.stderr.toString(),
        through,
      ];
    };
    const calls = [
      '--crate-name',
      '37',
      'killed',
      'through',
      `$'a\\xff\\xfeb'`,
      '""',
      "'a b'",
      '@none',
      '-vV',
    ];
    for (const launcher of [place.lab.launcher(), launcherWithoutKache()])
      for (const rest of calls)
        for (const where of ['--out-dir /nowhere', '--out-dir=/nowhere', ''])
          expect([launcher, rest, ...shown(launcher, `${rest} ${where}`)]).toEqual([
            launcher,
            rest,
            ...shown('', `${rest} ${where}`),
          ]);
  },
  120_000,
);

const launcherWithoutKache = (): string =>
  compileLauncher(place.lab.path('without'), { kache: '/gone/kache', socket: '/gone/socket-hits' });

onLinux(
  'where kache is gone, the compiler compiles, and its status counts',
  async () => {
    const wrapper = launcherWithoutKache();
    const built = await place.buildAnew({ wrapper });
    expect(built.events).toEqual([]);
    const dir = place.checkout();
    writeFileSync(join(dir, 'part/src/lib.rs'), 'pub fn number() -> u32 { "7" }\n');
    const failed = await place.build(dir, { wrapper });
    expect([failed.status, failed.stderr.includes('mismatched types')]).toEqual([101, true]);
    const nothing = place.lab.run([wrapper, '/gone/rustc', '--out-dir', '/tmp']);
    expect([nothing.status, nothing.stderr.startsWith('kache: cannot run /gone/rustc')]).toEqual([127, true]);
  },
  120_000,
);

onLinux(
  'a dependent starts while its dependency is compiled, and the jobserver reaches rustc',
  async () => {
    place.startDaemon();
    const heavy = Array.from(
      { length: 300 },
      (_, n) =>
        `pub fn f${n}(v: &[u64]) -> Vec<String> { v.iter().map(|x| format!("{x} {}", ${n})).collect() }`,
    );
    const dir = place.checkout();
    writeFileSync(join(dir, 'gate/src/lib.rs'), `pub fn doubled() -> u32 { 14 }\n${heavy.join('\n')}\n`);
    writeFileSync(
      join(dir, 'src/lib.rs'),
      "pub mod inner;\npub use gate::*;\npub fn text() -> &'static str { mac::word!() }\n",
    );
    const args = ['build', '--release', '--offline', '-j2'];
    const built = await place.build(dir, { args });
    expect([built.status, built.stderr.includes('jobserver')]).toEqual([0, false]);
    const [gate, small] = ['gate', 'small'].map((name) =>
      built.events.find(({ crate_name, crate_types }) => crate_name === name && crate_types === 'lib'),
    );
    expect([gate?.result, small?.result]).toEqual(['miss', 'miss']);
    expect((small?.ts ?? 0) - (small?.elapsed_ms ?? 0)).toBeLessThan(gate?.ts ?? 0);
  },
  120_000,
);

onLinux(
  'another kache in the place of the one that answers: it makes way for it',
  async () => {
    const bin = place.lab.path('replaced');
    mkdirSync(bin);
    const kache = join(bin, 'kache');
    const put = (): void => {
      Bun.spawnSync(['cp', '--reflink=auto', KACHE, `${kache}.new`]);
      renameSync(`${kache}.new`, kache);
    };
    put();
    const wrapper = compileLauncher(bin, { kache, socket: place.socket });
    expect(place.lab.run([kache, 'daemon', 'start']).status).toBe(0);
    const pid = place.daemon()?.pid ?? 0;
    await place.buildAnew({ wrapper });
    expect(place.daemon()).toMatchObject({ pid, hits: UNITS });
    put();
    await place.buildAnew({ wrapper });
    await place.otherThan(pid);
    await place.buildAnew({ wrapper });
    expect(place.daemon()?.hits).toBeGreaterThanOrEqual(UNITS);
    expect(place.lab.run([kache, 'daemon', 'stop']).status).toBe(0);
  },
  240_000,
);
