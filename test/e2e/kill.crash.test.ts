// kill -9 before every file-system operation, and in the middle of every write: what is left is a store whose invariants
// hold, and the next build is right.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { asides, type CrateName, FaultLab } from '../support/fault-lab.ts';
import { atEvery, dieAtEvery } from '../support/fault-place.ts';
import { inspectStore } from '../support/invariants.ts';

const TIMEOUT_MS = 240_000;

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

/** One death, and everything that must hold after it; returns the operation it died at, undefined when it did not. */
async function dieAt(scenario: Scenario, n: number, effect: string): Promise<string | undefined> {
  const { crate } = scenario;
  const dir = place.second;
  place.putBack();
  await scenario.prepare?.();
  const died = await place.make(crate, dir, place.fault(`any ${n} ${effect}`));
  const operation = place.traced().at(-1) ?? '';
  const at = `${effect} at ${n}: ${operation}`;
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
  if (n % 3 === 0) place.expectSwept(at);
  return operation;
}

for (const [name, scenario] of Object.entries(SCENARIOS))
  test(
    name,
    async () => {
      await place.setUp(scenario.fill);
      expect(await dieAtEvery((n, effect) => dieAt(scenario, n, effect))).toBeGreaterThan(15);
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
    const deaths = await atEvery(async (n) => {
      place.putBack();
      const died = await place.runFaulty(['purge'], place.fault(`any ${n} die`));
      if (died.signal === undefined) return false;
      expect([n, died.signal, place.brokenByEviction()]).toEqual([n, 'SIGKILL', []]);
      if (n % 3 !== 0) return true;
      for (const name of all) {
        const next = await place.make(name, place.second);
        const wrong = place.wrongWith(name, place.second, next);
        expect([n, wrong, place.brokenByEviction()]).toEqual([n, [], []]);
      }
      place.expectSwept(`eviction at ${n}`);
      return true;
    });
    expect(deaths).toBeGreaterThan(15);
    expect(inspectStore(place.store)).toMatchObject({ entries: 0, blobs: 0, temporaries: 0 });
  },
  TIMEOUT_MS,
);
