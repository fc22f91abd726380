// What the daemon moved, told by reports after it has gone: bytes and requests are those of its own status, of the
// bucket and of the server.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TransferRecord } from '../../src/core/transfers.ts';
import { REMOTE_VERSION } from '../../src/remote/names.ts';
import { FaultServer } from '../support/fault-server.ts';
import { KACHE } from '../support/lab.ts';
import { Machine, outcomes } from '../support/machine.ts';
import { remoteVariables } from '../support/s3-servers.ts';
import { hasTmux, Tmux } from '../support/tmux.ts';

const MINUTES = 60_000;
let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'kache-transfers-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

const FILES = {
  'Cargo.toml': '[workspace]\nmembers = ["app", "plain", "extra"]\nresolver = "2"\n',
  'plain/Cargo.toml': manifest('plain'),
  'plain/src/lib.rs': 'pub fn plain() -> u32 { 1 }\n',
  'extra/Cargo.toml': manifest('extra'),
  'extra/src/lib.rs': 'pub fn extra() -> u32 { 3 }\n',
  'app/Cargo.toml': manifest('app', '[dependencies]\nplain = { path = "../plain" }\n'),
  'app/src/lib.rs': 'pub fn twice() -> u32 { 2 * plain::plain() }\n',
};

const objects = (dir: string, kind: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.parentPath.includes(`/${REMOTE_VERSION}/${kind}`))
    .map((entry) => join(entry.parentPath, entry.name));

const sizes = (paths: readonly string[]): number => paths.reduce((sum, path) => sum + statSync(path).size, 0);

