// What moved between the store and target folders, over time and last. Pure; sums of events.
import type { CompileEvent } from '../core/events.ts';

export interface TransferData {
  /** Bytes that hits put into target folders, by how. */
  readonly restored: { readonly shared: number; readonly copied: number };
  /** Bytes that compiles added to the store. */
  readonly stored: number;
  /** Bytes in each part of the span, oldest first. */
  readonly restoredOverTime: readonly number[];
  readonly storedOverTime: readonly number[];
  /** What one of those parts is, in milliseconds. */
  readonly partMs: number;
  /** Calls that moved something, newest first. */
  readonly last: readonly CompileEvent[];
}

/** More parts than any screen has columns for are of no use. */
export const PARTS = 60;
const LAST = 100;

const restoredBy = ({ restored }: CompileEvent): { shared: number; copied: number } =>
  restored === undefined
    ? { shared: 0, copied: 0 }
    : { shared: restored.reflinked + restored.hardlinked, copied: restored.copied };

export function transfersOf(
  events: readonly CompileEvent[],
  { nowMs, spanMs }: { nowMs: number; spanMs: number },
): TransferData {
  const partMs = spanMs / PARTS;
  const restoredOverTime = new Array<number>(PARTS).fill(0);
  const storedOverTime = new Array<number>(PARTS).fill(0);
  const sum = { shared: 0, copied: 0, stored: 0 };
  for (const event of events) {
    const { shared, copied } = restoredBy(event);
    const stored = event.stored_bytes ?? 0;
    if (shared + copied + stored === 0) continue;
    const part = Math.min(PARTS - 1, Math.max(0, PARTS - 1 - Math.floor((nowMs - event.ts) / partMs)));
    restoredOverTime[part] = (restoredOverTime[part] ?? 0) + shared + copied;
    storedOverTime[part] = (storedOverTime[part] ?? 0) + stored;
    sum.shared += shared;
    sum.copied += copied;
    sum.stored += stored;
  }
  const last: CompileEvent[] = [];
  for (let at = events.length - 1; at >= 0 && last.length < LAST; at--) {
    const event = events[at];
    if (event !== undefined && (event.restored !== undefined || (event.stored_bytes ?? 0) > 0))
      last.push(event);
  }
  return {
    restored: { shared: sum.shared, copied: sum.copied },
    stored: sum.stored,
    restoredOverTime,
    storedOverTime,
    partMs,
    last,
  };
}
