// Behind the launcher, when something goes wrong while it runs the compiler of a miss: the daemon dies, stops, lies or
// hears late; the launcher dies; entries go. The build goes on right, and nothing wrong is stored or remembered.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { filesBelow, inspectStore } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { asidesIn, LaunchLab, PROGRAM_SAYS, results, UNITS } from '../support/launch-lab.ts';
import { Mount } from '../support/mounts.ts';
import { FakeDaemon, fieldsOf, framed, type Passing, Relay } from '../support/relay.ts';
import { notRun } from '../support/required.ts';
import { libraryArguments, until } from '../support/wrapper-call.ts';

let place: LaunchLab;
beforeAll(async () => {
  if (process.platform !== 'linux') return;
  place = new LaunchLab();
}, 120_000);
afterAll(() => place?.[Symbol.dispose](), 60_000);
const quiet = (): void => {
  place?.endDaemon();
  if (place === undefined) return;
  for (const path of [place.socket, join(dirname(place.socket), 'starting')]) rmSync(path, { force: true });
};
beforeEach(quiet);
afterEach(quiet);

const onLinux = test.if(process.platform === 'linux');
if (process.platform !== 'linux')
  notRun('faults of compiles behind the launcher', 'it is there for Linux only');

let kinds = 0;
/** Flags nobody has compiled with: every compile is a miss. */
const newFlags = (): { RUSTFLAGS: string } => ({ RUSTFLAGS: `--cfg kind_${kinds++}` });
const isStored = ({ events }: { events: Parameters<typeof results>[0] }): number =>
  results(events).filter((line) => /(miss|dup)$/.test(line)).length;

/** A real daemon behind a relay at the socket of launchers. */
let daemon = 0;
function relayed(pass: (passing: Passing) => Promise<Buffer | undefined> | Buffer | undefined): Relay {
  const socket = place.lab.path('relayed/socket');
  daemon = place.startDaemon({ KACHE_SOCKET_PATH: socket });
  return new Relay({ socket: place.socket, real: `${socket}-hits` }, pass);
}

/** What passes between the launcher that compiles `crate` and the daemon. */
function ofCrate(
  crate: string,
  pass: (passing: Passing, verb: string) => Promise<Buffer | undefined> | Buffer | undefined,
): Parameters<typeof relayed>[0] {
  let connection = 0;
  return (passing) => {
    const { from, nth, frame } = passing;
    const fields = fieldsOf(frame);
    if (from === 'launcher' && nth === 1 && fields[fields.indexOf('--crate-name') + 1] === crate)
      connection = passing.connection;
    return passing.connection === connection ? pass(passing, fields[0] ?? '') : frame;
  };
}

type Moment = (passing: Passing, verb: string) => boolean;
const MOMENTS: Readonly<Record<string, Moment>> = {
  'when it was asked': ({ from, nth }) => from === 'launcher' && nth === 1,
  'when it has answered': ({ from, nth }) => from === 'daemon' && nth === 1,
  'when the launcher is ready': (_, verb) => verb === 'ready',
  'when it has said to start': ({ from }, verb) => from === 'daemon' && verb === 'start',
  'when it is told the first line': ({ from, nth }) => from === 'launcher' && nth === 3,
  'when it has answered the first line': ({ from, nth }) => from === 'daemon' && nth === 3,
  'when it is told the second line': ({ from, nth }) => from === 'launcher' && nth === 4,
  'when it is told the end': (_, verb) => verb === 'ended',
  'when it has stored': ({ from }, verb) => from === 'daemon' && verb === 'done',
};

const DEEDS: Readonly<Record<string, (passing: Passing) => Buffer | undefined>> = {
  'is killed': ({ frame }) => {
    process.kill(daemon, 'SIGKILL');
    return frame;
  },
  'keeps silent': () => undefined,
  'says what nobody says': ({ from }) =>
    from === 'daemon' ? Buffer.from('never\0heard\0of') : Buffer.from('none'),
};

