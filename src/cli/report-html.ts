// `report --format html`: one self-contained page about the newest build of the span. No script or style from outside,
// nothing is loaded, and everything that is shown is escaped.
import type { Build } from '../store/builds.ts';
import type { Store } from '../store/store.ts';
import { boundingChain, dependenciesOf, type Link } from './build-chain.ts';
import { html, jsonForScript, Markup } from './markup.ts';
import { describeNetwork } from './network.ts';
import type { ReportFacts } from './report-facts.ts';
import { type CallView, detailOf, viewCalls } from './report-html-calls.ts';
import { SCRIPT } from './report-html-script.ts';
import {
  callsSection,
  chainSection,
  missSection,
  ratesSection,
  savedSection,
} from './report-html-sections.ts';
import { STYLE } from './report-html-style.ts';
import { timelineSection } from './report-html-timeline.ts';
import { gapOf, summarize } from './summary.ts';
import { formatBytes, formatMs, formatTime, plural } from './terminal.ts';

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

export function htmlReport(facts: ReportFacts, store: Store): string {
  const build = facts.builds.at(-1);
  const body = build === undefined ? empty(facts) : aboutBuild(facts, store, build);
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}"><link rel="icon" href="data:,">
<title>kache: ${build?.root ?? 'no build'}</title><style>${new Markup(STYLE)}</style></head>
<body><main>${body}
<footer>Written by kache ${facts.meta.kache_version} on ${facts.meta.generated_at}. Nothing on this page is loaded from elsewhere.</footer>
</main></body></html>`.text;
}

const empty = ({ meta }: ReportFacts): Markup =>
  html`<header><h1>No build in the last ${meta.since_hours} hours</h1><p class="soft">${meta.root_filter === null ? undefined : `Below ${meta.root_filter}. `}Build something, or look further back with --since.</p></header>`;

function aboutBuild(facts: ReportFacts, store: Store, build: Build): Markup {
  const chain = boundingChain(build, dependenciesOf(store, build));
  const views = viewCalls(build, chain, facts.explain);
  return html`${header(build)}${tiles(facts, build, chain)}
${timelineSection(build, views)}
${chainSection(build, chain, views)}
${missSection(views)}
${savedSection(views)}
${ratesSection(facts.builds)}
${callsSection(views)}
${data(views)}`;
}

const data = (views: readonly CallView[]): Markup =>
  html`<script type="application/json" id="calls">${jsonForScript(views.map(detailOf))}</script><script>${new Markup(SCRIPT)}</script>`;

const header = ({ root, profile, startedMs }: Build): Markup =>
  html`<header><h1>Build of ${formatTime(startedMs)}</h1><code class="mono soft">${root}${profile === '' ? '' : ` · ${profile}`}</code></header>`;

function tiles(facts: ReportFacts, build: Build, chain: readonly Link[]): Markup {
  const summary = summarize(build.events);
  const gap = gapOf(summary);
  const hits = summary.local_hits + summary.prefetch_hits + summary.remote_hits;
  const compiled = build.events.filter(
    ({ compiler_runs, out_dir }) => compiler_runs > 0 && out_dir !== undefined,
  );
  const tile = (value: string, name: string, more: Markup | string): Markup =>
    html`<div class="tile"><b>${value}</b><span>${name}</span><span>${more}</span></div>`;
  const weighted = html`${summary.weighted_hit_rate_pct} % by compile time${gap === undefined ? undefined : html`<span class="why">${gap}</span>`}`;
  const { size_bytes, store_entries } = facts.storage;
  const { network, prefetch } = facts;
  const remote =
    network.remote === 'off' && network.requests === 0
      ? undefined
      : tile(
          `↓ ${formatBytes(network.downloaded_bytes)} ↑ ${formatBytes(network.uploaded_bytes)}`,
          `with the remote in ${facts.meta.since_hours} hours`,
          describeNetwork(network, prefetch) || 'nothing moved',
        );
  return html`<div class="tiles">
${tile(formatMs(build.endedMs - build.startedMs), 'first call to last', `bounded by a chain of ${plural(chain.length, 'call')}`)}
${tile(`${summary.hit_rate_pct} %`, `hit rate, ${hits} of ${plural(summary.total_crates, 'crate')}`, weighted)}
${tile(formatMs(summary.time_saved_ms), 'of compiling saved', `${plural(hits, 'crate')} from the store`)}
${tile(formatMs(compiled.reduce((sum, event) => sum + (event.compile_ms ?? event.elapsed_ms), 0)), 'of compiling done', `${plural(compiled.length, 'call')}, not cached ones included`)}
${tile(formatBytes(size_bytes), 'in the store', plural(store_entries, 'entry', 'entries'))}
${remote}
</div>`;
}
