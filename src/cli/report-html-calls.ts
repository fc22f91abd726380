// The calls of one build as the HTML report shows them: what each is called, how it is marked, what its detail says.
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import { type Build, isTrial, startOf } from '../store/builds.ts';
import type { Link } from './build-chain.ts';
import { type Explanation, wasCompiled } from './explain.ts';
import { laneOut, segmentsOf } from './lanes.ts';
import { html, type Markup } from './markup.ts';
import { isHit } from './summary.ts';
import { formatBytes, formatMs } from './terminal.ts';
import { describeCause } from './why-miss.ts';

export type Outcome = 'hit' | 'miss' | 'dup' | 'skipped' | 'pass' | 'error';

/** Sign and words of each outcome: colour and pattern are never the only difference. */
export const OUTCOMES: Readonly<Record<Outcome, { readonly sign: string; readonly text: string }>> = {
  hit: { sign: '●', text: 'from the store' },
  miss: { sign: '▲', text: 'compiled and stored' },
  dup: { sign: '◆', text: 'compiled, nothing new' },
  skipped: { sign: '◇', text: 'compiled, not stored' },
  pass: { sign: '■', text: 'compiled, not cached' },
  error: { sign: '✕', text: 'failed' },
};

export interface CallView {
  readonly event: CompileEvent;
  readonly outcome: Outcome;
  /** Milliseconds from the start of the build. */
  readonly fromMs: number;
  readonly lane: number;
  readonly name: string;
  /** Place in the chain that bounded the build, from 1. */
  readonly link: number | undefined;
  readonly explanation: Explanation | undefined;
}

export function outcomeOf(event: CompileEvent): Outcome {
  if (isHit(event)) return 'hit';
  if (event.result === 'passthrough') return 'pass';
  return event.result === 'miss' || event.result === 'dup' || event.result === 'skipped'
    ? event.result
    : 'error';
}

/** The compiler calls of a build in the order of their start; probes are left out. */
export function viewCalls(
  build: Build,
  chain: readonly Link[],
  explain: (event: CompileEvent) => Explanation,
): CallView[] {
  const calls = build.events.filter(({ out_dir }) => out_dir !== undefined);
  const links = new Map(chain.map(({ event }, index) => [event, index + 1]));
  return laneOut(calls).map(({ event, lane }) => ({
    event,
    lane,
    outcome: outcomeOf(event),
    fromMs: startOf(event) - build.startedMs,
    name: nameOf(event),
    link: links.get(event),
    explanation: wasCompiled(event) ? explain(event) : undefined,
  }));
}

/** Build scripts all have one name: their package says which. */
function nameOf(event: CompileEvent): string {
  const { crate_name, out_dir = '', crate_types } = event;
  if (isScriptRun(event)) return `${crate_name} (run of its build script)`;
  if (isTrial(event)) return `${crate_name} (tried by a build script)`;
  const script = /\/build\/(.+)-[0-9a-f]+$/.exec(out_dir)?.[1];
  if (crate_name.startsWith('build_script_') && script !== undefined) return `${script} (build script)`;
  return crate_types === 'test' || crate_types === 'bin' ? `${crate_name} (${crate_types})` : crate_name;
}

export const tag = (outcome: Outcome): Markup =>
  html`<span class="tag t-${outcome}"><b aria-hidden="true">${OUTCOMES[outcome].sign}</b>${OUTCOMES[outcome].text}</span>`;

const PARTS = {
  key: 'key',
  lookup: 'look-up',
  remote: 'remote',
  lock: 'waited for another',
  restore: 'restore',
  compile: 'compiler',
  store: 'store',
} as const;

/** What the page's script needs of a call. */
export function detailOf(view: CallView) {
  const { event, outcome, explanation } = view;
  const parts = segmentsOf(event)
    .map(({ part, durationMs }) => `${PARTS[part]} ${formatExact(durationMs)}`)
    .join(', ');
  const compile = event.compile_ms === undefined ? '' : formatMs(event.compile_ms);
  const chain = explanation?.chain ?? [];
  const what = isScriptRun(event) ? 'run' : 'compile';
  const words = isScriptRun(event)
    ? OUTCOMES[outcome].text.replace('compiled', 'run')
    : OUTCOMES[outcome].text;
  const lines: [string, string][] = [
    ['crate', `${view.name} ${event.crate_version ?? ''}`.trim()],
    ['outcome', `${OUTCOMES[outcome].sign} ${words}`],
    ['time', `${formatMs(event.elapsed_ms)}, from ${formatMs(view.fromMs)}`],
    [outcome === 'hit' ? `${what} time saved` : `${what} time`, compile],
    ['parts', parts],
    ['size', event.size_bytes === undefined ? '' : formatBytes(event.size_bytes)],
    ['first cause', explanation === undefined ? '' : describeCause(explanation.cause)],
    ['by way of', chain.length > 1 ? chain.join(' ← ') : ''],
    ['why not stored', outcome === 'skipped' && !isScriptRun(event) ? (event.reason ?? '') : ''],
    ['why not cached', event.passthrough_reason ?? ''],
    ['in the chain', view.link === undefined ? '' : `link ${view.link}`],
    ['folder', event.root ?? ''],
    ['key', event.cache_key ?? ''],
  ];
  const search = `${view.name} ${event.crate_version ?? ''} ${words} ${explanation === undefined ? (event.passthrough_reason ?? '') : describeCause(explanation.cause)}`;
  return {
    lane: view.lane,
    from: view.fromMs,
    took: event.elapsed_ms,
    kind: outcome,
    search: search.toLowerCase(),
    lines,
  };
}

const formatExact = (ms: number): string => (ms < 10 ? `${ms.toFixed(1)}ms` : formatMs(ms));
