// How many lines of the terminal each part of the screen gets. Keys and views must agree on it. Pure.
import type { State } from './state.ts';

export const HEADER_LINES = 4;
const FOOTER_LINES = 1;

export const STORE_LINES = 3;
export const PROJECTS_LINES = 2;
const TITLE_LINE = 1;

/** The smallest terminal that is drawn for; in a smaller one lines are cut off. */
const LEAST = { columns: 40, rows: 10 };

export const widthOfScreen = ({ columns }: State): number => Math.max(LEAST.columns, columns);

export const bodyHeight = ({ rows }: State): number =>
  Math.max(LEAST.rows, rows) - HEADER_LINES - FOOTER_LINES;

/** Lines for compilers that are running: at most a third of the list's room. */
export const runningLines = (state: State): number =>
  Math.min(state.events.started.size, Math.max(1, Math.floor(bodyHeight(state) / 3)));

/** Lines for the rows of the list of the current tab. */
export function listHeight(state: State): number {
  const above = { build: runningLines(state), projects: PROJECTS_LINES, store: STORE_LINES, transfer: 0 };
  return Math.max(1, bodyHeight(state) - above[state.tab] - TITLE_LINE);
}
