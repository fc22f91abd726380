// Two machines that share nothing but a remote: what one compiles the other takes, and what must not leave stays.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeBuild } from '../../src/remote/build-object.ts';
import { type Env, freshness } from '../support/lab.ts';
import { everythingInEntry, expectStays, LEAKING, SECRETS } from '../support/leaking.ts';
import { canHide, Machine, outcomes } from '../support/machine.ts';
import { notRun } from '../support/required.ts';
import { remoteVariables, type S3Server, startServer } from '../support/s3-servers.ts';

const MINUTES = 60_000;
const BENCH = join(import.meta.dir, '..', '..', 'bench', 'workspace');

const root = mkdtempSync(join(tmpdir(), 'kache-remote-'));
let server: S3Server | undefined;
beforeAll(async () => {
  server = await startServer('s3s-fs', root);
}, 10 * MINUTES);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

const HITS = ['prefetch_hit', 'remote_hit'];

/** The outputs of a build by name, without what holds a path by design (dep-info, fingerprints). */
function artifacts(dir: string): Map<string, string> {
  const deps = join(dir, 'target/debug/deps');
  const names = readdirSync(deps).filter((name) => /\.(rlib|rmeta)$/.test(name));
  return new Map(
    names.map((name) => [name, Bun.SHA256.hash(readFileSync(join(deps, name)), 'hex') as string]),
  );
}

async function twoMachines(remote: Env, mode: Env): Promise<void> {
  await using a = new Machine({ ...remote, ...mode });
  const hides = canHide();
  if (!hides) notRun('machines that cannot see each other', 'no mount namespaces');
  await using b = new Machine({ ...remote, ...mode }, hides ? a.lab.root : undefined);
  const [inA, inB] = [a.checkout(BENCH, 'src', 'app'), b.checkout(BENCH, 'quite', 'another', 'place')];
  for (const [machine, dir] of [
    [a, inA],
    [b, inB],
  ] as const)
    expect(await machine.cargo(dir, ['fetch', '--locked'])).toMatchObject({ status: 0 });
  const cold = await a.cargo(inA, ['build', '--locked']);
  expect(cold).toMatchObject({ status: 0 });
  await a.settled();
  const warm = await b.cargo(inB, ['build', '--locked', '--message-format=json']);
  expect(warm).toMatchObject({ status: 0 });
  const [made, taken] = [outcomes(cold.events), outcomes(warm.events)];
  const cacheable = [...made]
    .filter(([, result]) => result === 'miss' || result === 'dup')
    .map(([name]) => name);
  expect(cacheable.length).toBeGreaterThan(15);
  expect(cacheable.filter((name) => !HITS.includes(taken.get(name) ?? ''))).toEqual([]);
  expect([...taken.values()].filter((result) => result === 'miss' || result === 'dup')).toEqual([]);
  expect(cold.events.flatMap(({ withheld }) => withheld ?? [])).toEqual([]);
  // Ahead of cargo: hardly any unit had to be asked for.
  const prefetched = [...taken.values()].filter((result) => result === 'prefetch_hit').length;
  expect(prefetched).toBeGreaterThan(cacheable.length / 2);
  expect(artifacts(inB)).toEqual(artifacts(inA));
  const program = (dir: string): string =>
    Bun.spawnSync([join(dir, 'target/debug/parcels')]).stdout.toString();
  expect(program(inB)).toBe(program(inA));
  expect(
    freshness((await b.cargo(inB, ['build', '--locked', '--message-format=json'])).stdout).rebuilt,
  ).toEqual([]);
}

test(
  'through a folder, libraries',
  async () => {
    await twoMachines({ KACHE_REMOTE_PATH: join(root, 'folder-libraries') }, {});
  },
  15 * MINUTES,
);

test(
  'through s3s-fs, executables too',
  async () => {
    if (server === undefined) return;
    await twoMachines(remoteVariables(server.endpoint), { KACHE_CACHE_EXECUTABLES: '1' });
  },
  15 * MINUTES,
);

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

const TWO = {
  'Cargo.toml': '[workspace]\nmembers = ["app", "plain"]\nresolver = "2"\n',
  'plain/Cargo.toml': manifest('plain'),
  'plain/src/lib.rs': 'pub fn plain() -> u32 { 1 }\n',
  'app/Cargo.toml': manifest('app', '[dependencies]\nplain = { path = "../plain" }\n'),
  'app/src/lib.rs': 'pub fn twice() -> u32 { 2 * plain::plain() }\n',
};

