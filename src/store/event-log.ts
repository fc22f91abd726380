// Reading the event log, and keeping it from growing without end: above a size it becomes the previous generation.
import { type CompileEvent, parseEvent } from '../core/events.ts';
import { bestEffort, readableText, rename, stat } from '../sys/files.ts';
import type { Store } from './store.ts';

/** Where the generation before of a log is. */
export const previousGeneration = (log: string): string => `${log}.1`;

/** Every event since `sinceMs` (milliseconds since the epoch), oldest first; torn lines are left out. */
export function readEvents(store: Store, sinceMs = 0): CompileEvent[] {
  const events: CompileEvent[] = [];
  for (const path of [previousGeneration(store.layout.events), store.layout.events]) {
    for (const line of (readableText(path) ?? '').split('\n')) {
      const event = parseEvent(line);
      if (event !== undefined && event.ts >= sinceMs) events.push(event);
    }
  }
  return events;
}

/** Starts a new generation when the log is above `limitBytes`. A writer that still has the old one open loses nothing. */
export function rotateEvents(store: Store, limitBytes: number): void {
  bestEffort(() => {
    if ((stat(store.layout.events)?.size ?? 0) > limitBytes)
      rename(store.layout.events, previousGeneration(store.layout.events));
  });
}
