// Target folders that are filled, and records that are kept, while builds run beside each other, are interrupted, and lose
// their daemon: every build is right, and in the end folders are filled again.
import { afterEach, expect } from 'bun:test';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FreshFaults } from '../support/fresh-faults.ts';
import { linuxOnly, openOnLinux } from '../support/linux.ts';
import { until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 240_000;
const ALL = ['linked', 'mac', 'native-sys', 'scripted', 'top'];

let place: FreshFaults;
const onLinux = linuxOnly(
  'builds beside each other while target folders are filled',
  'they are filled on Linux alone',
);
openOnLinux(FreshFaults, (opened) => {
  place = opened;
});
afterEach(() => {
  place?.clear();
}, 60_000);

/** Waits until a folder is being filled, with so many records there. */
const untilFilling = (dir: string, records: number): Promise<void> =>
  until('it is filled', () => recordsIn(dir) >= records || existsSync(join(dir, 'target/debug/app')));
const recordsIn = (dir: string): number => {
  const folder = join(dir, 'target/debug/.fingerprint');
  return existsSync(folder) ? readdirSync(folder).length : 0;
};

onLinux(
  'builds that start at the same moment in one new folder',
  async () => {
    await place.filled();
    for (const count of [2, 3, 2]) {
      const dir = place.checkout();
      const started = Array.from({ length: count }, () => place.start(dir));
      for (const child of started) {
        const built = await place.ended(child);
        expect([built.status, built.stderr]).toEqual([0, expect.anything()]);
        expect(built.asked).toEqual([]);
      }
      await place.soundly(`${count} builds`, dir);
    }
  },
  TIMEOUT_MS,
);

onLinux(
  'a build that is interrupted while its folder is filled, and begun again at once',
  async () => {
    await place.filled();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const)
      for (const whom of ['the group', 'Cargo'])
        for (const records of [0, 1, 6, 11]) {
          const at = `${signal} to ${whom} at ${records}`;
          const dir = place.checkout();
          const child = place.start(dir);
          await untilFilling(dir, records);
          process.kill(whom === 'Cargo' ? child.pid : -child.pid, signal);
          await child.exited;
          await place.soundly(at, dir);
          rmSync(dir, { recursive: true });
        }
    expect((await place.soundly('afterwards', place.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

/** Where a launcher is stopped: before the locks, with them, before it shows itself, among its units, before its last ones. */
const STOPS = [
  'create 1 stop /.cargo-lock$',
  'lock 1 stop',
  'create 1 stop /store/tmp/',
  'rename 3 stop /target/',
  'create 1 stop /.fingerprint/scripted-[0-9a-f]+/run-[a-z-]+$',
  'link 4 stop /deps/',
];

interface Held {
  readonly dir: string;
  readonly launcher: number;
  readonly daemon: number;
}

/** What happens to a launcher that is stopped. */
const MEANWHILE: Record<string, { does: (held: Held) => void; answered: boolean }> = {
  'it goes on': { does: () => {}, answered: true },
  'it is killed': { does: ({ launcher }) => process.kill(launcher, 'SIGKILL'), answered: true },
  'its folder is removed': {
    does: ({ dir }) => rmSync(join(dir, 'target'), { recursive: true, force: true }),
    answered: true,
  },
  'the daemon is killed': { does: ({ daemon }) => process.kill(daemon, 'SIGKILL'), answered: false },
};

/** A checkout with a lockfile: without one Cargo asks while it holds a lock for which all others wait. */
const locked = (): string =>
  place.checkout({ 'Cargo.lock': readFileSync(join(place.made[0] ?? '', 'Cargo.lock'), 'utf8') });

/** Runs a build whose launcher is stopped while it fills, lets something happen, and has it go on. */
async function held(stop: string, meanwhile: (held: Held) => Promise<void>) {
  const dir = locked();
  place.launcher.fault(stop);
  const child = place.start(dir);
  const launcher = (): number | undefined => place.launcher.stopped(place.store);
  await until('the launcher is stopped', () => launcher() !== undefined);
  place.launcher.fault(undefined);
  const pid = launcher() ?? 0;
  await meanwhile({ dir, launcher: pid, daemon: place.daemon() ?? 0 });
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
  return { dir, built: await place.ended(child) };
}

/** Sockets of a process: a daemon has two to listen at, and one for each that is connected. */
const socketsOf = (pid: number): number =>
  Bun.spawnSync(['find', `/proc/${pid}/fd`, '-lname', 'socket:*'], { stderr: 'ignore' })
    .stdout.toString()
    .split('\n').length - 1;

onLinux(
  'a launcher that is stopped while it fills a folder: others are answered, and whatever happens then is of no consequence',
  async () => {
    await place.filled();
    for (const [what, { does, answered }] of Object.entries(MEANWHILE)) {
      for (const stop of STOPS) {
        const at = `${what} at ${stop}`;
        const daemon = place.daemon();
        const { dir, built } = await held(stop, async (it) => {
          if (what === 'it goes on')
            expect([at, (await place.soundly(`beside: ${at}`, locked())).asked]).toEqual([at, []]);
          does(it);
        });
        if (what === 'it goes on') expect([at, built.asked]).toEqual([at, []]);
        place.expectSound(at, dir, built);
        if (answered) expect([at, place.daemon()]).toEqual([at, daemon]);
        else place.startDaemon();
      }
      const daemon = place.daemon() ?? 0;
      await until(`nobody is connected: ${what}`, () => socketsOf(daemon) === 2);
    }
    expect((await place.soundly('afterwards', place.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'a daemon that is stopped while a folder is filled is waited for some seconds, and then done without',
  async () => {
    await place.filled();
    const daemon = place.daemon() ?? 0;
    const { dir, built } = await held('rename 3 stop /target/', async () => {
      process.kill(daemon, 'SIGSTOP');
    });
    place.expectSound('without an answer', dir, built);
    process.kill(daemon, 'SIGCONT');
    await until('it answers again', () => place.daemon() === daemon);
    await place.filled();
  },
  TIMEOUT_MS,
);

onLinux(
  'a folder whose lock another process holds is not filled, and built when that lets go',
  async () => {
    await place.filled();
    const dir = place.checkout();
    const lock = join(dir, 'target/debug/.cargo-lock');
    mkdirSync(dirname(lock), { recursive: true });
    const holder = Bun.spawn(['flock', lock, 'sh', '-c', 'echo held; read line'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    await holder.stdout.getReader().read();
    const child = place.start(dir);
    await until('Cargo waits', () => existsSync(join(dir, 'Cargo.lock')) && waitersFor(lock) > 0);
    expect(recordsIn(dir)).toBe(0);
    holder.stdin.end();
    await holder.exited;
    place.expectSound('when it is let go', dir, await place.ended(child));
  },
  TIMEOUT_MS,
);

/** Processes that sleep until a file is unlocked. */
const waitersFor = (path: string): number =>
  readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .filter((line) => line.includes('-> FLOCK') && line.includes(`:${lstatSync(path).ino} `)).length;

onLinux(
  'a daemon that is killed or stopped during a build, before it keeps, and while it keeps',
  async () => {
    await place.filled();
    for (const [moment, signal] of [
      ['during', 'SIGKILL'],
      ['during', 'SIGSTOP'],
      ['behind', 'SIGKILL'],
      ['behind', 'SIGTERM'],
    ] as const) {
      const what = `${signal} ${moment} a build`;
      place.forgetPlans();
      const dir = place.checkout();
      const daemon = place.daemon() ?? 0;
      const child = place.start(dir);
      if (moment === 'during') await untilFilling(dir, 4);
      else await child.exited;
      process.kill(daemon, signal);
      place.expectSound(what, dir, await place.ended(child));
      if (signal === 'SIGSTOP') process.kill(daemon, 'SIGCONT');
      await place.kept();
      await place.filled();
    }
    for (const fault of [
      'rename 1 die /hashes/fingerprints/',
      'lock 1 die /target/',
      'open 5 EIO /target/.*/.fingerprint/',
      'create every EACCES /target/debug/.cargo-lock',
    ]) {
      await place.stop();
      place.forgetPlans();
      place.startFaultyDaemon(fault);
      const dir = place.checkout();
      await place.soundly(fault, dir);
      await place.kept();
      expect([fault, place.locked(dir)]).toEqual([fault, []]);
      if (place.daemon() !== undefined) await place.stop();
      await place.filled();
    }
  },
  TIMEOUT_MS,
);

onLinux(
  'a second build in a folder that begins before the records of the first are kept',
  async () => {
    await place.filled();
    place.forgetPlans();
    const dir = place.checkout();
    const first = await place.build(dir);
    expect(first.asked).toEqual(ALL);
    // It holds the locks when the first one would be kept.
    writeFileSync(
      join(dir, 'build.rs'),
      'fn main() { std::thread::sleep(std::time::Duration::from_secs(2)); }',
    );
    expect((await place.build(dir)).asked).toEqual([]);
    await place.kept();
    expect((await place.soundly('kept all the same', place.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'what a script said to a build that nobody saw is not taken for what it said before',
  async () => {
    const hearing = (what: string) => ({ env: { SCRIPT_HEARS: what } });
    for (const word of ['one', 'two']) await place.right(place.checkout(), hearing(word));
    place.forgetPlans();
    const dir = place.checkout();
    expect((await place.build(dir, hearing('one'))).status).toBe(0);
    const daemon = place.daemon() ?? 0;
    process.kill(daemon, 'SIGSTOP');
    rmSync(join(dir, 'target'), { recursive: true });
    const unseen = { env: { RUSTC_WRAPPER: undefined, SCRIPT_HEARS: 'two' } };
    expect((await place.build(dir, unseen)).status).toBe(0);
    process.kill(daemon, 'SIGCONT');
    await place.kept();
    for (const word of ['two', 'one']) await place.right(place.checkout(), hearing(word));
  },
  TIMEOUT_MS,
);
