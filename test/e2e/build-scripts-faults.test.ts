// Kept runs of build scripts when something fails: every file of the store damaged in every way, every file-system
// operation refused, and kill -9 before each of them. What the script leaves and prints is right each time, nothing is
// believed that is not, and the log says why.
import { expect } from 'bun:test';
import { rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { atEvery, DAMAGES, damageEach, dieAtEvery, told } from '../support/fault-place.ts';
import { filesBelow } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { openOnLinux } from '../support/linux.ts';
import { onLinuxOnly } from '../support/script-lab.ts';
import { type ScriptResult, ScriptRuns } from '../support/script-runs.ts';

const TIMEOUT_MS = 240_000;

let place: ScriptRuns;
const onLinux = onLinuxOnly('faults of build-script runs');
openOnLinux(ScriptRuns, (opened) => {
  place = opened;
});

const fill = async (): Promise<void> => expectRight('at first', place.first, await place.run(place.first));

function expectRight(what: string, dir: string, result: ScriptResult): void {
  expect([what, place.wrongWith(dir, result), place.brokenInUse()]).toEqual([what, [], []]);
}

/** A run that nothing keeps from being right; returns what the log says of it. */
async function runRight(what: string): Promise<string> {
  const before = place.events().length;
  expectRight(what, place.second, await place.run(place.second));
  return place.events().slice(before).map(told).join();
}

/** What damage to a file of each kind may do to the next run, as the log tells it. */
const EXPECTED: readonly (readonly [kind: RegExp, event: RegExp])[] = [
  [/^blobs\/..\/[0-9a-f]+$/, /^miss blob-(damaged|missing)$/],
  [/^entries\/..\/[0-9a-f]+$/, /^miss inputs-changed$/],
  [/^units\//, /^miss never-compiled$/],
];

for (const how of DAMAGES)
  onLinux(
    `every file of the store, one at a time: ${how}`,
    async () => {
      await place.setUp(fill);
      const survival = { build: runRight, hit: 'local_hit', expected: EXPECTED };
      expect(await damageEach(place, how, survival)).toBeGreaterThan(12);
    },
    TIMEOUT_MS,
  );

onLinux(
  'everything is evicted again and again while runs are put back and kept',
  async () => {
    await place.setUp(fill);
    let isDone = false;
    const evictions = (async () => {
      let count = 0;
      for (; !isDone; count++) {
        const env = place.scriptEnv(place.first);
        await Bun.spawn([KACHE, 'purge'], { env, stdio: ['ignore', 'ignore', 'ignore'] }).exited;
      }
      return count;
    })();
    for (let round = 0; round < 20; round++) {
      const both = [place.first, place.second].map((dir) => ({ dir, run: place.run(dir) }));
      for (const { dir, run } of both) expect([round, place.wrongWith(dir, await run)]).toEqual([round, []]);
    }
    isDone = true;
    expect(await evictions).toBeGreaterThan(5);
    expect(place.brokenByEviction()).toEqual([]);
    await runRight('afterwards');
    expect(await runRight('and once more')).toBe('local_hit');
  },
  TIMEOUT_MS,
);

interface Scenario {
  readonly fill: () => Promise<void>;
  readonly after: () => void;
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'a first run, no store yet': { fill: async () => {}, after: () => {} },
  'a first run': {
    fill,
    after: () => rmSync(join(place.store, 'units'), { recursive: true }),
  },
  'a hit': { fill, after: () => {} },
  'a hit with a blob that is not whole': {
    fill,
    after: () => {
      for (const { path, name } of filesBelow(join(place.store, 'blobs')))
        if (!name.endsWith('.seal') && statSync(path).size > 1000) truncateSync(path, 10);
    },
  },
};

/** One death and everything that must hold after it; returns the operation it died at, undefined when it did not. */
async function dieAt({ after }: Scenario, n: number, effect: string): Promise<string | undefined> {
  place.putBack();
  after();
  const died = await place.run(place.second, place.fault(`any ${n} ${effect}`));
  const operation = place.traced().at(-1) ?? '';
  const at = `${effect} at ${n}: ${operation}`;
  if (died.signal === undefined) {
    expectRight(at, place.second, died);
    return undefined;
  }
  expect([at, died.signal]).toEqual([at, 'SIGKILL']);
  await runRight(at);
  expect([at, await runRight(at)]).toEqual([at, 'local_hit']);
  if (n % 3 === 0) place.expectSwept(at);
  return operation;
}

for (const [name, scenario] of Object.entries(SCENARIOS))
  onLinux(
    `kill -9 before every operation: ${name}`,
    async () => {
      await place.setUp(scenario.fill);
      expect(await dieAtEvery((n, effect) => dieAt(scenario, n, effect))).toBeGreaterThan(10);
    },
    TIMEOUT_MS,
  );

/** A run with faults in the second checkout: right, whatever happens. Returns what was struck. */
async function refuse(faults: string): Promise<string[]> {
  place.putBack();
  const before = place.events().length;
  const result = await place.run(place.second, place.fault(faults));
  const struck = place.struck();
  const at = `${faults}: ${struck[0] ?? ''}`;
  expectRight(at, place.second, result);
  const events = place.events().slice(before).map(told);
  // One event for each run, unless it is the log that cannot be had, or nobody knows yet what is run and in which store.
  const isSilent = / every /.test(faults) || struck.some((line) => /events\/log$/.test(line));
  const isEarly = struck.some((line) => /^! E[A-Z]+ (open|read|stat|list|close) /.test(line));
  if (!isSilent)
    expect([at, [...(isEarly ? [0] : []), 1]]).toEqual([at, expect.arrayContaining([events.length])]);
  for (const event of events)
    expect([at, event]).toEqual([
      at,
      expect.stringMatching(
        /^(local_hit|miss (never-compiled|inputs-changed|blob-(missing|damaged))|skipped (store-failed|cache-failed)\|E[A-Z]+ [a-z ]+)$/,
      ),
    ]);
  await runRight(at);
  expect([at, await runRight(at)]).toEqual([at, 'local_hit']);
  return struck;
}

/** Strikes at every operation of a kind; returns how many there were. */
const enumerate = (operation: string, effect: string): Promise<number> =>
  atEvery(async (n) => (await refuse(`${operation} ${n} ${effect}`)).length > 0);

const BOTH: Readonly<Record<string, () => Promise<void>>> = {
  'on store': async () => {
    await fill();
    for (const folder of ['units', 'entries', 'blobs'])
      rmSync(join(place.store, folder), { recursive: true });
  },
  'on restore': fill,
};

for (const [when, filled] of Object.entries(BOTH)) {
  onLinux(
    `${when}: no room at every write, once and for good`,
    async () => {
      await place.setUp(filled);
      for (const operation of ['write', 'copy', 'create'])
        for (const effect of ['full', 'EDQUOT'])
          expect([operation, await enumerate(operation, effect)]).toEqual([operation, expect.any(Number)]);
    },
    TIMEOUT_MS,
  );

  onLinux(
    `${when}: every operation refused`,
    async () => {
      await place.setUp(filled);
      expect(await enumerate('any', 'EIO')).toBeGreaterThan(10);
    },
    TIMEOUT_MS,
  );

  onLinux(
    `${when}: a store, and a target folder, that refuse every operation`,
    async () => {
      await place.setUp(filled);
      for (const error of ['ENOSPC', 'EROFS', 'EACCES', 'EIO', 'EMFILE']) {
        for (const where of ['/store/', '/out/']) await refuse(`any every ${error} ${where}`);
        for (const operation of ['link', 'create', 'rename', 'lock', 'unlink', 'mkdir', 'chmod'])
          await refuse(`${operation} every ${error}`);
      }
    },
    TIMEOUT_MS,
  );

  onLinux(
    `${when}: every look refused`,
    async () => {
      await place.setUp(filled);
      const all = ['open', 'read', 'stat', 'list', 'close'];
      for (const operation of when === 'on store' ? ['open', 'close'] : all)
        await enumerate(operation, 'EIO');
    },
    TIMEOUT_MS,
  );
}
