// kill -9 before every file-system operation, and in the middle of every write: what is left is a store whose invariants
// hold, and the next build is right.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asides, type CrateName, FaultLab } from '../support/fault-lab.ts';
import { inspectStore } from '../support/invariants.ts';

const TIMEOUT_MS = 240_000;
/** More operations than any call makes. */
const MAX_OPERATIONS = 400;

let place: FaultLab;
beforeAll(() => {
  place = new FaultLab();
}, 60_000);
afterAll(() => place[Symbol.dispose]());

interface Scenario {
  readonly crate: CrateName;
  readonly fill: () => Promise<void>;
  /** After everything was put back, before the fault. */
  readonly prepare?: () => Promise<void>;
}

async function build(dir: string, ...names: CrateName[]): Promise<void> {
  for (const name of names) {
    const result = await place.make(name, dir);
    if (result.status !== 0) throw new Error(result.stderr);
  }
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'a compile, no store yet': { crate: 'part', fill: async () => {} },
  'a compile': {
    crate: 'small',
    fill: async () => {
      for (const dir of [place.first, place.second]) await build(dir, 'part');
    },
  },
  'a compile whose outputs are stored already': {
    crate: 'small',
    fill: async () => {
      await build(place.first, 'part', 'small');
      await build(place.second, 'part');
      rmSync(join(place.store, 'units'), { recursive: true });
    },
  },
  'a hit': {
    crate: 'small',
    fill: () => build(place.first, 'part', 'small'),
    // kache's own last operations on the blobs, which a copy of the store has forgotten.
    prepare: async () => {
      await build(place.second, 'part', 'small');
      rmSync(join(place.second, 'target'), { recursive: true });
      await build(place.second, 'part');
    },
  },
  'a link': {
    crate: 'program',
    fill: async () => {
      for (const dir of [place.first, place.second]) await build(dir, 'part', 'small');
    },
  },
  'a hit of a program': {
    crate: 'program',
    fill: async () => {
      await build(place.first, 'part', 'small', 'program');
      await build(place.second, 'part', 'small');
    },
  },
};

/** What the call did before it died: the last line is the operation it died at. */
const traced = (path: string): string[] =>
  existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];

/** One death, and everything that must hold after it. False when the call survived. */
async function dieAt(scenario: Scenario, n: number, effect: string): Promise<string | undefined> {
  const { crate } = scenario;
  const dir = place.second;
  const trace = place.lab.path('trace');
  place.putBack();
  await scenario.prepare?.();
  rmSync(trace, { force: true });
  const died = await place.make(crate, dir, {
    KACHE_TEST_FAULT: `any ${n} ${effect}`,
    KACHE_TEST_TRACE: trace,
  });
  const at = `${effect} at ${n}: ${traced(trace).at(-1)}`;
  expect([at, place.broken()]).toEqual([at, []]);
  if (died.signal === undefined) {
    expect([at, place.wrongWith(crate, dir, died)]).toEqual([at, []]);
    return undefined;
  }
  expect([at, died.signal]).toEqual([at, 'SIGKILL']);
  for (const checkout of [dir, place.first]) {
    const next = await place.make(crate, checkout);
    expect([at, place.wrongWith(crate, checkout, next), place.broken()]).toEqual([at, [], []]);
  }
  expect([at, place.events().at(-1)?.result]).toEqual([at, 'local_hit']);
  if (n % 3 === 0) expectSwept(at);
  return traced(trace).at(-1) ?? '';
}

/** What was left is gone once it is old enough. */
function expectSwept(at: string): void {
  place.sweep();
  const { temporaries } = inspectStore(place.store);
  expect([at, temporaries, readdirSync(join(place.store, 'locks'))]).toEqual([at, 0, []]);
}

for (const [name, scenario] of Object.entries(SCENARIOS))
  test(
    name,
    async () => {
      await place.setUp(scenario.fill);
      let deaths = 0;
      for (let n = 1; n <= MAX_OPERATIONS; n++) {
        const operation = await dieAt(scenario, n, 'die');
        if (operation === undefined) break;
        deaths++;
        if (/^(write|copy) /.test(operation)) await dieAt(scenario, n, 'die-midway');
      }
      expect(deaths).toBeGreaterThan(15);
      expect(deaths).toBeLessThan(MAX_OPERATIONS);
      // What died in the output folder is gone after a compile there.
      rmSync(join(place.store, 'entries'), { recursive: true, force: true });
      await build(place.second, scenario.crate);
      expect(asides(place.base)).toEqual([]);
    },
    TIMEOUT_MS,
  );

test(
  'an eviction',
  async () => {
    const all: readonly CrateName[] = ['part', 'small', 'program'];
    await place.setUp(() => build(place.first, ...all));
    let deaths = 0;
    for (let n = 1; n <= MAX_OPERATIONS; n++) {
      place.putBack();
      const died = await place.runFaulty(['purge'], { KACHE_TEST_FAULT: `any ${n} die` });
      if (died.signal === undefined) break;
      deaths++;
      // A closure may outlive its entry here; an entry never outlives its blobs.
      const broken = (): string[] => place.broken().filter((line) => !line.startsWith('a closure'));
      expect([n, died.signal, broken()]).toEqual([n, 'SIGKILL', []]);
      if (n % 3 !== 0) continue;
      for (const name of all) {
        const next = await place.make(name, place.second);
        expect([n, place.wrongWith(name, place.second, next), broken()]).toEqual([n, [], []]);
      }
      expectSwept(`eviction at ${n}`);
    }
    expect(deaths).toBeGreaterThan(15);
    expect(inspectStore(place.store)).toMatchObject({ entries: 0, blobs: 0, temporaries: 0 });
  },
  TIMEOUT_MS,
);
