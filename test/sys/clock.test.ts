import { expect, test } from 'bun:test';
import { statSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  type FileTime,
  fileTimeNow,
  touchedSince,
  waitPastWritten,
  wasPutBack,
} from '../../src/sys/clock.ts';
import { type FileStat, stat } from '../../src/sys/files.ts';
import { Lab } from '../support/lab.ts';

const SECOND = 1_000_000_000n;

/** What stat would say of a file last written at `writtenNs`, on a file system whose stamps have this grain. */
function stamped(writtenNs: bigint, grainNs: bigint): FileStat {
  const stamp = writtenNs - (writtenNs % grainNs);
  const [sec, nsec] = [Number(stamp / SECOND), Number(stamp % SECOND)];
  return {
    mode: 0o100644,
    nlink: 1,
    uid: 0,
    size: 0,
    blocks: 0,
    ino: 1n,
    dev: 1,
    mtimeSec: sec,
    mtimeNsec: nsec,
    ctimeSec: sec,
    ctimeNsec: nsec,
  };
}

const moment = fc
  .bigInt({ min: 0n, max: 5n * SECOND })
  .map((offset) => (1_700_000_000n * SECOND + offset) as FileTime);

test('a file written at a moment or later is never taken for untouched, with stamps of nanoseconds, whole or even seconds', () => {
  const grain = fc.constantFrom(1n, SECOND, 2n * SECOND);
  fc.assert(
    fc.property(moment, moment, grain, (written, since, grainNs) => {
      if (written >= since) expect(touchedSince(stamped(written, grainNs), since)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test('what was written before is untouched: at once with fine stamps, after some seconds with any', () => {
  fc.assert(
    fc.property(moment, moment, fc.constantFrom(SECOND, 2n * SECOND), (written, since, grainNs) => {
      const fine = written | 1n;
      if (fine < since) expect(touchedSince(stamped(fine, 1n), since)).toBe(false);
      expect(touchedSince(stamped(written - 10n * SECOND, grainNs), since)).toBe(false);
    }),
  );
});

test('a moved ctime counts, though the old mtime was put back', () => {
  const old = stamped(SECOND + 1n, 1n);
  expect(touchedSince({ ...old, ctimeSec: 100, ctimeNsec: 7 }, (100n * SECOND) as FileTime)).toBe(true);
  expect(touchedSince(old, (100n * SECOND) as FileTime)).toBe(false);
});

test('no file written after a look at the clock is stamped before it', () => {
  using lab = new Lab();
  for (let round = 0; round < 50; round++) {
    const before = fileTimeNow();
    writeFileSync(lab.path('file'), `${round}`);
    // Not the other way round: since Linux 6.13 a file whose stamps were asked for gets a finer, later one.
    expect(statSync(lab.path('file'), { bigint: true }).mtimeNs).toBeGreaterThanOrEqual(before);
    const info = stat(lab.path('file'));
    expect(info && touchedSince(info, before)).toBe(true);
  }
});

test('after waiting, a file written before is told from one written now', () => {
  using lab = new Lab();
  for (let round = 0; round < 20; round++) {
    writeFileSync(lab.path('file'), `${round}`);
    // Asked for its stamps, so that the next ones are fine where the kernel has such; waiting for one tick is then too little.
    statSync(lab.path('file'));
    writeFileSync(lab.path('file'), `${round}, once more`);
    waitPastWritten();
    const info = stat(lab.path('file'));
    expect(info && touchedSince(info, fileTimeNow())).toBe(false);
  }
});

test('a clock that was put back shows against a steady one, and slewing and ticks do not', () => {
  const from = performance.now();
  const since = fileTimeNow();
  const elapsed = (): number => performance.now() - from;
  expect(wasPutBack(since, elapsed())).toBe(false);
  // An hour, a second and a tenth ago it was later than now; and a minute went by in which the clock moved by nothing.
  for (const ms of [3_600_000n, 1_000n, 100n])
    expect(wasPutBack((since + ms * 1_000_000n) as FileTime, 0)).toBe(true);
  expect(wasPutBack(since, 60_000)).toBe(true);
  // Put forward, or asleep: stamps from before stay before.
  expect(wasPutBack((since - 3_600_000_000_000n) as FileTime, elapsed())).toBe(false);
});