for (const [deed, act] of Object.entries(DEEDS))
  onLinux(
    `a daemon that ${deed}, at each moment of a compile`,
    async () => {
      for (const [moment, isThen] of Object.entries(MOMENTS)) {
        // A minute is waited for what is to be stored.
        if (
          deed === 'keeps silent' &&
          (moment === 'when it is told the end' || moment === 'when it has stored')
        )
          continue;
        // What is said in place of a line is printed.
        if (deed.startsWith('says') && moment.includes('line')) continue;
        quiet();
        const env = newFlags();
        const dir = place.checkout();
        let isDone = false;
        {
          using _relay = relayed(
            ofCrate('part', (passing, verb) => {
              if (!isThen(passing, verb)) return passing.frame;
              isDone = true;
              return act(passing);
            }),
          );
          const built = await place.build(dir, { env });
          expect([moment, isDone, built.status]).toEqual([moment, true, 0]);
          await place.expectRight(dir, built, { env });
        }
        quiet();
        const again = await place.buildAnew({ env, wrapper: KACHE });
        expect([moment, isStored(again) <= UNITS]).toEqual([moment, true]);
      }
    },
    400_000,
  );

onLinux(
  'a launcher that is killed at each moment of a compile',
  async () => {
    for (const [moment, isThen] of Object.entries(MOMENTS)) {
      quiet();
      const env = newFlags();
      const dir = place.checkout();
      let isDone = false;
      {
        using _relay = relayed(
          ofCrate('part', (passing, verb) => {
            if (isThen(passing, verb) && !isDone) process.kill(passing.pid, 'SIGKILL');
            isDone ||= isThen(passing, verb);
            return passing.frame;
          }),
        );
        const failed = await place.build(dir, { env });
        expect([moment, failed.status, failed.stderr.includes('signal: 9')]).toEqual([moment, 101, true]);
        const built = await place.build(dir, { env });
        expect([moment, built.status]).toEqual([moment, 0]);
        await place.expectDone(dir, { env });
        expect(Object.keys(heldBy(daemon))).toEqual([]);
      }
      const again = await place.buildAnew({ env });
      expect([moment, again.status]).toEqual([moment, 0]);
    }
  },
  400_000,
);

/** Descriptors of a process that belong to a call. */
const heldBy = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    const to = Bun.spawnSync(['readlink', `/proc/${pid}/fd/${fd}`])
      .stdout.toString()
      .trim();
    return to.includes('inotify') || to.includes('/locks/') || to.includes('/store/tmp/') ? [to] : [];
  });

for (const [moment, isThen] of Object.entries(MOMENTS))
  onLinux(
    `a daemon that stops ${moment}: nobody waits for it, and what it does when it wakes hurts nobody`,
    async () => {
      if (moment === 'when it is told the end') return;
      const env = newFlags();
      const [dir, other] = [place.checkout(), place.checkout()];
      using _relay = relayed(
        ofCrate('part', (passing, verb) => {
          if (isThen(passing, verb)) process.kill(daemon, 'SIGSTOP');
          return passing.frame;
        }),
      );
      const from = Date.now();
      const built = await place.build(dir, { env });
      const direct = await place.build(other, { env, wrapper: KACHE });
      expect(Date.now() - from).toBeLessThan(40_000);
      process.kill(daemon, 'SIGCONT');
      await until(
        'it lives',
        () => place.daemon({ KACHE_SOCKET_PATH: place.lab.path('relayed/socket') }) !== undefined,
      );
      await place.expectRight(dir, built, { env });
      await place.expectRight(other, direct, { env });
      expect(heldBy(daemon)).toEqual([]);
    },
    100_000,
  );

