// The facts behind every format of `report`: the events of a span of time, and what follows from them.
import { KacheError } from '../core/errors.ts';
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import { type Build, buildsOf } from '../store/builds.ts';
import { readEvents } from '../store/event-log.ts';
import { takeInventory } from '../store/inventory.ts';
import type { Store } from '../store/store.ts';
import { readTransfers } from '../store/transfer-log.ts';
import { isWithin, resolve } from '../sys/paths.ts';
import type { LoadedSettings } from '../sys/settings.ts';
import { queuedUploads, remoteNow, remoteType } from './background.ts';
import { version } from './binary.ts';
import { type Explanation, History, wasCompiled } from './explain.ts';
import { type Network, networkOf, type Prefetch, prefetchOf } from './network.ts';
import { DEFAULT_SINCE, durationMs } from './open.ts';
import {
  isHit,
  isMiss,
  type Storage,
  type StoreFigures,
  type Summary,
  storageOf,
  storeFigures,
  summarize,
  type Timing,
  timingOf,
} from './summary.ts';

export interface Selection {
  readonly since?: string;
  readonly root?: string;
  readonly top?: string;
}

/** Everything a report can say, whatever its format. */
export interface ReportFacts {
  readonly meta: {
    readonly kache_version: string;
    readonly generated_at: string;
    readonly since_hours: number;
    readonly root_filter: string | null;
  };
  readonly top: number;
  /** Oldest first. */
  readonly events: readonly CompileEvent[];
  readonly builds: readonly Build[];
  readonly summary: Summary;
  readonly timing: Timing;
  readonly storage: Storage & StoreFigures;
  /** Of the whole store, whatever the root: a transfer belongs to no folder. */
  readonly network: Network;
  readonly prefetch: Prefetch;
  readonly topMisses: readonly CompileEvent[];
  readonly topHits: readonly CompileEvent[];
  /** Build scripts that were run. */
  readonly topRuns: readonly CompileEvent[];
  /** Reasons of calls that were not looked up, the most frequent first. */
  readonly bypass: readonly { readonly reason: string; readonly count: number }[];
  readonly explain: (event: CompileEvent) => Explanation;
  readonly suggestions: readonly string[];
}

export function gatherFacts(store: Store, loaded: LoadedSettings, options: Selection): ReportFacts {
  const top = Number(options.top ?? 10);
  if (!Number.isInteger(top) || top < 0)
    throw new KacheError('usage', `Cannot list "${options.top}" crates: expected a whole number.`);
  const sinceMs = durationMs(options.since ?? DEFAULT_SINCE);
  const log = readEvents(store);
  const recent = log.filter(({ ts }) => ts >= Date.now() - sinceMs).sort((a, b) => a.ts - b.ts);
  const events = options.root === undefined ? recent : below(recent, resolve(process.cwd(), options.root));
  const compiles = events.filter((event) => !isScriptRun(event));
  const history = new History(store, log);
  const transfers = readTransfers(store, Date.now() - sinceMs);
  return {
    meta: {
      kache_version: version(),
      generated_at: new Date().toISOString(),
      since_hours: sinceMs / 3600e3,
      root_filter: options.root ?? null,
    },
    top,
    events,
    builds: buildsOf(events),
    summary: summarize(events),
    timing: timingOf(events),
    storage: { ...storageOf(events), ...storeFigures(takeInventory(store)) },
    network: networkOf(transfers, { remote: remoteType(remoteNow(loaded)), queued: queuedUploads(store) }),
    prefetch: prefetchOf(transfers, recent),
    topMisses: byCompileTime(compiles.filter(isMiss)).slice(0, top),
    topHits: byCompileTime(compiles.filter(isHit)).slice(0, top),
    topRuns: byCompileTime(events.filter((event) => isScriptRun(event) && !isHit(event))).slice(0, top),
    bypass: countBy(
      events.flatMap((event) => (event.result === 'passthrough' ? (event.passthrough_reason ?? []) : [])),
    ),
    explain: (event) => history.explain(event),
    suggestions: suggestions(events),
  };
}

/** The calls of builds at or below a folder, packages of the registry included, and whatever else writes or works there. */
function below(events: readonly CompileEvent[], root: string): CompileEvent[] {
  const builds = buildsOf(events).filter((build) => isWithin(build.root, root));
  const inBuild = new Set(builds.flatMap((build) => build.events));
  return events.filter(
    (event) => inBuild.has(event) || isWithin(event.root ?? '', root) || isWithin(event.out_dir ?? '', root),
  );
}

const byCompileTime = (events: readonly CompileEvent[]): CompileEvent[] =>
  events.toSorted((a, b) => (b.compile_ms ?? 0) - (a.compile_ms ?? 0));

function countBy(names: readonly string[]): { reason: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
}

/** What a person could do about it, in sentences. */
function suggestions(events: readonly CompileEvent[]): string[] {
  const { store_failures, skipped } = summarize(events);
  const result: string[] = [];
  if (store_failures > 0) result.push('Some compiles could not be stored: run `kache doctor`.');
  const moved = events.filter(({ reason }) => reason?.startsWith('input-changed-during-compile')).length;
  if (moved > 0) result.push(`${moved} compiles were not stored because an input changed while they ran.`);
  if (skipped > store_failures + moved)
    result.push('`kache report --format json` names why each skipped compile was not stored.');
  const unsupported = events.filter(({ passthrough_reason: why }) => why?.startsWith('unsupported|')).length;
  if (unsupported > 0)
    result.push(
      `${unsupported} calls were not looked up because kache cannot be sure about them; the list of what passed through names why.`,
    );
  if (events.some(wasCompiled))
    result.push('`kache why-miss` names the first cause of the misses of the last build.');
  return result;
}
