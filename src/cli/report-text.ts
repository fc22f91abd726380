// `report --format text`: for the terminal.
import { isScriptRun } from '../core/events.ts';
import { isTrial } from '../store/builds.ts';
import { describeNetwork } from './network.ts';
import type { ReportFacts } from './report-facts.ts';
import { describeRuns } from './script-runs.ts';
import { gapOf, summarize } from './summary.ts';
import { formatMs, formatTime, plural, style, table } from './terminal.ts';
import { describeCause } from './why-miss.ts';

/** No more builds than this are listed. */
const MAX_BUILDS = 5;

export function textReport(facts: ReportFacts): string {
  const { summary, timing } = facts;
  const hits = summary.local_hits + summary.prefetch_hits + summary.remote_hits;
  const gap = gapOf(summary);
  const runs = describeRuns(summary);
  const moved = describeNetwork(facts.network, facts.prefetch);
  const lines = [
    `hit rate ${summary.hit_rate_pct} % (${summary.weighted_hit_rate_pct} % by compile time${gap === undefined ? '' : `: ${gap}`}), ${formatMs(summary.time_saved_ms)} saved`,
    `${plural(summary.total_crates, 'crate')}: ${hits} hits, ${summary.misses} misses, ${summary.dups} made nothing new`,
    `${summary.skipped} compiled but not stored, ${summary.errors - summary.trial_errors} failed, ${summary.passthroughs} passed through, ${summary.probes} probes`,
    `a hit takes ${timing.avg_hit_ms} ms, a miss ${timing.avg_miss_ms} ms of which storing ${timing.avg_store_ms} ms`,
    ...(runs === '' ? [] : [`build scripts: ${runs}`]),
    ...(moved === '' ? [] : [`remote: ${moved}`]),
    ...section('Last builds', buildRows(facts), [1, 2, 3]),
    ...section(
      'Dearest misses',
      facts.topMisses.map((event) => [
        `  ${event.crate_name}`,
        formatMs(event.compile_ms ?? 0),
        describeCause(facts.explain(event).cause),
      ]),
      [1],
    ),
    ...section(
      'Dearest hits',
      facts.topHits.map((event) => [
        `  ${event.crate_name}`,
        formatMs(event.compile_ms ?? 0),
        `restored in ${formatMs(event.elapsed_ms)}`,
      ]),
      [1],
    ),
    ...section(
      'Build scripts that were run',
      facts.topRuns.map((event) => [
        `  ${event.crate_name}`,
        formatMs(event.compile_ms ?? 0),
        describeCause(facts.explain(event).cause),
      ]),
      [1],
    ),
    ...section(
      'Failed',
      facts.events
        .filter((event) => event.result === 'error' && !isTrial(event) && !isScriptRun(event))
        .slice(-facts.top)
        .map((event) => [`  ${event.crate_name}`, formatTime(event.ts)]),
    ),
    ...section(
      'Passed through',
      facts.bypass.map(({ reason, count }) => [`  ${count}`, reason]),
      [0],
    ),
    ...facts.suggestions.map((text) => `\n${text}`),
  ];
  return lines.join('\n');
}

function section(
  title: string,
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  return rows.length === 0 ? [] : ['', style.bold(title), table(rows, right)];
}

const buildRows = ({ builds }: ReportFacts): string[][] =>
  builds
    .slice(-MAX_BUILDS)
    .reverse()
    .map((build) => {
      const { total_crates, misses, dups } = summarize(build.events);
      const [hits, compiled] = [total_crates - misses - dups, misses + dups];
      const took = formatMs(build.endedMs - build.startedMs);
      return [`  ${formatTime(build.startedMs)}`, took, `${hits} hits`, `${compiled} compiled`, build.root];
    });
