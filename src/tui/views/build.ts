// The Build tab: compilers that run now, and the calls of each build, newest first. Pure.
import { summarize } from '../../cli/summary.ts';
import type { CompileEvent, StartRecord } from '../../core/events.ts';
import { formatBytes, formatMs } from '../../core/quantities.ts';
import type { Build } from '../../store/builds.ts';
import { basename } from '../../sys/paths.ts';
import { type BuildRow, isFailure, outcomeOf, reasonOf, savedMs, titleOf } from '../build-rows.ts';
import { listHeight, runningLines, widthOfScreen } from '../geometry.ts';
import {
  bar,
  bold,
  type Cell,
  type Column,
  cyan,
  dim,
  fit,
  fitLine,
  green,
  type Line,
  layOut,
  line,
  printable,
  red,
  row,
  type Style,
  span,
  spread,
  titles,
  yellow,
} from '../layout.ts';
import { locate } from '../list.ts';
import type { State } from '../state.ts';

interface EventColumn extends Column {
  readonly cell: (event: CompileEvent) => Cell;
}

const MARGIN = '    ';

const WIDE = 110;

const columnsFor = (terminal: number): readonly EventColumn[] => [
  {
    title: 'crate',
    ...(terminal >= WIDE ? { width: 38 } : {}),
    cell: (event) => ({ text: printable(titleOf(event)) }),
  },
  {
    title: 'version',
    width: 12,
    minTerminal: WIDE,
    cell: (event) => ({ text: printable(event.crate_version ?? ''), style: dim }),
  },
  { title: 'outcome', width: 10, cell: (event) => ({ text: outcomeOf(event), ...styled(styleOf(event)) }) },
  { title: 'took', width: 7, align: 'right', cell: (event) => ({ text: formatMs(event.elapsed_ms) }) },
  {
    title: 'saved',
    width: 7,
    align: 'right',
    cell: (event) => {
      const saved = savedMs(event);
      return { text: saved === undefined ? '' : formatMs(saved), style: green };
    },
  },
  {
    title: 'size',
    width: 10,
    align: 'right',
    cell: ({ size_bytes: size }) => ({ text: size === undefined ? '' : formatBytes(size) }),
  },
  {
    title: 'why',
    ...(terminal >= WIDE ? {} : { width: 14 }),
    cell: (event) => ({ text: printable(reasonOf(event)), style: dim }),
  },
  { title: 'ended', width: 8, minTerminal: WIDE, cell: ({ ts }) => ({ text: clock(ts), style: dim }) },
];

const styled = (style: Style | undefined): { style?: Style } => (style === undefined ? {} : { style });

export function styleOf(event: CompileEvent): Style | undefined {
  const { result } = event;
  if (result.endsWith('_hit')) return green;
  if (result === 'error') return isFailure(event) ? red : dim;
  if (result === 'miss' || result === 'skipped') return yellow;
  return result === 'passthrough' ? dim : undefined;
}

export const clock = (ms: number): string => new Date(ms).toTimeString().slice(0, 8);

export function buildView(state: State): Line[] {
  const width = widthOfScreen(state);
  const columns = layOut(columnsFor(width), width, MARGIN.length);
  return [...running(state, width), heading(state, columns, width), ...list(state, columns, width)];
}

function heading(state: State, columns: readonly (EventColumn & { width: number })[], width: number): Line {
  const { filter } = state.build;
  const names = titles(columns, MARGIN);
  if (filter === 'all') return names;
  return spread(names, [span(` filter: ${filter} `, bold)], width);
}

function list(state: State, columns: readonly (EventColumn & { width: number })[], width: number): Line[] {
  const { build } = state;
  const height = listHeight(state);
  if (build.rows.length === 0) return nothing(state);
  const { index, top } = locate(build.place, build.rows, height);
  return build.rows.slice(top, top + height).map((one, at) => {
    const selected = top + at === index;
    return one.kind === 'build'
      ? buildLine(one, { selected, width })
      : row(
          columns,
          columns.map(({ cell }) => cell(one.event)),
          { selected, margin: MARGIN },
        );
  });
}

