// One line in the event log for every call, and one more when the compiler starts. The log is never a reason to fail.
import type { CompileEvent, StartRecord } from '../core/events.ts';
import type { UnitId } from '../core/ids.ts';
import type { Store } from '../store/store.ts';
import { withParent } from '../store/store.ts';
import { appendFile, bestEffort, utf8 } from '../sys/files.ts';
import { type Call, describe } from './call.ts';

/** What the writer fills in by itself. */
export type EventBody = Omit<CompileEvent, 'ts' | 'elapsed_ms' | 'build_pid' | 'pid'>;

/** Whose call it is, and when it began, in milliseconds since the epoch. */
export type Whose = Pick<Call, 'store' | 'startedMs' | 'caller'>;

/** Appends an event. */
export function writeEvent({ store, startedMs, caller }: Whose, body: EventBody): void {
  const ts = Date.now();
  const { pid, parentPid: build_pid, foreseen } = caller;
  const early = foreseen === true ? { foreseen } : {};
  append(store, { ts, ...body, ...early, elapsed_ms: ts - startedMs, build_pid, pid });
}

/** Says that the compiler is about to run for this call, so that it can be watched. */
export function writeStart(call: Whose & Pick<Call, 'invocation'>, unit?: UnitId): void {
  append(call.store, {
    started: Date.now(),
    pid: call.caller.pid,
    build_pid: call.caller.parentPid,
    ...describe(call),
    ...(unit === undefined ? {} : { unit_id: unit }),
  });
}

function append(store: Store, line: CompileEvent | StartRecord): void {
  const path = store.layout.events;
  bestEffort(() => withParent(path, () => appendFile(path, utf8(`${JSON.stringify(line)}\n`))));
}
