// Behind the launcher when something goes wrong: the daemon dies, hangs, lies or sees other files; the launcher dies; the
// disk is full; blobs go. The build is right each time, or fails as it would without, and the next one has nothing to do.
import { afterEach, beforeEach, expect } from 'bun:test';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { KACHE } from '../support/lab.ts';
import {
  asidesIn,
  type LaunchLab,
  launcherTests,
  PROGRAM_SAYS,
  results,
  UNITS,
} from '../support/launch-lab.ts';
import { Mount } from '../support/mounts.ts';
import { FakeDaemon, fieldsOf, framed, type Passing, Relay } from '../support/relay.ts';
import { notRun } from '../support/required.ts';
import { moved, recordCalls } from '../support/rustc-calls.ts';
import { OTHER_USER } from '../support/users.ts';
import { until } from '../support/wrapper-call.ts';

let place: LaunchLab;
const onLinux = launcherTests('faults behind the launcher', (lab) => {
  place = lab;
});
/** Nor is a start under way that the next one would wait for. */
const quiet = (): void => {
  if (place === undefined) return;
  place.endDaemon();
  for (const path of [place.socket, join(dirname(place.socket), 'starting')]) rmSync(path, { force: true });
};
beforeEach(quiet);
afterEach(quiet);

const allHit = (built: { events: Parameters<typeof results>[0] }): boolean =>
  results(built.events).length === UNITS && results(built.events).every((line) => line.endsWith('local_hit'));

onLinux(
  'a daemon that was killed has left its socket: kache takes over, and starts another',
  async () => {
    const pid = place.startDaemon();
    process.kill(pid, 'SIGKILL');
    expect(existsSync(place.socket)).toBe(true);
    expect(allHit(await place.buildAnew())).toBe(true);
    await place.otherThan(pid);
    const before = place.daemon()?.hits ?? 0;
    await place.buildAnew();
    expect(place.daemon()?.hits).toBe(before + UNITS);
  },
  120_000,
);

onLinux(
  'a daemon that is killed in the middle of a build',
  async () => {
    const pid = place.startDaemon();
    const gate = place.gate();
    const dir = place.checkout();
    const pending = place.build(dir, { env: gate.env });
    await until('the build waits', gate.reached);
    expect(place.daemon()?.hits).toBeGreaterThan(0);
    process.kill(pid, 'SIGKILL');
    gate.open();
    const built = await pending;
    expect(allHit(built)).toBe(true);
    await place.expectRight(dir, built, { env: gate.env });
    await place.otherThan(pid);
  },
  120_000,
);

onLinux(
  'a daemon that hangs is waited for once, and answers again when it wakes',
  async () => {
    const pid = place.startDaemon();
    process.kill(pid, 'SIGSTOP');
    const dir = place.checkout();
    const built = place.build(dir);
    await until('the socket is taken away', () => !existsSync(place.socket));
    process.kill(pid, 'SIGCONT');
    await place.expectRight(dir, await built);
    await until('the socket is back', () => existsSync(place.socket));
    const before = place.daemon();
    expect(before?.pid).toBe(pid);
    await place.buildAnew();
    expect(place.daemon()?.hits).toBe((before?.hits ?? 0) + UNITS);
  },
  120_000,
);

onLinux(
  'of the calls of a build one waits for who never answers',
  async () => {
    using silent = new FakeDaemon(place.socket, () => {});
    const built = await place.buildAnew({ args: ['build', '--offline', '-j1'] });
    expect([silent.asked, allHit(built)]).toEqual([1, true]);
  },
  120_000,
);

type Answer = ConstructorParameters<typeof FakeDaemon>[1];
type Peer = Parameters<Answer>[0];

/** The folder of outputs a call names. */
const outDirOf = (call: Buffer): string => {
  const fields = fieldsOf(call);
  return fields[fields.indexOf('--out-dir') + 1] ?? '';
};

/** A name nobody has, for the file by which a launcher shows that it can write to the store. */
const newProof = (): string => place.lab.path(`proof-${crypto.randomUUID()}`);

/** Sends a plan for one file in the folder of outputs, and answers what comes then. */
const planning =
  (
    kind: (outDir: string) => readonly string[],
    after: (peer: Peer) => void = () => {},
    proof: () => string = newProof,
  ): Answer =>
  (peer, frame, nth) => {
    if (nth > 1) after(peer);
    else peer.write(framed(['place', proof(), ...kind(outDirOf(frame))].join('\0')));
  };

