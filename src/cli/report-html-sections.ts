// The sections of the HTML report below the timeline: the chain, the misses, the time saved, the last builds, all calls.
import type { Build } from '../store/builds.ts';
import { startOf } from '../store/builds.ts';
import type { Link } from './build-chain.ts';
import { html, type Markup } from './markup.ts';
import { type CallView, OUTCOMES, type Outcome, tag } from './report-html-calls.ts';
import { gapOf, summarize } from './summary.ts';
import { formatMs, formatTime, plural } from './terminal.ts';
import { describeCause, totalCauses } from './why-miss.ts';

const pct = (part: number, whole: number): string => `${(whole <= 0 ? 0 : (part / whole) * 100).toFixed(2)}%`;

const section = (id: string, title: string, body: Markup): Markup =>
  html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${body}</section>`;

const meter = (
  outcome: Outcome,
  part: number,
  { whole, from = 0 }: { whole: number; from?: number },
): Markup =>
  html`<td class="meter" aria-hidden="true"><div><span class="o-${outcome}" style="left:${pct(from, whole)};width:${pct(part, whole)}"></span></div></td>`;

/** A gap shorter than this is Cargo's own work. */
const GAP_MS = 30;
/** Of a longer chain only so many links are shown at once, the longest. */
const MAX_LINKS = 12;

export function chainSection(build: Build, chain: readonly Link[], views: readonly CallView[]): Markup {
  const longest = chain.toSorted((a, b) => b.event.elapsed_ms - a.event.elapsed_ms);
  const shown = new Set(longest.slice(0, MAX_LINKS));
  const all = chain.map((link, index) => linkRow(build, link, { index, view: viewOf(link, views) }));
  const rows = all.filter((_, index) => shown.has(chain[index] as Link));
  const whole =
    rows.length === all.length
      ? undefined
      : html`<details><summary>All ${all.length} links</summary>${linkTable(all)}</details>`;
  const gaps = chain.reduce((sum, { gapMs }) => sum + (gapMs >= GAP_MS ? gapMs : 0), 0);
  const [dear] = longest;
  const between =
    gaps === 0
      ? ''
      : ` Between the links ${formatMs(gaps)} went by: build scripts, Cargo itself, or other work on the machine.`;
  const which =
    dear === undefined ? '' : `${viewOf(dear, views)?.name} with ${formatMs(dear.event.elapsed_ms)}`;
  return section(
    'chain',
    'The chain that bounded its length',
    html`<p class="note">From the last call back to the first: what each had to wait for last, a crate it needed or the job of another. The longest link is ${which}.${between}</p>${linkTable(rows)}${whole}`,
  );
}

const viewOf = ({ event }: Link, views: readonly CallView[]): CallView | undefined =>
  views.find((one) => one.event === event);

const linkTable = (rows: readonly Markup[]): Markup =>
  html`<div class="wide"><table><thead><tr><th class="num">link</th><th>crate</th><th>outcome</th><th class="num">took</th><th>waited for</th><th class="meter">in the build</th></tr></thead><tbody>${rows}</tbody></table></div>`;

function linkRow(
  build: Build,
  { event, after, gapMs }: Link,
  { index, view }: { index: number; view: CallView | undefined },
): Markup {
  const outcome = view?.outcome ?? 'pass';
  const bar = meter(outcome, event.elapsed_ms, {
    whole: build.endedMs - build.startedMs,
    from: startOf(event) - build.startedMs,
  });
  return html`<tr class="chainrow"><td class="num">${index + 1}</td><td>${view?.name ?? event.crate_name} <span class="soft">${event.crate_version}</span></td><td>${tag(outcome)}</td><td class="num">${formatMs(event.elapsed_ms)}</td><td>${waitText(after, gapMs, index)}</td>${bar}</tr>`;
}

function waitText(after: Link['after'], gapMs: number, index: number): string {
  const late = gapMs >= GAP_MS ? `, ${formatMs(gapMs)} later` : '';
  if (after === 'start') return `with the build${late}`;
  return after === 'extern' ? `needed ${index}${late}` : `job of ${index}${late}`;
}

export function missSection(views: readonly CallView[]): Markup {
  const missed = views.filter(({ explanation }) => explanation !== undefined);
  if (missed.length === 0)
    return section('misses', 'What missed, and why', html`<p class="note">Nothing missed.</p>`);
  const explanations = missed.flatMap(({ explanation }) => explanation ?? []);
  const causes = totalCauses(explanations);
  const most = causes[0]?.compile_ms ?? 0;
  const causeRows = causes.map(
    ({ cause, crates, compile_ms }) =>
      html`<tr><td>${cause}</td><td class="num">${crates.length}</td><td class="num">${formatMs(compile_ms)}</td>${meter('miss', compile_ms, { whole: most })}</tr>`,
  );
  const dearest = missed.toSorted((a, b) => (b.event.compile_ms ?? 0) - (a.event.compile_ms ?? 0));
  const rows = dearest.map(({ event, name, outcome, explanation }) => {
    const chain = explanation?.chain ?? [];
    const cause = explanation === undefined ? '' : describeCause(explanation.cause);
    const way = chain.length > 1 ? html`<br><span class="soft">${chain.join(' ← ')}</span>` : undefined;
    const stored =
      outcome === 'skipped' ? html`<br><span class="soft">not stored: ${event.reason}</span>` : undefined;
    return html`<tr><td>${name} <span class="soft">${event.crate_version}</span></td><td>${tag(outcome)}</td><td class="num">${formatMs(event.compile_ms ?? 0)}</td><td>${cause}${way}${stored}</td></tr>`;
  });
  return section(
    'misses',
    'What missed, and why',
    html`<p class="note">${plural(missed.length, 'crate')} compiled, by the input that began it: a changed dependency is followed to the crate where the change was made.</p>
