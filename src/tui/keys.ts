// What each key does: from one state to the next. Pure.
import { FILTERS } from './build-rows.ts';
import { bodyHeight, listHeight } from './geometry.ts';
import { locate, move, type Place, type Row, START } from './list.ts';
import { derived, type Search, type State, TABS, type Tab } from './state.ts';
import type { Sort } from './stock.ts';
import { detailLines } from './views/detail.ts';

/** A key by its name, or the character it makes. */
export type Key = string;

/** The keys, as the help page and the last line name them. */
export const HELP: readonly (readonly [keys: string, what: string, where?: Tab])[] = [
  ['1 2 3 4, tab', 'go to a tab'],
  ['↑ ↓, j k', 'move'],
  ['PgUp PgDn, g G', 'move by a screen, to the first, to the last'],
  ['enter', 'fold or unfold a build; open the detail of a call, a folder, an entry'],
  ['esc', 'close the detail, end the search'],
  ['/', 'search: crate, version, outcome, reason; path; key'],
  ['f', 'filter: all, hits, misses, not stored, failed, passed', 'build'],
  ['t n s h a e', 'sort by time saved, name, size, hits, age, eviction; again to reverse', 'store'],
  ['r', 'look for target folders again', 'projects'],
  ['?', 'this page'],
  ['q, Ctrl-C', 'quit'],
];

const SORT_KEYS: Readonly<Record<string, Sort>> = {
  t: 'saved',
  n: 'name',
  s: 'size',
  h: 'hits',
  a: 'age',
  e: 'eviction',
};

export const press = (state: State, key: Key): State => derived(state, pressed(state, key));

function pressed(state: State, key: Key): State {
  if (key === 'ctrl-c') return { ...state, isDone: true };
  if (searchOf(state)?.isTyping === true) return typed(state, key);
  if (state.isHelp)
    return key === '?' || key === 'escape' || key === 'q' ? { ...state, isHelp: false } : state;
  if (key === 'q') return { ...state, isDone: true };
  if (key === '?') return { ...state, isHelp: true };
  const tab = tabOf(state, key);
  if (tab !== undefined) return { ...state, tab };
  return isOpened(state) ? inDetail(state, key) : inList(state, key);
}

function tabOf({ tab }: State, key: Key): Tab | undefined {
  const at = TABS.indexOf(tab);
  const next = { tab: at + 1, backtab: at + TABS.length - 1, right: at + 1, left: at + TABS.length - 1 }[key];
  if (next !== undefined) return TABS[next % TABS.length];
  return /^[1-4]$/.test(key) ? TABS[Number(key) - 1] : undefined;
}

const searchOf = (state: State): Search | undefined =>
  state.tab === 'transfer' ? undefined : state[state.tab].search;

/** The current tab with another search and the list back at its start. */
function withSearch(state: State, search: Search): State {
  const change = { search, place: START };
  if (state.tab === 'build') return { ...state, build: { ...state.build, ...change } };
  if (state.tab === 'store') return { ...state, store: { ...state.store, ...change } };
  if (state.tab === 'projects') return { ...state, projects: { ...state.projects, ...change } };
  return state;
}

function typed(state: State, key: Key): State {
  const { text } = searchOf(state) ?? { text: '' };
  if (key === 'escape') return withSearch(state, { text: '', isTyping: false });
  if (key === 'enter') return withSearch(state, { text, isTyping: false });
  if (key === 'backspace')
    return withSearch(state, { text: [...text].slice(0, -1).join(''), isTyping: true });
  // Names of keys are longer than a character; so are some characters in UTF-16.
  return [...key].length === 1 ? withSearch(state, { text: text + key, isTyping: true }) : state;
}

export const isOpened = (state: State): boolean =>
  state.tab !== 'transfer' && state[state.tab].opened !== undefined;

const STEPS: Readonly<Record<string, (page: number) => number>> = {
  up: () => -1,
  k: () => -1,
  down: () => 1,
  j: () => 1,
  pageUp: (page) => -page,
  pageDown: (page) => page,
  ' ': (page) => page,
  home: () => Number.NEGATIVE_INFINITY,
  g: () => Number.NEGATIVE_INFINITY,
  end: () => Number.POSITIVE_INFINITY,
  G: () => Number.POSITIVE_INFINITY,
};

