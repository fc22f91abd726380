// The remote and the daemon on the screen: in a few words for the header, as a block of the Transfer tab. Pure.
import type { DaemonNow, RemoteNow } from '../../cli/background.ts';
import { nextAsk } from '../../cli/network.ts';
import { formatBytes, formatMs } from '../../core/quantities.ts';
import { isFailedTransfer, type TransferRecord } from '../../core/transfers.ts';
import { widthOfScreen } from '../geometry.ts';
import {
  bold,
  type Cell,
  type Column,
  cyan,
  dim,
  fit,
  green,
  type Line,
  layOut,
  printable,
  red,
  row,
  type Span,
  span,
  sparkline,
  titles,
  yellow,
} from '../layout.ts';
import type { State } from '../state.ts';
import { clock } from './build.ts';

type Session = Extract<DaemonNow, { kind: 'runs' }>['sessions'][number];

/** What the daemon does for the remote that is configured here. */
function sessionOf({ remote, background }: State): Session | undefined {
  if (remote.kind !== 'on' || background?.daemon.kind !== 'runs') return undefined;
  return background.daemon.sessions.find(({ place }) => place === remote.place);
}

const TYPES = { s3: 's3', filesystem: 'folder' } as const;

/** `daemon up · remote answers`. */
export function backgroundWords(state: State): Span {
  const { remote, background } = state;
  const session = sessionOf(state);
  const isResting = session !== undefined && session.outage !== null;
  const queued = background?.queued ?? 0;
  const waits = queued > 0 && state.columns >= 100 ? ` · ${queued} queued` : '';
  const isWrong = background?.daemon.kind === 'hangs' || remote.kind === 'wrong' || isResting;
  return span(
    `daemon ${daemonWord(state)} · remote ${remoteWord(remote, session)}${waits} `,
    isWrong ? yellow : dim,
  );
}

function daemonWord({ remote, background }: State): string {
  const kind = background?.daemon.kind;
  if (kind === 'runs') return 'up';
  if (kind === 'hangs') return 'hangs';
  if (remote.kind === 'off') return 'off';
  return kind ?? '…';
}

function remoteWord(remote: RemoteNow, session: Session | undefined): string {
  if (remote.kind !== 'on') return remote.kind;
  if (session === undefined) return TYPES[remote.type];
  return session.outage === null ? 'answers' : 'resting';
}

/** The block at the head of the Transfer tab. */
export function remoteLines(state: State): Line[] {
  const { remote, background } = state;
  const queued = background?.queued ?? 0;
  const waits = queued === 0 ? 'no queue' : `${queued} uploads wait`;
  if (remote.kind === 'off')
    return [
      [
        span('  Remote is off', bold),
        span(`: ${remote.why}. Nothing is uploaded or downloaded; ${waits}.`, dim),
      ],
    ];
  if (remote.kind === 'wrong') return [[span('  Remote is not usable. ', bold), span(remote.why, yellow)]];
  const session = sessionOf(state);
  return [
    [span(`  ${printable(remote.place)}`, bold), span(remote.isReadonly ? ' read-only' : '', dim)],
    [span('  daemon     ', dim), ...daemonSpans(background?.daemon, session), span(` · ${waits}`)],
    ...(session === undefined ? [] : [[span('  remote     ', dim), ...stateSpans(session, state.nowMs)]]),
    overTime(state, 'down'),
    overTime(state, 'up'),
    [span('  prefetch   ', dim), ...prefetchSpans(state, session)],
  ];
}

function daemonSpans(daemon: DaemonNow | undefined, session: Session | undefined): Span[] {
  if (daemon === undefined) return [span('asking…')];
  if (daemon.kind === 'none') return [span('not running; the next build that needs it starts it')];
  if (daemon.kind === 'hangs')
    return [span('does not answer: builds go on without it; `kache daemon restart`', yellow)];
  const { pid, uptimeMs, residentBytes } = daemon;
  const builds = session === undefined || session.builds === 0 ? '' : ` · ${session.builds} builds`;
  return [
    span(`process ${pid}`),
    span(` · up ${formatMs(uptimeMs)} · ${formatBytes(residentBytes)}`),
    span(`${builds} · ${session?.inFlight ?? 0} in flight`),
  ];
}