<div class="wide"><table><thead><tr><th>first cause</th><th class="num">crates</th><th class="num">compile time</th><th class="meter"></th></tr></thead><tbody>${causeRows}</tbody></table></div>
<details${dearest.length <= 12 ? html` open` : undefined}><summary>Each miss</summary><div class="wide"><table><thead><tr><th>crate</th><th>outcome</th><th class="num">compile time</th><th>first cause</th></tr></thead><tbody>${rows}</tbody></table></div></details>`,
  );
}

/** More crates than this are added up in one line. */
const MAX_SAVED = 20;

export function savedSection(views: readonly CallView[]): Markup {
  const saved = views
    .filter(({ outcome }) => outcome === 'hit')
    .map((view) => ({ view, ms: Math.max(0, (view.event.compile_ms ?? 0) - view.event.elapsed_ms) }))
    .sort((a, b) => b.ms - a.ms);
  if (saved.length === 0)
    return section(
      'saved',
      'Time saved',
      html`<p class="note">Nothing came from the store in this build.</p>`,
    );
  const total = saved.reduce((sum, { ms }) => sum + ms, 0);
  const most = saved[0]?.ms ?? 0;
  const rest = saved.slice(MAX_SAVED);
  const row = ({ view, ms }: (typeof saved)[number]): Markup =>
    html`<tr><td>${view.name} <span class="soft">${view.event.crate_version}</span></td><td class="num">${formatMs(ms)}</td><td class="num">${formatMs(view.event.elapsed_ms)}</td>${meter('hit', ms, { whole: most })}</tr>`;
  const more =
    rest.length === 0
      ? undefined
      : html`<tr><td class="soft">${rest.length} more</td><td class="num">${formatMs(rest.reduce((sum, { ms }) => sum + ms, 0))}</td><td></td><td class="meter"></td></tr>`;
  return section(
    'saved',
    'Time saved by crate',
    html`<p class="note">${formatMs(total)} in ${plural(saved.length, 'hit')}: what the compiler took when the entry was made, less what restoring it took.</p><div class="wide"><table><thead><tr><th>crate</th><th class="num">saved</th><th class="num">restored in</th><th class="meter"></th></tr></thead><tbody>${saved.slice(0, MAX_SAVED).map(row)}${more}</tbody></table></div>`,
  );
}

/** Builds further back are not drawn. */
const MAX_BUILDS = 40;

export function ratesSection(builds: readonly Build[]): Markup {
  const shown = builds
    .map((build) => ({ build, summary: summarize(build.events) }))
    .filter(({ summary }) => summary.total_crates > 0)
    .slice(-MAX_BUILDS);
  if (shown.length === 0)
    return section('rates', 'The last builds', html`<p class="note">No build looked anything up.</p>`);
  const [width, height, left, top] = [1000, 220, 52, 12];
  const x = (index: number): number =>
    shown.length === 1 ? (left + width) / 2 : left + 16 + (index / (shown.length - 1)) * (width - left - 40);
  const y = (rate: number): number => top + (1 - rate / 100) * (height - top - 30);
  const rules = [0, 25, 50, 75, 100].map(
    (rate) =>
      html`<line class="rule" x1="${left}" x2="${width}" y1="${y(rate)}" y2="${y(rate)}"></line><text x="${left - 8}" y="${y(rate) + 4}" text-anchor="end">${rate} %</text>`,
  );
  const line = (name: string, of: (one: (typeof shown)[number]) => number): Markup =>
    html`<polyline class="${name}" points="${shown.map((one, index) => `${x(index).toFixed(1)},${y(of(one)).toFixed(1)}`).join(' ')}"></polyline>`;
  const marks = shown.map(({ build, summary }, index) => {
    const [cx, raw, weighted] = [x(index), y(summary.hit_rate_pct), y(summary.weighted_hit_rate_pct)];
    return html`<g><title>${formatTime(build.startedMs)}: ${summary.hit_rate_pct} %, ${summary.weighted_hit_rate_pct} % by compile time</title><rect class="mark" x="${(cx - 4.5).toFixed(1)}" y="${(weighted - 4.5).toFixed(1)}" width="9" height="9"></rect><circle cx="${cx.toFixed(1)}" cy="${raw.toFixed(1)}" r="4.5"></circle></g>`;
  });
  const rows = shown
    .toReversed()
    .map(
      ({ build, summary }) =>
        html`<tr><td>${formatTime(build.startedMs)}</td><td class="num">${summary.total_crates}</td><td class="num">${summary.hit_rate_pct} %</td><td class="num">${summary.weighted_hit_rate_pct} %</td><td class="num">${formatMs(summary.time_saved_ms)}</td><td>${gapOf(summary)}</td><td class="mono">${build.root}</td></tr>`,
    );
  return section(
    'rates',
    'Hit rate over the last builds',
    html`<ul class="legend"><li>● solid: of crates</li><li>■ dashed: by compile time</li></ul>
