// `kache clean` on the built binary: what it finds, shows, deletes and leaves alone, on a pipe and on a terminal.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { KACHE, Lab } from '../support/lab.ts';
import { type FileSystem, Mount } from '../support/mounts.ts';
import { Pty } from '../support/pty.ts';
import { notRun } from '../support/required.ts';

const PROJECT = {
  'Cargo.toml': '[package]\nname = "few"\nversion = "0.3.0"\nedition = "2021"\n',
  'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
};

let lab: Lab;
let model: string;
beforeAll(() => {
  lab = new Lab();
  model = lab.write('model', PROJECT);
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: model }).status).toBe(0);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

/** Two built checkouts and a source folder that is called target. */
let src: string;
beforeEach(() => {
  src = lab.path('src');
  rmSync(src, { recursive: true, force: true });
  for (const name of ['one', 'two']) {
    const dir = lab.write(join(src, name), PROJECT);
    expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: dir }).status).toBe(0);
  }
  lab.write(join(src, 'sources/target'), { 'mod.rs': 'pub fn f() {}\n', 'debug/x.rs': '' });
  symlinkSync(join(model, 'target'), join(src, 'sources/linked'));
});

const clean = (...args: string[]) => lab.run([KACHE, 'clean', ...args], { cwd: lab.root });
const targets = (): boolean[] => ['one', 'two'].map((name) => existsSync(join(src, name, 'target')));

test('-n shows what there is and deletes nothing', () => {
  const shown = clean('src', '-n');
  expect(shown).toMatchObject({ status: 0, stderr: '' });
  expect(shown.stdout).toMatch(/frees +occupies +sizes say +last write\n/);
  expect(shown.stdout).toMatch(/KiB +\dm {2}one\/target\n/);
  expect(shown.stdout).toMatch(/KiB +\dm {2}two\/target\n/);
  expect(shown.stdout).toContain('2 target directories occupy');
  expect(shown.stdout).not.toContain('sources');
  expect(shown.stdout).not.toContain('\x1b');
  expect(targets()).toEqual([true, true]);
});

test('where Cargo builds elsewhere it says where that is', () => {
  const one = join(src, 'one');
  const built = lab.path('built');
  lab.write(one, { '.cargo/config.toml': `[build]\nbuild-dir = "${built}/{workspace-path-hash}"\n` });
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: one }).status).toBe(0);
  expect(clean(one, '-n').stdout).toContain(`\`kache clean ${built}\` looks there`);
  expect(clean('src', '-n').stdout).not.toContain('looks there');
  expect(clean('built', '-y').stdout).toContain('Deleted 1 directory');
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: one }).stderr).toContain('Compiling few');
  rmSync(built, { recursive: true });
});

test('--json has the same with bytes, and what is shared with whom', () => {
  const { stdout, status } = clean('src', '-n', '--json');
  expect(status).toBe(0);
  const report = JSON.parse(stdout);
  expect(Object.keys(report)).toEqual([
    'schema_version',
    'dir',
    'targets',
    'freeable_bytes',
    'freed_bytes',
    'gained_bytes',
    'unreadable',
  ]);
  expect(report).toMatchObject({ schema_version: 1, dir: src, freed_bytes: 0, gained_bytes: null });
  expect(report.targets.length).toBe(2);
  for (const target of report.targets) {
    expect(Object.keys(target)).toEqual([
      'path',
      'files',
      'logical_bytes',
      'occupied_bytes',
      'exclusive_bytes',
      'shared_bytes',
      'shared_with',
      'modified_ms',
      'outcome',
      'freed_bytes',
    ]);
    expect(target.occupied_bytes).toBe(target.exclusive_bytes + target.shared_bytes);
    expect(target.outcome).toBe('kept');
    const places = target.shared_with.map(({ place }: { place: string }) => place);
    // The library is one file with the blob, with the model and with the other checkout.
    if (target.shared_bytes > 0) expect(places).toContain(lab.store);
  }
});

test('-y deletes all, and says what was freed; the store and other folders stay', () => {
  const before = JSON.parse(clean('src', '-n', '--json').stdout);
  const done = clean('src', '-y', '--json');
  expect(done.status).toBe(0);
  const report = JSON.parse(done.stdout);
  expect(report.targets.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['removed', 'removed']);
  expect(report.freed_bytes).toBeGreaterThan(0);
  expect(Math.abs(report.freed_bytes - before.freeable_bytes)).toBeLessThanOrEqual(16_384);
  expect(targets()).toEqual([false, false]);
  expect(existsSync(join(src, 'sources/target/mod.rs'))).toBe(true);
  expect(existsSync(join(model, 'target/debug'))).toBe(true);
  expect(clean('src', '-y')).toMatchObject({
    status: 0,
    stdout: `No target directory below ${src}.\nNothing was deleted.\n`,
  });
  // The store is whole: the next build of either hits.
  const again = lab.cargo(join(src, 'one'), ['build', '--offline']);
  expect(again.events.map(({ result }) => result)).toContain('local_hit');
});

