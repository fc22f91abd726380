// Everything the monitor shows, as one value, and how it changes. Pure: files and clocks are feed.ts's.
import type { Background, RemoteNow } from '../cli/background.ts';
import { type Summary, summarize } from '../cli/summary.ts';
import type { CompileEvent } from '../core/events.ts';
import type { TransferLine } from '../core/transfers.ts';
import type { Target } from '../store/targets.ts';
import { type BuildRow, buildRows, type Choice, type Filter } from './build-rows.ts';
import type { EntryDetail, EventDetail } from './details.ts';
import { addLines, type Batch, type EventData, forgetBefore, forgetStarts, noEvents } from './event-data.ts';
import { type Place, START } from './list.ts';
import { addTransfers, type RemoteData, remoteDataOf } from './remote-data.ts';
import { type EntryRow, type Sort, type Stock, sortEntries } from './stock.ts';
import { type TransferData, transfersOf } from './transfers.ts';

export const TABS = ['build', 'projects', 'store', 'transfer'] as const;
export type Tab = (typeof TABS)[number];

/** Text being looked for in a tab. */
export interface Search {
  readonly text: string;
  /** Whether keys are letters of it. */
  readonly isTyping: boolean;
}

/** What `enter` opened, over the list it was opened from. */
export interface Opened<D> {
  /** Undefined until it was read. */
  readonly detail: D | undefined;
  /** Lines scrolled away above. */
  readonly scroll: number;
}

export interface BuildTab {
  readonly place: Place;
  readonly search: Search;
  readonly filter: Filter;
  readonly folds: ReadonlyMap<string, boolean>;
  readonly rows: readonly BuildRow[];
  readonly opened: (Opened<EventDetail> & { readonly event: CompileEvent }) | undefined;
}

export interface ProjectsTab {
  readonly place: Place;
  readonly search: Search;
  /** The whole list, and the part of it that is looked for. */
  readonly targets: readonly TargetRow[] | undefined;
  readonly rows: readonly TargetRow[];
  /** Where the scan is; undefined when none is running. */
  readonly scanning: string | undefined;
  readonly opened: { readonly target: Target; readonly scroll: number } | undefined;
}

export interface TargetRow {
  readonly id: string;
  readonly target: Target;
}

export interface StoreTab {
  readonly place: Place;
  readonly search: Search;
  readonly sort: Sort;
  readonly isReversed: boolean;
  /** Undefined until it was taken for the first time. */
  readonly stock: Stock | undefined;
  readonly rows: readonly EntryRow[];
  readonly opened: (Opened<EntryDetail> & { readonly row: EntryRow }) | undefined;
}

/** Sums that are over all events of a span; by the definitions of `stats`. */
export interface Figures {
  /** The events they are over, and from which on. */
  readonly of: readonly CompileEvent[];
  readonly spanStart: number;
  readonly dayStart: number;
  readonly span: Summary;
  readonly today: Summary;
}

export interface State {
  readonly columns: number;
  readonly rows: number;
  readonly nowMs: number;
  /** How far back events are shown. */
  readonly spanMs: number;
  readonly spanText: string;
  readonly storeRoot: string;
  readonly tab: Tab;
  readonly isHelp: boolean;
  readonly isDone: boolean;
  /** By the settings that hold where the monitor was started. */
  readonly remote: RemoteNow;
  /** Undefined until it was asked for the first time. */
  readonly background: Background | undefined;
  readonly remoteData: RemoteData;
  readonly events: EventData;
  readonly figures: Figures;
  readonly build: BuildTab;
  readonly projects: ProjectsTab;
  readonly store: StoreTab;
  readonly transfer: TransferData;
}

