// A file system that refuses: every operation, one after the other, fails with an error it may fail with, on store and on
// restore. The compiler is started at most once, the build is right, and the next one too.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { asides, FaultLab } from '../support/fault-lab.ts';
import { atEvery, told } from '../support/fault-place.ts';
import { filesBelow } from '../support/invariants.ts';

const TIMEOUT_MS = 240_000;

let place: FaultLab;
beforeAll(() => {
  place = new FaultLab();
}, 60_000);
afterAll(() => place[Symbol.dispose]());

/** A call of `small` in the second checkout with faults: right, whatever happens. Returns what was struck. */
async function refuse(faults: string, compilerRuns: readonly number[]): Promise<string[]> {
  const dir = place.second;
  place.putBack();
  place.takeStarts();
  const before = place.events().length;
  const result = await place.make('small', dir, place.fault(faults));
  const struck = place.struck();
  const at = `${faults}: ${struck[0] ?? ''}`;
  expect([at, place.wrongWith('small', dir, result), place.broken()]).toEqual([at, [], []]);
  expect([at, compilerRuns]).toEqual([at, expect.arrayContaining([place.takeStarts()])]);
  const events = place.events().slice(before).map(told);
  // One event for each call, unless it is the log or the store as a whole that cannot be had.
  const isSilent = struck.some((line) => /events\/log$|store\/format$/.test(line)) || / every /.test(faults);
  if (!isSilent) expect([at, events.length]).toEqual([at, 1]);
  // Where what is recorded of an extern cannot be read, what is behind it is not known: a key of its own.
  const isUnknown = struck.some((line) => line.includes('/hashes/outputs/'));
  for (const event of events) {
    if (isUnknown && event === 'skipped input-changed-during-compile|extern') continue;
    expect([at, event]).toEqual([
      at,
      expect.stringMatching(
        /^(local_hit|(miss|dup) (never-compiled|inputs-changed|blob-(missing|damaged)|restore-failed\|E[A-Z]+ [a-z ]+)|skipped (store-failed|cache-failed)\|E[A-Z]+ [a-z ]+|skipped inputs-changed.*|passthrough (cache-failed\|E[A-Z]+ [a-z ]+|unsupported\|.*))$/,
      ),
    ]);
  }
  for (const checkout of [dir, place.first]) {
    const next = await place.make('small', checkout);
    expect([at, place.wrongWith('small', checkout, next), place.broken()]).toEqual([at, [], []]);
  }
  const last = place.events().at(-1)?.result;
  expect([at, isUnknown && last === 'dup' ? 'local_hit' : last]).toEqual([at, 'local_hit']);
  return struck;
}

/** Strikes at every operation of a kind; returns how many there were. */
const enumerate = (operation: string, effect: string, compilerRuns: readonly number[]): Promise<number> =>
  atEvery(async (n) => (await refuse(`${operation} ${n} ${effect}`, compilerRuns)).length > 0);

interface When {
  /** How many compilers may be started. */
  readonly runs: readonly number[];
  readonly looks: readonly string[];
  readonly fill: () => Promise<void>;
}

const BOTH: Readonly<Record<string, When>> = {
  'on store': {
    runs: [1],
    looks: ['open', 'close'],
    fill: async () => {
      for (const dir of [place.first, place.second]) await place.make('part', dir);
    },
  },
  'on restore': {
    runs: [0, 1],
    looks: ['open', 'read', 'stat', 'list', 'close'],
    fill: async () => {
      for (const name of ['part', 'small'] as const) await place.make(name, place.first);
      await place.make('part', place.second);
    },
  },
};

for (const [when, { runs, looks, fill }] of Object.entries(BOTH)) {
  test(
    `${when}: no room at every write, once and for good`,
    async () => {
      await place.setUp(fill);
      for (const operation of ['write', 'copy', 'create'])
        for (const effect of ['full', 'EDQUOT']) {
          const count = await enumerate(operation, effect, runs);
          expect([operation, count > 0]).toEqual([operation, true]);
        }
      await enumerate('write', 'short', runs);
      await enumerate('copy', 'short', runs);
    },
    TIMEOUT_MS,
  );

  test(
    `${when}: every operation refused`,
    async () => {
      await place.setUp(fill);
      for (const error of ['EIO', 'EXDEV']) expect(await enumerate('any', error, runs)).toBeGreaterThan(15);
    },
    TIMEOUT_MS,
  );

  test(
    `${when}: a store and a target folder that refuse every operation of a kind`,
    async () => {
      await place.setUp(fill);
      const errors = [
        'EROFS',
        'EXDEV',
        'EACCES',
        'EPERM',
        'EMLINK',
        'ENAMETOOLONG',
        'EIO',
        'EMFILE',
        'ENOMEM',
      ];
      for (const error of errors) {
        await refuse(`any every ${error} /store/`, runs);
        for (const operation of ['link', 'create', 'rename', 'lock', 'unlink'])
          await refuse(`${operation} every ${error}`, runs);
      }
      expect(asides(place.second).length).toBeLessThan(10);
    },
    TIMEOUT_MS,
  );

  test(
    `${when}: every look refused`,
    async () => {
      await place.setUp(fill);
      for (const operation of looks) await enumerate(operation, 'EIO', [0, 1]);
    },
    TIMEOUT_MS,
  );
}

test('a hit over outputs that are links to its blobs opens no library: unlinking them would break the seal', async () => {
  await place.setUp(async () => {
    for (const name of ['part', 'small'] as const) await place.make(name, place.second);
  });
  await place.make('small', place.second);
  const library = filesBelow(place.call('small', place.second).outDir).find(({ name }) =>
    /^libsmall.*rlib$/.test(name),
  );
  const blob = createHash('sha256')
    .update(readFileSync(library?.path ?? ''))
    .digest('hex');
  const again = await place.make('small', place.second, { KACHE_TEST_FAULT: `open every EIO ${blob}$` });
  expect(place.wrongWith('small', place.second, again)).toEqual([]);
  expect(place.events().slice(-2).map(told)).toEqual(['local_hit', 'local_hit']);
});
