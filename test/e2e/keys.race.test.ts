// Eight wrappers at once, on one key and on eight. Who waits for whom is read from the kernel, not from the clock.
import { expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../support/lab.ts';
import { HeldCompiler, lockWaiters, startCall, until } from '../support/wrapper-call.ts';

const EIGHT = Array.from({ length: 8 }, (_, n) => n);

/** No lock and no temporary file outlives the calls, in the store or beside the outputs. */
function expectClean(lab: Lab, dirs: readonly string[]): void {
  expect(readdirSync(join(lab.store, 'locks'))).toEqual([]);
  expect(readdirSync(join(lab.store, 'tmp'))).toEqual([]);
  for (const dir of dirs) {
    const aside = join(dir, 'target/debug/deps/.kache');
    expect(existsSync(aside) ? readdirSync(aside) : []).toEqual([]);
  }
}

test('eight processes on one key: one compiles, seven wait for it and hit', async () => {
  using lab = new Lab();
  const dirs = EIGHT.map((n) => lab.write(`at/depth${n}/x`, { 'src/lib.rs': 'pub fn one() -> u32 { 1 }\n' }));
  // The first round locks what has never been compiled, the second the predicted key of a known closure.
  for (const round of [1, 2]) {
    using compiler = new HeldCompiler(lab);
    for (const dir of dirs) writeFileSync(join(dir, 'src/lib.rs'), `pub fn one() -> u32 { ${round} }\n`);
    const before = lab.events().length;
    const calls = dirs.map((dir) => startCall(lab, { dir, compiler: compiler.path }));
    await until('one compiles and seven wait', () => compiler.started > 0 && lockWaiters(lab) === 7);
    expect(compiler.started).toBe(1);
    compiler.open();
    expect(await Promise.all(calls.map(({ exited }) => exited))).toEqual(EIGHT.map(() => 0));
    const results: string[] = lab
      .events()
      .slice(before)
      .map(({ result }) => result);
    expect(results.sort()).toEqual([...EIGHT.slice(1).map(() => 'local_hit'), 'miss']);
    expect(compiler.started).toBe(1);
    const bytes = dirs.map((dir) => readFileSync(join(dir, 'target/debug/deps/libheld-m.rlib'), 'base64'));
    expect(new Set(bytes).size).toBe(1);
    expectClean(lab, dirs);
  }
}, 120_000);

test('eight processes on eight keys, alike in name and package: all compile at the same time', async () => {
  using lab = new Lab();
  using compiler = new HeldCompiler(lab);
  const dirs = EIGHT.map((n) => lab.write(`own${n}`, { 'src/lib.rs': `pub fn one() -> u32 { ${n} }\n` }));
  const calls = dirs.map((dir, n) =>
    // Half of them differ only in what the source says, as two branches of one project do.
    startCall(lab, { dir, compiler: compiler.path, metadata: n < 4 ? 'same' : `m${n}` }),
  );
  // None of them ends before all have begun: had one to wait for another, this would never come true.
  await until('all eight compile', () => compiler.started === 8);
  expect(lockWaiters(lab)).toBe(0);
  compiler.open();
  expect(await Promise.all(calls.map(({ exited }) => exited))).toEqual(EIGHT.map(() => 0));
  expect(lab.events().map(({ result }): string => result)).toEqual(EIGHT.map(() => 'miss'));
  expectClean(lab, dirs);
}, 120_000);