export type Action =
  | { readonly kind: 'lines'; readonly batch: Omit<Batch, 'keepFromMs'> }
  | { readonly kind: 'history-read' }
  | { readonly kind: 'transfers'; readonly lines: readonly TransferLine[]; readonly age: 'older' | 'newer' }
  | { readonly kind: 'background'; readonly background: Background }
  | { readonly kind: 'time'; readonly nowMs: number }
  | { readonly kind: 'compilers-gone'; readonly pids: readonly number[] }
  | { readonly kind: 'resized'; readonly columns: number; readonly rows: number }
  | { readonly kind: 'stock'; readonly stock: Stock }
  | { readonly kind: 'scanning'; readonly path: string }
  | { readonly kind: 'targets'; readonly targets: readonly Target[] }
  | { readonly kind: 'event-detail'; readonly detail: EventDetail }
  | { readonly kind: 'entry-detail'; readonly detail: EntryDetail };

export interface Beginning {
  readonly columns: number;
  readonly rows: number;
  readonly nowMs: number;
  readonly spanMs: number;
  readonly spanText: string;
  readonly storeRoot: string;
  readonly remote: RemoteNow;
}

const NO_SEARCH: Search = { text: '', isTyping: false };

export function firstState(beginning: Beginning): State {
  const nothing = summarize([]);
  return {
    ...beginning,
    tab: 'build',
    isHelp: false,
    isDone: false,
    background: undefined,
    remoteData: remoteDataOf([], [], beginning),
    events: noEvents(),
    figures: { of: [], spanStart: 0, dayStart: 0, span: nothing, today: nothing },
    build: { place: START, search: NO_SEARCH, filter: 'all', folds: new Map(), rows: [], opened: undefined },
    projects: {
      place: START,
      search: NO_SEARCH,
      targets: undefined,
      rows: [],
      scanning: undefined,
      opened: undefined,
    },
    store: {
      place: START,
      search: NO_SEARCH,
      sort: 'saved',
      isReversed: false,
      stock: undefined,
      rows: [],
      opened: undefined,
    },
    transfer: transfersOf([], { nowMs: beginning.nowMs, spanMs: beginning.spanMs }),
  };
}

/** Midnight, where the user is. */
export const startOfDay = (nowMs: number): number => new Date(nowMs).setHours(0, 0, 0, 0);

/** Older events are of no use: neither in the span nor of today. */
const keepFrom = ({ nowMs, spanMs }: State): number => Math.min(nowMs - spanMs, startOfDay(nowMs));

/** Forgetting groups everything anew: not with every event that leaves the span. Sums are over the span all the same. */
const FORGET_EVERY_MS = 10 * 60e3;

export function update(state: State, action: Action): State {
  return derived(state, changed(state, action));
}

function changed(state: State, action: Action): State {
  switch (action.kind) {
    case 'lines': {
      const batch = { ...action.batch, keepFromMs: keepFrom(state) };
      const next = { ...state, events: addLines(state.events, batch) };
      return next.events.events.length <= FEW_EVENTS ? withFigures(next) : next;
    }
    case 'history-read':
      return withFigures({ ...state, events: { ...state.events, isComplete: true } });
    case 'transfers': {
      const batch = { ...action, keepFromMs: state.nowMs - state.spanMs };
      const remoteData = { ...state.remoteData, lines: addTransfers(state.remoteData.lines, batch) };
      const next = { ...state, remoteData };
      return remoteData.lines.length <= FEW_EVENTS ? withRemoteData(next) : next;
    }
    case 'background':
      return { ...state, background: action.background };
    case 'time': {
      const next = withRemoteData({ ...state, nowMs: action.nowMs });
      const [oldest] = state.events.events;
      const isStale = oldest !== undefined && oldest.ts < keepFrom(next) - FORGET_EVERY_MS;
      return withFigures(isStale ? { ...next, events: forgetBefore(state.events, keepFrom(next)) } : next);
    }
    case 'compilers-gone':
      return { ...state, events: forgetStarts(state.events, action.pids) };
    case 'resized':
      return { ...state, columns: action.columns, rows: action.rows };
    case 'stock':
      return { ...state, store: { ...state.store, stock: action.stock } };
    case 'scanning':
      return { ...state, projects: { ...state.projects, scanning: action.path } };
    case 'targets': {
      const targets = action.targets.map((target) => ({ id: target.path, target }));
      return { ...state, projects: { ...state.projects, targets, scanning: undefined } };
    }
    case 'event-detail': {
      const { opened } = state.build;
      if (opened === undefined || opened.event !== action.detail.event) return state;
      return { ...state, build: { ...state.build, opened: { ...opened, detail: action.detail } } };
    }
    case 'entry-detail': {
      const { opened } = state.store;
      if (opened === undefined || opened.row.id !== action.detail.key) return state;
      return { ...state, store: { ...state.store, opened: { ...opened, detail: action.detail } } };
    }
  }
}

