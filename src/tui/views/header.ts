// The lines that stand above and below every tab: tabs, store, hit rates, what background helpers do; the keys. Pure.
import { gapOf, type Summary } from '../../cli/summary.ts';
import { formatBytes, formatMs } from '../../core/quantities.ts';
import { widthOfScreen } from '../geometry.ts';
import { isOpened } from '../keys.ts';
import {
  bar,
  bold,
  cyan,
  dim,
  fitLine,
  green,
  type Line,
  line,
  percentText,
  type Span,
  span,
  spread,
  yellow,
} from '../layout.ts';
import { type State, TABS, type Tab } from '../state.ts';
import { backgroundWords } from './remote.ts';

const TITLES: Readonly<Record<Tab, string>> = {
  build: 'Build',
  projects: 'Projects',
  store: 'Store',
  transfer: 'Transfer',
};

export function header(state: State): Line[] {
  const width = widthOfScreen(state);
  return [
    spread([span(' kache ', bold), ...tabs(state)], [backgroundWords(state)], width),
    spread(
      storeUse(state),
      [span('saved today ', dim), span(`${formatMs(state.figures.today.time_saved_ms)} `, bold)],
      width,
    ),
    spread(hitRates(state.figures.span, width), [span(`${spanOf(state)} `, dim)], width),
    line('─'.repeat(width), dim),
  ];
}

function tabs({ tab }: State): Span[] {
  return TABS.flatMap((name, index) => {
    const title = `${index + 1} ${TITLES[name]}`;
    return name === tab ? [span(`[${title}]`, { bold: true, inverse: true })] : [span(` ${title} `)];
  });
}

function spanOf({ spanText, events, columns }: State): string {
  if (!events.isComplete) return 'reading the log…';
  return columns >= 100 ? `last ${spanText}` : spanText;
}

function storeUse({ store, columns }: State): Line {
  const { stock } = store;
  if (stock === undefined) return [span(' store  ', dim), span('taking stock…')];
  const { size_bytes: used } = stock.figures;
  const part = stock.capBytes === 0 ? 1 : used / stock.capBytes;
  const room = columns >= 120 ? 30 : 10;
  return [
    span(' store  ', dim),
    span(`${formatBytes(used)} of ${formatBytes(stock.capBytes)} `),
    span(bar(part, room), part > 0.9 ? yellow : green),
    span(` ${percentText(part)}`),
    ...(part > 1 ? [span(' over the cap', yellow)] : []),
  ];
}

function hitRates(summary: Summary, width: number): Line {
  const { total_crates: total, hit_rate_pct: plain, weighted_hit_rate_pct: weighted } = summary;
  if (total === 0) return [span(' hits   ', dim), span('no compiles yet', dim)];
  const hits = summary.local_hits + summary.prefetch_hits + summary.remote_hits;
  const gap = gapOf(summary);
  return [
    span(' hits   ', dim),
    span(`${plain} %`, bold),
    span(width >= 100 ? ` (${hits} of ${total} crates)` : ` of ${total}`),
    span(' · ', dim),
    span(`${weighted} %`, bold),
    span(width >= 100 ? ' by compile time' : ' by time'),
    ...(gap === undefined ? [] : [span(`: ${gap}`, weighted < plain ? yellow : cyan)]),
  ];
}

/** The last line: what is being typed, or the keys that matter here. */
export function footer(state: State): Line {
  const width = widthOfScreen(state);
  const search = state.tab === 'transfer' ? undefined : state[state.tab].search;
  if (search?.isTyping === true)
    return spread(
      [span(' /', bold), span(search.text), span('▏', bold)],
      [span('enter keep · esc clear ', dim)],
      width,
    );
  const keys = state.isHelp ? 'esc close' : isOpened(state) ? 'esc back · ↑↓ scroll' : KEYS[state.tab];
  const found = search === undefined || search.text === '' ? '' : `/${search.text} · `;
  return spread(
    fitLine([span(` ${found}`, bold), span(keys, dim)], Math.max(0, width - 18)),
    [span('? help · q quit ', dim)],
    width,
  );
}

const KEYS: Readonly<Record<Tab, string>> = {
  build: '↑↓ move · enter open · f filter · / search · tab next',
  projects: '↑↓ move · enter open · / search · r look again · tab next',
  store: '↑↓ move · enter open · / search · sort: t n s h a e',
  transfer: 'tab next',
};
