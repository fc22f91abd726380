// One line in the event log for every call. The log is never a reason to fail.
import type { CompileEvent } from '../core/events.ts';
import type { Store } from '../store/store.ts';
import { withParent } from '../store/store.ts';
import { appendFile, isOsError, utf8 } from '../sys/files.ts';

/** What the writer fills in by itself. */
export type EventBody = Omit<CompileEvent, 'ts' | 'elapsed_ms' | 'build_pid'>;

/** Appends an event; `startedMs` is when the call began, in milliseconds since the epoch. */
export function writeEvent(store: Store, startedMs: number, body: EventBody): void {
  const ts = Date.now();
  const event: CompileEvent = { ts, ...body, elapsed_ms: ts - startedMs, build_pid: process.ppid };
  const path = store.layout.events;
  try {
    withParent(path, () => appendFile(path, utf8(`${JSON.stringify(event, round)}\n`)));
  } catch (error) {
    if (!isOsError(error)) throw error;
  }
}

const round = (_key: string, value: unknown): unknown =>
  typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