const text = (outDir: string): string[] => ['text', 'a', `${outDir}/.kache/0-a`, `${outDir}/a`];
const blob = (source: string, size: number, outDir: string): string[] => [
  ...['blob', source, `${size}`, 'c', '644'],
  ...[`${outDir}/.kache/0-b`, `${outDir}/b`],
];
const says =
  (bytes: Uint8Array | string): Answer =>
  (peer) => {
    peer.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  };

const LIES: Readonly<Record<string, Answer>> = {
  'another protocol': says('HTTP/1.1 400 Bad Request\r\n\r\n'),
  'nothing, and hangs up': (peer) => peer.end(),
  'half a frame': (peer) => {
    peer.write(framed('place').subarray(0, 6));
    peer.end();
  },
  'an empty frame': says(framed('')),
  'an unknown word': says(framed('go\0on')),
  'bytes that are no text': says(framed(Buffer.from([0xff, 0, 0xfe]))),
  'an unknown kind of file': planning((dir) => ['link', 'a', `${dir}/.kache/0-a`, `${dir}/a`]),
  'a plan that ends early': planning(() => ['blob', '/etc/passwd']),
  'a size that is no number': planning((dir) => [...text(dir), ...blob('/etc/passwd', Number.NaN, dir)]),
  'a size that is wrong': planning((dir) => [...text(dir), ...blob(KACHE, 12, dir)]),
  'a blob that is gone': planning((dir) => [...text(dir), ...blob('/gone/blob', 12, dir)]),
  'a folder as a blob': planning((dir) => [...text(dir), ...blob('/etc', 12, dir)]),
  'a name that is taken': planning((dir) => [...text(dir), 'text', 'b', `${dir}/.kache/0-b`, dir]),
  'a place that cannot be': planning((dir) => [...text(dir), 'text', 'b', '/proc/no/place', '/proc/no/b']),
  'one name for two files': planning((dir) => [...text(dir), ...text(dir)]),
  'a plan, and a proof that cannot be made': planning(
    text,
    (peer) => void peer.write(framed('done\0\0')),
    () => '/proc/no/proof',
  ),
  'a plan, and hangs up': planning(text, (peer) => peer.end()),
  'a plan, and then no': planning(text, (peer) => void peer.write(framed('no'))),
  'a plan, and an end without output': planning(text, (peer) => void peer.write(framed('done\0only one'))),
};

for (const [name, answer] of Object.entries(LIES))
  onLinux(
    `in the daemon's place somebody says ${name}`,
    async () => {
      using fake = new FakeDaemon(place.socket, answer);
      expect(allHit(await place.buildAnew())).toBe(true);
      expect(fake.asked).toBeGreaterThan(0);
    },
    60_000,
  );

/** A real daemon behind a relay at the socket of launchers. */
function relayed(pass: (passing: Passing) => Promise<Buffer | undefined> | Buffer | undefined): Relay {
  const socket = place.lab.path('relayed/socket');
  place.startDaemon({ KACHE_SOCKET_PATH: socket });
  return new Relay({ socket: place.socket, real: `${socket}-hits` }, pass);
}

/** Waits for a reader of a FIFO and returns the end that keeps it reading. */
async function reader(fifo: string): Promise<number> {
  let end: number | undefined;
  await until('somebody reads', () => {
    try {
      end = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENXIO')) throw error;
    }
    return end !== undefined;
  });
  return end ?? -1;
}

/** Puts a file into a plan that takes for ever, and kills the launcher when it is there. */
function holding(at: 'first' | 'last') {
  let outDir = '';
  return async ({ from, nth, frame, pid }: Passing): Promise<Buffer | undefined> => {
    if (from === 'launcher' && nth === 1) outDir = outDirOf(frame);
    if (from === 'launcher' || nth !== 1) return frame;
    const fifo = place.lab.path('fifo');
    if (!existsSync(fifo)) Bun.spawnSync(['mkfifo', fifo]);
    const [word = '', proof = '', ...files] = fieldsOf(frame);
    const held = ['blob', fifo, '0', 'c', '644', `${outDir}/.kache/${pid}-held`, `${outDir}/held`];
    void reader(fifo).then((end) => {
      process.kill(pid, 'SIGKILL');
      closeSync(end);
    });
    const all = at === 'first' ? [...held, ...files] : [...files, ...held];
    return Buffer.from([word, proof, ...all].join('\0'));
  };
}

/** Kills the launcher when a certain frame has come from a side, and keeps the frame. */
const killedAt =
  (side: Passing['from'], number: number) =>
  ({ from, nth, frame, pid }: Passing): Buffer | undefined => {
    if (from !== side || nth !== number) return frame;
    process.kill(pid, 'SIGKILL');
    return undefined;
  };

