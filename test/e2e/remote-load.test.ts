// Much at once: many compiles and one daemon, thousands of entries, large ones, and builds under faults at random.
import { expect, test } from 'bun:test';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BlobId } from '../../src/core/ids.ts';
import { placeId, queueFolder } from '../../src/daemon/protocol.ts';
import { publishBlob } from '../../src/store/blobs.ts';
import { writeEntry } from '../../src/store/entries.ts';
import { takeInventory } from '../../src/store/inventory.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { entryOf, NO_INPUTS, originsOf } from '../store/stores.ts';
import { type Fault, FaultServer } from '../support/fault-server.ts';
import { KACHE } from '../support/lab.ts';
import { Machine } from '../support/machine.ts';
import { remoteIn, remoteVariables } from '../support/s3-servers.ts';

const MINUTES = 60_000;

/** One compile as Cargo calls it. */
const call = (name: string, dir: string): string[] => [
  KACHE,
  'rustc',
  ...`--crate-name ${name} --edition=2021 src/${name}.rs --error-format=json --json=diagnostic-rendered-ansi,artifacts --crate-type lib --emit=dep-info,metadata,link -C metadata=${name} -C extra-filename=-${name} --out-dir ${dir}`.split(
    ' ',
  ),
];

const packageEnv = (name: string, dir: string) => ({
  CARGO_PKG_NAME: name,
  CARGO_PKG_VERSION: '0.1.0',
  CARGO_MANIFEST_DIR: dir,
  CARGO_CRATE_NAME: name,
});

async function compileAll(
  machine: Machine,
  dir: string,
  calls: readonly (readonly [name: string, out: string])[],
) {
  for (const [, out] of calls) mkdirSync(join(dir, out), { recursive: true });
  const ended = await Promise.all(
    calls.map(([name, out]) => machine.run(call(name, join(dir, out)), packageEnv(name, dir), dir)),
  );
  return ended.map(({ status }) => status);
}

test(
  'sixteen compiles at once and one daemon: each object comes once, and everyone has it',
  async () => {
    using server = new FaultServer();
    const names = Array.from({ length: 8 }, (_, index) => `lib${index}`);
    const sources = Object.fromEntries(
      names.map((name) => [`src/${name}.rs`, `pub fn name() -> &'static str { "${name}" }\n`]),
    );
    await using a = new Machine(remoteVariables(server.endpoint));
    const inA = a.lab.write('a', sources);
    expect(
      await compileAll(
        a,
        inA,
        names.map((name) => [name, 'target/debug/deps'] as const),
      ),
    ).toEqual(names.map(() => 0));
    // Their Cargo is this process, which goes on.
    await a.settled({}, () => true);
    await using b = new Machine({ ...remoteVariables(server.endpoint), KACHE_REMOTE_READONLY: '1' });
    const inB = b.lab.write('b', sources);
    server.requests.length = 0;
    server.fault = () => ({ kind: 'late', ms: 50 });
    const calls = names.flatMap((name) => [
      [name, 'target/debug/deps'] as const,
      [name, 'other/debug/deps'] as const,
    ]);
    expect(await compileAll(b, inB, calls)).toEqual(calls.map(() => 0));
    const results = b.lab.events().map(({ result }) => result);
    expect(results.filter((result) => !/_hit$/.test(result))).toEqual([]);
    expect(results.length).toBe(16);
    const gets = server.requests.filter((line) => line.includes('/entries/'));
    expect([gets.length, new Set(gets).size]).toEqual([names.length, names.length]);
  },
  5 * MINUTES,
);

const opened = (machine: Machine): Store => {
  const store = openStore(machine.lab.store);
  if (store.kind !== 'store') throw new Error(store.detail);
  return store;
};

/** Entries with one output of this many bytes each, queued for a place. */
function fill(store: Store, place: string, made: { count: number; sizeBytes: number }): void {
  const folder = queueFolder(store.layout.root, place);
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < made.count; index++) {
    const content = Buffer.alloc(made.sizeBytes, `entry ${index} of this machine `);
    // As little alike as machine code is.
    for (let at = 0; at + 4 <= content.length; at += 16)
      content.writeUInt32LE((at * 2654435761 + index) >>> 0, at);
    const blob = sha256(content) as BlobId;
    const aside = store.temporaryPath();
    writeFileSync(aside, content);
    publishBlob(store, blob, aside, { shared: true, mode: 0o644, linkMode: 'auto' });
    rmSync(aside);
    const entry = entryOf(`entry ${index}`);
    const outputs = [{ kind: 'link', blob, sizeBytes: content.length, mode: 0o644 }];
    writeEntry(store, { ...entry, outputs }, originsOf(NO_INPUTS));
    writeFileSync(join(folder, entry.key), '');
  }
}

