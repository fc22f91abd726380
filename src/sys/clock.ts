// The kernel's coarse clock: no file is stamped earlier than what it shows.
import { ptr } from 'bun:ffi';
import type { FileStat } from './files.ts';
import { linux } from './libc.ts';

const CLOCK_REALTIME = 0;
const CLOCK_REALTIME_COARSE = 5;
const time = new BigInt64Array(2);
const timeAt = ptr(time);

/** Nanoseconds since the epoch by one of the kernel's clocks, or undefined where there is none like it. */
const read = (clock: number): bigint | undefined =>
  linux?.clock_gettime(clock, timeAt) === 0 ? (time[0] ?? 0n) * 1_000_000_000n + (time[1] ?? 0n) : undefined;

/** A moment of the clock that stamps files, in nanoseconds since the epoch. */
export type FileTime = bigint & { readonly fileTime: true };

/** Where there is no clock for stamps they come from the exact one, which programs and the kernel read a little apart. */
const APART_MS = 20;

/**
 * No file written from now on carries an earlier stamp (kernels since 6.13 may stamp up to a tick later). Where there
 * is no such clock: a moment ago.
 */
export const fileTimeNow = (): FileTime =>
  (read(CLOCK_REALTIME_COARSE) ?? BigInt(Date.now() - APART_MS) * 1_000_000n) as FileTime;

const exactNow = (): bigint => read(CLOCK_REALTIME) ?? BigInt(Date.now()) * 1_000_000n;

/** Some file systems keep whole or even seconds only. */
const COARSE_STAMP_NS = 2_000_000_000n;

/** Whether a file may have been written at `since` or later, as far as its stamps can tell. */
export function touchedSince(info: FileStat, since: FileTime): boolean {
  const coarse = info.mtimeNsec === 0 && info.ctimeNsec === 0;
  const limit = coarse ? since - COARSE_STAMP_NS : since;
  const stamp = (sec: number, nsec: number): bigint => BigInt(sec) * 1_000_000_000n + BigInt(nsec);
  return stamp(info.mtimeSec, info.mtimeNsec) >= limit || stamp(info.ctimeSec, info.ctimeNsec) >= limit;
}

/** Ticks and the slewing of a clock that is kept right by the network stay below this. */
const STEP_NS = 50_000_000n;

/**
 * Whether the clock was put back since `since`, a moment at least `elapsedMs` ago by a steady clock. Then a file that was
 * written meanwhile may carry an earlier stamp, and {@link touchedSince} tells nothing.
 */
export const wasPutBack = (since: FileTime, elapsedMs: number): boolean =>
  fileTimeNow() + STEP_NS < since + BigInt(Math.floor(elapsedMs)) * 1_000_000n;

/** What the clocks of this machine and of a file server may differ. */
const SKEW_NS = 20_000_000n;

/**
 * Whether a later change of a file would show in its stamps: they lie far enough behind `now`, a moment before its
 * content was read.
 */
export const isSettled = (info: FileStat, now: FileTime): boolean =>
  !touchedSince(info, (now - SKEW_NS) as FileTime);

/**
 * Waits, at most some milliseconds, until files written before the call are told from later ones. It is the exact clock
 * that has to be passed: since Linux 6.13 a stamp may be finer than a tick, and the coarse clock runs up to a tick late.
 */
export function waitPastWritten(): void {
  const written = exactNow();
  for (let round = 0; round < 2 * APART_MS && fileTimeNow() <= written; round++) Bun.sleepSync(1);
}
