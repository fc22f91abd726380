// The monitor on a terminal: Ink draws lines and reads keys, everything else is the state's. The terminal is given back
// as it was, however the program ends.
import { Box, type Key as InkKey, render, Text, useInput } from 'ink';
import { createElement, memo, type ReactElement } from 'react';
import type { Background, RemoteNow } from '../cli/background.ts';
import type { Store } from '../store/store.ts';
import { Feed } from './feed.ts';
import { type Key, press } from './keys.ts';
import type { Line, Style } from './layout.ts';
import { type Action, firstState, type State, update } from './state.ts';
import { Surface } from './surface.ts';
import { screen } from './views/screen.ts';

export interface MonitorOptions {
  readonly store: Store;
  readonly capBytes: number;
  readonly spanMs: number;
  readonly spanText: string;
  readonly projectRoots: readonly string[];
  readonly remote: RemoteNow;
  /** Asks for the daemon and the queue; resolves within a written time whatever they do. */
  readonly askBackground: () => Promise<Background>;
  readonly hasColour: boolean;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
}

/** What changes by itself is drawn at most this often; what a key changed is drawn at once. */
const FRAME_MS = 33;

/** Shows the monitor until the user leaves; resolves with the exit status. */
export async function runMonitor(options: MonitorOptions): Promise<number> {
  const terminal = options.stdout;
  using surface = new Surface(terminal);
  using _restored = onExit(() => surface[Symbol.dispose]());
  const size = (): { columns: number; rows: number } => ({ columns: surface.columns, rows: surface.rows });
  const { store, spanMs, spanText, remote } = options;
  const storeRoot = store.layout.root;
  let state = firstState({ ...size(), nowMs: Date.now(), spanMs, spanText, storeRoot, remote });
  const { promise: isDone, resolve: done, reject: onError } = Promise.withResolvers<number>();
  const dispatch = (action: Action): void => become(update(state, action), 'soon');
  await using feed = new Feed({ ...options, state: () => state, dispatch, onError });
  using _signals = onSignals((number) => done(128 + number));
  const onKey = (key: Key): void => become(press(state, key), 'at once');
  const view = (): ReactElement =>
    createElement(Screen, { lines: screen(state), hasColour: options.hasColour, onKey });
  using ink = inkOn(surface, { stdin: options.stdin, first: view() });
  using frames = new Frames(() => ink.draw(view()));
  function become(next: State, when: 'soon' | 'at once'): void {
    if (next === state) return;
    state = next;
    if (state.isDone) done(0);
    feed.serve(state);
    frames.ask(when);
  }
  const onResize = (): void => {
    surface.forget();
    become(update(state, { kind: 'resized', ...size() }), 'at once');
  };
  terminal.on('resize', onResize);
  try {
    feed.start();
    return await isDone;
  } finally {
    terminal.off('resize', onResize);
  }
}

/** Ink, writing each frame as a whole: what changed in it the surface finds out. */
function inkOn(
  surface: Surface,
  { stdin, first }: { stdin: NodeJS.ReadStream; first: ReactElement },
): Disposable & { draw: (view: ReactElement) => void } {
  // Ink asks for a terminal's stream, and uses of it what a surface has.
  const stdout = surface as unknown as NodeJS.WriteStream;
  const ink = render(first, { stdout, stdin, debug: true, exitOnCtrlC: false, patchConsole: false });
  return { draw: (view) => ink.rerender(view), [Symbol.dispose]: () => ink.unmount() };
}

/** When to draw: many changes, one frame. */
class Frames implements Disposable {
  readonly #draw: () => void;
  #timer: Timer | undefined;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  ask(when: 'soon' | 'at once'): void {
    if (when === 'at once') {
      this[Symbol.dispose]();
      this.#draw();
    } else {
      this.#timer ??= setTimeout(() => this.ask('at once'), FRAME_MS);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

interface ScreenProps {
  readonly lines: readonly Line[];
  readonly hasColour: boolean;
  readonly onKey: (key: Key) => void;
}

/** One text for each line: Ink then has nothing to lay out but a column. */
export function Screen({ lines, hasColour, onKey }: ScreenProps): ReactElement {
  useInput((input, key) => {
    for (const one of keysOf(input, key)) onKey(one);
  });
  return createElement(
    Box,
    { flexDirection: 'column' },
    ...lines.map((spans, index) => createElement(ScreenLine, { key: index, spans, hasColour })),
  );
}

const ScreenLine = memo(function ScreenLine(props: { spans: Line; hasColour: boolean }): ReactElement {
  const { spans, hasColour } = props;
  return createElement(
    Text,
    { wrap: 'truncate' },
    ...spans.map(({ text, style }, index) =>
      createElement(Text, { key: index, ...inkStyle(style, hasColour) }, text),
    ),
  );
}, isSameLine);

function isSameLine(a: { spans: Line; hasColour: boolean }, b: { spans: Line; hasColour: boolean }): boolean {
  if (a.spans.length !== b.spans.length) return false;
  return a.spans.every(({ text, style }, index) => {
    const other = b.spans[index];
    return text === other?.text && JSON.stringify(style) === JSON.stringify(other.style);
  });
}

const inkStyle = (style: Style = {}, hasColour: boolean): Record<string, boolean | string> => ({
  ...(style.bold === true ? { bold: true } : {}),
  ...(style.dim === true ? { dimColor: true } : {}),
  ...(style.inverse === true ? { inverse: true } : {}),
  ...(style.color !== undefined && hasColour ? { color: style.color } : {}),
});

/** What was typed or pasted, as keys. */
export function keysOf(input: string, key: InkKey): Key[] {
  if (key.ctrl) return input === 'c' ? ['ctrl-c'] : [];
  if (key.tab) return [key.shift ? 'backtab' : 'tab'];
  const names = [
    ['upArrow', 'up'],
    ['downArrow', 'down'],
    ['leftArrow', 'left'],
    ['rightArrow', 'right'],
    ['pageUp', 'pageUp'],
    ['pageDown', 'pageDown'],
    ['home', 'home'],
    ['end', 'end'],
    ['return', 'enter'],
    ['escape', 'escape'],
    ['backspace', 'backspace'],
    ['delete', 'backspace'],
  ] as const;
  for (const [flag, name] of names) if (key[flag]) return [name];
  return key.meta ? [] : [...input].map((symbol) => (symbol === '\r' || symbol === '\n' ? 'enter' : symbol));
}

/** Also when something throws where nobody catches it. */
function onExit(run: () => void): Disposable {
  process.once('exit', run);
  return { [Symbol.dispose]: () => process.off('exit', run) };
}

const SIGNALS = [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const;

function onSignals(run: (number: number) => void): Disposable {
  const handlers = SIGNALS.map(([name, number]) => [name, () => run(number)] as const);
  for (const [name, handler] of handlers) process.on(name, handler);
  return {
    [Symbol.dispose]: () => {
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}
