// `report --format json`, schema_version 1: fields may be added, and are never renamed or given another meaning.
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import { wasCompiled } from './explain.ts';
import { traceEvents } from './lanes.ts';
import type { ReportFacts } from './report-facts.ts';
import { isProbe, summarize } from './summary.ts';
import { describeCause } from './why-miss.ts';

export function jsonReport(facts: ReportFacts): string {
  const { events, builds } = facts;
  const brief = (event: CompileEvent) => ({
    crate_name: event.crate_name,
    crate_version: event.crate_version ?? null,
    compile_ms: event.compile_ms ?? 0,
    elapsed_ms: event.elapsed_ms,
    reason: event.reason ?? event.passthrough_reason ?? '',
    ...(wasCompiled(event) ? { cause: describeCause(facts.explain(event).cause) } : {}),
  });
  const value = {
    schema_version: 1,
    meta: facts.meta,
    summary: facts.summary,
    timeline: timeline(events),
    timing: facts.timing,
    storage: facts.storage,
    network: facts.network,
    prefetch: facts.prefetch,
    top_misses: facts.topMisses.map(brief),
    top_hits: facts.topHits.map(brief),
    script_runs: facts.topRuns.map(brief),
    bypass: facts.bypass,
    errors_detail: events.filter((event) => event.result === 'error' && !isScriptRun(event)).map(brief),
    suggestions: facts.suggestions,
    builds: builds.map(({ root, profile, startedMs, endedMs, events: calls }) => ({
      root,
      profile,
      started_at: new Date(startedMs).toISOString(),
      duration_ms: endedMs - startedMs,
      summary: summarize(calls),
    })),
    traceEvents: traceEvents(builds),
    displayTimeUnit: 'ms',
    all_events: events.map((event) => ({
      passthrough_reason: null,
      ...event,
      preprocessor_runs: 0,
      probe_runs: isProbe(event) ? 1 : 0,
    })),
  };
  return JSON.stringify(value, null, 2);
}

/** Hits and compiles by the minute. */
function timeline(
  events: readonly CompileEvent[],
): { minute: string; hits: number; misses: number; saved_ms: number }[] {
  const minutes = Map.groupBy(events, ({ ts }) => new Date(Math.floor(ts / 60e3) * 60e3).toISOString());
  return [...minutes].map(([minute, list]) => {
    const { local_hits, prefetch_hits, remote_hits, dups, misses, time_saved_ms } = summarize(list);
    return {
      minute,
      hits: local_hits + prefetch_hits + remote_hits,
      misses: misses + dups,
      saved_ms: time_saved_ms,
    };
  });
}