const MOMENTS: Readonly<Record<string, () => Parameters<typeof relayed>[0]>> = {
  'when it has asked': () => killedAt('launcher', 1),
  'before it knows the plan': () => killedAt('daemon', 1),
  'while it makes the first file': () => holding('first'),
  'while it makes the last file': () => holding('last'),
  'when all is in place and not settled': () => killedAt('launcher', 2),
  'when all is settled and not printed': () => killedAt('daemon', 2),
};

for (const [name, kill] of Object.entries(MOMENTS))
  onLinux(
    `a launcher that is killed ${name}`,
    async () => {
      for (const call of [1, 3, UNITS]) {
        quiet();
        const dir = place.checkout();
        const doomed = kill();
        {
          using _relay = relayed((passing) =>
            passing.connection === call ? doomed(passing) : passing.frame,
          );
          const failed = await place.build(dir);
          expect([call, failed.status, failed.stderr.includes('signal: 9')]).toEqual([call, 101, true]);
        }
        quiet();
        const built = await place.build(dir);
        expect([call, built.status]).toEqual([call, 0]);
        if (asidesIn(dir).length > 0) {
          // What it has left goes with the next compile in that folder.
          rmSync(join(dir, 'target/debug/.fingerprint'), { recursive: true });
          expect((await place.build(dir, { env: { KACHE_VERIFY_RESTORES: 'always' } })).status).toBe(0);
        }
        await place.expectRight(dir, built);
      }
    },
    120_000,
  );

onLinux(
  'blobs that are evicted between the plan and the placing',
  async () => {
    for (const call of [1, 4]) {
      quiet();
      const dir = place.checkout();
      let purged: number | null = null;
      using _relay = relayed(({ from, nth, frame, connection }) => {
        if (connection === call && from === 'daemon' && nth === 1)
          purged = place.lab.run([KACHE, 'purge']).status;
        return frame;
      });
      // One after the other: a call beside it may have its files already.
      const built = await place.build(dir, { args: ['build', '--offline', '-j1'] });
      expect(purged as number | null).toBe(0);
      expect(built.events.filter(({ result }) => result === 'miss').length).toBeGreaterThan(UNITS - call);
      await place.expectRight(dir, built, { evicted: true });
    }
    quiet();
    // Everything is in the store again.
    await place.buildAnew({ evicted: true });
    expect(allHit(await place.buildAnew({ evicted: true }))).toBe(true);
  },
  120_000,
);

onLinux(
  'a daemon that learns late what was placed knows nothing of what is there by then',
  async () => {
    const late = Promise.withResolvers<void>();
    let [part, isHeld, answer] = [0, false, ''];
    using _relay = relayed(async ({ from, nth, frame, connection }) => {
      if (nth === 1 && from === 'launcher' && fieldsOf(frame).includes('part')) part = connection;
      if (connection !== part || nth !== 2) return frame;
      if (from === 'daemon') answer = fieldsOf(frame)[0] ?? '';
      else {
        isHeld = true;
        await late.promise;
      }
      return frame;
    });
    const dir = place.checkout();
    // The launcher waits in vain, and kache restores the same once more.
    expect((await place.build(dir, { args: ['build', '--offline', '-j1'] })).status).toBe(0);
    expect(isHeld).toBe(true);
    const edited = 'pub fn number() -> u32 { let unused = 2; 8 }\n';
    writeFileSync(join(dir, 'part/src/lib.rs'), edited);
    appendFileSync(join(dir, 'gate/build.rs'), '// Runs once more.\n');
    const gate = place.gate();
    const before = place.lab.events().length;
    const pending = place.build(dir, { wrapper: KACHE, env: gate.env });
    const isCompiled = () =>
      results(place.lab.events().slice(before)).some((line) => line.startsWith('part lib'));
    await until('the edited crate is there, and its dependent waits', () => gate.reached() && isCompiled());
    late.resolve();
    await until('the daemon has heard it', () => answer !== '');
    gate.open();
    expect((await pending).status).toBe(0);
    expect(Bun.spawnSync([join(dir, 'target/debug/small')]).stdout.toString()).toBe('word 16 included\n');
  },
  120_000,
);

const isRoot = process.getuid?.() === 0;

