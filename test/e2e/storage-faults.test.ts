// Storage that fails or forgets: every file of a store damaged in every way, and every operation refused with every
// error a file system has. The build is right each time, what is damaged is dropped or repaired, and the log says why.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { FaultLab } from '../support/fault-lab.ts';
import { DAMAGES, damageEach, told } from '../support/fault-place.ts';

const TIMEOUT_MS = 240_000;

let place: FaultLab;
beforeAll(async () => {
  place = new FaultLab();
  await place.setUp(async () => {
    for (const name of ['part', 'small'] as const) await place.make(name, place.first);
  });
}, 60_000);
afterAll(() => place[Symbol.dispose]());

/** Both compiles in the second checkout: right, whatever the store is like. Returns what the log says of each. */
async function buildRight(what: string): Promise<string> {
  rmSync(join(place.second, 'target'), { recursive: true, force: true });
  const before = place.events().length;
  for (const name of ['part', 'small'] as const) {
    const result = await place.make(name, place.second);
    expect([what, place.wrongWith(name, place.second, result)]).toEqual([what, []]);
  }
  return place.events().slice(before).map(told).join();
}

/** What damage to a file of each kind may do to the two compiles of the next build, as the log tells it. */
const EXPECTED: readonly (readonly [kind: RegExp, events: RegExp])[] = [
  [/^blobs\/..\/[0-9a-f]+$/, /^(local_hit,)?(miss|dup) blob-(damaged|missing)(,local_hit)?$/],
  [/^entries\/..\/[0-9a-f]+$/, /^(local_hit,)?dup inputs-changed(,local_hit)?$/],
  [/^units\//, /^(local_hit,)?dup never-compiled(,local_hit)?$/],
  // Seals, inputs, memos and the log are not needed for a hit.
  [/^(blobs\/.*\.seal|entries\/.*\.inputs|hashes\/.*|events\/log|events\/written)$/, /^local_hit,local_hit$/],
];

for (const how of DAMAGES)
  test(
    `every file of the store, one at a time: ${how}`,
    async () => {
      const survival = { build: buildRight, hit: 'local_hit,local_hit', expected: EXPECTED };
      expect(await damageEach(place, how, survival)).toBeGreaterThan(15);
    },
    TIMEOUT_MS,
  );
