// The Projects tab: target folders, what each occupies, what it shares with others and what deleting it would free. Pure.
import { formatBytes } from '../../core/quantities.ts';
import { ELSEWHERE, freedBytes, type Target } from '../../store/targets.ts';
import { basename } from '../../sys/paths.ts';
import { listHeight, widthOfScreen } from '../geometry.ts';
import {
  type Cell,
  type Column,
  dim,
  fit,
  type Line,
  layOut,
  line,
  printable,
  row,
  titles,
} from '../layout.ts';
import { locate } from '../list.ts';
import type { State } from '../state.ts';
import { age } from './store.ts';

interface TargetColumn extends Column {
  readonly cell: (target: Target, state: State) => Cell;
}

const MARGIN = '  ';

const columnsFor = (terminal: number): readonly TargetColumn[] => [
  { title: 'target folder', cell: ({ path }) => ({ text: path }) },
  {
    title: 'occupies',
    width: 10,
    align: 'right',
    cell: ({ occupiedBytes }) => ({ text: formatBytes(occupiedBytes) }),
  },
  {
    title: 'shared',
    width: 10,
    align: 'right',
    cell: ({ sharedBytes }) => ({ text: formatBytes(sharedBytes) }),
  },
  {
    title: 'frees',
    width: 10,
    align: 'right',
    cell: ({ exclusiveBytes }) => ({ text: formatBytes(exclusiveBytes) }),
  },
  {
    title: 'shared with',
    width: terminal >= 110 ? Math.floor(terminal / 4) : 14,
    cell: (target, state) => ({ text: sharers(target, state.storeRoot), style: dim }),
  },
  {
    title: 'written',
    width: 7,
    align: 'right',
    minTerminal: 100,
    cell: ({ modifiedMs }, { nowMs }) => ({ text: age(nowMs - modifiedMs), style: dim }),
  },
];

/** The others that hold parts of it, those with most first. */
export function sharers({ sharedWith }: Target, storeRoot: string): string {
  return [...sharedWith]
    .sort((a, b) => b[1] - a[1])
    .map(([path]) => placeName(path, storeRoot))
    .join(', ');
}

export function placeName(path: string, storeRoot: string): string {
  if (path === storeRoot) return 'store';
  if (path === ELSEWHERE) return 'elsewhere';
  const parts = path.split('/');
  return printable(basename(path) === 'target' ? (parts.at(-2) ?? path) : basename(path));
}

export function projectsView(state: State): Line[] {
  const { projects } = state;
  const width = widthOfScreen(state);
  if (projects.targets === undefined)
    return [
      [],
      line('  Looking for target folders…'),
      line(`  ${fit(printable(projects.scanning ?? ''), width - 3, { keep: 'end' })}`, dim),
    ];
  if (projects.rows.length === 0) {
    const text =
      projects.search.text === ''
        ? 'No target folder: none below this folder, none in the event log.'
        : 'No target folder like that.';
    return [[], line(`  ${text}`, dim)];
  }
  return [...sums(state), ...targetLines(state, width)];
}

function sums({ projects }: State): Line[] {
  const targets = projects.rows.map(({ target }) => target);
  const sum = (of: (target: Target) => number): string =>
    formatBytes(targets.reduce((total, target) => total + of(target), 0));
  return [
    line(
      `  ${targets.length} target folders hold ${sum(({ logicalBytes }) => logicalBytes)} in files and occupy ${sum(({ occupiedBytes }) => occupiedBytes)}.`,
    ),
    line(
      `  Deleting all would free ${formatBytes(freedBytes(targets))}: what the store holds too stays there.`,
      dim,
    ),
  ];
}

function targetLines(state: State, width: number): Line[] {
  const { projects } = state;
  const columns = layOut(columnsFor(width), width, MARGIN.length);
  const height = listHeight(state);
  const { index, top } = locate(projects.place, projects.rows, height);
  const pathWidth = columns[0]?.width ?? width;
  const rows = projects.rows.slice(top, top + height).map(({ target }, at) => {
    const cells = columns.map(({ cell }) => cell(target, state));
    const path: Cell = { text: fit(printable(target.path), pathWidth, { keep: 'end' }) };
    return row(columns, [path, ...cells.slice(1)], { selected: top + at === index, margin: MARGIN });
  });
  return [titles(columns, MARGIN), ...rows];
}
