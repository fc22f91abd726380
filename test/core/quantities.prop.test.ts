import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatBytes, formatMs, parseDurationMs, parseSizeBytes } from '../../src/core/quantities.ts';

test('sizes as people write them', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['0', 0],
    ['12', 12],
    ['12b', 12],
    ['1k', 1024],
    ['1KB', 1000],
    ['1KiB', 1024],
    ['500MB', 5e8],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    [' 10gib ', 10 * 1024 ** 3],
    ['2T', 2 * 1024 ** 4],
    ['0.5k', 512],
    ['', undefined],
    ['ten', undefined],
    ['-1', undefined],
    ['+1', undefined],
    ['1e3', undefined],
    ['0x10', undefined],
    ['1,5G', undefined],
    ['.5G', undefined],
    ['5.', undefined],
    ['1 G i B', undefined],
    ['10GiB/s', undefined],
    ['1PiB', undefined],
    ['NaN', undefined],
    ['Infinity', undefined],
  ];
  for (const [text, bytes] of cases) expect([text, parseSizeBytes(text)]).toEqual([text, bytes]);
});

test('durations as people write them; a bare number is hours', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['30s', 3e4],
    ['30m', 1.8e6],
    ['24h', 8.64e7],
    ['7d', 6.048e8],
    ['1w', 6.048e8],
    ['2', 7.2e6],
    ['0.5H', 1.8e6],
    [' 1 d ', 8.64e7],
    ['', undefined],
    ['x', undefined],
    ['-1h', undefined],
    ['1ms', undefined],
    ['1h30m', undefined],
    ['1y', undefined],
  ];
  for (const [text, ms] of cases) expect([text, parseDurationMs(text)]).toEqual([text, ms]);
});

test('whatever is written, the result is a whole number of bytes or nothing', () => {
  const text = fc.oneof(
    fc.string(),
    fc
      .tuple(fc.nat(1e6), fc.constantFrom('', ' ', 'k', 'MiB', 'constructor', 'hasOwnProperty', '__proto__'))
      .map(([number, unit]) => `${number}${unit}`),
  );
  fc.assert(
    fc.property(text, (any) => {
      for (const parsed of [parseSizeBytes(any), parseDurationMs(any)])
        expect(parsed === undefined || (Number.isSafeInteger(parsed) && parsed >= 0)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('a size that is shown can be read again, and is what it was to a twentieth', () => {
  fc.assert(
    fc.property(fc.oneof(fc.nat(5000), fc.nat(2 ** 31 - 1), fc.maxSafeNat()), (bytes) => {
      const again = parseSizeBytes(formatBytes(bytes)) ?? Number.NaN;
      expect(Math.abs(again - bytes)).toBeLessThanOrEqual(bytes / 20);
    }),
    { numRuns: 500 },
  );
  expect([formatBytes(0), formatBytes(512), formatBytes(1536), formatBytes(3 * 1024 ** 4)]).toEqual([
    '0 B',
    '512 B',
    '1.5 KiB',
    '3.0 TiB',
  ]);
});

test('times are shown in the unit people think in', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0ms'],
    [850.4, '850ms'],
    [1000, '1.0s'],
    [12_340, '12.3s'],
    [90_000, '1m 30s'],
    [245_000, '4m 05s'],
    [3_600_000, '1h 00m'],
    [11_520_000, '3h 12m'],
    [90_061_000, '25h 01m'],
  ];
  for (const [ms, text] of cases) expect([ms, formatMs(ms)]).toEqual([ms, text]);
});