test('what a build holds is left, and said', async () => {
  const held = Bun.spawn(
    ['flock', join(src, 'one/target/debug/.cargo-lock'), 'sh', '-c', 'echo held; read _'],
    { stdin: 'pipe', stdout: 'pipe' },
  );
  await held.stdout.getReader().read();
  const done = clean('src', '-y');
  held.stdin.end();
  await held.exited;
  expect(done.status).toBe(1);
  expect(done.stdout).toContain(`left  ${join(src, 'one/target')}: a build is running in it`);
  expect(done.stdout).toContain('Deleted 1 directory;');
  expect(targets()).toEqual([true, false]);
});

test('wrong usage and wrong folders', () => {
  expect(clean('src', '-n', '-y')).toMatchObject({ status: 2, stdout: '' });
  expect(clean('src')).toMatchObject({ status: 2, stdout: '' });
  expect(clean('src').stderr).toContain('kache clean -n');
  expect(clean('src', '--json').status).toBe(2);
  expect(clean('absent', '-n')).toMatchObject({ status: 1, stdout: '' });
  expect(clean('absent', '-n').stderr).toContain('there is no such folder');
  expect(targets()).toEqual([true, true]);
});

const onTerminal = (...args: string[]): Pty =>
  new Pty([KACHE, 'clean', ...args], { cwd: lab.root, env: lab.env() });

test('on a terminal one picks', async () => {
  using pty = onTerminal('src');
  await pty.until('Which ones');
  // The second in the order shown.
  pty.press('\x1b[B');
  pty.press(' ');
  pty.press('\r');
  await pty.until('Delete 1 directory');
  pty.press('\r');
  expect(await pty.ended()).toBe(0);
  expect(pty.text).toContain('Deleted 1 directory;');
  expect(targets().filter(Boolean).length).toBe(1);
});

test('Ctrl-C at the question changes nothing', async () => {
  using pty = onTerminal('src');
  await pty.until('Which ones');
  pty.press('\x03');
  expect(await pty.ended()).toBe(130);
  expect(targets()).toEqual([true, true]);
});

test('picking none, or saying no, deletes nothing', async () => {
  using none = onTerminal('src');
  await none.until('Which ones');
  none.press('\r');
  expect(await none.ended()).toBe(0);
  using no = onTerminal('src');
  await no.until('Which ones');
  no.press(' ');
  no.press('\r');
  await no.until('Delete 1 directory');
  no.press('n');
  expect(await no.ended()).toBe(0);
  expect(no.text).toContain('Nothing was deleted.');
  expect(targets()).toEqual([true, true]);
});

test('a folder that may not be read is named, and the rest is found', () => {
  const closed = join(src, 'closed');
  mkdirSync(closed, { mode: 0o000 });
  const open = ['chmod', '-R', 'a+rX', lab.root];
  Bun.spawnSync(open);
  Bun.spawnSync(['chmod', '000', closed]);
  const argv = [KACHE, 'clean', src, '-n'];
  const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups', ...argv] : argv;
  // The store is in a folder that is closed as well.
  const shown = lab.run(asNobody, { env: { KACHE_CACHE_DIR: join(closed, 'store') } });
  Bun.spawnSync(['chmod', '700', closed]);
  expect(shown.stderr).toBe('');
  expect(shown.stdout).toContain(`note  ${closed} may not be read`);
  expect(shown.stdout).toContain('2 target directories occupy');
});

for (const kind of ['ext4', 'xfs', 'btrfs'] satisfies FileSystem[]) {
  test(`what is said to be freed is what ${kind} has more room by`, async () => {
    using mount = Mount.make(kind, lab.root, kind === 'xfs' ? 320 : 160);
    if (mount === undefined) return notRun(`clean on ${kind}`, 'it cannot be made or mounted here');
    using own = new Lab(join(mount.path, 'store'));
    for (const name of ['a', 'b']) {
      const dir = own.write(join(mount.path, name), PROJECT);
      expect(own.run([KACHE, 'cargo', 'build', '--offline'], { cwd: dir }).status).toBe(0);
      cpSync('/bin/bash', join(dir, 'target/debug/bulk'));
    }
    const before = mount.usedBytes();
    const report = JSON.parse(own.run([KACHE, 'clean', mount.path, '-y', '--json']).stdout);
    expect(report.freed_bytes).toBeGreaterThan(2_000_000);
    const freed = (): number => before - mount.usedBytes();
    // XFS gives blocks back a moment later.
    for (let round = 0; round < 100 && freed() < report.freed_bytes - 300_000; round++) await Bun.sleep(20);
    expect(Math.abs(report.freed_bytes - freed())).toBeLessThan(500_000);
  }, 60_000);
}
