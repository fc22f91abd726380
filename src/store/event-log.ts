// Reading the event log, and keeping it from growing without end: above a size it becomes the previous generation.
import { type CompileEvent, parseEvent } from '../core/events.ts';
import { bestEffort, readableText, rename, stat } from '../sys/files.ts';
import type { Store } from './store.ts';

/** Nobody rotates so often. */
const MAX_ROUNDS = 3;

/** Where the generation before of a log is. */
export const previousGeneration = (log: string): string => `${log}.1`;

/** Every line of a log and of the generation before it, oldest first; the last may be torn. */
export function linesOf(log: string): string[] {
  const previous = previousGeneration(log);
  for (let round = 1; ; round++) {
    const before = stat(previous)?.ino;
    const lines = [previous, log].flatMap((path) => (readableText(path) ?? '').split('\n'));
    // Who rotates between the two files would hide a whole generation.
    if (stat(previous)?.ino === before || round === MAX_ROUNDS) return lines;
  }
}

/** Every event since `sinceMs` (milliseconds since the epoch), oldest first; torn lines are left out. */
export function readEvents(store: Store, sinceMs = 0): CompileEvent[] {
  const events: CompileEvent[] = [];
  for (const line of linesOf(store.layout.events)) {
    const event = parseEvent(line);
    if (event !== undefined && event.ts >= sinceMs) events.push(event);
  }
  return events;
}

/** Whether the log is sure to go back to `sinceMs`: before that, a generation may have been overwritten. */
export const reachesBackTo = (store: Store, events: readonly CompileEvent[], sinceMs: number): boolean =>
  stat(previousGeneration(store.layout.events)) === undefined ||
  (events[0]?.ts ?? Number.POSITIVE_INFINITY) <= sinceMs;

/** Starts a new generation when the log is above `limitBytes`. A writer that still has the old one open loses nothing. */
export function rotateEvents(store: Store, limitBytes: number): void {
  bestEffort(() => {
    if ((stat(store.layout.events)?.size ?? 0) > limitBytes)
      rename(store.layout.events, previousGeneration(store.layout.events));
  });
}
