// A remote that is broken in every way, and a daemon that is: the build goes on, hardly later, with nothing wrong in it.
import { expect, test } from 'bun:test';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PROTOCOL_VERSION, placeId } from '../../src/daemon/protocol.ts';
import { REMOTE_VERSION } from '../../src/remote/names.ts';
import { type Fault, FaultServer } from '../support/fault-server.ts';
import { type Env, KACHE } from '../support/lab.ts';
import { Machine, outcomes } from '../support/machine.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import { remoteIn, remoteVariables } from '../support/s3-servers.ts';

const MINUTES = 60_000;

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

const NAMES = ['one', 'two', 'three'];

/** Three libraries and a program that says what is in them. */
const FILES = {
  'Cargo.toml': '[workspace]\nmembers = ["app", "one", "two", "three"]\nresolver = "2"\n',
  ...Object.fromEntries(
    NAMES.flatMap((name) => [
      [`${name}/Cargo.toml`, manifest(name)],
      [`${name}/src/lib.rs`, `pub fn name() -> &'static str { "${name}" }\n`],
    ]),
  ),
  'app/Cargo.toml': manifest(
    'app',
    `[dependencies]\n${NAMES.map((name) => `${name} = { path = "../${name}" }\n`).join('')}`,
  ),
  'app/src/main.rs': 'fn main() { println!("{} {} {}", one::name(), two::name(), three::name()); }\n',
};

const shown = (dir: string): string =>
  Bun.spawnSync([join(dir, 'target/debug/app')])
    .stdout.toString()
    .trim();
const results = (events: Parameters<typeof outcomes>[0]): string[] =>
  [...outcomes(events)]
    .filter(([name]) => NAMES.some((own) => name.startsWith(`${own} `)))
    .map(([, result]) => result);

/** Milliseconds compiles waited for the remote. */
const waitedMs = (events: Parameters<typeof outcomes>[0]): number =>
  events.reduce((sum, { phases }) => sum + (phases?.remote ?? 0), 0);

/** The written budget: three seconds for one key, ten in vain within five minutes, one for a daemon that starts. */
const BUDGET_MS = 14_000;

/** A server that has what one machine uploaded. */
async function filled(server: FaultServer): Promise<void> {
  await using machine = new Machine(remoteVariables(server.endpoint));
  const dir = machine.lab.write('a', FILES);
  expect(await machine.cargo(dir, ['build', '--offline'])).toMatchObject({ status: 0 });
  await machine.settled();
  expect([...server.objects.keys()].filter((name) => name.includes('/entries/')).length).toBe(NAMES.length);
}

const always =
  (fault: Fault): FaultServer['fault'] =>
  () =>
    fault;
const onEntries =
  (fault: Fault): FaultServer['fault'] =>
  (method, path) =>
    method === 'GET' && path.includes('/entries/') ? fault : { kind: 'none' };
const status = (code: number, error?: string, headers?: Record<string, string>): Fault => ({
  kind: 'status',
  status: code,
  ...(error === undefined ? {} : { code: error }),
  ...(headers === undefined ? {} : { headers }),
});

const FAULTS: readonly (readonly [string, FaultServer['fault']])[] = [
  ['404 for everything', always(status(404, 'NoSuchKey'))],
  ['403', always(status(403, 'AccessDenied'))],
  ['429 with Retry-After', always(status(429, 'TooMany', { 'retry-after': '30' }))],
  ['500', always(status(500, 'InternalError'))],
  ['503', always(status(503))],
  ['a redirect', always(status(307, undefined, { location: 'http://127.0.0.1:1/' }))],
  ['expired credentials', always(status(400, 'ExpiredToken'))],
  ['a clock that is off', always(status(403, 'RequestTimeTooSkewed'))],
  ['no answer at all', always({ kind: 'silent' })],
  ['an entry that breaks off', onEntries({ kind: 'cut' })],
  ['an entry that stands still', onEntries({ kind: 'stalls' })],
  ['an entry that drips', onEntries({ kind: 'drips', everyMs: 200 })],
  ['an entry without end', onEntries({ kind: 'endless' })],
  ['an entry with changed bytes', onEntries({ kind: 'garbled' })],
  ['another entry', onEntries({ kind: 'another' })],
];

