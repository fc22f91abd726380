// kill -9 at every operation of saving and of restoring a pack: the file is the old one or the whole new one, the store
// is sound, and doing it again does all of it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FaultLab } from '../support/fault-lab.ts';
import { atEvery } from '../support/fault-place.ts';
import { inspectStore } from '../support/invariants.ts';

const TIMEOUT_MS = 240_000;
const NAMES = ['part', 'small', 'program'] as const;

let place: FaultLab;
let file: string;
beforeAll(async () => {
  place = new FaultLab();
  file = place.lab.path('packs', 'some.pack');
  await place.setUp(async () => {
    for (const name of NAMES) await place.make(name, place.first);
  });
}, 60_000);
afterAll(() => place[Symbol.dispose]());

const entriesIn = (path: string): number | undefined => {
  const { status, stdout } = place.command(['pack', 'show', path, '--json']);
  return status === 0 ? JSON.parse(stdout).entries.length : undefined;
};

test(
  'saving',
  async () => {
    expect(place.command(['pack', 'save', file]).status).toBe(0);
    const whole = entriesIn(file);
    expect(whole).toBe(NAMES.length);
    const old = place.lab.path('old.pack');
    copyFileSync(file, old);
    const deaths = await atEvery(async (n) => {
      if (n % 2 === 0) rmSync(file, { force: true });
      else copyFileSync(old, file);
      const before = existsSync(file) ? readFileSync(file) : undefined;
      const effect = n % 3 === 0 ? 'die-midway' : 'die';
      const died = await place.runFaulty(['pack', 'save', file], place.fault(`any ${n} ${effect}`));
      if (died.signal === undefined) return false;
      const after = existsSync(file) ? readFileSync(file) : undefined;
      const isOld = before === undefined ? after === undefined : after?.equals(before) === true;
      expect([n, isOld || entriesIn(file) === whole]).toEqual([n, true]);
      expect([n, place.broken()]).toEqual([n, []]);
      return true;
    });
    expect(deaths).toBeGreaterThan(5);
    // The next one takes away what the dead have left.
    expect(place.command(['pack', 'save', file]).status).toBe(0);
    expect(readdirSync(place.lab.path('packs'))).toEqual(['some.pack']);
    expect(entriesIn(file)).toBe(whole);
  },
  TIMEOUT_MS,
);

test(
  'restoring into an empty store',
  async () => {
    expect(place.command(['pack', 'save', file]).status).toBe(0);
    const empty = (): void => rmSync(place.store, { recursive: true, force: true });
    const deaths = await atEvery(async (n) => {
      place.putBack();
      empty();
      const fault = place.fault(`any ${n} ${n % 3 === 0 ? 'die-midway' : 'die'}`);
      const died = await place.runFaulty(['pack', 'restore', file], fault);
      if (died.signal === undefined) return false;
      expect([n, existsSync(join(place.store, 'format')) ? place.broken() : []]).toEqual([n, []]);
      if (n % 12 !== 0) return true;
      expect([n, place.command(['pack', 'restore', file]).status]).toEqual([n, 0]);
      for (const name of NAMES) {
        const next = await place.make(name, place.second);
        expect([n, place.wrongWith(name, place.second, next), place.broken()]).toEqual([n, [], []]);
      }
      const results = place.events().map(({ result }) => result);
      expect([n, results]).toEqual([n, ['prefetch_hit', 'prefetch_hit', 'prefetch_hit']]);
      return true;
    });
    expect(deaths).toBeGreaterThan(15);
    expect(inspectStore(place.store)).toMatchObject({ entries: NAMES.length, temporaries: 0 });
  },
  TIMEOUT_MS,
);
