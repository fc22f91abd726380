import { expect, test } from 'bun:test';
import { isDueForVerification } from '../../src/compile/verify.ts';
import { resolveSettings } from '../../src/core/config.ts';

const share = (mode: string): number => {
  const { settings } = resolveSettings({ KACHE_VERIFY_RESTORES: mode }, {});
  let due = 0;
  for (let n = 0; n < 20_000; n++) if (isDueForVerification(settings)) due++;
  return due / 20_000;
};

test('none, all, or some three percent of the hits are verified', () => {
  expect([share('off'), share('always')]).toEqual([0, 1]);
  // Five standard deviations around one in 32.
  expect(Math.abs(share('sampled') - 1 / 32)).toBeLessThan(0.0062);
});