for (const verb of ['line', 'ended'])
  onLinux(
    `a daemon that hears of a ${verb} when others have put outputs there remembers nothing of them`,
    async () => {
      const late = Promise.withResolvers<void>();
      let [isHeld, isHeard] = [false, false];
      using _relay = relayed(
        ofCrate('held', async ({ from, frame, pid }, said) => {
          if (from === 'daemon' && isHeld) isHeard = true;
          const isIt = said === verb && (verb === 'ended' || frame.includes('"emit":"metadata"'));
          if (from === 'launcher' && isIt && !isHeld) {
            isHeld = true;
            process.kill(pid, 'SIGKILL');
            await late.promise;
          }
          return frame;
        }),
      );
      const dir = place.lab.write(`held-${kinds++}`, {
        'src/lib.rs': `pub use dep as kind_${kinds};\n`,
        'dep.rs': '',
        'target/debug/deps/.keep': '',
      });
      const rustc = `${place.lab.run(['rustc', '--print', 'sysroot']).stdout.trim()}/bin/rustc`;
      const env = { CARGO_MANIFEST_DIR: dir, CARGO_PKG_NAME: 'held', CARGO_PKG_VERSION: '1.0.0' };
      const run = (argv: string[]) =>
        Bun.spawn(argv, { cwd: dir, env: place.lab.env(env), stdio: ['ignore', 'ignore', 'ignore'] }).exited;
      expect(
        await run([
          KACHE,
          rustc,
          '--crate-name',
          'dep',
          '--crate-type',
          'lib',
          '--emit=dep-info,link',
          '--out-dir',
          dir,
          'dep.rs',
        ]),
      ).toBe(0);
      const call = [...libraryArguments({ dir, compiler: rustc }), '--error-format=json', '--json=artifacts'];
      const outDir = join(dir, 'target/debug/deps');
      expect(await run([place.lab.launcher(), ...call, '--extern', `dep=${dir}/libdep.rlib`])).toBe(137);
      expect(isHeld).toBe(true);
      // Another compile under the same names, without the extern.
      await until('its compiler has ended', () => Bun.spawnSync(['pgrep', '-f', outDir]).exitCode !== 0);
      writeFileSync(join(dir, 'src/lib.rs'), `pub fn kind_${kinds}() {}\n`);
      for (const name of readdirSync(outDir)) rmSync(join(outDir, name), { recursive: true });
      expect(await run([KACHE, ...call])).toBe(0);
      const records = recordsOf(dir);
      expect(records).toContain('"externs":[]');
      late.resolve();
      await until('the daemon has heard it', () => isHeard);
      place.daemon({ KACHE_SOCKET_PATH: place.lab.path('relayed/socket') });
      expect(recordsOf(dir)).toBe(records);
    },
    60_000,
  );

/** What is remembered of the outputs of `held` in a folder. */
const recordsOf = (dir: string): string =>
  filesBelow(join(place.store, 'hashes'))
    .map(({ path }) => readFileSync(path, 'utf8'))
    .filter((text) => text.includes(`${dir}/target/debug/deps/libheld`) && text.includes('"files"'))
    .sort()
    .join('\n');

type Answer = ConstructorParameters<typeof FakeDaemon>[1];

const proof = (): string => place.lab.path(`proof-${crypto.randomUUID()}`);
/** A daemon that has compiled as it is told: `start` is what it says to who is ready. */
const compiling = (
  start: (call: string[]) => readonly string[] | undefined,
  then: Answer = (peer) => void peer.end(),
  lock = '',
): Answer => {
  let call: string[] = [];
  return (peer, frame, nth) => {
    if (nth === 1) {
      const fields = fieldsOf(frame);
      call = fields.slice(6, 6 + Number(fields[5]));
      peer.write(framed(['compile', proof(), lock].join('\0')));
      return;
    }
    const said = nth === 2 ? start(call) : undefined;
    if (nth > 2) then(peer, frame, nth);
    else if (said === undefined) peer.end();
    else peer.write(framed(said.join('\0')));
  };
};
const asTold = (call: string[]): string[] => ['start', `${call.length}`, ...call];
const LIES: Readonly<Record<string, () => Answer>> = {
  'compile, and a proof that cannot be made': () => (peer) => void peer.write(framed('compile\0/proc/no\0')),
  'compile without a lock': () => (peer) => void peer.write(framed(`compile\0${proof()}`)),
  'compile with a lock in no folder': () => compiling(asTold, undefined, '/proc/no/lock'),
  'compile with a folder as lock': () => compiling(asTold, undefined, '/tmp'),
  'compile, and hangs up': () => compiling(() => undefined),
  'compile, and no': () => compiling(() => ['no']),
  'start without anything': () => compiling(() => ['start']),
  'start with no program': () => compiling(() => ['start', '0']),
  'start with a number that is none': () => compiling(() => ['start', 'many', 'rustc']),
  'start of a program that is not there': () => compiling(() => ['start', '1', '/no/such/rustc']),
  'start, and hangs up': () => compiling(asTold),
  'start, and hangs up at the first line': () => compiling(asTold, (peer) => void peer.end()),
  'start, and half a frame to the first line': () =>
    compiling(asTold, (peer) => {
      peer.write(framed('abc').subarray(0, 5));
      peer.end();
    }),
  'start, and a frame of 100 megabytes': () =>
    compiling(asTold, (peer) => {
      peer.write(Buffer.from([0, 0, 0, 6]));
    }),
};