test(
  'every fault of a remote costs a wait within the budget, and nothing else',
  async () => {
    using server = new FaultServer();
    await filled(server);
    for (const [name, fault] of FAULTS) {
      server.fault = fault;
      await using machine = new Machine({ ...remoteVariables(server.endpoint), KACHE_REMOTE_READONLY: '1' });
      const dir = machine.lab.write('b', FILES);
      const built = await machine.cargo(dir, ['build', '--offline']);
      expect([name, built.status, shown(dir)]).toEqual([name, 0, 'one two three']);
      expect([name, results(built.events)]).toEqual([name, ['miss', 'miss', 'miss']]);
      expect(waitedMs(built.events)).toBeLessThan(BUDGET_MS);
      // And nothing that was received stayed.
      rmSync(join(dir, 'target'), { recursive: true });
      server.fault = () => ({ kind: 'none' });
      const again = await machine.cargo(dir, ['build', '--offline']);
      expect([name, results(again.events), shown(dir)]).toEqual([
        name,
        ['local_hit', 'local_hit', 'local_hit'],
        'one two three',
      ]);
    }
    server.fault = () => ({ kind: 'none' });
    await using machine = new Machine(remoteVariables(server.endpoint));
    const dir = machine.lab.write('b', FILES);
    const built = await machine.cargo(dir, ['build', '--offline']);
    expect(results(built.events).every((result) => /^(remote|prefetch)_hit$/.test(result))).toBe(true);
  },
  20 * MINUTES,
);

for (const [name, endpoint] of [
  ['nobody listens', 'http://127.0.0.1:9'],
  ['a name nobody knows', 'http://no-such-host.invalid'],
  ['no TLS where TLS is expected', ''],
] as const) {
  test(
    `${name}: the build goes on, and what it made is still queued`,
    async () => {
      const deaf = Bun.listen({
        hostname: '127.0.0.1',
        port: 0,
        socket: { data: (socket) => void socket.end('no') },
      });
      const remote = remoteVariables(endpoint === '' ? `https://127.0.0.1:${deaf.port}` : endpoint);
      await using machine = new Machine(remote);
      const dir = machine.lab.write('b', FILES);
      const built = await machine.cargo(dir, ['build', '--offline']);
      expect([built.status, shown(dir), waitedMs(built.events) < BUDGET_MS]).toEqual([
        0,
        'one two three',
        true,
      ]);
      const pushed = await machine.kache(['sync', '--push']);
      expect([pushed.status, pushed.stderr.includes('Cannot upload to')]).toEqual([1, true]);
      expect((await machine.kache(['sync', '--push', '--allow-partial'])).status).toBe(0);
      const from = performance.now();
      expect((await machine.kache(['daemon', 'stop'])).status).toBe(0);
      expect(performance.now() - from).toBeLessThan(10_000);
      expect(queue(machine, remote)).toBe(NAMES.length);
      deaf.stop(true);
    },
    5 * MINUTES,
  );
}

const queue = (machine: Machine, remote: Env): number => {
  const place = placeId(remoteIn(remote['KACHE_S3_ENDPOINT'] ?? ''));
  const folder = machine.lab.path('store', 'daemon', 'queue', place);
  return existsSync(folder) ? readdirSync(folder).length : 0;
};

test(
  'a daemon that is killed with a full queue loses nothing; the next one uploads it, once',
  async () => {
    using server = new FaultServer();
    server.fault = (method) => (method === 'PUT' ? status(500) : { kind: 'none' });
    const remote = remoteVariables(server.endpoint);
    await using machine = new Machine(remote);
    const dir = machine.lab.write('b', FILES);
    expect(await machine.cargo(dir, ['build', '--offline'])).toMatchObject({ status: 0 });
    expect(queue(machine, remote)).toBe(NAMES.length);
    process.kill((await machine.status()).pid, 'SIGKILL');
    server.fault = () => ({ kind: 'none' });
    server.requests.length = 0;
    expect((await machine.kache(['daemon', 'start'])).status).toBe(0);
    await machine.settled();
    expect(queue(machine, remote)).toBe(0);
    const puts = server.requests.filter((line) => line.startsWith('PUT') && line.includes('/entries/'));
    expect([puts.length, new Set(puts).size]).toEqual([NAMES.length, NAMES.length]);
    // What is there already is not sent again, by whomever it is queued.
    server.requests.length = 0;
    expect((await machine.kache(['sync', '--push', '--all'])).status).toBe(0);
    expect(server.requests.filter((line) => line.startsWith('PUT'))).toEqual([]);
  },
  5 * MINUTES,
);

