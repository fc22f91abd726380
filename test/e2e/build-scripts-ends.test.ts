// Runs of build scripts that are ended from outside: by kill -9 of any process of theirs, by the signals of a terminal or of
// whoever stops a build, by a reader who is gone. Nothing goes on behind the back of who ended it, nothing of it is kept,
// and the next run is right.
import { beforeAll, expect } from 'bun:test';
import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { told } from '../support/fault-place.ts';
import { inspectStore } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { openOnLinux } from '../support/linux.ts';
import { onLinuxOnly } from '../support/script-lab.ts';
import { ended, type RunProcess, ScriptRuns } from '../support/script-runs.ts';
import { lockWaiters, until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 60_000;

let place: ScriptRuns;
openOnLinux(ScriptRuns, (opened) => {
  place = opened;
});
beforeAll(() => place?.setUp());
const onLinux = onLinuxOnly('ends of build-script runs');

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

/** A run in the second checkout that waits for the one in the first. */
async function startBoth() {
  forget();
  const runs = [place.start(place.first)];
  await place.waiting(place.first);
  runs.push(place.start(place.second));
  await until('the second waits', () => lockWaiters({ store: place.store }) === 1);
  return runs as [ReturnType<ScriptRuns['start']>, ReturnType<ScriptRuns['start']>];
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const)
  onLinux(
    `a run that waits for another ends by ${signal}, and the other does not`,
    async () => {
      const [first, second] = await startBoth();
      second.kill(signal);
      expect(await ended(second)).toMatchObject({ signal });
      expect(place.processes(place.second)).toEqual([]);
      process.kill(first.pid, 'SIGTERM');
      await ended(first);
      await expectRightAfter(signal);
    },
    TIMEOUT_MS,
  );

onLinux(
  'a run that waits for another runs the script when that one is killed',
  async () => {
    const [first, second] = await startBoth();
    first.kill('SIGKILL');
    expect(place.wrongWith(place.second, await ended(second))).toEqual([]);
    expect(place.events().map(told)).toEqual(['miss never-compiled']);
    expect(readdirSync(join(place.store, 'locks'))).toEqual([]);
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

onLinux(
  'an observer that cannot be started: the script runs, unwatched',
  async () => {
    forget();
    place.tell(place.first, 'go on');
    const broken = place.lab.path('broken/kache-launcher');
    place.lab.write('broken', { 'kache-launcher': 'no program\n' });
    chmodSync(broken, 0o755);
    const run = await ended(place.start(place.first, { RUSTC_WRAPPER: broken }));
    expect([place.wrongWith(place.first, run), place.broken()]).toEqual([[], []]);
    expect(place.events().map(told)).toEqual([expect.stringMatching(/^skipped cache-failed\|/)]);
  },
  TIMEOUT_MS,
);

const stateOf = (pid: number): string =>
  /^State:\t(.)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

onLinux(
  'a run that is stopped and continued, as from a terminal, goes on to its end',
  async () => {
    forget();
    const run = place.start(place.first);
    await place.waiting(place.first);
    process.kill(-run.pid, 'SIGSTOP');
    const all = place.processes(place.first);
    expect(all.map(({ role }) => role).sort()).toEqual(['kache', 'observer', 'script', 'tracer']);
    await until('all of it has stopped', () => all.every(({ pid }) => /[Tt]/.test(stateOf(pid))));
    process.kill(-run.pid, 'SIGCONT');
    place.tell(place.first, 'go on');
    expect(place.wrongWith(place.first, await ended(run))).toEqual([]);
    await until('nothing of the run is left', () => place.processes(place.first).length === 0);
    // The script has seen its input as it was before, too.
    expect(place.events().map(told)).toEqual([expect.stringMatching(/^skipped input-changed-during-run\|/)]);
  },
  TIMEOUT_MS,
);
