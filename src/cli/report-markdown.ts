// `report --format markdown` and `github`: for a document, and for the summary page of a CI job.
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import { type Explanation, wasCompiled } from './explain.ts';
import { describeNetwork } from './network.ts';
import type { ReportFacts } from './report-facts.ts';
import { describeRuns } from './script-runs.ts';
import { gapOf, isHit } from './summary.ts';
import { formatBytes, formatMs, formatTime, plural } from './terminal.ts';
import { describeCause, totalCauses } from './why-miss.ts';

/** Text inside a table cell: nothing in it is markup. */
const cell = (text: string): string =>
  text
    .replace(/[\r\n]+/g, ' ')
    .replace(/[\\`*_{}[\]<>#|~$@]/g, (character) =>
      character === '<'
        ? '&lt;'
        : character === '>'
          ? '&gt;'
          : character === '@'
            ? '&#64;'
            : `\\${character}`,
    );

/** A table of unescaped cells; empty without rows. */
function grid(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${head.map(() => ' --- |').join('')}`, ...rows.map(line)].join('\n');
}

const HEADLINE = ['hit rate', 'by compile time', 'time saved', 'hits', 'compiled', 'not stored', 'failed'];

function headline({ summary }: ReportFacts): string {
  const hits = summary.local_hits + summary.prefetch_hits + summary.remote_hits;
  return grid(HEADLINE, [
    [
      `${summary.hit_rate_pct} %`,
      `${summary.weighted_hit_rate_pct} %`,
      formatMs(summary.time_saved_ms),
      `${hits} of ${summary.total_crates}`,
      `${summary.misses + summary.dups}`,
      `${summary.skipped}`,
      `${summary.errors - summary.trial_errors}`,
    ],
  ]);
}

const explainAll = (facts: ReportFacts): Explanation[] =>
  facts.events
    .filter((event) => wasCompiled(event) && !isScriptRun(event))
    .map((event) => facts.explain(event));

const causeGrid = (facts: ReportFacts): string =>
  grid(
    ['first cause', 'crates', 'compile time'],
    totalCauses(explainAll(facts))
      .slice(0, facts.top)
      .map(({ cause, crates, compile_ms }) => [cause, `${crates.length}`, formatMs(compile_ms)]),
  );

const missGrid = (facts: ReportFacts): string =>
  grid(
    ['miss', 'compile time', 'first cause'],
    facts.topMisses.map((event) => [
      nameOf(event),
      formatMs(event.compile_ms ?? 0),
      describeCause(facts.explain(event).cause),
    ]),
  );

const hitGrid = (facts: ReportFacts): string =>
  grid(
    ['hit', 'compile time saved', 'restored in'],
    facts.topHits.map((event) => [
      nameOf(event),
      formatMs(event.compile_ms ?? 0),
      formatMs(event.elapsed_ms),
    ]),
  );

/** Build scripts that were run, and what runs are worth. */
function runsPart(facts: ReportFacts): string {
  const text = describeRuns(facts.summary);
  const rows = facts.topRuns.map((event) => [
    nameOf(event),
    formatMs(event.compile_ms ?? 0),
    describeCause(facts.explain(event).cause),
  ]);
  return join([text === '' ? '' : `${text}.`, grid(['build script', 'run time', 'first cause'], rows)]);
}

const passGrid = (facts: ReportFacts): string =>
  grid(
    ['passed through', 'calls'],
    facts.bypass.map(({ reason, count }) => [reason, `${count}`]),
  );

const nameOf = ({ crate_name, crate_version }: CompileEvent): string =>
  crate_version === undefined ? crate_name : `${crate_name} ${crate_version}`;

function storeLine({ storage }: ReportFacts): string {
  const { store_entries, size_bytes, dedup_saved_bytes, restored_bytes, zero_copy_pct } = storage;
  return `The store holds ${plural(store_entries, 'entry', 'entries')} in ${formatBytes(size_bytes)}; ${formatBytes(dedup_saved_bytes)} are shared between entries. ${formatBytes(restored_bytes)} were restored, ${zero_copy_pct} % of it without copying.`;
}

function remoteLine({ network, prefetch }: ReportFacts): string {
  const moved = describeNetwork(network, prefetch);
  return moved === '' && network.remote === 'off' ? 'Off.' : moved || 'Nothing moved.';
}

function gapLine({ summary }: ReportFacts): string {
  const gap = gapOf(summary);
  return gap === undefined ? '' : `The two rates are far apart: ${gap}.`;
}

const join = (parts: readonly string[]): string => parts.filter((part) => part !== '').join('\n\n');

const titled = (title: string, body: string): string => (body === '' ? '' : `## ${title}\n\n${body}`);

/** A document. */
export function markdownReport(facts: ReportFacts): string {
  const builds = grid(
    ['build', 'took', 'hits', 'calls', 'folder'],
    facts.builds
      .slice(-facts.top)
      .reverse()
      .map(({ startedMs, endedMs, root, events }) => [
        formatTime(startedMs),
        formatMs(endedMs - startedMs),
        `${events.filter((event) => isHit(event) && !isScriptRun(event)).length}`,
        `${events.filter((event) => event.out_dir !== undefined && !isScriptRun(event)).length}`,
        root,
      ]),
  );
  return join([
    `# kache: the last ${facts.meta.since_hours} hours`,
    headline(facts),
    gapLine(facts),
    titled('Builds', builds),
    titled('What made crates miss', causeGrid(facts)),
    titled('Dearest misses', missGrid(facts)),
    titled('Dearest hits', hitGrid(facts)),
    titled('Runs of build scripts', runsPart(facts)),
    titled('Passed through', passGrid(facts)),
    titled('The store', storeLine(facts)),
    titled('The remote', remoteLine(facts)),
    facts.suggestions.map((text) => `- ${text}`).join('\n'),
  ]);
}

const folded = (title: string, body: string): string =>
  body === '' ? '' : `<details>\n<summary>${title}</summary>\n\n${body}\n\n</details>`;

/** For `$GITHUB_STEP_SUMMARY`: the figures at once, everything else folded. */
export function githubReport(facts: ReportFacts): string {
  const { store_failures, errors, trial_errors } = facts.summary;
  const failed = errors - trial_errors;
  const failures = join([
    store_failures > 0 ? `> [!WARNING]\n> ${plural(store_failures, 'compile')} could not be stored.` : '',
    failed > 0 ? `> [!NOTE]\n> ${plural(failed, 'compile')} failed.` : '',
  ]);
  return join([
    `### kache: ${facts.summary.hit_rate_pct} % hits, ${formatMs(facts.summary.time_saved_ms)} saved`,
    headline(facts),
    gapLine(facts),
    failures,
    folded('What made crates miss', causeGrid(facts)),
    folded(`Dearest misses (${facts.topMisses.length})`, missGrid(facts)),
    folded(`Dearest hits (${facts.topHits.length})`, hitGrid(facts)),
    folded('Runs of build scripts', runsPart(facts)),
    folded('Passed through', passGrid(facts)),
    storeLine(facts),
    `Remote: ${remoteLine(facts)}`,
  ]);
}