/** With more events than this their sums are made once a second, not with every line: each takes milliseconds. */
const FEW_EVENTS = 10_000;

/** Sums of the transfer log; with the time, because the rate of lately falls by itself. */
function withRemoteData(state: State): State {
  const { remoteData, events, nowMs, spanMs } = state;
  if (remoteData.lines.length === 0) return state;
  const inSpan = events.events.slice(firstSince(events.events, nowMs - spanMs));
  return { ...state, remoteData: remoteDataOf(remoteData.lines, inSpan, { nowMs, spanMs }) };
}

/** Sums again, when they are over other events than before. */
function withFigures(state: State): State {
  const { nowMs, spanMs, events, figures } = state;
  const spanStart = firstSince(events.events, nowMs - spanMs);
  const dayStart = firstSince(events.events, startOfDay(nowMs));
  const isSame =
    figures.of === events.events && figures.spanStart === spanStart && figures.dayStart === dayStart;
  if (isSame) return state;
  const inSpan = events.events.slice(spanStart);
  return {
    ...state,
    figures: {
      of: events.events,
      spanStart,
      dayStart,
      span: summarize(inSpan),
      today: summarize(events.events.slice(dayStart)),
    },
    transfer: transfersOf(inSpan, { nowMs, spanMs }),
  };
}

/** The index of the first event that ended at or after a moment. */
function firstSince(events: readonly CompileEvent[], fromMs: number): number {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle]?.ts ?? 0) < fromMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Lists follow from what they are made of: made again only when that changed. */
export function derived(before: State, after: State): State {
  let state = after;
  if (
    isOther(before, after, ({ events, build }) => [
      events.builds,
      build.filter,
      build.search.text,
      build.folds,
    ])
  ) {
    const { filter, search, folds } = state.build;
    const choice: Choice = { filter, search: search.text, folds };
    const from = state.nowMs - state.spanMs;
    const builds = state.events.builds.filter(({ endedMs }) => endedMs >= from);
    state = { ...state, build: { ...state.build, rows: buildRows(builds, choice) } };
  }
  const isStoreSeen = ({ tab, store, events }: State): readonly unknown[] =>
    tab === 'store' ? [store.stock, store.sort, store.isReversed, store.search.text, events.events] : [];
  if (state.tab === 'store' && state.store.stock !== undefined && isOther(before, after, isStoreSeen)) {
    const { stock, sort, isReversed, search } = state.store;
    const rows = sortEntries(stock, state.events.totals, { sort, isReversed, search: search.text });
    state = { ...state, store: { ...state.store, rows } };
  }
  if (isOther(before, after, ({ projects }) => [projects.targets, projects.search.text])) {
    const { targets, search } = state.projects;
    const wanted = search.text.toLowerCase();
    const rows = (targets ?? []).filter(({ id }) => id.toLowerCase().includes(wanted));
    rows.sort((a, b) => b.target.occupiedBytes - a.target.occupiedBytes);
    state = { ...state, projects: { ...state.projects, rows } };
  }
  return state;
}

function isOther(before: State, after: State, parts: (state: State) => readonly unknown[]): boolean {
  const [old, now] = [parts(before), parts(after)];
  return old.length !== now.length || now.some((part, index) => part !== old[index]);
}
