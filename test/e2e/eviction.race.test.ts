// Eviction while real builds restore and publish, in several checkouts at once: builds are right, and the store is whole.
import { expect, test } from 'bun:test';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KACHE, Lab } from '../support/lab.ts';
import { WORKSPACE } from '../support/workspace.ts';
import { until } from '../support/wrapper-call.ts';

/** Evicts everything, without a pause, until it is stopped; returns how often it has. */
function evictAllTheTime(lab: Lab): { stop: () => Promise<number> } {
  let isStopped = false;
  const rounds = (async () => {
    let count = 0;
    for (; !isStopped; count++) {
      const purge = Bun.spawn([KACHE, 'purge'], {
        cwd: lab.root,
        env: lab.env(),
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      // 1: another one, started by the builds themselves, was running.
      if ((await purge.exited) > 1) throw new Error(await new Response(purge.stderr).text());
    }
    return count;
  })();
  return {
    stop: () => {
      isStopped = true;
      return rounds;
    },
  };
}

const integrity = (lab: Lab): unknown[] =>
  JSON.parse(lab.run([KACHE, 'doctor', '--verify', '--checksums', '--json']).stdout)
    .checks.filter(({ id }: { id: string }) => id === 'entries' || id === 'blobs')
    .map(({ state, detail }: { state: string; detail: string }) => [state, detail]);

test('builds in three checkouts while everything is evicted again and again', async () => {
  using lab = new Lab();
  const dirs = ['a', 'deep/b', 'deeper/still/c'].map((name) => lab.write(name, WORKSPACE));
  const eviction = evictAllTheTime(lab);
  for (let round = 0; round < 4; round++) {
    const builds = dirs.map((dir) => {
      // Half of the rounds restore what the others publish, half of them compile the same edit at the same time.
      rmSync(join(dir, 'target'), { recursive: true, force: true });
      if (round % 2 === 1)
        writeFileSync(join(dir, 'app/src/left.rs'), `pub fn side() -> &'static str { "left ${round}" }\n`);
      return Bun.spawn(['cargo', 'build', '--offline'], {
        cwd: dir,
        env: lab.env({
          RUSTC_WRAPPER: KACHE,
          KACHE_MAX_SIZE: '20MB',
          KACHE_CACHE_EXECUTABLES: round < 2 ? '0' : '1',
        }),
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    });
    for (const build of builds)
      expect([await build.exited, /kache:|E[A-Z]{4,}/.test(await new Response(build.stderr).text())]).toEqual(
        [0, false],
      );
    const said = round === 0 ? 'left right' : `left ${round % 2 === 1 ? round : round - 1} right`;
    for (const dir of dirs) {
      expect(Bun.spawnSync([join(dir, 'target/debug/app')]).stdout.toString()).toContain(said);
      const aside = join(dir, 'target/debug/deps/.kache');
      expect(existsSync(aside) ? readdirSync(aside) : []).toEqual([]);
    }
  }
  expect(await eviction.stop()).toBeGreaterThan(10);
  // The evictions that builds have started go on for a moment; what they leave is what counts.
  await until('eviction has ended', () => readdirSync(join(lab.store, 'locks')).length === 0);
  expect(readdirSync(join(lab.store, 'tmp'))).toEqual([]);
  expect(integrity(lab)).toEqual([
    ['ok', ''],
    ['ok', ''],
  ]);
  for (const dir of dirs) expect(lab.cargo(dir, ['build', '--offline']).events).toEqual([]);
}, 240_000);
