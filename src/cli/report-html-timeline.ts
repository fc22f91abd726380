// The timeline of the HTML report: a build by lane, with what each call was doing, and how many ran at once.
import type { Build } from '../store/builds.ts';
import { segmentsOf } from './lanes.ts';
import { html, type Markup } from './markup.ts';
import { type CallView, OUTCOMES, type Outcome } from './report-html-calls.ts';
import { formatMs } from './terminal.ts';

const KINDS = Object.keys(OUTCOMES) as Outcome[];

/** Percent with enough digits for a pixel at the largest zoom. */
const pct = (part: number, whole: number): string => `${(whole <= 0 ? 0 : (part / whole) * 100).toFixed(4)}%`;

export function timelineSection(build: Build, views: readonly CallView[]): Markup {
  const lengthMs = Math.max(1, build.endedMs - build.startedMs);
  const ticks = ticksOf(lengthMs);
  const lanes = Math.max(0, ...views.map(({ lane }) => lane + 1));
  const byLane = Map.groupBy(views.entries(), ([, { lane }]) => lane);
  const rows = Array.from({ length: lanes }, (_, lane) => {
    const bars = (byLane.get(lane) ?? []).map(([index, view]) => barOf(view, { index, lengthMs }));
    return html`<div class="lane"><small>lane ${lane + 1}</small>${bars}</div>`;
  });
  const rules = ticks.map((ms) => html`<i style="left:${pct(ms, lengthMs)}"></i>`);
  const labels = ticks.map((ms) => html`<i style="left:${pct(ms, lengthMs)}">${tickText(ms)}</i>`);
  return html`<section aria-labelledby="timeline"><h2 id="timeline">The build in time</h2>
<p class="note">Each lane is one call at a time. <kbd>←</kbd> <kbd>→</kbd> go along a lane, <kbd>↑</kbd> <kbd>↓</kbd> between lanes, <kbd>+</kbd> <kbd>-</kbd> zoom, <kbd>/</kbd> filters. Framed calls are the chain that bounded the length.</p>
<div class="tools">${legend()}
<span><button type="button" id="zoom-out" aria-label="zoom out">−</button> <span id="zoom" class="mono" aria-live="polite">1×</span> <button type="button" id="zoom-in" aria-label="zoom in">+</button></span></div>
<div class="scroll"><div class="plot" role="group" aria-label="timeline">
<div class="axis" aria-hidden="true">${labels}</div>
<div class="area"><div class="rules" aria-hidden="true">${rules}</div>${rows}${load(views, lengthMs)}</div>
</div></div>
<dl class="detail" id="detail" aria-live="polite" aria-label="the selected call"></dl></section>`;
}

function legend(): Markup {
  const kinds = KINDS.map(
    (kind) =>
      html`<li><span class="swatch" aria-hidden="true"><span class="o-${kind}" style="left:0;width:100%"></span></span>${OUTCOMES[kind].sign} ${OUTCOMES[kind].text}</li>`,
  );
  const part = (name: string, text: string): Markup =>
    html`<li><span class="swatch" aria-hidden="true"><span class="p-${name}" style="left:0;width:100%"></span></span>${text}</li>`;
  const rest = html`<li><span class="swatch" aria-hidden="true"><span class="o-miss" style="left:0;width:100%"></span><span class="p-rest" style="left:50%;width:50%"></span></span>paler: the metadata is out, others may begin</li>`;
  return html`<ul class="legend">${kinds}${rest}${part('own', "kache's own work")}${part('wait', 'waits for the same compile elsewhere')}</ul>`;
}

function barOf(view: CallView, { index, lengthMs }: { index: number; lengthMs: number }): Markup {
  const { event, outcome, name } = view;
  const tookMs = Math.max(1, event.elapsed_ms);
  const { sign, text } = OUTCOMES[outcome];
  const spoken = `${name}, ${text}, ${formatMs(event.elapsed_ms)}, from ${formatMs(view.fromMs)}`;
  const label = event.elapsed_ms / lengthMs > 0.025 ? html`<em><span>${sign} ${name}</span></em>` : undefined;
  return html`<button type="button" class="bar${view.link === undefined ? '' : ' chain'}" data-call="${index}" data-outcome="${outcome}" tabindex="${index === 0 ? 0 : -1}" aria-pressed="false" aria-label="${spoken}" title="${spoken}" style="left:${pct(view.fromMs, lengthMs)};width:${pct(tookMs, lengthMs)}">${partsOf(view, tookMs)}${label}</button>`;
}

/** A call's own picture: what it was, kache's own work around it, waiting, and the time after its metadata was out. */
function partsOf({ event, outcome }: CallView, tookMs: number): Markup[] {
  const span = (name: string, fromMs: number, untilMs: number): Markup =>
    html`<span class="${name}" style="left:${pct(fromMs, tookMs)};width:${pct(untilMs - fromMs, tookMs)}"></span>`;
  const segments = segmentsOf(event);
  const wait = segments.find(({ part, durationMs }) => part === 'lock' && durationMs >= 1);
  if (outcome === 'hit' && wait === undefined) return [span('o-hit', 0, tookMs)];
  const main = segments.find(({ part }) => part === (outcome === 'hit' ? 'restore' : 'compile'));
  if (main === undefined) return [span(`o-${outcome}`, 0, tookMs)];
  const until = main.fromMs + main.durationMs;
  const parts = [span('p-own', 0, wait?.fromMs ?? main.fromMs)];
  if (wait !== undefined) parts.push(span('p-wait', wait.fromMs, main.fromMs));
  parts.push(span('p-own', until, tookMs), span(`o-${outcome}`, main.fromMs, until));
  const { metadata } = event.phases ?? {};
  if (metadata !== undefined && main.part === 'compile' && metadata < main.durationMs * 0.98)
    parts.push(span('p-rest', main.fromMs + metadata, until));
  return parts;
}

/** Round distances, some eight to a build. */
function ticksOf(lengthMs: number): number[] {
  const rough = lengthMs / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
  return Array.from({ length: Math.floor(lengthMs / step) + 1 }, (_, index) => index * step);
}

const tickText = (ms: number): string =>
  ms === 0 ? '0' : ms < 1000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toFixed(2))} s`;

/** How many calls ran at once, as steps. */
function load(views: readonly CallView[], lengthMs: number): Markup {
  const changes = views
    .flatMap(({ fromMs, event }) => [
      [fromMs, 1] as const,
      [fromMs + Math.max(1, event.elapsed_ms), -1] as const,
    ])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let [running, most] = [0, 1];
  const steps: [number, number][] = [];
  for (const [ms, change] of changes) {
    running += change;
    most = Math.max(most, running);
    steps.push([ms, running]);
  }
  const y = (value: number): string => (40 - (value / most) * 36).toFixed(1);
  const path = steps.map(([ms, value]) => `H${((ms / lengthMs) * 1000).toFixed(2)}V${y(value)}`).join('');
  return html`<svg class="load" viewBox="0 0 1000 42" preserveAspectRatio="none" role="img" aria-label="calls at once, at most ${most}"><path d="M0 ${y(0)}${path}H1000V40"></path></svg><p class="note">calls at once, at most ${most}</p>`;
}
