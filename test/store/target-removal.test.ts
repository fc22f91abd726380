// Deleting target directories: all of it, nothing else, never under a build, and sound when it is cut off.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { lockAll, removeTarget } from '../../src/store/target-removal.ts';
import { isTargetDirectory, REMOVED, scanTargets } from '../../src/store/targets.ts';
import { Pace } from '../../src/sys/pace.ts';
import { freshness, Lab } from '../support/lab.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';

let lab: Lab;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab[Symbol.dispose]());

/** A project that was built, with a build script whose output a half-deleted folder would lack. */
function built(name: string): string {
  const dir = lab.write(name, {
    'Cargo.toml': '[package]\nname = "built"\nversion = "0.1.0"\nedition = "2021"\n',
    'build.rs':
      'fn main() { std::fs::write(format!("{}/made.rs", std::env::var("OUT_DIR").unwrap()), "3").unwrap(); }\n',
    'src/main.rs': 'fn main() { println!("{}", include!(concat!(env!("OUT_DIR"), "/made.rs"))); }\n',
  });
  expect(lab.run(['cargo', 'build', '--offline'], { cwd: dir }).status).toBe(0);
  return dir;
}

test('all of it goes, and what it frees is what the scan said', async () => {
  const dir = built('whole');
  const target = join(dir, 'target');
  const [scanned] = await scanTargets([dir]);
  const outside = lab.write('outside', { 'kept.txt': 'kept' });
  symlinkSync(outside, join(target, 'debug/link'));
  const removal = await removeTarget(target, new Pace());
  expect(removal).toMatchObject({ kind: 'removed', problem: undefined });
  expect(existsSync(target)).toBe(false);
  expect(readFileSync(join(outside, 'kept.txt'), 'utf8')).toBe('kept');
  // Its own folders for what is on its way may come to a block or two.
  expect(Math.abs(removal.freedBytes - (scanned?.exclusiveBytes ?? 0))).toBeLessThanOrEqual(8192);
});

test('what others link to frees nothing', async () => {
  const dir = built('linked');
  const target = join(dir, 'target');
  const big = join(target, 'debug/big');
  writeFileSync(big, Buffer.alloc(1 << 20, 1));
  const [alone] = await scanTargets([dir]);
  linkSync(big, lab.path('big-elsewhere'));
  const { freedBytes } = await removeTarget(target, new Pace());
  expect((alone?.exclusiveBytes ?? 0) - freedBytes).toBeGreaterThanOrEqual((1 << 20) - 8192);
});

test('not under a running build', async () => {
  const dir = built('busy');
  const held = Bun.spawn(['flock', join(dir, 'target/debug/.cargo-lock'), 'sh', '-c', 'echo held; read _'], {
    stdin: 'pipe',
    stdout: 'pipe',
  });
  await held.stdout.getReader().read();
  const before = readdirSync(join(dir, 'target')).sort();
  expect(await removeTarget(join(dir, 'target'), new Pace())).toMatchObject({ kind: 'busy', freedBytes: 0 });
  expect(readdirSync(join(dir, 'target')).sort()).toEqual(before);
  held.stdin.end();
  await held.exited;
  expect(await removeTarget(join(dir, 'target'), new Pace())).toMatchObject({ kind: 'removed' });
});

test('not when it has become something else since it was found', async () => {
  const dir = built('changed');
  renameSync(join(dir, 'target'), join(dir, 'kept'));
  mkdirSync(join(dir, 'target'));
  writeFileSync(join(dir, 'target/precious.txt'), 'mine');
  expect(await removeTarget(join(dir, 'target'), new Pace())).toMatchObject({ kind: 'changed' });
  symlinkSync(join(dir, 'kept'), join(dir, 'alias'));
  expect(await removeTarget(join(dir, 'alias'), new Pace())).toMatchObject({ kind: 'changed' });
  expect(readFileSync(join(dir, 'target/precious.txt'), 'utf8')).toBe('mine');
  expect(existsSync(join(dir, 'kept/debug'))).toBe(true);
});

test('cut off after any number of steps, the next build is right and the rest is found again', async () => {
  for (const steps of [0, 3, 12]) {
    const dir = built(`cut-${steps}`);
    const target = join(dir, 'target');
    let left = steps;
    const pace = new Pace();
    pace.step = async () => {
      if (left-- === 0) throw new Error('cut off');
    };
    expect(await removeTarget(target, pace).catch((error: Error) => error.message)).toBe('cut off');
    expect(readdirSync(join(target, REMOVED)).length).toBeGreaterThan(0);
    expect(isTargetDirectory(target)).toBe(true);
    const again = lab.run(['cargo', 'build', '--offline', '--message-format=json'], { cwd: dir });
    expect(again.status).toBe(0);
    expect(freshness(again.stdout).fresh).toBe(0);
    expect(Bun.spawnSync([join(target, 'debug/built')]).stdout.toString()).toBe('3\n');
    expect(await removeTarget(target, new Pace())).toMatchObject({ kind: 'removed' });
    expect(existsSync(target)).toBe(false);
  }
}, 60_000);

test('one that may not be locked is left, and it is said why', async () => {
  const dir = built('closed');
  const lock = join(dir, 'target/debug/.cargo-lock');
  // A program that runs may not be opened for writing, not even by root.
  cpSync('/bin/sleep', lock);
  const running = Bun.spawn([lock, '60']);
  const removal = await removeTarget(join(dir, 'target'), new Pace());
  running.kill();
  await running.exited;
  expect(removal).toMatchObject({ kind: 'partly', freedBytes: 0 });
  expect(removal.problem).toContain('.cargo-lock');
  expect(existsSync(join(dir, 'target/debug/deps'))).toBe(true);
});

test('another file system mounted in it stays, with what is on it', async () => {
  const dir = built('mounted');
  const target = join(dir, 'target');
  using mount = Mount.make('tmpfs', join(target, 'debug'), 4);
  if (mount === undefined) return notRun('a mount inside a target directory', 'no tmpfs can be mounted');
  writeFileSync(join(mount.path, 'precious.txt'), 'mine');
  const removal = await removeTarget(target, new Pace());
  expect(removal.kind).toBe('partly');
  expect(removal.problem).toContain('file system');
  const [moved] = readdirSync(join(target, REMOVED));
  expect(readFileSync(join(target, REMOVED, moved ?? '', 'tmpfs/precious.txt'), 'utf8')).toBe('mine');
  Bun.spawnSync(['umount', join(target, REMOVED, moved ?? '', 'tmpfs')]);
});

test('of several locks all are had or none, also where one of them cannot be opened', () => {
  const dir = lab.write('locks', { first: '', second: '' });
  const [first, second, missing] = ['first', 'second', 'no/such/lock'].map((name) => join(dir, name));
  const isFree = (path = ''): boolean => {
    using lock = lockAll([path], { create: false });
    return lock !== undefined;
  };
  expect(() => lockAll([first ?? '', missing ?? ''], { create: false })).toThrow('no/such/lock');
  expect(isFree(first)).toBe(true);
  {
    using _held = lockAll([second ?? ''], { create: false });
    expect(lockAll([first ?? '', second ?? ''], { create: false })).toBeUndefined();
    expect([isFree(first), isFree(second)]).toEqual([true, false]);
  }
  expect(isFree(second)).toBe(true);
});
