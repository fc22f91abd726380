// The whole screen as lines of exactly the terminal's width. Pure.
import { bodyHeight, widthOfScreen } from '../geometry.ts';
import { isOpened } from '../keys.ts';
import { BLANK, fitLine, type Line } from '../layout.ts';
import type { State, Tab } from '../state.ts';
import { buildView } from './build.ts';
import { detailLines } from './detail.ts';
import { footer, header } from './header.ts';
import { helpView } from './help.ts';
import { projectsView } from './projects.ts';
import { storeView } from './store.ts';
import { transferView } from './transfer.ts';

const VIEWS: Readonly<Record<Tab, (state: State) => Line[]>> = {
  build: buildView,
  projects: projectsView,
  store: storeView,
  transfer: transferView,
};

/** A terminal too small for it shows what it has room for. */
export function screen(state: State): Line[] {
  const height = bodyHeight(state);
  const body = bodyOf(state).slice(0, height);
  while (body.length < height) body.push(BLANK);
  const lines = [...header(state), ...body, footer(state)];
  const shown = lines.slice(0, Math.max(1, state.rows));
  return shown.map((spans) => fitLine(spans, Math.min(state.columns, widthOfScreen(state))));
}

function bodyOf(state: State): Line[] {
  if (state.isHelp) return helpView();
  if (!isOpened(state)) return VIEWS[state.tab](state);
  const lines = detailLines(state);
  const scroll = state.tab === 'transfer' ? 0 : (state[state.tab].opened?.scroll ?? 0);
  return lines.slice(Math.min(scroll, Math.max(0, lines.length - bodyHeight(state))));
}
