// One line in the event log for every call, and one more when the compiler starts. The log is never a reason to fail.
import type { CompileEvent, StartRecord } from '../core/events.ts';
import type { UnitId } from '../core/ids.ts';
import type { Store } from '../store/store.ts';
import { withParent } from '../store/store.ts';
import { appendFile, bestEffort, utf8 } from '../sys/files.ts';
import { type Call, describe } from './call.ts';

/** What the writer fills in by itself; the processes only where they are this one and its parent. */
export type EventBody = Omit<CompileEvent, 'ts' | 'elapsed_ms' | 'build_pid' | 'pid'> &
  Partial<Pick<CompileEvent, 'build_pid' | 'pid'>>;

/** Appends an event; `startedMs` is when the call began, in milliseconds since the epoch. */
export function writeEvent(store: Store, startedMs: number, body: EventBody): void {
  const ts = Date.now();
  const { pid = process.pid, build_pid = process.ppid } = body;
  const event: CompileEvent = { ts, ...body, elapsed_ms: ts - startedMs, build_pid, pid };
  append(store, event);
}

/** Says that the compiler is about to run for this call, so that it can be watched. */
export function writeStart(call: Pick<Call, 'invocation' | 'store' | 'startedMs'>, unit?: UnitId): void {
  append(call.store, {
    started: Date.now(),
    pid: process.pid,
    build_pid: process.ppid,
    ...describe(call),
    ...(unit === undefined ? {} : { unit_id: unit }),
  });
}

function append(store: Store, line: CompileEvent | StartRecord): void {
  const path = store.layout.events;
  bestEffort(() => withParent(path, () => appendFile(path, utf8(`${JSON.stringify(line)}\n`))));
}
