// One line in the event log for every call. The log is never a reason to fail.
import type { CompileEvent } from '../core/events.ts';
import type { Store } from '../store/store.ts';
import { withParent } from '../store/store.ts';
import { appendFile, bestEffort, utf8 } from '../sys/files.ts';

/** What the writer fills in by itself. */
export type EventBody = Omit<CompileEvent, 'ts' | 'elapsed_ms' | 'build_pid'>;

/** Appends an event; `startedMs` is when the call began, in milliseconds since the epoch. */
export function writeEvent(store: Store, startedMs: number, body: EventBody): void {
  const ts = Date.now();
  const event: CompileEvent = { ts, ...body, elapsed_ms: ts - startedMs, build_pid: process.ppid };
  const path = store.layout.events;
  bestEffort(() => withParent(path, () => appendFile(path, utf8(`${JSON.stringify(event)}\n`))));
}
