// Long commands that are cut off: the exit status, what they say, and a store that is sound afterwards.
import { expect, test } from 'bun:test';
import { linkSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { publishBlob } from '../../src/store/blobs.ts';
import { writeEntry } from '../../src/store/entries.ts';
import { blobId, entryOf, NO_INPUTS, storeOf } from '../store/stores.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { Pty } from '../support/pty.ts';

const ENTRIES = 1500;

/** A store of many small entries, each with a blob of its own. */
function filled(): Lab {
  const lab = new Lab();
  const store = storeOf(lab);
  const source = lab.path('source');
  for (let n = 0; n < ENTRIES; n++) {
    const text = `output ${n}`;
    writeFileSync(source, text);
    publishBlob(store, blobId(text), source, { shared: false, mode: 0o644, linkMode: 'copy' });
    writeEntry(store, entryOf(`crate_${n}`, text), NO_INPUTS);
  }
  return lab;
}

function namesBelow(folder: string, wanted: RegExp): number {
  return readdirSync(folder, { recursive: true }).filter((name) => wanted.test(String(name))).length;
}

const entriesOf = (lab: Lab): number => namesBelow(join(lab.store, 'entries'), /\/[0-9a-f]{64}$/);

/** Starts a command and sends a signal as soon as it has begun to take entries away. */
async function cutOff(lab: Lab, args: readonly string[], signal: NodeJS.Signals) {
  const kache = Bun.spawn([KACHE, ...args], {
    cwd: lab.root,
    env: lab.env(),
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  // The folder the file system names first is where it begins.
  const folder = join(lab.store, 'entries');
  const [first = ''] = Bun.spawnSync(['ls', '-U', folder]).stdout.toString().split('\n');
  const before = readdirSync(join(folder, first)).length;
  while (kache.exitCode === null && readdirSync(join(folder, first)).length === before) await Bun.sleep(1);
  kache.kill(signal);
  const [stdout, stderr] = [await new Response(kache.stdout).text(), await new Response(kache.stderr).text()];
  await kache.exited;
  return { status: kache.exitCode, signal: kache.signalCode, stdout, stderr };
}

/** Every entry that is left is whole, and the command can be run again to its end. */
function isSound(lab: Lab, args: readonly string[]): void {
  const left = entriesOf(lab);
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(ENTRIES);
  const check = lab.run([KACHE, 'doctor', '--checksums', '--json']);
  const report = JSON.parse(check.stdout);
  for (const id of ['entries', 'blobs'])
    expect(report.checks.find((one: { id: string }) => one.id === id)).toMatchObject({ state: 'ok' });
  expect(lab.run([KACHE, ...args]).status).toBe(0);
  expect(entriesOf(lab)).toBe(0);
  expect(readdirSync(join(lab.store, 'locks'))).toEqual([]);
}

const GC = ['gc', '--max-age', '0h'];
for (const [name, args, signal, status] of [
  ['Ctrl-C at a purge', ['purge'], 'SIGINT', 130],
  ['SIGTERM at an eviction', GC, 'SIGTERM', 143],
] as const) {
  test(`${name} ends it in order, and the store is sound`, async () => {
    using lab = filled();
    const ended = await cutOff(lab, args, signal);
    expect(ended).toMatchObject({ status, signal: null, stdout: '' });
    expect(ended.stderr).toMatch(/^kache: Cannot finish the (purge|eviction): interrupted\./);
    isSound(lab, args);
  }, 120_000);
}

test('killing a purge leaves a sound store', async () => {
  using lab = filled();
  expect(await cutOff(lab, ['purge'], 'SIGKILL')).toMatchObject({ signal: 'SIGKILL' });
  isSound(lab, ['purge']);
}, 120_000);

/** A store whose blobs take seconds to hash: many names of one large file. */
function slow(): Lab {
  const lab = new Lab();
  storeOf(lab);
  const folder = join(lab.store, 'blobs/00');
  mkdirSync(folder, { recursive: true });
  const first = join(folder, '0'.repeat(64));
  writeFileSync(first, '');
  truncateSync(first, 64 * 1024 * 1024);
  for (let n = 1; n < 400; n++) linkSync(first, join(folder, n.toString(16).padStart(64, '0')));
  return lab;
}

test('a verification shows how far it is, on a terminal and after a second, and Ctrl-C ends it', async () => {
  using lab = slow();
  using pty = new Pty([KACHE, 'doctor', '--checksums'], { cwd: lab.root, env: lab.env() });
  await pty.until(/Hashing blobs: \d+ of 400/);
  pty.press('\x03');
  expect(await pty.ended()).toBe(130);
  const after = pty.text.slice(pty.text.lastIndexOf('Hashing blobs'));
  // The line is taken away again.
  expect(after).toContain('\r\x1b[K');
  expect(after).toContain('Cannot finish the verification: interrupted.');
});

test('in a pipe nothing is said of progress', async () => {
  using lab = slow();
  const kache = Bun.spawn([KACHE, 'doctor', '--checksums'], {
    env: lab.env(),
    cwd: lab.root,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  // Long enough for a line to be due; there is nothing else to wait for.
  await Bun.sleep(1500);
  kache.kill('SIGINT');
  expect(await new Response(kache.stderr).text()).toBe(
    'kache: Cannot finish the verification: interrupted. What was done holds; run it again for the rest.\n',
  );
  expect(await kache.exited).toBe(130);
});

test('Ctrl-C at a deletion leaves nothing half', async () => {
  using lab = new Lab();
  const dir = lab.write('p', {
    'Cargo.toml': '[package]\nname = "p"\nversion = "0.1.0"\nedition = "2021"\n',
    'src/lib.rs': '',
  });
  expect(lab.run(['cargo', 'build', '--offline'], { cwd: dir }).status).toBe(0);
  const many = join(dir, 'target/debug/deps');
  for (let n = 0; n < 6000; n++) writeFileSync(join(many, `f${n}`), '');
  const kache = Bun.spawn([KACHE, 'clean', dir, '-y'], {
    env: lab.env(),
    cwd: lab.root,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const aside = join(dir, 'target/.kache-removed');
  const isUnderWay = (): boolean => {
    try {
      return readdirSync(aside).length > 0;
    } catch {
      return false;
    }
  };
  while (kache.exitCode === null && !isUnderWay()) await Bun.sleep(1);
  kache.kill('SIGINT');
  expect(await kache.exited).toBe(130);
  expect(readdirSync(join(dir, 'target')).sort()).toEqual([
    '.kache-removed',
    '.rustc_info.json',
    'CACHEDIR.TAG',
  ]);
  expect(lab.run(['cargo', 'build', '--offline'], { cwd: dir }).status).toBe(0);
  expect(lab.run([KACHE, 'clean', dir, '-y']).status).toBe(0);
  expect(readdirSync(dir)).not.toContain('target');
}, 60_000);
