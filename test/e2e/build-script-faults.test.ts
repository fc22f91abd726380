// Kept runs of build scripts when something fails: every file of the store damaged in every way, every file-system
// operation refused, and kill -9 before each of them. What the script leaves and prints is right each time, nothing is
// believed that is not, and the log says why.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { filesBelow, inspectStore } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { notRun } from '../support/required.ts';
import { ScriptLab, type ScriptResult, told } from '../support/script-lab.ts';

const TIMEOUT_MS = 240_000;
/** More operations than any run makes. */
const MAX_OPERATIONS = 400;

let place: ScriptLab;
const isLinux = process.platform === 'linux';
beforeAll(() => {
  if (isLinux) place = new ScriptLab();
  else notRun('faults of build-script runs', 'they are kept on Linux alone');
}, 60_000);
afterAll(() => place?.[Symbol.dispose]());
const onLinux = test.if(isLinux);

const fill = async (): Promise<void> => expectRight('at first', place.first, await place.run(place.first));

function expectRight(what: string, dir: string, result: ScriptResult): void {
  // What is not needed nobody has looked at.
  const broken = place.broken().filter((line) => !/^torn (memo|inputs)/.test(line));
  expect([what, place.wrongWith(dir, result), broken]).toEqual([what, [], []]);
}

/** A run that nothing keeps from being right; returns what the log says of it. */
async function runRight(what: string, dir = place.second): Promise<string> {
  const before = place.events().length;
  expectRight(what, dir, await place.run(dir));
  return place.events().slice(before).map(told).join();
}

const DAMAGE: Readonly<Record<string, (path: string) => void>> = {
  truncated: (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  zeroed: (path) => writeFileSync(path, new Uint8Array(statSync(path).size)),
  'a bit flipped': (path) => {
    const bytes = readFileSync(path);
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    writeFileSync(path, bytes);
  },
  deleted: (path) => rmSync(path),
  'replaced by a folder': (path) => {
    rmSync(path);
    mkdirSync(join(path, 'below'), { recursive: true });
  },
};

/** What damage to a file of each kind may do to the next run, as the log tells it. */
const EXPECTED: readonly (readonly [kind: RegExp, event: RegExp])[] = [
  [/^blobs\/..\/[0-9a-f]+$/, /^miss blob-(damaged|missing)$/],
  [/^entries\/..\/[0-9a-f]+$/, /^miss inputs-changed$/],
  [/^units\//, /^miss never-compiled$/],
];

for (const [how, damage] of Object.entries(DAMAGE))
  onLinux(
    `every file of the store, one at a time: ${how}`,
    async () => {
      await place.setUp(fill);
      const names = filesBelow(place.store).map(({ path }) => path.slice(place.store.length + 1));
      expect(names.length).toBeGreaterThan(12);
      for (const name of names) {
        place.putBack();
        damage(join(place.store, name));
        const what = `${name} ${how}`;
        // A log that is a folder says nothing, and a store of unknown format is not used.
        const isSilent =
          (name === 'events/log' && how === 'replaced by a folder') ||
          (name === 'format' && ['truncated', 'a bit flipped', 'replaced by a folder'].includes(how));
        const expected = EXPECTED.find(([kind]) => kind.test(name))?.[1] ?? /^local_hit$/;
        expect([what, await runRight(what)]).toEqual([what, isSilent ? '' : expect.stringMatching(expected)]);
        // Dropped, or repaired: the run after that finds all it needs.
        expect([what, await runRight(`${what}, once more`)]).toEqual([what, isSilent ? '' : 'local_hit']);
      }
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
        const env = place.env(place.first);
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
    // A closure may outlive its entry here.
    expect(place.broken().filter((line) => !line.startsWith('a closure'))).toEqual([]);
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

const traced = (path: string): string[] =>
  existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];

/** One death and everything that must hold after it; returns the operation it died at, undefined when it did not. */
async function dieAt({ after }: Scenario, n: number, effect: string): Promise<string | undefined> {
  const trace = place.lab.path('trace');
  place.putBack();
  after();
  rmSync(trace, { force: true });
  const faults = { KACHE_TEST_FAULT: `any ${n} ${effect}`, KACHE_TEST_TRACE: trace };
  const died = await place.run(place.second, faults);
  const at = `${effect} at ${n}: ${traced(trace).at(-1)}`;
  if (died.signal === undefined) {
    expectRight(at, place.second, died);
    return undefined;
  }
  expect([at, died.signal]).toEqual([at, 'SIGKILL']);
  await runRight(at);
  expect([at, await runRight(at)]).toEqual([at, 'local_hit']);
  if (n % 3 === 0) {
    place.sweep();
    const { temporaries } = inspectStore(place.store);
    expect([at, temporaries, readdirSync(join(place.store, 'locks'))]).toEqual([at, 0, []]);
  }
  return traced(trace).at(-1) ?? '';
}

for (const [name, scenario] of Object.entries(SCENARIOS))
  onLinux(
    `kill -9 before every operation: ${name}`,
    async () => {
      await place.setUp(scenario.fill);
      let deaths = 0;
      for (let n = 1; n <= MAX_OPERATIONS; n++) {
        const operation = await dieAt(scenario, n, 'die');
        if (operation === undefined) break;
        deaths++;
        if (/^(write|copy) /.test(operation)) await dieAt(scenario, n, 'die-midway');
      }
      expect(deaths).toBeGreaterThan(10);
      expect(deaths).toBeLessThan(MAX_OPERATIONS);
    },
    TIMEOUT_MS,
  );

/** A run with faults in the second checkout: right, whatever happens. Returns what was struck. */
async function refuse(faults: string): Promise<string[]> {
  const trace = place.lab.path('trace');
  place.putBack();
  rmSync(trace, { force: true });
  const before = place.events().length;
  const result = await place.run(place.second, { KACHE_TEST_FAULT: faults, KACHE_TEST_TRACE: trace });
  const struck = traced(trace).filter((line) => line.startsWith('!'));
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

/** Strikes at every n, until there is nothing left to strike; returns how often. */
async function enumerate(operation: string, effect: string): Promise<number> {
  for (let n = 1; n < MAX_OPERATIONS; n++)
    if ((await refuse(`${operation} ${n} ${effect}`)).length === 0) return n - 1;
  throw new Error('no end');
}

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