test(
  'a daemon that hangs costs its wait once a minute; restart ends it',
  async () => {
    using server = new FaultServer();
    await filled(server);
    await using machine = new Machine(remoteVariables(server.endpoint));
    expect((await machine.kache(['daemon', 'start'])).status).toBe(0);
    const { pid } = await machine.status();
    process.kill(pid, 'SIGSTOP');
    const dir = machine.lab.write('b', FILES);
    const built = await machine.cargo(dir, ['build', '--offline', '-j1']);
    expect([built.status, shown(dir), results(built.events)]).toEqual([
      0,
      'one two three',
      ['miss', 'miss', 'miss'],
    ]);
    expect(waitedMs(built.events)).toBeLessThan(4_000);
    expect((await machine.kache(['daemon', 'restart'])).status).toBe(0);
    expect((await machine.status()).pid).not.toBe(pid);
  },
  5 * MINUTES,
);

test(
  'one daemon for a store; a second one says so, and a binary that changes is taken up',
  async () => {
    using server = new FaultServer();
    await using machine = new Machine(remoteVariables(server.endpoint));
    const binary = machine.lab.path('kache');
    copyFileSync(KACHE, binary);
    Bun.spawnSync(['chmod', '755', binary]);
    const run = (args: readonly string[]) => machine.run([binary, ...args]);
    expect((await run(['daemon', 'start'])).status).toBe(0);
    const first = (await machine.status()).pid;
    const second = await run(['daemon', 'run']);
    expect([second.status, second.stderr.includes('another one has this store')]).toEqual([1, true]);
    utimesSync(binary, new Date(), new Date(Date.now() - 60_000));
    const dir = machine.lab.write('b', FILES);
    expect(await machine.cargo(dir, ['build', '--offline'], { RUSTC_WRAPPER: binary })).toMatchObject({
      status: 0,
    });
    // On a busy machine the build may be over before its daemon is up.
    let next = await machine.status();
    for (const untilMs = Date.now() + 60_000; !next.running && Date.now() < untilMs; await Bun.sleep(50))
      next = await machine.status();
    expect([next.running, next.pid === first]).toEqual([true, false]);
  },
  5 * MINUTES,
);

test(
  'a daemon of an older protocol makes way, one of a newer is left alone',
  async () => {
    using server = new FaultServer();
    await filled(server);
    const greetings: string[] = [];
    await using machine = new Machine(remoteVariables(server.endpoint));
    const socket = machine.lab.path('store', 'daemon', 'socket');
    machine.lab.write('store/daemon', { 'not-a-socket': '' });
    const other = Bun.listen({
      unix: socket,
      socket: {
        data: (peer, chunk) => {
          greetings.push(chunk.toString());
          peer.write('refused\n');
        },
      },
    });
    const dir = machine.lab.write('b', FILES);
    const built = await machine.cargo(dir, ['build', '--offline']);
    other.stop(true);
    expect([built.status, results(built.events)]).toEqual([0, ['miss', 'miss', 'miss']]);
    expect(greetings[0]).toStartWith(`kache ${PROTOCOL_VERSION} `);
  },
  5 * MINUTES,
);

test('a socket that somebody else could have made is not used', async () => {
  await using machine = new Machine({ ...remoteVariables('http://127.0.0.1:9') });
  const folder = machine.lab.write('open', { x: '' });
  chmodSync(folder, 0o777);
  const heard: string[] = [];
  const other = Bun.listen({
    unix: join(folder, 'socket'),
    socket: { data: (_, chunk) => void heard.push(chunk.toString()) },
  });
  const env = { KACHE_SOCKET_PATH: join(folder, 'socket') };
  const dir = machine.lab.write('b', FILES);
  expect((await machine.cargo(dir, ['build', '--offline'], env)).status).toBe(0);
  other.stop(true);
  expect(heard).toEqual([]);
  const ran = await machine.kache(['daemon', 'run'], env);
  expect([ran.status, ran.stderr.includes('others can write to its folder')]).toEqual([1, true]);
}, 300_000);

