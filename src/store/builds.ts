// Which calls in the event log belong to one build, and what that build is called. The shared vocabulary of everything
// that speaks of builds: stats, why-miss, reports, the monitor.
import type { CompileEvent } from '../core/events.ts';
import { isWithin } from '../sys/paths.ts';

/** The calls of one Cargo process. */
export interface Build {
  readonly pid: number;
  /** The workspace it builds, or what comes nearest to it. */
  readonly root: string;
  /** The last folder of the target folder that says how it was built: `debug`, `release`… */
  readonly profile: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** In the order of the log: by their end. */
  readonly events: readonly CompileEvent[];
}

/** When a call began, milliseconds since the epoch. */
export const startOf = (event: CompileEvent): number => event.ts - event.elapsed_ms;

/** A process that has been silent for so long is another one with the same number. */
const SILENCE_MS = 30 * 60 * 1000;

interface Open {
  readonly events: CompileEvent[];
  readonly units: Set<string>;
  endedMs: number;
}

/** The builds in a log (events oldest first), in the order of their start. */
export const buildsOf = (events: readonly CompileEvent[]): Build[] => buildsFrom(groupsOf(events));

/**
 * Groups events by the process that caused them. Process ids come round again, soon where every build has a container of
 * its own: a long silence, or a unit that is compiled a second time, begins another group. Calls that compile nothing
 * make none of their own. The events of one process are grouped the same with and without those of others.
 */
export function groupsOf(events: readonly CompileEvent[]): Build[] {
  const open = new Map<number, Open>();
  const all: Open[] = [];
  for (const event of events) {
    const pid = event.build_pid;
    if (pid === undefined) continue;
    // Cargo never compiles a unit twice in one build.
    const unit = event.unit_id === undefined ? undefined : `${event.unit_id} ${event.out_dir}`;
    let build = open.get(pid);
    const isOther =
      build !== undefined &&
      (startOf(event) - build.endedMs > SILENCE_MS || (unit !== undefined && build.units.has(unit)));
    if (build === undefined || isOther) {
      build = { events: [], units: new Set(), endedMs: event.ts };
      open.set(pid, build);
      all.push(build);
    }
    build.events.push(event);
    // What was put in place before it asked, it may ask for all the same.
    if (unit !== undefined && event.foreseen !== true) build.units.add(unit);
    build.endedMs = Math.max(build.endedMs, event.ts);
  }
  return all.filter(({ events: calls }) => calls.some(({ out_dir }) => out_dir !== undefined)).map(closed);
}

/**
 * Builds, in the order of their start: what build scripts try out is called by another process, and counts as part of
 * the build that waits for it.
 */
export function buildsFrom(groups: readonly Build[]): Build[] {
  const [tried, own] = partition(groups, ({ events: calls }) => calls.every(isPartOfTrial));
  const builds = own.sort((a, b) => a.startedMs - b.startedMs);
  return tried.length === 0 ? builds : withTried(builds, tried);
}

function closed({ events, endedMs }: Open): Build {
  const startedMs = events.reduce((least, call) => Math.min(least, startOf(call)), Number.POSITIVE_INFINITY);
  return { pid: events[0]?.build_pid ?? 0, ...placeOf(events), startedMs, endedMs, events };
}

function partition<T>(list: readonly T[], matches: (item: T) => boolean): [T[], T[]] {
  const { yes = [], no = [] } = Object.groupBy(list, (item) => (matches(item) ? 'yes' : 'no'));
  return [yes, no];
}

/** Below the OUT_DIR of a build script: it compiles something to see whether it can be compiled. */
const TRIED_IN = /^(.*)\/build\/[^/]+\/out(?:\/|$)/;

/** Whether a build script only tried something out: a failure is an answer then. */
export const isTrial = ({ out_dir = '' }: Pick<CompileEvent, 'out_dir'>): boolean => TRIED_IN.test(out_dir);

const isPartOfTrial = (event: CompileEvent): boolean => event.out_dir === undefined || isTrial(event);

/** Adds what build scripts tried to the build in whose target folder and time it lies. */
function withTried(builds: readonly Build[], tried: readonly Build[]): Build[] {
  const more = new Map<Build, CompileEvent[]>();
  for (const { events } of tried) {
    const [first] = events;
    const place = events.flatMap(({ out_dir }) => TRIED_IN.exec(out_dir ?? '')?.[1] ?? []).at(0) ?? '';
    const build = builds.findLast(
      ({ startedMs, endedMs, events: calls }) =>
        first !== undefined &&
        startedMs <= startOf(first) &&
        first.ts <= endedMs &&
        calls.some(({ out_dir }) => isWithin(out_dir ?? '', place)),
    );
    if (build !== undefined) more.set(build, [...(more.get(build) ?? []), ...events]);
  }
  return builds.map((build) => {
    const added = more.get(build);
    return added === undefined
      ? build
      : { ...build, events: [...build.events, ...added].sort((a, b) => a.ts - b.ts) };
  });
}

/** The build that began last. */
export const newestBuild = (events: readonly CompileEvent[]): Build | undefined => buildsOf(events).at(-1);

/** Packages of a registry are compiled in their own folder: what is built is where outputs lie below the root. */
function placeOf(calls: readonly CompileEvent[]): { root: string; profile: string } {
  const placed = calls.filter(({ out_dir }) => out_dir !== undefined);
  const member = placed.findLast(({ root, out_dir }) => isWithin(out_dir ?? '', root ?? '/'));
  const outDir = (member ?? placed.at(-1))?.out_dir ?? '';
  const match = /^(.*?)\/([^/]+)\/(?:deps|examples|build\/[^/]+(?:\/out)?)$/.exec(outDir);
  const target = match?.[1] ?? outDir;
  const foreign = placed.findLast(({ root }) => root !== undefined && !isForeign(root));
  return {
    root: member?.root ?? foreign?.root ?? target.replace(/\/target(\/[^/]+)?$/, ''),
    profile: match?.[2] ?? '',
  };
}

/** Sources that Cargo fetched. */
const isForeign = (root: string): boolean => /\/(registry\/src|git\/checkouts)\//.test(root);
