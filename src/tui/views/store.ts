// The Store tab: the store against its cap, what eviction will do, and the entries. Pure.
import { SCRIPT_RUN } from '../../core/events.ts';
import { formatBytes, formatMs } from '../../core/quantities.ts';
import { listHeight, widthOfScreen } from '../geometry.ts';
import {
  bar,
  bold,
  type Cell,
  type Column,
  dim,
  green,
  type Line,
  layOut,
  line,
  percentText,
  printable,
  row,
  span,
  titles,
  yellow,
} from '../layout.ts';
import { locate } from '../list.ts';
import type { State } from '../state.ts';
import type { EntryRow, Sort, Stock } from '../stock.ts';

interface EntryColumn extends Column {
  readonly sort?: Sort;
  readonly cell: (row: EntryRow, state: State) => Cell;
}

const MARGIN = '  ';
/** From here on there is room for a digest. */
const WHOLE_KEY = 180;

const columnsFor = (terminal: number): readonly EntryColumn[] => [
  {
    title: 'crate',
    sort: 'name',
    ...(terminal >= WHOLE_KEY ? { width: 44 } : {}),
    cell: ({ entry: { crateName, crateTypes } }) => ({
      text: `${printable(crateName)}${crateTypes === SCRIPT_RUN ? ' (run)' : ''}`,
    }),
  },
  { title: 'version', width: 10, cell: ({ entry }) => ({ text: printable(entry.crateVersion), style: dim }) },
  {
    title: 'size',
    width: 10,
    align: 'right',
    sort: 'size',
    cell: ({ sizeBytes }) => ({ text: formatBytes(sizeBytes) }),
  },
  {
    title: 'hits',
    width: 5,
    align: 'right',
    sort: 'hits',
    cell: ({ id }, { events }) => ({ text: `${events.totals.hitsOn(id).hits}` }),
  },
  {
    title: 'saved',
    width: 7,
    align: 'right',
    sort: 'saved',
    cell: ({ id }, { events }) => ({ text: formatMs(events.totals.hitsOn(id).savedMs), style: green }),
  },
  { title: 'compile', width: 7, align: 'right', cell: ({ entry }) => ({ text: formatMs(entry.compileMs) }) },
  {
    title: 'last use',
    width: 8,
    align: 'right',
    sort: 'age',
    cell: ({ usedMs }, { nowMs }) => ({ text: age(nowMs - usedMs) }),
  },
  {
    title: 'goes',
    width: 6,
    align: 'right',
    sort: 'eviction',
    minTerminal: 84,
    cell: ({ evictionRank }) => ({ text: `${evictionRank}.`, style: dim }),
  },
  {
    title: 'key',
    ...(terminal >= WHOLE_KEY ? {} : { width: 12 }),
    minTerminal: 100,
    cell: ({ id }) => ({ text: terminal >= WHOLE_KEY ? id : id.slice(0, 12), style: dim }),
  },
];

/** `now`, `5m`, `3h`, `2d`. */
export function age(ms: number): string {
  const minutes = Math.floor(ms / 60e3);
  if (minutes < 1) return 'now';
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

export function storeView(state: State): Line[] {
  const { stock } = state.store;
  if (stock === undefined) return [[], line('  Taking stock of the store…', dim)];
  const width = widthOfScreen(state);
  return [...spaceLines(state, stock, width), ...entryLines(state, width)];
}

function spaceLines(state: State, stock: Stock, width: number): Line[] {
  const { size_bytes: used, store_blobs: files, dedup_saved_bytes: shared } = stock.figures;
  const part = stock.capBytes === 0 ? 1 : used / stock.capBytes;
  const figures = ` ${formatBytes(used)} of ${formatBytes(stock.capBytes)}, ${percentText(part)}`;
  const barWidth = Math.max(10, Math.min(100, width - figures.length - 5));
  const unreadable =
    stock.unreadable === 0 ? '' : `, ${stock.unreadable} not readable: see \`kache doctor --verify\``;
  return [
    [span('  '), span(bar(part, barWidth), part > 0.9 ? yellow : green), span(figures, bold)],
    line(
      `  ${stock.rows.length} entries, ${files} files; sharing them saves ${formatBytes(shared)}${unreadable}`,
    ),
    forecast(state, stock),
  ];
}

/** When the cap will be reached at the present pace, and what goes first. */
function forecast(state: State, stock: Stock): Line {
  if (stock.overdue.entries > 0)
    return line(
      `  Over the cap: the next eviction takes ${stock.overdue.entries} entries, ${formatBytes(stock.overdue.bytes)}`,
      yellow,
    );
  const [first] = stock.rows;
  const next = first === undefined ? '' : `; ${printable(first.entry.crateName)} goes first`;
  return line(`  ${pace(state, stock)}${next}`);
}

const DAY_MS = 24 * 3600 * 1000;

function pace({ transfer, spanMs, spanText }: State, { capBytes, figures }: Stock): string {
  const perDay = (transfer.stored / spanMs) * DAY_MS;
  if (perDay === 0) return `Nothing was stored in the last ${spanText}: no eviction ahead`;
  const days = (capBytes - figures.size_bytes) / perDay;
  const when =
    days > 365
      ? 'in over a year'
      : days >= 2
        ? `in ${Math.floor(days)} days`
        : `in ${formatMs(days * DAY_MS)}`;
  return `${formatBytes(Math.round(perDay))} stored a day: the cap is reached ${when}`;
}

function entryLines(state: State, width: number): Line[] {
  const { store } = state;
  const columns = layOut(columnsFor(width), width, MARGIN.length).map((column) =>
    column.sort === store.sort
      ? { ...column, title: `${column.title}${store.isReversed ? '↑' : '↓'}` }
      : column,
  );
  const height = listHeight(state);
  const heading = titles(columns, MARGIN);
  if (store.rows.length === 0) {
    const text =
      store.search.text === '' ? 'The store is empty. What is compiled fills it.' : 'No entry like that.';
    return [heading, [], line(`  ${text}`, dim)];
  }
  const { index, top } = locate(store.place, store.rows, height);
  const rows = store.rows.slice(top, top + height).map((entry, at) =>
    row(
      columns,
      columns.map(({ cell }) => cell(entry, state)),
      { selected: top + at === index, margin: MARGIN },
    ),
  );
  return [heading, ...rows];
}
