import { expect, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { acquireLock, tryLock } from '../../src/sys/lock.ts';
import { Lab } from '../support/lab.ts';

test('eight processes take turns, though the lock file comes and goes', async () => {
  using lab = new Lab();
  const [lock, counter] = [lab.path('lock'), lab.path('counter')];
  writeFileSync(counter, '0');
  const script = lab.path('count.ts');
  writeFileSync(
    script,
    `import { acquireLock } from ${JSON.stringify(join(import.meta.dir, '../../src/sys/lock.ts'))};
     import { readFileSync, writeFileSync } from 'node:fs';
     for (let n = 0; n < 25; n++) {
       using held = acquireLock(${JSON.stringify(lock)});
       writeFileSync(${JSON.stringify(counter)}, String(Number(readFileSync(${JSON.stringify(counter)}, 'utf8')) + 1));
     }`,
  );
  const counters = Array.from({ length: 8 }, () => Bun.spawn([process.execPath, script]));
  expect(await Promise.all(counters.map(({ exited }) => exited))).toEqual(Array(8).fill(0));
  expect(readFileSync(counter, 'utf8')).toBe('200');
  expect(existsSync(lock)).toBe(false);
}, 60_000);

test('a killed holder releases', async () => {
  using lab = new Lab();
  const lock = lab.path('lock');
  const script = lab.path('hold.ts');
  writeFileSync(
    script,
    `import { acquireLock } from ${JSON.stringify(join(import.meta.dir, '../../src/sys/lock.ts'))};
     const held = acquireLock(${JSON.stringify(lock)}); console.log('held'); setInterval(() => held, 1000);`,
  );
  const holder = Bun.spawn([process.execPath, script], { stdout: 'pipe' });
  await holder.stdout.getReader().read();
  expect(tryLock(lock)).toBeUndefined();
  holder.kill('SIGKILL');
  using taken = acquireLock(lock);
  expect(taken.waitedMs).toBeGreaterThanOrEqual(0);
});
