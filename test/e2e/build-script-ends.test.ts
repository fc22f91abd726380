// Runs of build scripts that are ended from outside: by kill -9 of any process of theirs, by the signals of a terminal or of
// whoever stops a build, by a reader who is gone. Nothing goes on behind the back of who ended it, nothing of it is kept,
// and the next run is right.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { inspectStore } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { notRun } from '../support/required.ts';
import { ended, type RunProcess, ScriptLab, told } from '../support/script-lab.ts';
import { until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 60_000;

let place: ScriptLab;
const isLinux = process.platform === 'linux';
beforeAll(async () => {
  if (!isLinux) return notRun('ends of build-script runs', 'they are kept on Linux alone');
  place = new ScriptLab();
  await place.setUp(async () => {});
}, 60_000);
afterAll(() => place?.[Symbol.dispose]());
const onLinux = test.if(isLinux);

/** The store as it was: without a run. */
function forget(): void {
  rmSync(place.store, { recursive: true, force: true });
  place.tell(place.first, 'wait');
}

const pidOf = (role: RunProcess['role']): number => {
  const found = place.processes(place.first).find((one) => one.role === role);
  if (found === undefined) throw new Error(`there is no ${role}`);
  return found.pid;
};

/** Nothing is left of a run that was ended, and the next two are a miss and a hit. */
async function expectRightAfter(what: string): Promise<void> {
  await until('nothing of the run is left', () => place.processes(place.first).length === 0);
  expect([what, inspectStore(place.store)]).toMatchObject([what, { wrong: [], entries: 0, blobs: 0 }]);
  place.tell(place.first, 'go on');
  const before = place.events().length;
  for (const _ of ['a miss', 'a hit']) {
    const next = await place.run(place.first);
    expect([what, place.wrongWith(place.first, next), place.broken()]).toEqual([what, [], []]);
  }
  expect([what, place.events().slice(before).map(told)]).toEqual([
    what,
    ['miss never-compiled', 'local_hit'],
  ]);
}

onLinux(
  'kill -9 of kache ends the run',
  async () => {
    forget();
    const run = place.start(place.first);
    await place.waiting(place.first);
    run.kill('SIGKILL');
    expect(await ended(run)).toMatchObject({ signal: 'SIGKILL' });
    await expectRightAfter('kache');
  },
  TIMEOUT_MS,
);

for (const role of ['observer', 'tracer', 'script'] as const)
  onLinux(
    `kill -9 of the ${role}: the script has another go, unwatched`,
    async () => {
      forget();
      const run = place.start(place.first);
      await place.waiting(place.first);
      process.kill(pidOf(role), 'SIGKILL');
      await until('the run was noted', () => place.events().length > 0);
      expect(place.events().map(told)).toEqual(['error failed-while-watched|SIGKILL']);
      place.tell(place.first, 'go on');
      expect(place.wrongWith(place.first, await ended(run))).toEqual([]);
      await expectRightAfter(role);
    },
    TIMEOUT_MS,
  );

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  for (const whom of ['kache', 'all of them', 'the observer'] as const)
    onLinux(
      `${signal} to ${whom} ends the run`,
      async () => {
        forget();
        const run = place.start(place.first);
        await place.waiting(place.first);
        if (whom === 'kache') run.kill(signal);
        else if (whom === 'the observer') process.kill(pidOf('observer'), signal);
        // As a terminal does it.
        else process.kill(-run.pid, signal);
        expect(await ended(run)).toMatchObject({ signal, stdout: '', stderr: '' });
        expect(place.events().map(told)).toEqual([`error failed-while-watched|${signal}`]);
        await expectRightAfter(`${signal} to ${whom}`);
      },
      TIMEOUT_MS,
    );

const PANICKED = 101;

for (const what of ['a miss', 'a hit'] as const)
  onLinux(
    `${what} that nobody listens to fails as the script would, and does not run it again`,
    async () => {
      forget();
      place.tell(place.first, 'go on');
      if (what === 'a hit') await place.run(place.first);
      for (const redirection of ['>/dev/full', '2>/dev/full']) {
        const before = place.events().length;
        if (what === 'a miss') rmSync(join(place.store, 'units'), { recursive: true, force: true });
        const run = place.start(place.first, {}, ['sh', '-c', `exec "$0" "$@" ${redirection}`, KACHE]);
        expect(await ended(run)).toMatchObject({ status: PANICKED });
        const results = place.events().slice(before);
        expect(results.map(({ result }) => result)).toEqual([what === 'a hit' ? 'local_hit' : 'miss']);
      }
      const next = await place.run(place.first);
      expect([place.wrongWith(place.first, next), place.broken()]).toEqual([[], []]);
      expect(place.events().at(-1)?.result).toBe('local_hit');
    },
    TIMEOUT_MS,
  );