const lines = (machine: Machine): TransferRecord[] =>
  readFileSync(join(machine.lab.store, 'events', 'transfers'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

async function reported(machine: Machine, cwd?: string) {
  const [report, stats] = await Promise.all([
    machine.kache(['report', '--format', 'json'], {}, cwd),
    machine.kache(['stats', '--json'], {}, cwd),
  ]);
  const { network, prefetch } = JSON.parse(report.stdout);
  expect(JSON.parse(stats.stdout)).toMatchObject({ network, prefetch });
  return { network, prefetch };
}

test(
  'through a folder: what went up, what the prefetch brought, what of it was of no use',
  async () => {
    const remote = join(root, 'folder');
    await using a = new Machine({ KACHE_REMOTE_PATH: remote });
    const inA = a.lab.write('a', FILES);
    expect(await a.cargo(inA, ['build', '--offline'])).toMatchObject({ status: 0 });
    const status = await a.settled();
    await a.kache(['daemon', 'stop']);
    const uploaded = await reported(a, inA);
    const [session] = status.sessions;
    expect(uploaded.network).toMatchObject({
      remote: 'filesystem',
      requests: session?.requests ?? -1,
      uploaded_bytes: session?.uploadedBytes ?? -1,
      errors: 0,
      uploaded_entries: 3,
      downloaded_entries: 0,
      queued: 0,
    });
    expect(uploaded.network.uploaded_bytes).toBeGreaterThan(sizes(objects(remote, 'entries')));
    expect(uploaded.prefetch).toEqual({ requested: 0, fetched: 0, used: 0, wasted: 0, bytes: 0 });
    const puts = lines(a).filter(({ request, what }) => request === 'put' && what === 'entry');
    expect(puts.map(({ bytes }) => bytes).sort()).toEqual(
      objects(remote, 'entries')
        .map((path) => statSync(path).size)
        .sort(),
    );

    await using b = new Machine({ KACHE_REMOTE_PATH: remote });
    const inB = b.lab.write('b', FILES);
    copyFileSync(join(inA, 'Cargo.lock'), join(inB, 'Cargo.lock'));
    // Of the three entries of the list this build has no use for one.
    const built = await b.cargo(inB, ['build', '--offline', '-p', 'app']);
    expect([...outcomes(built.events).values()]).toEqual(['prefetch_hit', 'prefetch_hit']);
    const before = await b.settled();
    await b.kache(['daemon', 'stop']);
    const fetched = await reported(b, inB);
    expect(fetched.prefetch).toEqual({
      requested: 3,
      fetched: 3,
      used: 2,
      wasted: 1,
      bytes: sizes(objects(remote, 'entries')),
    });
    expect(fetched.network).toMatchObject({
      requests: before.sessions[0]?.requests ?? -1,
      downloaded_bytes: before.sessions[0]?.downloadedBytes ?? -1,
      downloaded_entries: 3,
    });
    for (const format of ['text', 'markdown', 'github', 'html'])
      expect((await b.kache(['report', '--format', format], {}, inB)).stdout).toContain(
        '3 prefetched of 3, 1 of them not used yet',
      );
    expect((await b.kache(['stats'], {}, inB)).stdout).toMatch(/daemon +not running/);
    // And by hand.
    await using c = new Machine({ KACHE_REMOTE_PATH: remote });
    const inC = c.lab.write('c', FILES);
    copyFileSync(join(inA, 'Cargo.lock'), join(inC, 'Cargo.lock'));
    expect(await c.kache(['sync', '--pull'], {}, inC)).toMatchObject({ status: 0 });
    expect((await reported(c, inC)).prefetch).toMatchObject({ requested: 3, fetched: 3, used: 0, wasted: 3 });
  },
  5 * MINUTES,
);

test(
  'a server that refuses: failures are counted, the queue is said, and nothing is said to have moved',
  async () => {
    using server = new FaultServer();
    server.fault = () => ({ kind: 'status', status: 403, code: 'AccessDenied' });
    await using machine = new Machine(remoteVariables(server.endpoint));
    const dir = machine.lab.write('a', FILES);
    expect(await machine.cargo(dir, ['build', '--offline'])).toMatchObject({ status: 0 });
    const status = await machine.status();
    const [session] = status.sessions;
    expect(session?.outage).toContain('403');
    expect(session?.lastFailure?.why).toBe(session?.outage ?? '');
    const shown = (await machine.kache(['stats'])).stdout;
    expect(shown).toMatch(
      /daemon +process \d+ +the remote is (resting, asked again (in \d+ s|by the next request)|being asked again)/,
    );
    expect(shown).toMatch(/queue +3 uploads/);
    const checks = JSON.parse((await machine.kache(['doctor', '--json'])).stdout).checks as {
      id: string;
      state: string;
      detail: string;
    }[];
    const daemon = checks.filter(({ id }) => id === 'daemon').map(({ state, detail }) => [state, detail]);
    expect(daemon).toContainEqual(['ok', '3 uploads wait']);
    expect(daemon.some(([state, detail]) => state === 'look' && detail?.includes('asked again'))).toBe(true);
    await machine.kache(['daemon', 'stop']);
    const { network } = await reported(machine, dir);
    expect(network).toMatchObject({ remote: 's3', uploaded_bytes: 0, downloaded_bytes: 0, queued: 3 });
    // One request was doctor's own.
    const asked = server.requests.length - 1;
    expect(asked).toBeGreaterThan(2);
    expect(network).toMatchObject({ requests: asked, errors: asked });
  },
  2 * MINUTES,
);

test(
  'whoever only looks at a daemon keeps it from ending no longer than its idle time',
  async () => {
    const env = { KACHE_REMOTE_PATH: join(root, 'idle'), KACHE_DAEMON_IDLE_TIMEOUT: '1' };
    await using machine = new Machine(env);
    expect(await machine.kache(['daemon', 'start'])).toMatchObject({ status: 0 });
    const from = performance.now();
    while ((await machine.status()).running) {
      expect(performance.now() - from).toBeLessThan(20_000);
      await Bun.sleep(100);
    }
    expect(performance.now() - from).toBeGreaterThan(500);
  },
  MINUTES,
);

test.if(hasTmux())(
  'the monitor shows remote and daemon: off to up, transfers as they come, and a daemon that hangs holds no key up',
  async () => {
    const remote = { KACHE_REMOTE_PATH: join(root, 'seen') };
    await using machine = new Machine(remote);
    const dir = machine.lab.write('a', FILES);
    const env = machine.lab.env(machine.env({ CI: '1', KACHE }));
    using terminal = new Tmux({ columns: 120, rows: 40, cwd: dir, env });
    terminal.type('$KACHE monitor');
    terminal.press('Enter');
    await terminal.until(/daemon none · remote folder/);
    terminal.press('4');
    await terminal.until(/daemon +not running; the next build/);
    expect(await machine.cargo(dir, ['build', '--offline'])).toMatchObject({ status: 0 });
    await terminal.until(/daemon up · remote answers/);
    const screen = await terminal.until(/plain +entry +↑ upload +\d/);
    expect(screen).toMatch(/daemon +process \d+ · up /);
    const { pid } = await machine.settled();
    process.kill(pid, 'SIGSTOP');
    try {
      await terminal.until(/daemon hangs · remote folder/);
      const from = performance.now();
      terminal.press('1');
      await terminal.until(/\[1 Build\]/);
      expect(performance.now() - from).toBeLessThan(1000);
      terminal.press('q');
      await terminal.until((screen) => /(^|\n)\$$/.test(screen.trimEnd()));
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  },
  2 * MINUTES,
);