test(
  'a remote that only the variables of a build name works with a daemon that was started without them',
  async () => {
    using server = new FaultServer();
    await filled(server);
    await using machine = new Machine({});
    expect((await machine.kache(['daemon', 'start'])).status).toBe(0);
    const { pid, sessions } = await machine.status();
    expect(sessions).toEqual([]);
    const remote = { ...remoteVariables(server.endpoint), KACHE_REMOTE_READONLY: '1' };
    const dir = machine.lab.write('b', FILES);
    const built = await machine.cargo(dir, ['build', '--offline'], remote);
    expect(results(built.events).every((result) => /^(remote|prefetch)_hit$/.test(result))).toBe(true);
    expect((await machine.status()).pid).toBe(pid);
    // The secret went over the socket and is nowhere on disk.
    const files = readdirSync(machine.lab.store, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    for (const entry of files)
      expect(
        readFileSync(join(entry.parentPath, entry.name)).includes(
          remoteVariables('')['KACHE_S3_SECRET_KEY'] ?? '?',
        ),
      ).toBe(false);
  },
  5 * MINUTES,
);

test(
  'read-only uploads nothing; prefixes for reading and writing are two places',
  async () => {
    using server = new FaultServer();
    const remote = remoteVariables(server.endpoint);
    await using machine = new Machine(remote);
    const dir = machine.lab.write('b', FILES);
    expect(await machine.cargo(dir, ['build', '--offline'], { KACHE_REMOTE_READONLY: '1' })).toMatchObject({
      status: 0,
    });
    const pushed = await machine.kache(['sync', '--push', '--all'], { KACHE_REMOTE_READONLY: '1' });
    expect([pushed.status, pushed.stderr.includes('remote_readonly')]).toEqual([1, true]);
    await machine.kache(['daemon', 'stop']);
    expect(server.requests.filter((line) => !/^(GET|HEAD) /.test(line))).toEqual([]);
    rmSync(join(dir, 'target'), { recursive: true });
    rmSync(machine.lab.store, { recursive: true });
    server.requests.length = 0;
    const split = { KACHE_S3_PREFIX: 'main', KACHE_S3_WRITE_PREFIX: 'pr' };
    expect(await machine.cargo(dir, ['build', '--offline'], split)).toMatchObject({ status: 0 });
    await machine.settled(split);
    const puts = server.requests.filter((line) => line.startsWith('PUT'));
    expect(puts.length).toBeGreaterThan(NAMES.length);
    expect(puts.filter((line) => !line.includes(`/pr/${REMOTE_VERSION}/`))).toEqual([]);
    const looked = server.requests.filter(
      (line) => line.startsWith('GET') && line.includes(`/main/${REMOTE_VERSION}/`),
    );
    expect(looked.length).toBeGreaterThan(0);
  },
  5 * MINUTES,
);

test(
  'a disk that is full during a download: the build goes on, and the store is sound',
  async () => {
    using server = new FaultServer();
    await filled(server);
    await using machine = new Machine({ ...remoteVariables(server.endpoint), KACHE_REMOTE_READONLY: '1' });
    using mount = Mount.make('tmpfs', machine.lab.root, 8);
    if (mount === undefined) return notRun('a full disk during a download', 'no mounts');
    const store = join(mount.path, 'store');
    const env = { KACHE_CACHE_DIR: store };
    expect((await machine.kache(['daemon', 'start'], env)).status).toBe(0);
    const free = 8 * 1024 * 1024 - mount.usedBytes();
    writeFileSync(join(mount.path, 'ballast'), Buffer.alloc(Math.max(0, free - 8 * 1024)));
    const dir = machine.lab.write('b', FILES);
    const built = await machine.cargo(dir, ['build', '--offline'], env);
    expect([built.status, shown(dir)]).toEqual([0, 'one two three']);
    rmSync(join(mount.path, 'ballast'));
    rmSync(join(dir, 'target'), { recursive: true });
    expect([(await machine.cargo(dir, ['build', '--offline'], env)).status, shown(dir)]).toEqual([
      0,
      'one two three',
    ]);
    expect((await machine.kache(['doctor', '--checksums'], env)).stdout).not.toContain('FAIL');
    await machine.kache(['daemon', 'stop'], env);
  },
  5 * MINUTES,
);