function nothing({ build, events, spanText }: State): Line[] {
  if (build.search.text !== '' || build.filter !== 'all')
    return [[], line('    Nothing of that kind here. esc ends a search, f goes on to the next filter.', dim)];
  if (!events.isComplete) return [[], line('    Reading the log…', dim)];
  return [
    [],
    line(`    No compile in the last ${spanText}.`),
    line('    Build something with kache in front: `kache cargo build`,', dim),
    line('    or for good with `kache init`. It shows up here while it runs.', dim),
  ];
}

/** One build: what it was of, when, how its calls ended, and what that saved. */
function buildLine(
  { build, isOpen }: Extract<BuildRow, { kind: 'build' }>,
  { selected, width }: { selected: boolean; width: number },
): Line {
  const { counts, saved } = outcomeCounts(build);
  const isRoomy = width >= 100;
  const started = clock(build.startedMs);
  const style = (own: Style): Style => (selected ? { ...own, inverse: true } : own);
  const profile = build.profile === '' ? '' : ` (${build.profile})`;
  const name = `${basename(build.root) || '?'}${profile}`;
  const marker = `${selected ? '›' : ' '}${isOpen ? '▾' : '▸'} `;
  const left: Line = [
    span(`${marker}${isRoomy ? started : started.slice(0, 5)}  `, style({})),
    span(printable(name), style(bold)),
    span(`  ${counts}`, style({})),
  ];
  const took = formatMs(build.endedMs - build.startedMs);
  const right = ` ${isRoomy ? 'took ' : ''}${took}, saved ${formatMs(saved)} `;
  // Not at the far edge of a wide terminal: the eye would lose the line.
  const whole = fitLine(spread(left, [span(right, style({}))], Math.min(width, 110)), width);
  return selected ? whole.map(({ text, style: own }) => span(text, { ...own, inverse: true })) : whole;
}

function outcomeCounts({ events }: Build): { counts: string; saved: number } {
  const summary = summarize(events);
  const { total_crates: total, misses, dups, skipped, time_saved_ms: saved } = summary;
  const made = misses + dups;
  const parts = [
    [total - made, 'hit'],
    [made, 'miss'],
    [skipped, 'unstored'],
    [summary.errors - summary.trial_errors, 'failed'],
  ] as const;
  const counts = parts.flatMap(([count, what], index) =>
    count > 0 || index < 2 ? [`${count} ${what}`] : [],
  );
  return { counts: counts.join(', '), saved };
}

/** Compilers at work, the oldest first: how long, and how long that usually takes. */
function running(state: State, width: number): Line[] {
  const height = runningLines(state);
  const all = [...state.events.started.values()].sort((a, b) => a.started - b.started);
  const hidden = all.length - height;
  return all.slice(0, height).map((start, index) => {
    const more = hidden > 0 && index === height - 1 ? `and ${hidden} more ` : '';
    return runningLine(start, { state, width, more });
  });
}

function runningLine(
  start: StartRecord,
  { state, width, more }: { state: State; width: number; more: string },
): Line {
  const elapsedMs = Math.max(0, state.nowMs - start.started);
  const typicalMs = state.events.totals.typicalMs(start);
  const room = width >= WIDE ? 30 : 12;
  const part = typicalMs === undefined ? 0 : elapsedMs / Math.max(1, typicalMs);
  const usual = typicalMs === undefined ? 'first time' : `usually ${formatMs(typicalMs)}`;
  const nameWidth = Math.max(12, Math.min(38, width - room - 40));
  return spread(
    [
      span('  ► ', cyan),
      span(fit(printable(titleOf(start)), nameWidth), bold),
      span(` running ${fit(formatMs(elapsedMs), 7, { align: 'right' })} `),
      span(bar(Math.min(1, part), room), part > 1.5 ? yellow : cyan),
      span(` ${usual}`, dim),
    ],
    more === '' ? [] : [span(more, dim)],
    width,
  );
}
