// The Transfer tab: what goes to and comes from a remote, and what moved between store and target folders. Pure.
import type { RestoredBytes } from '../../core/events.ts';
import { formatBytes, formatMs } from '../../core/quantities.ts';
import { outcomeOf, titleOf } from '../build-rows.ts';
import { bodyHeight, widthOfScreen } from '../geometry.ts';
import {
  bold,
  type Cell,
  type Column,
  cyan,
  dim,
  green,
  type Line,
  layOut,
  line,
  percentText,
  printable,
  row,
  span,
  sparkline,
  titles,
} from '../layout.ts';
import type { State } from '../state.ts';
import { clock, styleOf } from './build.ts';
import { lastRequests, remoteLines } from './remote.ts';

const COLUMNS: readonly Column[] = [
  { title: 'crate' },
  { title: 'outcome', width: 10 },
  { title: 'to target', width: 10, align: 'right' },
  { title: 'to store', width: 10, align: 'right' },
  { title: 'how', width: 11 },
  { title: 'took', width: 7, align: 'right' },
  { title: 'ended', width: 8 },
];

const MARGIN = '  ';

export function transferView(state: State): Line[] {
  const width = widthOfScreen(state);
  const { transfer } = state;
  const { shared, copied } = transfer.restored;
  const lines: Line[] = [
    ...remoteLines(state),
    [],
    [span('  Between the store and target folders', bold), span(`, last ${state.spanText}`, dim)],
    overTime('to target', transfer.restoredOverTime, {
      sum: `${formatBytes(shared + copied)}, ${formatBytes(shared)} of it without a copy`,
      width,
    }),
    overTime('to store', transfer.storedOverTime, { sum: formatBytes(transfer.stored), width }),
    [],
  ];
  // The remote's requests have half of what is left.
  const left = bodyHeight(state) - lines.length;
  const requests = lastRequests(state, Math.floor(left / 2));
  return [...lines, ...requests, ...lastOnes(state, left - requests.length - 1)];
}

function overTime(
  name: string,
  values: readonly number[],
  { sum, width }: { sum: string; width: number },
): Line {
  const room = Math.max(10, Math.min(values.length, width - sum.length - 18));
  return [span(`  ${name.padEnd(11)}`, dim), span(sparkline(values.slice(-room)), cyan), span(`  ${sum}`)];
}

function lastOnes({ transfer, columns: terminal }: State, height: number): Line[] {
  const columns = layOut(COLUMNS, terminal, MARGIN.length);
  if (transfer.last.length === 0) return [line('  Nothing was moved.', dim)];
  const rows = transfer.last.slice(0, Math.max(0, height)).map((event): Line => {
    const { restored, stored_bytes: stored = 0 } = event;
    const total = restored === undefined ? 0 : restored.reflinked + restored.hardlinked + restored.copied;
    const cells: Cell[] = [
      { text: printable(titleOf(event)) },
      { text: outcomeOf(event), style: styleOf(event) ?? {} },
      { text: total === 0 ? '' : formatBytes(total), style: green },
      { text: stored === 0 ? '' : formatBytes(stored) },
      { text: how(event.restored), style: dim },
      { text: formatMs(event.phases?.restore ?? event.phases?.store ?? event.elapsed_ms) },
      { text: clock(event.ts), style: dim },
    ];
    return row(columns, cells, { selected: false, margin: MARGIN });
  });
  return [titles(columns, MARGIN), ...rows];
}

/** How much of what a hit put into a target folder needed no copy. */
function how(restored: RestoredBytes | undefined): string {
  if (restored === undefined) return '';
  const { reflinked, hardlinked, copied } = restored;
  if (copied === 0) return reflinked > 0 ? 'reflinked' : 'hardlinked';
  const shared = reflinked + hardlinked;
  return shared === 0 ? 'copied' : `${percentText(shared / (shared + copied))} linked`;
}