test(
  'by hand: what was built before there was a remote is pushed, listed, and pulled by a workspace',
  async () => {
    const remote = { KACHE_REMOTE_PATH: join(root, 'by-hand') };
    await using a = new Machine({});
    const inA = a.lab.write('a', TWO);
    expect(await a.cargo(inA, ['build', '--offline'])).toMatchObject({ status: 0 });
    const said = async (
      machine: Machine,
      dir: string,
      ...args: string[]
    ): Promise<[number | null, string]> => {
      const { status, stdout } = await machine.kache(args, remote, dir);
      return [status, stdout.trim()];
    };
    const dry = await said(a, inA, 'sync', '--push', '--workspace', '--dry-run');
    expect(dry).toEqual([0, `2 entries would be uploaded to ${remote.KACHE_REMOTE_PATH}/artifacts.`]);
    const [pushed, report] = await said(a, inA, 'sync', '--push', '--workspace');
    expect([pushed, report.startsWith('Uploaded 2 entries')]).toEqual([0, true]);
    expect(await said(a, inA, 'save-manifest')).toEqual([0, 'Saved a list of 2 entries.']);

    await using b = new Machine({});
    const inB = b.lab.write('deeper/b', TWO);
    // The lock file is made by the first build; a checkout has it.
    copyFileSync(join(inA, 'Cargo.lock'), join(inB, 'Cargo.lock'));
    expect((await said(b, inB, 'sync', '--pull', '--dry-run'))[1]).toStartWith('2 entries of 2 would be');
    expect((await said(b, inB, 'sync', '--pull'))[1]).toStartWith('Downloaded 2 entries');
    const built = await b.cargo(inB, ['build', '--offline'], { ...remote, KACHE_LOCAL_ONLY: '1' });
    expect([...outcomes(built.events).values()]).toEqual(['prefetch_hit', 'prefetch_hit']);
    rmSync(join(inB, 'target'), { recursive: true });
    const again = await b.cargo(inB, ['build', '--offline']);
    expect([...outcomes(again.events).values()]).toEqual(['local_hit', 'local_hit']);
    expect((await b.kache(['sync', '--pull'], {}, inB)).stderr).toContain('none is configured');
    expect((await b.kache(['sync', '--pull'], remote, b.lab.root)).stderr).toContain(
      'there is no Cargo.lock',
    );
    expect((await b.kache(['sync', '--prune'], remote)).status).toBe(2);
    const pruned = await said(b, inB, 'sync', '--prune', '--max-size', '0');
    expect(pruned[0]).toBe(0);
    expect((await said(b, inB, 'sync', '--pull', '--all', '--dry-run'))[1]).toStartWith('0 entries of 0');
  },
  5 * MINUTES,
);

/** Every byte of a bucket, packs and lists unpacked. */
async function everythingIn(folder: string): Promise<string> {
  const texts: string[] = [];
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  for (const entry of names) {
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    texts.push(entry.parentPath, bytes.toString('latin1'));
    if (entry.parentPath.includes('/builds')) texts.push(JSON.stringify(decodeBuild(bytes)));
    if (entry.parentPath.includes('/entries/')) texts.push(await everythingInEntry(bytes, entry.name));
  }
  return texts.join('\n');
}

test(
  'no value of a variable and no path of the machine is uploaded',
  async () => {
    const bucket = join(root, 'secrets');
    const remote = { KACHE_REMOTE_PATH: bucket };
    for (const mode of [remote, { ...remote, KACHE_CACHE_EXECUTABLES: '1' }, {}]) {
      await using machine = new Machine({ ...SECRETS, ...mode });
      const dir = machine.lab.write('where/it/lies', LEAKING);
      const built = await machine.cargo(dir, ['build', '--offline']);
      expect(built).toMatchObject({ status: 0 });
      expectStays(built.events);
      // Uploaded by the daemon; or, built before there was a remote, pushed by somebody who knows no value.
      if (!('KACHE_REMOTE_PATH' in mode)) {
        rmSync(bucket, { recursive: true });
        const unset = Object.fromEntries(Object.keys(SECRETS).map((name) => [name, undefined]));
        const pushed = await machine.kache(['sync', '--push', '--all'], { ...unset, ...remote });
        expect([pushed.status, pushed.stderr]).toEqual([0, '']);
      } else await machine.settled();
      const text = await everythingIn(bucket);
      expect(text).toContain('warns');
      expect(text).toContain('unused');
      for (const value of [...Object.values(SECRETS), machine.lab.root, 'where/it/lies'])
        expect([value, text.includes(value)]).toEqual([value, false]);
    }
  },
  10 * MINUTES,
);