function stateSpans({ outage, restsForMs, lastFailure }: Session, nowMs: number): Span[] {
  if (outage !== null) {
    const when = restsForMs === null ? 'being asked again' : nextAsk(restsForMs);
    return [span(`resting, ${when}: `, yellow), span(printable(outage))];
  }
  if (lastFailure === null) return [span('answers', green)];
  const ago = formatMs(Math.max(0, nowMs - lastFailure.atMs));
  return [span('answers', green), span(`; ${ago} ago: ${printable(lastFailure.why)}`, dim)];
}

function overTime(state: State, way: 'down' | 'up'): Line {
  const { network, rate, downOverTime, upOverTime } = state.remoteData;
  const [values, bytes, entries] =
    way === 'down'
      ? [downOverTime, network.downloaded_bytes, network.downloaded_entries]
      : [upOverTime, network.uploaded_bytes, network.uploaded_entries];
  const sum = `${formatBytes(bytes)}, ${entries === 1 ? '1 entry' : `${entries} entries`}; ${formatBytes(rate[way])}/s now`;
  const room = Math.max(10, Math.min(values.length, widthOfScreen(state) - sum.length - 18));
  return [
    span(way === 'down' ? '  ↓ down     ' : '  ↑ up       ', dim),
    span(sparkline(values.slice(-room)), cyan),
    span(`  ${sum}`),
  ];
}

function prefetchSpans({ remoteData, spanText }: State, session: Session | undefined): Span[] {
  const { requested, fetched, used, wasted, bytes } = remoteData.prefetch;
  const under = session?.prefetching;
  const now = under === undefined || under.planned === 0 ? '' : `${under.done} of ${under.planned} now · `;
  if (requested === 0 && now === '') return [span(`nothing in the last ${spanText}`, dim)];
  return [
    span(now, bold),
    span(`${fetched} of ${requested} fetched, ${used} used, ${wasted} not yet, ${formatBytes(bytes)}`),
  ];
}

const COLUMNS: readonly Column[] = [
  { title: 'with the remote' },
  { title: 'what', width: 10 },
  { title: 'way', width: 10 },
  { title: 'bytes', width: 10, align: 'right' },
  { title: 'answer', width: 13 },
  { title: 'took', width: 7, align: 'right' },
  { title: 'ended', width: 8 },
];
const MARGIN = '  ';
const WHAT = { entry: 'entry', unit: 'closures', build: 'list', other: 'other' } as const;

/** The last requests that moved something or failed, with the line of titles; at most `height` lines. */
export function lastRequests(state: State, height: number): Line[] {
  const { last } = state.remoteData;
  if (last.length === 0 || height < 2) return [];
  const columns = layOut(COLUMNS, state.columns, MARGIN.length);
  const rows = last.slice(0, height - 1).map((record): Line => {
    const failed = isFailedTransfer(record);
    const cells: Cell[] = [
      { text: printable(nameOf(state, record)) },
      { text: WHAT[record.what] },
      { text: way(record) },
      { text: record.bytes === 0 ? '' : formatBytes(record.bytes), style: failed ? red : green },
      { text: failed ? `✗ ${record.result}` : record.result, style: failed ? red : dim },
      { text: formatMs(record.elapsed_ms) },
      { text: clock(record.ts), style: dim },
    ];
    return row(columns, cells, { selected: false, margin: MARGIN });
  });
  return [titles(columns, MARGIN), ...rows];
}

function way({ request, prefetch }: TransferRecord): string {
  if (prefetch === true) return '↓ prefetch';
  if (request === 'get') return '↓ download';
  return request === 'put' ? '↑ upload' : request;
}

function nameOf({ remoteData, store }: State, { id }: TransferRecord): string {
  if (id === undefined) return '';
  const known = remoteData.names.get(id);
  if (known !== undefined) return known;
  const inStore = store.stock?.rows.find((one) => one.id === id || one.entry.unit === id);
  return inStore?.entry.crateName ?? fit(id, 12).trimEnd();
}
