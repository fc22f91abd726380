// A short day in ten worktrees; `npm run endurance` is the long one.
import { expect, test } from 'bun:test';
import { Day } from '../support/endurance.ts';
import { noteFigure } from '../support/figures.ts';
import { Lab } from '../support/lab.ts';

test('a day in ten worktrees: right programs, a store within its cap, nothing left over, nothing that grows', async () => {
  using lab = new Lab();
  const capBytes = 30_000_000;
  const day = new Day(lab, { steps: 30, worktrees: 10, capBytes, seed: 20260301 });
  const figures = await day.run();
  noteFigure('endurance', { ...figures });
  expect(figures.at_the_end_mb).toBeLessThanOrEqual(figures.cap_mb);
  // Storing stops at a fifth above what eviction knows of, twice at most; what two compilers are writing comes on top.
  expect(figures.largest_mb).toBeLessThanOrEqual(1.4 * figures.cap_mb + 10);
  expect(day.leftovers()).toEqual([]);
  expect(figures.hit_rate_pct).toBeGreaterThan(30);
  expect(figures.rss_last_mb).toBeLessThanOrEqual(40);
  expect(figures.rss_last_mb).toBeLessThan(1.2 * figures.rss_first_mb);
}, 600_000);
