// Several builds at once on one store: each unit is compiled once, and a killed builder leaves the others to finish.
import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KACHE, Lab } from '../support/lab.ts';
import { SHARED, WORKSPACE } from '../support/workspace.ts';

const start = (lab: Lab, dir: string) =>
  Bun.spawn(['cargo', 'build', '--offline'], {
    cwd: dir,
    env: lab.env({ RUSTC_WRAPPER: lab.wrapper() }),
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });

/** Every blob holds what its name says, every entry has its blobs. */
function expectSound(lab: Lab): void {
  const verified = lab.run([KACHE, 'doctor', '--verify', '--checksums', '--json']);
  const checks = (JSON.parse(verified.stdout) as { checks: { id: string; state: string; detail: string }[] })
    .checks;
  for (const check of checks.filter(({ id }) => id === 'entries' || id === 'blobs'))
    expect([check.id, check.state, check.detail]).toEqual([check.id, 'ok', '']);
  for (const prefix of readdirSync(join(lab.store, 'blobs'))) {
    for (const name of readdirSync(join(lab.store, 'blobs', prefix)).filter(
      (file) => !file.endsWith('.seal'),
    )) {
      expect(
        createHash('sha256')
          .update(readFileSync(join(lab.store, 'blobs', prefix, name)))
          .digest('hex'),
      ).toBe(name);
    }
  }
}

test('two builds of two checkouts compile each shared unit once', async () => {
  using lab = new Lab();
  const a = lab.write('a', WORKSPACE);
  const b = lab.copy(a, 'deep/b');
  const builds = [start(lab, a), start(lab, b)];
  expect(await Promise.all(builds.map(({ exited }) => exited))).toEqual([0, 0]);
  for (const name of SHARED) {
    const results = lab
      .events()
      .filter(({ crate_name, crate_types }) => crate_name === name && crate_types === 'lib')
      .map(({ result }) => result);
    expect([name, ...results.sort()]).toEqual([name, 'local_hit', 'miss']);
  }
  expectSound(lab);
}, 120_000);

/** Waits for something the file system shows, without a fixed delay. */
async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 60_000; !condition(); await Bun.sleep(1)) {
    if (Date.now() > deadline) throw new Error('it did not happen within a minute');
  }
}

test('killing a builder at any point leaves a sound store and a right build', async () => {
  for (let entries = 0; entries < 4; entries++) {
    using lab = new Lab();
    const a = lab.write('a', WORKSPACE);
    const b = lab.copy(a, 'deep/b');
    const doomed = start(lab, a);
    const other = start(lab, b);
    // The moment is chosen by what has been stored and locked, not by the clock.
    await until(() => {
      const stored = existsSync(join(lab.store, 'entries'))
        ? readdirSync(join(lab.store, 'entries')).length
        : 0;
      return (
        stored >= entries &&
        existsSync(join(lab.store, 'locks')) &&
        (entries === 0 || readdirSync(join(lab.store, 'locks')).length > 0 || stored > entries)
      );
    });
    process.kill(-doomed.pid, 'SIGKILL');
    expect(await other.exited).toBe(0);
    expectSound(lab);
    expect(lab.cargo(a, ['build', '--offline']).status).toBe(0);
    const printed = [a, b].map((dir) =>
      Bun.spawnSync([join(dir, 'target/debug/app')])
        .stdout.toString()
        .replaceAll(dir, ''),
    );
    expect(printed[0]).toBe(printed[1] ?? '');
    expect(printed[0]).toContain('left right');
  }
}, 240_000);
