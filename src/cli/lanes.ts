// A build laid out in time: calls in lanes, one for each that ran at the same time, and the parts of a call. Pure.
import type { CompileEvent, Phases } from '../core/events.ts';
import { type Build, startOf } from '../store/builds.ts';

export interface Placed {
  readonly event: CompileEvent;
  readonly startMs: number;
  readonly lane: number;
}

/** Every call in the first lane that is free when it begins, in the order of their start. */
export function laneOut(events: readonly CompileEvent[]): Placed[] {
  const freeAt: number[] = [];
  return events
    .map((event) => ({ event, startMs: startOf(event) }))
    .sort((a, b) => a.startMs - b.startMs || a.event.ts - b.event.ts)
    .map(({ event, startMs }) => {
      const free = freeAt.findIndex((until) => until <= startMs);
      const lane = free < 0 ? freeAt.length : free;
      freeAt[lane] = event.ts;
      return { event, startMs, lane };
    });
}

export type Part = Exclude<keyof Phases, 'metadata'>;

export interface Segment {
  readonly part: Part;
  /** Milliseconds from the start of the call. */
  readonly fromMs: number;
  readonly durationMs: number;
}

const HIT_ORDER: readonly Part[] = ['key', 'lookup', 'remote', 'lock', 'restore'];
const MISS_ORDER: readonly Part[] = ['key', 'lookup', 'remote', 'restore', 'lock', 'compile', 'store'];

/**
 * The parts of a call in time. The log has their lengths; a call begins by starting a process and ends right behind its
 * last part, so they are laid from the end backwards.
 */
export function segmentsOf(event: CompileEvent): Segment[] {
  const { phases = {} } = event;
  const order = phases.compile === undefined ? HIT_ORDER : MISS_ORDER;
  let until = event.elapsed_ms;
  const segments: Segment[] = [];
  for (const part of order.toReversed()) {
    const durationMs = Math.min(phases[part] ?? 0, until);
    if (durationMs <= 0) continue;
    until -= durationMs;
    segments.unshift({ part, fromMs: until, durationMs });
  }
  return segments;
}

/** When what a call makes can be used by `dependent`: libraries by other libraries as soon as the metadata is out. */
export function releasedMs(event: CompileEvent, dependent: CompileEvent): number {
  const { metadata, compile = 0 } = event.phases ?? {};
  if (metadata === undefined || !/^(lib|rlib)$/.test(dependent.crate_types ?? 'lib')) return event.ts;
  const compiling = segmentsOf(event).find(({ part }) => part === 'compile');
  const begun = startOf(event) + (compiling?.fromMs ?? 0);
  return Math.min(event.ts, begun + Math.min(metadata, compile));
}

/** Calls as events of the Chrome trace format, times in microseconds; one process for a build, one thread for a lane. */
export function traceEvents(builds: readonly Build[]): Record<string, unknown>[] {
  return builds.flatMap(({ root, profile, pid: cargo, events }, index) => {
    const pid = index + 1;
    const name = (kind: string, tid: number, text: string) => ({
      name: kind,
      ph: 'M',
      pid,
      tid,
      args: { name: text },
    });
    const placed = laneOut(events);
    const lanes = [...new Set(placed.map(({ lane }) => lane))];
    return [
      name('process_name', 0, `${root} ${profile} (cargo ${cargo})`),
      ...lanes.map((lane) => name('thread_name', lane + 1, `lane ${lane + 1}`)),
      ...placed.flatMap((one) => traceOf(one, pid)),
    ];
  });
}

function traceOf({ event, startMs, lane }: Placed, pid: number): Record<string, unknown>[] {
  const place = { ph: 'X', pid, tid: lane + 1 };
  const microseconds = (ms: number): number => Math.round(ms * 1000);
  const {
    result,
    crate_version,
    crate_types,
    reason,
    passthrough_reason,
    compile_ms,
    size_bytes,
    cache_key,
  } = event;
  return [
    {
      ...place,
      name: event.crate_name === '' ? (passthrough_reason ?? '') : event.crate_name,
      cat: result,
      ts: microseconds(startMs),
      dur: microseconds(event.elapsed_ms),
      args: {
        result,
        crate_version,
        crate_types,
        reason,
        passthrough_reason,
        compile_ms,
        size_bytes,
        cache_key,
      },
    },
    ...segmentsOf(event).map(({ part, fromMs, durationMs }) => ({
      ...place,
      name: part === 'lock' ? 'wait' : part,
      cat: 'phase',
      ts: microseconds(startMs + fromMs),
      dur: microseconds(durationMs),
    })),
  ];
}
