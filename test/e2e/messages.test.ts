// What the compiler has to say cannot be written: nobody reads, or the disk is full. The call ends as rustc does then, with
// one compiler started at most and nothing said twice.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { constants } from 'node:os';
import { FaultLab } from '../support/fault-lab.ts';
import { KACHE } from '../support/lab.ts';

let place: FaultLab;
beforeAll(async () => {
  place = new FaultLab();
  await place.setUp(async () => {
    await place.make('part', place.first);
  });
}, 60_000);
afterAll(() => place[Symbol.dispose]());

/** How the compile of `small` ends, as a shell says it, with its stderr going to `target`; by rustc alone or through kache. */
function run(through: readonly string[], target: string): number {
  const call = place.call('small', place.first);
  const quoted = [...through, ...call.argv].map((arg) => `'${arg}'`).join(' ');
  const done = Bun.spawnSync(['bash', '-c', `exec 3> ${target}; wait $!; exec ${quoted} 2>&3 3>&-`], {
    cwd: call.cwd,
    env: { ...call.env, ...(place.env as Record<string, string>) },
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  return done.exitCode ?? 128 + constants.signals[String(done.signalCode) as NodeJS.Signals];
}

/** A pipe whose reader is gone before anybody writes. */
const NOBODY = '>(exec <&-)';

test('a compile and a hit whose messages nobody reads end by the signal rustc ends by', async () => {
  expect(run([], NOBODY)).toBe(141);
  for (const what of ['compile', 'hit']) {
    place.putBack();
    if (what === 'hit') {
      await place.make('small', place.first);
      rmSync(place.call('small', place.first).outDir, { recursive: true });
      await place.make('part', place.first);
    }
    place.takeStarts();
    expect([what, run([KACHE], NOBODY)]).toEqual([what, 141]);
    expect([what, place.takeStarts()]).toEqual([what, what === 'hit' ? 0 : 1]);
  }
}, 60_000);

test('a compile and a hit whose messages have no room fail, and the next build is right', async () => {
  expect(run([], '/dev/full')).not.toBe(0);
  for (const what of ['compile', 'hit']) {
    place.putBack();
    if (what === 'hit') await place.make('small', place.first);
    place.takeStarts();
    expect([what, run([KACHE], '/dev/full')]).toEqual([what, 101]);
    expect([what, place.takeStarts()]).toEqual([what, what === 'hit' ? 0 : 1]);
    const next = await place.make('small', place.first);
    expect([what, place.wrongWith('small', place.first, next)]).toEqual([what, []]);
  }
}, 60_000);
