import { expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOsError } from '../../src/sys/files.ts';
import { acquireLock, tryLock } from '../../src/sys/lock.ts';
import { Lab } from '../support/lab.ts';

const LOCK = JSON.stringify(join(import.meta.dir, '../../src/sys/lock.ts'));

/** A process that takes the lock, says so, and keeps it until it is killed. */
async function holderOf(lab: Lab, lock: string): Promise<Bun.Subprocess> {
  const script = lab.path('hold.ts');
  writeFileSync(
    script,
    `import { acquireLock } from ${LOCK};
     const held = acquireLock(${JSON.stringify(lock)}); console.log('held'); setInterval(() => held, 1000);`,
  );
  const holder = Bun.spawn([process.execPath, script], { stdout: 'pipe' });
  await holder.stdout.getReader().read();
  return holder;
}

test('eight processes take turns, though the lock file comes and goes', async () => {
  using lab = new Lab();
  const [lock, counter] = [lab.path('lock'), lab.path('counter')];
  writeFileSync(counter, '0');
  const script = lab.path('count.ts');
  writeFileSync(
    script,
    `import { acquireLock } from ${LOCK};
     import { readFileSync, writeFileSync } from 'node:fs';
     for (let n = 0; n < 50; n++) {
       using held = acquireLock(${JSON.stringify(lock)});
       writeFileSync(${JSON.stringify(counter)}, String(Number(readFileSync(${JSON.stringify(counter)}, 'utf8')) + 1));
     }`,
  );
  const counters = Array.from({ length: 8 }, () => Bun.spawn([process.execPath, script]));
  expect(await Promise.all(counters.map(({ exited }) => exited))).toEqual(Array(8).fill(0));
  expect(readFileSync(counter, 'utf8')).toBe('400');
  expect(existsSync(lock)).toBe(false);
}, 60_000);

test('holders that are killed in the middle never let two in', async () => {
  using lab = new Lab();
  const [lock, inside] = [lab.path('lock'), lab.path('inside')];
  const script = lab.path('enter.ts');
  writeFileSync(
    script,
    `import { acquireLock } from ${LOCK};
     import { closeSync, openSync, unlinkSync } from 'node:fs';
     const inside = ${JSON.stringify(inside)};
     for (let n = 0; n < 40; n++) {
       using held = acquireLock(${JSON.stringify(lock)});
       try { closeSync(openSync(inside, 'wx')); } catch { process.exit(9); }
       unlinkSync(inside);
       if (n === 5 && process.argv[2] === 'die') process.kill(process.pid, 'SIGKILL');
     }`,
  );
  const enter = (how: string) => Bun.spawn([process.execPath, script, how]);
  const all = ['die', 'live', 'die', 'live', 'die', 'live', 'die', 'live'].map(enter);
  await Promise.all(all.map(({ exited }) => exited));
  expect(all.map(({ exitCode, signalCode }) => signalCode ?? exitCode)).toEqual([
    'SIGKILL',
    0,
    'SIGKILL',
    0,
    'SIGKILL',
    0,
    'SIGKILL',
    0,
  ]);
}, 60_000);

test('a killed holder releases', async () => {
  using lab = new Lab();
  const lock = lab.path('lock');
  const holder = await holderOf(lab, lock);
  expect(tryLock(lock)).toBeUndefined();
  holder.kill('SIGKILL');
  using taken = acquireLock(lock);
  expect(taken.waitedMs).toBeGreaterThanOrEqual(0);
});

test('a waiter dies of SIGTERM at once, and the lock goes on', async () => {
  using lab = new Lab();
  const lock = lab.path('lock');
  const script = lab.path('wait.ts');
  writeFileSync(
    script,
    `import { acquireLock } from ${LOCK}; console.log('waiting'); acquireLock(${JSON.stringify(lock)});`,
  );
  {
    using _held = acquireLock(lock);
    const waiter = Bun.spawn([process.execPath, script], { stdout: 'pipe' });
    await waiter.stdout.getReader().read();
    waiter.kill('SIGTERM');
    await waiter.exited;
    expect(waiter.signalCode).toBe('SIGTERM');
    expect(tryLock(lock)).toBeUndefined();
  }
  using again = tryLock(lock);
  expect(again).toBeDefined();
});

test('within one process a lock excludes as well, and a released one leaves neither file nor descriptor', () => {
  using lab = new Lab();
  const lock = lab.path('lock');
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  {
    using held = tryLock(lock);
    expect(held).toBeDefined();
    expect(tryLock(lock)).toBeUndefined();
  }
  expect([descriptors(), existsSync(lock)]).toEqual([before, false]);
});

test('a holder whose file someone removed does no harm, and where locks cannot be it says so', () => {
  using lab = new Lab();
  const lock = lab.path('lock');
  {
    using _held = acquireLock(lock);
    unlinkSync(lock);
  }
  expect(existsSync(lock)).toBe(false);
  try {
    acquireLock(lab.path('no', 'folder', 'lock'));
    expect.unreachable();
  } catch (error) {
    expect(isOsError(error, 'ENOENT')).toBe(true);
  }
});
