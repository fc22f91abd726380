// Storage that fails or forgets: every file of a store damaged in every way, and every operation refused with every
// error a file system has. The build is right each time, what is damaged is dropped or repaired, and the log says why.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import { FaultLab } from '../support/fault-lab.ts';
import { filesBelow, inspectStore } from '../support/invariants.ts';

const TIMEOUT_MS = 240_000;

let place: FaultLab;
beforeAll(async () => {
  place = new FaultLab();
  await place.setUp(async () => {
    for (const name of ['part', 'small'] as const) await place.make(name, place.first);
  });
}, 60_000);
afterAll(() => place[Symbol.dispose]());

/** What the log says of a call, in one word or two. */
const told = ({ result, reason, passthrough_reason }: CompileEvent): string =>
  [result, passthrough_reason ?? reason ?? ''].join(' ').trim();

/** Both compiles in the second checkout: right, whatever the store is like. Returns what the log says of each. */
async function buildRight(what: string): Promise<string[]> {
  rmSync(join(place.second, 'target'), { recursive: true, force: true });
  const before = place.events().length;
  for (const name of ['part', 'small'] as const) {
    const result = await place.make(name, place.second);
    expect([what, place.wrongWith(name, place.second, result)]).toEqual([what, []]);
  }
  return place.events().slice(before).map(told);
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

/** What damage to a file of each kind may do to the two compiles of the next build, as the log tells it. */
const EXPECTED: readonly (readonly [kind: RegExp, events: RegExp])[] = [
  [/^blobs\/..\/[0-9a-f]+$/, /^(local_hit,)?(miss|dup) blob-(damaged|missing)(,local_hit)?$/],
  [/^entries\/..\/[0-9a-f]+$/, /^(local_hit,)?dup inputs-changed(,local_hit)?$/],
  [/^units\//, /^(local_hit,)?dup never-compiled(,local_hit)?$/],
  // Seals, inputs, memos and the log are not needed for a hit.
  [/^(blobs\/.*\.seal|entries\/.*\.inputs|hashes\/.*|events\/log|events\/written)$/, /^local_hit,local_hit$/],
];

for (const [how, damage] of Object.entries(DAMAGE))
  test(
    `every file of the store, one at a time: ${how}`,
    async () => {
      place.putBack();
      const names = filesBelow(place.store).map(({ path }) => path.slice(place.store.length + 1));
      expect(names.length).toBeGreaterThan(15);
      for (const name of names) {
        place.putBack();
        damage(join(place.store, name));
        const what = `${name} ${how}`;
        const events = await buildRight(what);
        const expected = EXPECTED.find(([kind]) => kind.test(name))?.[1];
        // A log that is a folder says nothing, and a store of unknown format is not used.
        const isSilent =
          (name === 'events/log' && how === 'replaced by a folder') ||
          (name === 'format' && ['truncated', 'a bit flipped', 'replaced by a folder'].includes(how));
        if (isSilent) expect([what, events]).toEqual([what, []]);
        else
          expect([what, events.join()]).toEqual([
            what,
            expect.stringMatching(expected ?? /^local_hit,local_hit$/),
          ]);
        // Dropped, or repaired: the build after that finds all it needs.
        const again = await buildRight(`${what}, and once more`);
        if (!isSilent) expect([what, again]).toEqual([what, ['local_hit', 'local_hit']]);
        // What belongs to the first checkout alone nobody has looked at.
        const wrong = inspectStore(place.store).wrong.filter((line) => !/^torn (memo|inputs)/.test(line));
        expect([what, wrong]).toEqual([what, []]);
      }
    },
    TIMEOUT_MS,
  );