<svg class="rates" viewBox="0 0 ${width} ${height}" role="img" aria-label="hit rate of ${plural(shown.length, 'build')}; the table below has the figures">${rules}${line('weighted', ({ summary }) => summary.weighted_hit_rate_pct)}${line('raw', ({ summary }) => summary.hit_rate_pct)}${marks}<text x="${left + 16}" y="${height - 6}">oldest</text><text x="${width}" y="${height - 6}" text-anchor="end">this build</text></svg>
<details><summary>As a table</summary><div class="wide"><table><thead><tr><th>build</th><th class="num">crates</th><th class="num">hit rate</th><th class="num">by compile time</th><th class="num">saved</th><th>gap</th><th>folder</th></tr></thead><tbody>${rows}</tbody></table></div></details>`,
  );
}

export function callsSection(views: readonly CallView[]): Markup {
  const kinds = [...new Set(views.map(({ outcome }) => outcome))];
  const rows = views.map(
    ({ event, name, outcome, fromMs }, index) =>
      html`<tr data-call="${index}"><td>${name} <span class="soft">${event.crate_version}</span></td><td>${tag(outcome)}</td><td class="num">${formatMs(fromMs)}</td><td class="num">${formatMs(event.elapsed_ms)}</td><td class="num">${event.compile_ms === undefined ? '' : formatMs(event.compile_ms)}</td></tr>`,
  );
  return section(
    'all',
    'Every call',
    html`<div class="tools"><label>filter <input id="filter" type="search" placeholder="crate, cause, reason"></label><label>outcome <select id="outcome"><option value="">any</option>${kinds.map((kind) => html`<option value="${kind}">${OUTCOMES[kind].text}</option>`)}</select></label><span id="count" class="soft" role="status"></span></div>
<div class="calls" tabindex="0" role="region" aria-label="every call"><table id="list"><thead><tr><th>crate</th><th>outcome</th><th class="num">from</th><th class="num">took</th><th class="num">compile time</th></tr></thead><tbody>${rows}</tbody></table></div>`,
  );
}
