// The monitor with 100,000 events and 10,000 entries against one with 100 of each: the first screen and every key cost about
// the same. By ratio, as machines differ, and of processor time, which other work on the machine hardly changes.
import { expect, test } from 'bun:test';
import { fillStore } from '../../bench/big-store.ts';
import { type MonitorTimes, measureMonitor, middleAndMost } from '../../bench/monitor.ts';
import { storeOf } from '../store/stores.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { notRun } from '../support/required.ts';

const FIRST_SCREEN_RATIO = 2;
/** While the log is read, a key waits for the piece that is being read. */
const KEY_RATIO = 3;
const DEAREST_KEY_RATIO = 4;

async function timesOf(events: number, entries: number): Promise<MonitorTimes> {
  using lab = new Lab();
  fillStore(storeOf(lab), { events, entries, nowMs: Date.now(), spanMs: 20 * 3600e3 });
  return await measureMonitor({ binary: KACHE, cacheDir: lab.store, columns: 200, rows: 60 });
}

type Keys = MonitorTimes['keysAfter'];

/** What each key cost in the cheaper of two runs: in one of them it may have met a collection of garbage. */
const cheaper = (one: Keys, other: Keys): number[] =>
  one.map(({ cpuMs }, index) => Math.min(cpuMs, other[index]?.cpuMs ?? cpuMs));

test('the first screen and every key come at once, however much there is', async () => {
  if (process.platform !== 'linux') return notRun('the speed of the monitor', 'processor time is not told');
  const few = await timesOf(100, 100);
  const [many, again] = [await timesOf(100_000, 10_000), await timesOf(100_000, 10_000)];
  expect(many.firstScreen.cpuMs).toBeLessThan(FIRST_SCREEN_RATIO * few.firstScreen.cpuMs);
  const little = middleAndMost(few.keysAfter.map(({ cpuMs }) => cpuMs));
  for (const keys of [
    cheaper(many.keysWhileReading, again.keysWhileReading),
    cheaper(many.keysAfter, again.keysAfter),
  ]) {
    const { middle, most } = middleAndMost(keys);
    expect(middle).toBeLessThan(KEY_RATIO * little.middle);
    expect(most).toBeLessThan(DEAREST_KEY_RATIO * little.most);
  }
}, 300_000);