function inDetail(state: State, key: Key): State {
  if (key === 'escape' || key === 'enter' || key === 'backspace') return opened(state, undefined);
  const by = STEPS[key]?.(bodyHeight(state) - 1);
  if (by === undefined) return state;
  const most = Math.max(0, detailLines(state).length - bodyHeight(state));
  return opened(state, (scroll) => Math.max(0, Math.min(scroll + by, most)));
}

/** Scrolls what is open in the current tab, or closes it. */
function opened(state: State, scrolled: ((scroll: number) => number) | undefined): State {
  const change = <O extends { readonly scroll: number }>(open: O | undefined): O | undefined =>
    open === undefined || scrolled === undefined ? undefined : { ...open, scroll: scrolled(open.scroll) };
  if (state.tab === 'build')
    return { ...state, build: { ...state.build, opened: change(state.build.opened) } };
  if (state.tab === 'store')
    return { ...state, store: { ...state.store, opened: change(state.store.opened) } };
  if (state.tab === 'projects')
    return { ...state, projects: { ...state.projects, opened: change(state.projects.opened) } };
  return state;
}

function inList(state: State, key: Key): State {
  if (state.tab === 'transfer') return state;
  const search = state[state.tab].search;
  if (key === '/') return withSearch(state, { ...search, isTyping: true });
  if (key === 'escape' && search.text !== '') return withSearch(state, { text: '', isTyping: false });
  if (state.tab === 'build') return inBuild(state, key);
  if (state.tab === 'store') return inStore(state, key);
  return inProjects(state, key);
}

/** Undefined when the key moves nothing. */
function moved(
  state: State,
  list: { readonly place: Place; readonly rows: readonly Row[] },
  key: Key,
): Place | undefined {
  const height = listHeight(state);
  const by = STEPS[key]?.(height - 1);
  return by === undefined ? undefined : move(list.place, list.rows, { by, height });
}

function selected<R extends Row>(
  state: State,
  list: { readonly place: Place; readonly rows: readonly R[] },
): R | undefined {
  return list.rows[locate(list.place, list.rows, listHeight(state)).index];
}

function inBuild(state: State, key: Key): State {
  const { build } = state;
  const place = moved(state, build, key);
  if (place !== undefined) return { ...state, build: { ...build, place } };
  if (key === 'f') {
    const filter = FILTERS[(FILTERS.indexOf(build.filter) + 1) % FILTERS.length] ?? 'all';
    return { ...state, build: { ...build, filter, place: START } };
  }
  const row = key === 'enter' ? selected(state, build) : undefined;
  if (row?.kind === 'build') {
    const folds = new Map(build.folds).set(row.id, !row.isOpen);
    // The heading stays selected, also when it is the first row and others come above it.
    return { ...state, build: { ...build, folds } };
  }
  if (row?.kind === 'event')
    return { ...state, build: { ...build, opened: { event: row.event, detail: undefined, scroll: 0 } } };
  return state;
}

function inStore(state: State, key: Key): State {
  const { store } = state;
  const sort = SORT_KEYS[key];
  if (sort !== undefined) {
    const isReversed = sort === store.sort && !store.isReversed;
    return { ...state, store: { ...store, sort, isReversed, place: START } };
  }
  const place = moved(state, store, key);
  if (place !== undefined) return { ...state, store: { ...store, place } };
  const row = key === 'enter' ? selected(state, store) : undefined;
  if (row === undefined) return state;
  return { ...state, store: { ...store, opened: { row, detail: undefined, scroll: 0 } } };
}

function inProjects(state: State, key: Key): State {
  const { projects } = state;
  const place = moved(state, projects, key);
  if (place !== undefined) return { ...state, projects: { ...projects, place } };
  if (key === 'r') return { ...state, projects: { ...projects, targets: undefined, place: START } };
  const row = key === 'enter' ? selected(state, projects) : undefined;
  if (row === undefined) return state;
  return { ...state, projects: { ...projects, opened: { target: row.target, scroll: 0 } } };
}