/** What the daemon may have resident, in bytes: stated in docs/remote.md. */
const DAEMON_BYTES = 768 * 1024 * 1024;

async function mostResident(machine: Machine, until: Promise<unknown>): Promise<number> {
  let most = 0;
  let ended = false;
  void until.finally(() => {
    ended = true;
  });
  while (!ended) {
    const status = await machine.status();
    if (status.running) most = Math.max(most, status.residentBytes);
    await Bun.sleep(200);
  }
  await until;
  return most;
}

test(
  'ten thousand entries are pushed by the daemon and pulled by another machine',
  async () => {
    await using a = new Machine({});
    const bucket = a.lab.path('bucket');
    const remote = { KACHE_REMOTE_PATH: bucket };
    await using pusher = new Machine(remote);
    const place = placeId(
      remoteIn('', { type: 'filesystem', path: bucket, bucket: undefined, endpoint: undefined }),
    );
    fill(opened(pusher), place, { count: 10_000, sizeBytes: 300 });
    expect((await pusher.kache(['daemon', 'start'])).status).toBe(0);
    expect(await mostResident(pusher, pusher.settled())).toBeLessThan(DAEMON_BYTES);
    await using puller = new Machine(remote);
    const pulled = await puller.kache(['sync', '--pull', '--all']);
    expect([pulled.status, pulled.stdout.startsWith('Downloaded 10000 entries')]).toEqual([0, true]);
    expect(takeInventory(opened(puller)).entries.length).toBe(10_000);
    const again = await puller.kache(['sync', '--pull', '--all']);
    expect(again.stdout).toStartWith('Downloaded 0 entries');
    const pruned = await puller.kache(['sync', '--prune', '--max-size', '500KB']);
    expect(pruned.status).toBe(0);
  },
  10 * MINUTES,
);

test(
  'large entries, many at once: the memory of the daemon is bounded',
  async () => {
    using server = new FaultServer();
    const remote = remoteVariables(server.endpoint);
    await using machine = new Machine(remote);
    fill(opened(machine), placeId(remoteIn(server.endpoint)), { count: 24, sizeBytes: 24 * 1024 * 1024 });
    expect((await machine.kache(['daemon', 'start'])).status).toBe(0);
    expect(await mostResident(machine, machine.settled())).toBeLessThan(DAEMON_BYTES);
    expect([...server.objects.keys()].filter((name) => name.includes('/entries/')).length).toBe(24);
  },
  10 * MINUTES,
);

/** Seconds of builds under faults; a long run is asked for by KACHE_SOAK_SECS. */
const SOAK_SECS = Number(process.env['KACHE_SOAK_SECS'] ?? 20);

test(
  'builds on two machines under faults at random are right, every one',
  async () => {
    using server = new FaultServer();
    const seed = Number(process.env['KACHE_SOAK_SEED'] ?? Date.now() % 100_000);
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return Math.floor((state / 0x80000000) * below);
    };
    const faults: readonly Fault[] = [
      { kind: 'status', status: 500 },
      { kind: 'status', status: 403 },
      { kind: 'status', status: 404 },
      { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
      { kind: 'cut' },
      { kind: 'garbled' },
      { kind: 'another' },
      { kind: 'late', ms: 300 },
    ];
    server.fault = () =>
      random(4) === 0 ? (faults[random(faults.length)] ?? { kind: 'none' }) : { kind: 'none' };
    await using a = new Machine(remoteVariables(server.endpoint));
    await using b = new Machine(remoteVariables(server.endpoint));
    const files = (value: number) => ({
      'Cargo.toml': '[workspace]\nmembers = ["app", "lib"]\nresolver = "2"\n',
      'lib/Cargo.toml': '[package]\nname = "lib"\nversion = "0.1.0"\nedition = "2021"\n',
      'lib/src/lib.rs': `pub const VALUE: u32 = ${value};\n`,
      'app/Cargo.toml':
        '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nlib = { path = "../lib" }\n',
      'app/src/main.rs': 'fn main() { println!("{}", lib::VALUE); }\n',
    });
    let builds = 0;
    for (const untilMs = Date.now() + SOAK_SECS * 1000; Date.now() < untilMs || builds < 4; builds++) {
      const machine = random(2) === 0 ? a : b;
      const value = random(5);
      const dir = machine.lab.write('project', files(value));
      rmSync(join(dir, 'target'), { recursive: true, force: true });
      const built = await machine.cargo(dir, ['build', '--offline']);
      const shown = Bun.spawnSync([join(dir, 'target/debug/app')])
        .stdout.toString()
        .trim();
      expect([seed, builds, built.status, shown]).toEqual([seed, builds, 0, `${value}`]);
    }
  },
  (SOAK_SECS + 600) * 1000,
);