for (const [name, answer] of Object.entries(LIES))
  onLinux(
    `in the daemon's place somebody says ${name}`,
    async () => {
      const lie = answer();
      using fake = new FakeDaemon(place.socket, lie);
      // One after the other: the lie is about one call.
      const env = newFlags();
      const dir = place.checkout();
      const built = await place.build(dir, { env, args: ['build', '--offline', '-j1'] });
      expect(fake.asked).toBeGreaterThan(0);
      expect(built.status).toBe(0);
      expect(Bun.spawnSync([join(dir, 'target/debug/small')]).stdout.toString()).toBe(PROGRAM_SAYS);
      expect(asidesIn(dir)).toEqual([]);
      expect(readdirSync(place.lab.root).filter((file) => file.startsWith('proof-'))).toEqual(
        name.startsWith('start') || name.startsWith('compile, and') ? expect.anything() : [],
      );
      for (const file of readdirSync(place.lab.root))
        if (file.startsWith('proof-')) rmSync(place.lab.path(file));
      expect(existsSync(place.lab.path('none'))).toBe(false);
    },
    60_000,
  );

onLinux(
  'outputs on a full disk; a store on another disk, on a full one, and on one that cannot be written',
  async () => {
    using mount = Mount.make('tmpfs', place.lab.root, 96);
    if (mount === undefined) return notRun('compiles on a full disk', 'no tmpfs can be mounted');
    const filler = join(mount.path, 'filler');
    const fill = () => Bun.spawnSync(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=64k'], { stderr: 'ignore' });
    place.startDaemon();
    const env = newFlags();
    const full = place.lab.copy(place.first, 'tmpfs/full');
    fill();
    expect((await place.build(full, { env })).status).toBe(101);
    expect(asidesIn(full)).toEqual([]);
    rmSync(filler);
    await place.expectRight(full, await place.build(full, { env }), { env });
    rmSync(full, { recursive: true });
    const store = join(mount.path, 'store');
    const there = { KACHE_CACHE_DIR: store };
    await place.buildAnew({ env: { ...newFlags(), ...there }, wrapper: KACHE });
    const before = place.daemon()?.compiles ?? 0;
    const flags = { ...newFlags(), ...there };
    await place.buildAnew({ env: flags });
    expect((place.daemon()?.compiles ?? 0) - before).toBe(UNITS - 1);
    fill();
    await place.buildAnew({ env: { ...newFlags(), ...there } });
    rmSync(filler);
    expect(filesBelow(join(store, 'locks'))).toEqual([]);
    await place.buildAnew({ env: { ...newFlags(), ...there } });
    const remount = (how: string) => Bun.spawnSync(['mount', '-o', `remount,${how}`, mount.path]).exitCode;
    expect(remount('ro')).toBe(0);
    await place.buildAnew({ env: { ...newFlags(), ...there } });
    remount('rw');
    expect(inspectStore(store).wrong).toEqual([]);
    expect(filesBelow(join(store, 'tmp'))).toEqual([]);
  },
  240_000,
);

onLinux(
  'a daemon that ends, or is replaced, while a compile runs',
  async () => {
    for (const how of ['stop', 'SIGTERM'] as const) {
      quiet();
      const env = newFlags();
      let isDone = false;
      const dir = place.checkout();
      using _relay = relayed(
        ofCrate('part', (passing, verb) => {
          if (verb === 'line' && !isDone) {
            isDone = true;
            if (how === 'SIGTERM') process.kill(daemon, 'SIGTERM');
            else
              place.lab.run([KACHE, 'daemon', 'stop'], {
                env: { KACHE_SOCKET_PATH: place.lab.path('relayed/socket') },
              });
          }
          return passing.frame;
        }),
      );
      const built = await place.build(dir, { env });
      expect(isDone).toBe(true);
      await place.expectRight(dir, built, { env });
      await until('it is no more', () => !existsSync(`/proc/${daemon}`));
    }
  },
  60_000,
);

// The last: closures outlive their entries then.
onLinux(
  'entries that are purged while a compile runs',
  async () => {
    for (const verb of ['ready', 'line', 'ended']) {
      quiet();
      const env = newFlags();
      const dir = place.checkout();
      let purged: number | null = null;
      using _relay = relayed(
        ofCrate('gate', (passing, said) => {
          if (said === verb && purged === null) purged = place.lab.run([KACHE, 'purge']).status;
          return passing.frame;
        }),
      );
      const built = await place.build(dir, { env });
      expect([verb, purged as number | null]).toEqual([verb, 0]);
      await place.expectRight(dir, built, { env, evicted: true });
      await place.buildAnew({ env, evicted: true });
      expect(isStored(await place.buildAnew({ env, evicted: true }))).toBe(0);
    }
  },
  120_000,
);
