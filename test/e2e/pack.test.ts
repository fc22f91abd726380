// From one machine to another by nothing but a file: an empty store, another home, another checkout, another Cargo
// home, no remote and no daemon.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import { PackReader } from '../../src/remote/pack-file.ts';
import { inspectStore } from '../support/invariants.ts';
import type { Env } from '../support/lab.ts';
import { everythingInEntry, expectStays, LEAKING, SECRETS } from '../support/leaking.ts';
import { canHide, Machine, outcomes } from '../support/machine.ts';
import { notRun } from '../support/required.ts';
import { WORKSPACE } from '../support/workspace.ts';

const MINUTES = 60_000;
const BENCH = join(import.meta.dir, '..', '..', 'bench', 'workspace');

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'kache-packs-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Saves a pack, also of what would be compiled as fast as it is brought: how fast that is differs. */
async function packed(machine: Machine, file: string, ...args: string[]) {
  const save = ['pack', 'save', file, '--json', '--bandwidth', '0', ...args];
  const { status, stdout, stderr } = await machine.kache(save);
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

const isStored = ({ result }: CompileEvent): boolean => result === 'miss' || result === 'dup';

/** Crate and key of each entry in a pack. */
async function listed(machine: Machine, file: string): Promise<{ crate: string; key: string }[]> {
  return JSON.parse((await machine.kache(['pack', 'show', file, '--json'])).stdout).entries;
}

for (const [name, mode] of [
  ['libraries', {}],
  ['executables too', { KACHE_CACHE_EXECUTABLES: '1' }],
] as const)
  test(
    `an application, ${name}: a full pack, a small one after an edit, and all of it comes back`,
    async () => {
      const files = ['first', 'second'].map((part) => join(root, `${name} ${part}.pack`));
      const [first = '', second = ''] = files;
      await using a = new Machine(mode);
      const inA = a.checkout(BENCH, 'src', 'app');
      expect(await a.cargo(inA, ['fetch', '--locked'])).toMatchObject({ status: 0 });
      const cold = await a.cargo(inA, ['build', '--locked']);
      expect(cold).toMatchObject({ status: 0 });
      const stored = cold.events.filter(isStored);
      expect(stored.length).toBeGreaterThan(15);
      expect(stored.flatMap(({ withheld }) => withheld ?? [])).toEqual([]);
      const saved = await packed(a, first, '--since', '1h');
      expect(saved).toMatchObject({ new: stored.length, left_out: 0, gone: 0 });
      const keys = (await listed(a, first)).map(({ key }) => key);
      expect(keys.sort()).toEqual([...new Set(stored.flatMap(({ cache_key }) => cache_key ?? []))].sort());
      // One source file changed: the pack of what is new holds that and what is above it.
      const edited = join(inA, 'crates/units/src/lib.rs');
      writeFileSync(edited, `${readFileSync(edited, 'utf8')}\npub fn added() -> u32 { 1 }\n`);
      const after = await a.cargo(inA, ['build', '--locked']);
      expect(after).toMatchObject({ status: 0 });
      const delta = await packed(a, second, '--since', '1h', '--base', first);
      expect(delta).toMatchObject({ new: after.events.filter(isStored).length, in_bases: saved.entries });
      expect(delta.bytes).toBeLessThan(saved.bytes / 3);

      const hides = canHide();
      if (!hides) notRun('machines that cannot see each other', 'no mount namespaces');
      await using b = new Machine(mode, hides ? a.lab.root : undefined);
      const inB = b.checkout(inA, 'quite', 'another', 'place');
      expect(await b.cargo(inB, ['fetch', '--locked'])).toMatchObject({ status: 0 });
      const restored = await b.kache(['pack', 'restore', first, second, '--json']);
      expect([restored.status, restored.stderr]).toEqual([0, '']);
      expect(JSON.parse(restored.stdout)).toMatchObject({ packs: 2, added: delta.entries, refused: 0 });
      expect(inspectStore(b.lab.store).wrong).toEqual([]);
      const warm = await b.cargo(inB, ['build', '--locked']);
      expect(warm).toMatchObject({ status: 0 });
      const taken = outcomes(warm.events);
      const cacheable = [...outcomes(cold.events)].filter(([, result]) => /^(miss|dup)$/.test(result));
      expect(cacheable.filter(([crate]) => taken.get(crate) !== 'prefetch_hit')).toEqual([]);
      expect(warm.events.filter(isStored)).toEqual([]);
      expect(readdirSync(b.lab.store)).not.toContain('daemon');
      const program = (dir: string): string =>
        Bun.spawnSync([join(dir, 'target/debug/parcels')]).stdout.toString();
      expect(program(inB)).toBe(program(inA));
      // What was used there is what was used here, but for what the edit replaced; and nothing of it is new.
      const again = await packed(
        b,
        join(root, 'again.pack'),
        '--since',
        '1h',
        '--base',
        first,
        '--base',
        second,
      );
      expect(again).toMatchObject({ file: null, new: 0, left_out: 0, entries: saved.entries });
    },
    15 * MINUTES,
  );

test(
  'macros, generated code, native code: a pack has what a remote was given, with and without one configured',
  async () => {
    const crates: string[][] = [];
    let keys: string[] = [];
    for (const [name, remote] of [
      ['without', {}],
      ['with', { KACHE_REMOTE_PATH: join(root, 'bucket') }],
    ] as const) {
      await using machine = new Machine({ KACHE_CACHE_EXECUTABLES: '1', ...remote });
      const dir = machine.lab.write('checkout', WORKSPACE);
      const built = await machine.cargo(dir, ['build', '--offline']);
      expect(built).toMatchObject({ status: 0 });
      if (name === 'with') await machine.settled();
      const file = join(root, `${name}.pack`);
      const saved = await packed(machine, file, '--since', '1h');
      const stays = built.events.filter((event) => isStored(event) && event.withheld !== undefined);
      expect(stays.map(({ crate_name }) => crate_name)).toContain('place');
      expect(saved.left_out).toBe(stays.length);
      const entries = await listed(machine, file);
      crates.push(entries.map(({ crate }) => crate).sort());
      keys = entries.map(({ key }) => key).sort();
    }
    const given = readdirSync(join(root, 'bucket'), { recursive: true, encoding: 'utf8' })
      .flatMap((path) => /\/entries\/..\/([0-9a-f]{64})$/.exec(`/${path}`)?.[1] ?? [])
      .sort();
    expect(given.length).toBeGreaterThan(5);
    expect(keys).toEqual(given);
    expect(crates[0]).toEqual(crates[1] ?? []);

    await using other = new Machine({ KACHE_CACHE_EXECUTABLES: '1' });
    const dir = other.lab.write('somewhere/else', WORKSPACE);
    expect((await other.kache(['pack', 'restore', join(root, 'without.pack')])).status).toBe(0);
    const built = await other.cargo(dir, ['build', '--offline']);
    expect(built).toMatchObject({ status: 0 });
    const hits = built.events.filter(({ result }) => result === 'prefetch_hit');
    // What is built on `place` is another compile there: `place` holds its path.
    const expected = crates[0]?.filter((crate) => crate !== 'app');
    expect(hits.map(({ crate_name }) => crate_name).sort()).toEqual(expected ?? []);
    expect(Bun.spawnSync([join(dir, 'target/debug/app')]).stdout.toString()).toContain(join(dir, 'place'));
  },
  10 * MINUTES,
);

/** Every byte of a pack, unpacked. */
async function everythingIn(file: string): Promise<string> {
  const texts = [readFileSync(file).toString('latin1')];
  const opened = PackReader.open(file);
  if ('kind' in opened) throw new Error(opened.why);
  using reader = opened;
  for (const frame of reader.frames()) {
    if (frame.kind !== 'entry') throw new Error(`no entry: ${JSON.stringify(frame)}`);
    texts.push(await everythingInEntry(frame.read(), frame.key));
  }
  return texts.join('\n');
}

test(
  'no value of a variable and no path of the machine is in a pack, also not of what a hit brought',
  async () => {
    for (const mode of [{}, { KACHE_CACHE_EXECUTABLES: '1' }]) {
      await using machine = new Machine({ ...SECRETS, ...mode });
      const dir = machine.lab.write('where/it/lies', LEAKING);
      const built = await machine.cargo(dir, ['build', '--offline']);
      expect(built).toMatchObject({ status: 0 });
      expectStays(built.events);
      const check = async (file: string, ...args: string[]): Promise<void> => {
        await packed(machine, file, ...args);
        const text = await everythingIn(file);
        expect(text).toContain('warns');
        for (const value of [...Object.values(SECRETS), machine.lab.root, 'where/it/lies'])
          expect([value, text.includes(value)]).toEqual([value, false]);
        rmSync(file);
      };
      const file = join(root, 'secrets.pack');
      await check(file);
      // Hits, in an environment that does not know the secrets any more: the verdict of the compile holds.
      rmSync(join(dir, 'target'), { recursive: true });
      const unset: Env = { SOME_TOKEN: undefined, AWS_SECRET_ACCESS_KEY: undefined };
      const again = await machine.cargo(dir, ['build', '--offline'], unset);
      expect(again.events.filter(isStored)).toEqual([]);
      await check(file, '--since', '1h');
      expect(existsSync(file)).toBe(false);
    }
  },
  10 * MINUTES,
);

test(
  'what is bound to a path comes back at that path, when it was asked for, and no secret with it',
  async () => {
    await using machine = new Machine(SECRETS);
    const dir = machine.lab.write('where/it/lies', LEAKING);
    expect(await machine.cargo(dir, ['build', '--offline'])).toMatchObject({ status: 0 });
    const [file, plain] = [join(root, 'paths.pack'), join(root, 'plain.pack')];
    const crates = async (path: string): Promise<string[]> =>
      (await listed(machine, path)).map(({ crate }) => crate).sort();
    await packed(machine, plain);
    await packed(machine, file, '--with-paths');
    expect(await crates(plain)).toEqual(['generated', 'plain', 'warns']);
    expect(await crates(file)).toEqual(['generated', 'place', 'plain', 'warns']);
    const text = await everythingIn(file);
    expect(text).toContain(`${machine.lab.root}/where/it/lies/place`);
    for (const value of Object.values(SECRETS)) expect([value, text.includes(value)]).toEqual([value, false]);
    // The same place and nothing else; and another one.
    const fresh = { KACHE_CACHE_DIR: machine.lab.path('fresh') };
    expect(await machine.kache(['pack', 'restore', file], fresh)).toMatchObject({ status: 0 });
    // Where it came to, it is still of this path alone.
    const on = join(root, 'on.pack');
    expect(await machine.kache(['pack', 'save', on], fresh)).toMatchObject({ status: 0 });
    expect(await crates(on)).toEqual(['generated', 'plain', 'warns']);
    rmSync(join(dir, 'target'), { recursive: true });
    rmSync(machine.lab.store, { recursive: true });
    expect(await machine.kache(['pack', 'restore', file])).toMatchObject({ status: 0 });
    const place = ({ events }: { events: readonly CompileEvent[] }): string | undefined =>
      events.find(({ crate_name }) => crate_name === 'place')?.result;
    expect(place(await machine.cargo(dir, ['build', '--offline']))).toBe('prefetch_hit');
    const other = machine.lab.write('elsewhere', LEAKING);
    expect(place(await machine.cargo(other, ['build', '--offline']))).toBe('miss');
    const ran = await machine.run([join(other, 'target/debug/app')]);
    expect(ran.stdout).toContain(`${other}/place`);
  },
  10 * MINUTES,
);
