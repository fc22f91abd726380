// What the monitor knows from the event log: the events of its window grouped into builds, and what older ones add up
// to. A batch of lines makes a new value; nothing here reads a file.
import { type CompileEvent, parseLogLine, type StartRecord } from '../core/events.ts';
import { type Build, buildsFrom, groupsOf, isTrial } from '../store/builds.ts';

/** What hits on one entry were worth. */
export interface EntryUse {
  readonly hits: number;
  readonly savedMs: number;
}

/** Sums over every event ever read, also those too old to be kept. Grows in place. */
export class Totals {
  readonly #compiles = new Map<string, number[]>();
  readonly #uses = new Map<string, EntryUse>();
  readonly #ended = new Map<number, number>();

  add(event: CompileEvent): void {
    const { pid, cache_key: key, compile_ms: compileMs } = event;
    if (pid !== undefined) this.#ended.set(pid, Math.max(this.#ended.get(pid) ?? 0, event.ts));
    if (event.compiler_runs > 0 && compileMs !== undefined && event.result !== 'error' && !isTrial(event))
      for (const name of namesOf(event)) push(this.#compiles, name, compileMs);
    if (event.result.endsWith('_hit') && key !== undefined) {
      const before = this.#uses.get(key) ?? { hits: 0, savedMs: 0 };
      const savedMs = before.savedMs + Math.max(0, (compileMs ?? 0) - event.elapsed_ms);
      this.#uses.set(key, { hits: before.hits + 1, savedMs });
    }
  }

  /** What compiling this has taken before: the median, of the unit when it was compiled already, else of the crate. */
  typicalMs(unit: Named): number | undefined {
    for (const name of namesOf(unit)) {
      const times = this.#compiles.get(name);
      if (times !== undefined) return median(times);
    }
    return undefined;
  }

  hitsOn(key: string): EntryUse {
    return this.#uses.get(key) ?? { hits: 0, savedMs: 0 };
  }

  hasEnded({ pid, started }: StartRecord): boolean {
    return (this.#ended.get(pid) ?? 0) >= started;
  }
}

type Named = Pick<StartRecord, 'crate_name' | 'crate_version' | 'crate_types' | 'unit_id' | 'root'>;

/** What compiles of the same thing have in common, closest first. A build script is told by its package. */
function namesOf({ crate_name, crate_version, crate_types, unit_id, root }: Named): string[] {
  const names = unit_id === undefined ? [] : [unit_id];
  const folder = crate_name === 'build_script_build' ? root?.slice(root.lastIndexOf('/')) : undefined;
  names.push([crate_name, crate_version, crate_types, folder].join(' '));
  return names;
}

function push(lists: Map<string, number[]>, name: string, value: number): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [value]);
  else list.push(value);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

interface Caller {
  readonly events: readonly CompileEvent[];
  /** What it asked for, by itself. */
  readonly groups: readonly Build[];
}

export interface EventData {
  /** In the order of the log. */
  readonly events: readonly CompileEvent[];
  /** The one with the latest activity first. */
  readonly builds: readonly Build[];
  /** Compilers that were started and have not ended, by process id. */
  readonly started: ReadonlyMap<number, StartRecord>;
  readonly totals: Totals;
  /** False while older parts of the log are still to be read. */
  readonly isComplete: boolean;
  /** By the process that asked. */
  readonly callers: ReadonlyMap<number, Caller>;
}

export const noEvents = (): EventData => ({
  events: [],
  builds: [],
  started: new Map(),
  totals: new Totals(),
  isComplete: false,
  callers: new Map(),
});

export interface Batch {
  /** Oldest first. */
  readonly lines: readonly string[];
  /** Whether they are older than everything known so far, or newer. */
  readonly age: 'older' | 'newer';
  /** Events that ended before are added up and not kept. */
  readonly keepFromMs: number;
}

export function addLines(data: EventData, batch: Batch): EventData {
  const isOlder = batch.age === 'older';
  const kept: CompileEvent[] = [];
  const started = new Map<number, StartRecord>(isOlder ? [] : data.started);
  for (const text of batch.lines) {
    const parsed = parseLogLine(text);
    if (parsed === undefined) continue;
    if (parsed.kind === 'start') {
      started.set(parsed.start.pid, parsed.start);
      continue;
    }
    const { event } = parsed;
    data.totals.add(event);
    if (event.pid !== undefined) started.delete(event.pid);
    if (event.ts >= batch.keepFromMs) kept.push(event);
  }
  if (isOlder) {
    for (const [pid, start] of started) if (data.totals.hasEnded(start)) started.delete(pid);
    for (const [pid, start] of data.started) started.set(pid, start);
  }
  if (kept.length === 0) return { ...data, started };
  const callers = regrouped(data.callers, kept, isOlder);
  const events = isOlder ? [...kept, ...data.events] : [...data.events, ...kept];
  return { ...data, started, callers, events, builds: newestFirst(callers) };
}

function regrouped(
  callers: ReadonlyMap<number, Caller>,
  added: readonly CompileEvent[],
  isOlder: boolean,
): Map<number, Caller> {
  const result = new Map(callers);
  for (const [pid, list] of Map.groupBy(added, ({ build_pid }) => build_pid ?? 0)) {
    const before = callers.get(pid) ?? { events: [], groups: [] };
    if (isOlder) {
      const events = [...list, ...before.events];
      result.set(pid, { events, groups: groupsOf(events) });
      continue;
    }
    // Only the group that began last, in the order of the log, can still grow.
    const firsts = new Set(before.groups.map(({ events }) => events[0]));
    const open = Math.max(
      0,
      before.events.findLastIndex((event) => firsts.has(event)),
    );
    const closed = before.groups.filter(({ events }) => events[0] !== before.events[open]);
    const events = [...before.events, ...list];
    result.set(pid, { events, groups: [...closed, ...groupsOf(events.slice(open))] });
  }
  return result;
}

const newestFirst = (callers: ReadonlyMap<number, Caller>): Build[] =>
  buildsFrom([...callers.values()].flatMap(({ groups }) => groups)).sort((a, b) => b.endedMs - a.endedMs);

/** Forgets events that ended before a moment; what they added up to stays. */
export function forgetBefore(data: EventData, keepFromMs: number): EventData {
  const [first] = data.events;
  if (first === undefined || first.ts >= keepFromMs) return data;
  const events = data.events.filter(({ ts }) => ts >= keepFromMs);
  const callers = regrouped(new Map(), events, false);
  return { ...data, events, callers, builds: newestFirst(callers) };
}

/** Takes away compilers whose process is gone. */
export function forgetStarts(data: EventData, pids: readonly number[]): EventData {
  const started = new Map(data.started);
  for (const pid of pids) started.delete(pid);
  return { ...data, started };
}
