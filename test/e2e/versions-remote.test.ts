// Two versions of kache that share a remote, packs, or a daemon: each builds right, whatever the other has left there.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Files, KACHE, Lab, libraries } from '../support/lab.ts';
import { Machine } from '../support/machine.ts';
import { changedKache } from '../support/other-version.ts';

const few = (value: number): Files => ({
  'Cargo.toml': '[package]\nname = "few"\nversion = "0.1.0"\nedition = "2021"\n',
  'src/lib.rs': `pub fn few() -> u32 { ${value} }\n`,
  'src/main.rs': 'fn main() { print!("{}", few::few()); }\n',
});

let lab: Lab;
/** Speaks and packs one version later, under the same keys. */
let later: string;
beforeAll(() => {
  lab = new Lab();
  later = changedKache(lab, [
    [/'kache-pack(s?)-\d+'/, "'kache-pack$1-99'"],
    [/\^kache-pack-\d+ /, '^kache-pack-99 '],
    [/PROTOCOL_VERSION = \d+/, 'PROTOCOL_VERSION = 99'],
  ]);
}, 120_000);
afterAll(() => lab[Symbol.dispose]());

/** Builds a new checkout; the program is right, and this is how the library came about. */
async function build(machine: Machine, name: string, binary: string, value = 3): Promise<string | undefined> {
  const dir = machine.lab.write(name, few(value));
  const built = await machine.cargo(dir, ['build', '--offline'], { RUSTC_WRAPPER: binary });
  expect(built.status).toBe(0);
  expect(Bun.spawnSync([join(dir, 'target/debug/few')]).stdout.toString()).toBe(`${value}`);
  return libraries(built)['few'];
}

/** The objects of entries, byte for byte. */
const entriesIn = (remote: string): string[] =>
  readdirSync(remote, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.parentPath.includes('/entries/'))
    .map((entry) => `${entry.name} ${readFileSync(join(entry.parentPath, entry.name)).toString('base64')}`)
    .sort();

test.each([
  ['an earlier remote under a later kache', () => [KACHE, later]],
  ['a later remote under this kache', () => [later, KACHE]],
] as const)(
  '%s: compiled instead, nothing is replaced, and who wrote it still hits',
  async (name, versions) => {
    const [first = '', second = ''] = versions();
    const remote = lab.path(name.replaceAll(' ', '-'));
    const env = { KACHE_REMOTE_PATH: remote };
    await using a = new Machine(env);
    expect(await build(a, 'a', first)).toBe('miss');
    expect(await a.run([first, 'sync', '--push', '--all'])).toMatchObject({ status: 0 });
    await a.run([first, 'daemon', 'stop']);
    const written = entriesIn(remote);
    expect(written.length).toBe(1);

    await using b = new Machine(env);
    expect(await build(b, 'b', second)).toBe('miss');
    await b.run([second, 'sync', '--push', '--all']);
    await b.run([second, 'sync', '--pull', '--all']);
    await b.run([second, 'daemon', 'stop']);
    expect(entriesIn(remote)).toEqual(written);

    await using c = new Machine(env);
    expect(await build(c, 'c', first)).toMatch(/^(remote|prefetch)_hit$/);
    await c.run([first, 'daemon', 'stop']);
  },
  120_000,
);

test.each([
  ['an earlier pack under a later kache', () => [KACHE, later]],
  ['a later pack under this kache', () => [later, KACHE]],
] as const)(
  '%s: refused whole, and compiled',
  async (name, versions) => {
    const [first = '', second = ''] = versions();
    const pack = lab.path(name.replaceAll(' ', '-'));
    await using a = new Machine({});
    expect(await build(a, 'a', first)).toBe('miss');
    expect(await a.run([first, 'pack', 'save', pack])).toMatchObject({ status: 0 });

    await using b = new Machine({});
    const restored = await b.run([second, 'pack', 'restore', pack]);
    expect([restored.status, restored.stderr]).toEqual([1, expect.stringContaining('another version')]);
    expect(await build(b, 'b', second)).toBe('miss');

    await using c = new Machine({});
    expect(await c.run([first, 'pack', 'restore', pack])).toMatchObject({ status: 0 });
    expect(await build(c, 'c', first)).toBe('prefetch_hit');
  },
  120_000,
);

test('a daemon of another version: the later one takes over, the earlier one builds without', async () => {
  await using machine = new Machine({ KACHE_REMOTE_PATH: lab.path('shared') });
  const daemonOf = async (binary: string): Promise<{ running: boolean; pid?: number }> =>
    JSON.parse((await machine.run([binary, 'daemon', 'status', '--json'])).stdout);
  expect(await build(machine, 'one', KACHE, 1)).toBe('miss');
  const earlier = await daemonOf(KACHE);
  expect(earlier.running).toBe(true);
  // The one that runs ends when a later version greets it; whoever comes next finds one of its own.
  expect(await build(machine, 'two', later, 2)).toBe('miss');
  await machine.run([later, 'daemon', 'start']);
  const taken = await daemonOf(later);
  expect(taken.running).toBe(true);
  expect(taken.pid).not.toBe(earlier.pid);
  // It is not sent away by the earlier one, which does without.
  expect(await build(machine, 'three', KACHE, 3)).toBe('miss');
  expect((await daemonOf(later)).pid).toBe(taken.pid);
  await machine.run([later, 'daemon', 'stop']);
}, 120_000);