onLinux(
  'another mount namespace: there are other files, and the daemon does not answer',
  async () => {
    if (!isRoot || Bun.which('unshare') === null)
      return notRun('a build in another mount namespace', 'it takes root and unshare');
    place.startDaemon();
    const dir = place.checkout();
    const other = join(place.lab.write('other', { 'text.txt': 'from the other namespace' }), 'text.txt');
    const mount = `mount --bind ${other} ${dir}/src/text.txt && exec "$@"`;
    const through = ['unshare', '-m', '--propagation', 'private', 'sh', '-c', mount, 'sh'];
    const built = await place.build(dir, { through });
    expect([built.status, place.daemon()?.hits]).toEqual([0, 0]);
    expect(Bun.spawnSync([join(dir, 'target/debug/small')]).stdout.toString()).toBe(
      PROGRAM_SAYS.replace('included', 'from the other namespace'),
    );
    const again = await place.build(dir, { through, args: ['build', '--offline', '-v'] });
    expect(again.stderr).not.toContain('Compiling');
    await place.buildAnew();
    expect(place.daemon()?.hits).toBe(UNITS);
  },
  120_000,
);

onLinux(
  'a folder of the socket in which others may write, or that is theirs: nobody there is asked',
  async () => {
    const folder = dirname(place.socket);
    place.startDaemon();
    for (const mode of [0o777, 0o720, 0o702]) {
      chmodSync(folder, mode);
      expect(allHit(await place.buildAnew())).toBe(true);
      chmodSync(folder, 0o700);
      expect([mode, place.daemon()?.hits]).toEqual([mode, 0]);
    }
    await place.buildAnew();
    expect(place.daemon()?.hits).toBe(UNITS);
    if (!isRoot) return notRun('a folder of the socket that is somebody else’s', 'it takes root');
    const { uid, gid } = statSync(folder);
    chownSync(folder, OTHER_USER, OTHER_USER);
    expect(allHit(await place.buildAnew())).toBe(true);
    chownSync(folder, uid, gid);
    expect(place.daemon()?.hits).toBe(UNITS);
  },
  120_000,
);

onLinux(
  'outputs on another disk, and on a full one',
  async () => {
    using mount = Mount.make('tmpfs', place.lab.root, 64);
    if (mount === undefined) return notRun('outputs on a full disk', 'no tmpfs can be mounted');
    place.startDaemon();
    const elsewhere = place.lab.copy(place.first, 'tmpfs/here');
    const built = await place.build(elsewhere);
    expect(place.daemon()?.hits).toBe(UNITS);
    await place.expectRight(elsewhere, built);
    rmSync(elsewhere, { recursive: true });
    const full = place.lab.copy(place.first, 'tmpfs/full');
    const filler = join(mount.path, 'filler');
    Bun.spawnSync(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=1M', 'count=62'], { stderr: 'ignore' });
    const failed = await place.build(full);
    // By whom it is said depends on who is the first to find no room: rustc, the linker, Cargo.
    expect(failed.status).toBe(101);
    expect(asidesIn(full)).toEqual([]);
    rmSync(filler);
    await place.expectRight(full, await place.build(full));
  },
  120_000,
);

onLinux(
  'no one to print for: the status is that of kache',
  () => {
    const recorded = place.checkout();
    const call = recordCalls(place.lab, recorded, []).find(({ crateName }) => crateName === 'part');
    if (call === undefined) throw new Error('cargo did not compile part');
    place.startDaemon();
    const hits = (): number => place.daemon()?.hits ?? 0;
    const outcome = (front: string, redirections: string): unknown[] => {
      const dir = place.checkout();
      const { argv, env, cwd, outDir } = moved(call, recorded, dir);
      const script = `mkdir -p ${outDir} && exec "$0" "$@" ${redirections}`;
      const done = Bun.spawnSync(['bash', '-c', script, front, ...argv], {
        cwd,
        env: { ...env, KACHE_CACHE_DIR: place.store },
        stdin: 'ignore',
      });
      const made = readdirSync(outDir, { withFileTypes: true }).flatMap((one) =>
        one.isFile() ? one.name : [],
      );
      return [
        done.exitCode,
        done.stdout.toString(),
        done.stderr.toString().replaceAll(dir, ''),
        made.sort(),
        asidesIn(dir),
      ];
    };
    // The recorded call is not quite the one of the builds above.
    outcome(KACHE, '');
    const before = hits();
    for (const redirections of ['', '>&-', '2>&-', '>&- 2>&-', '2>/dev/full', '>/dev/full', '<&- >&- 2>&-'])
      expect([redirections, ...outcome(place.lab.launcher(), redirections)]).toEqual([
        redirections,
        ...outcome(KACHE, redirections),
      ]);
    expect(hits() - before).toBe(7);
  },
  120_000,
);
