// The monitor with 100,000 events and 10,000 entries: the first screen, and keys. Limits are on processor time, which other
// work on the machine does not change.
import { expect, test } from 'bun:test';
import { fillStore } from '../../bench/big-store.ts';
import { measureMonitor, middleAndMost } from '../../bench/monitor.ts';
import { storeOf } from '../store/stores.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { notRun } from '../support/required.ts';

const FIRST_SCREEN_MS = 500;
const KEY_MS = 50;
/** A key may meet a collection of garbage. */
const ANY_KEY_MS = 150;

test('the first screen and every key come at once, however much there is', async () => {
  if (process.platform !== 'linux') return notRun('the speed of the monitor', 'processor time is not told');
  using lab = new Lab();
  fillStore(storeOf(lab), { events: 100_000, entries: 10_000, nowMs: Date.now(), spanMs: 20 * 3600e3 });
  const times = await measureMonitor({ binary: KACHE, cacheDir: lab.store, columns: 200, rows: 60 });
  expect(times.firstScreen.cpuMs).toBeLessThan(FIRST_SCREEN_MS);
  for (const keys of [times.keysWhileReading, times.keysAfter]) {
    const { middle, most } = middleAndMost(keys.map(({ cpuMs }) => cpuMs));
    expect(middle).toBeLessThan(KEY_MS);
    expect(most).toBeLessThan(ANY_KEY_MS);
  }
}, 300_000);
