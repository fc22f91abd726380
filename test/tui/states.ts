// What the tests of the monitor share: events, states made of them, and a screen as plain text.
import type { RemoteNow } from '../../src/cli/background.ts';
import type { CompileEvent, StartRecord } from '../../src/core/events.ts';
import { type Key, press } from '../../src/tui/keys.ts';
import { textOf } from '../../src/tui/layout.ts';
import { firstState, type State, update } from '../../src/tui/state.ts';
import { screen } from '../../src/tui/views/screen.ts';

/** Noon, so that the day before and the day after are some hours away in every time zone. */
export const NOON = new Date(2026, 2, 3, 12, 0, 0).getTime();

export const HOUR = 3600e3;

export interface Sketch extends Partial<CompileEvent> {
  /** How long before noon it ended, milliseconds. */
  readonly ago?: number;
}

export function event(crate: string, { ago = 0, ...rest }: Sketch = {}): CompileEvent {
  return {
    ts: NOON - ago,
    crate_name: crate,
    crate_version: '1.2.3',
    crate_types: 'lib',
    result: 'miss',
    compiler_runs: 1,
    compile_ms: 1000,
    elapsed_ms: 1010,
    build_pid: 100,
    pid: 7,
    root: '/home/user/shop',
    out_dir: '/home/user/shop/target/debug/deps',
    unit_id: `unit of ${crate}`,
    ...rest,
  };
}

export const hit = (crate: string, sketch: Sketch = {}): CompileEvent =>
  event(crate, {
    result: 'local_hit',
    compiler_runs: 0,
    elapsed_ms: 10,
    cache_key: 'b'.repeat(64),
    size_bytes: 2048,
    restored: { reflinked: 0, hardlinked: 1500, copied: 548 },
    ...sketch,
  });

export const start = (crate: string, ago: number, sketch: Partial<StartRecord> = {}): StartRecord => ({
  started: NOON - ago,
  pid: 900,
  build_pid: 100,
  crate_name: crate,
  crate_version: '1.2.3',
  crate_types: 'lib',
  root: '/home/user/shop',
  out_dir: '/home/user/shop/target/debug/deps',
  unit_id: `unit of ${crate}`,
  ...sketch,
});

export interface Situation {
  readonly lines?: readonly (CompileEvent | StartRecord)[];
  readonly columns?: number;
  readonly rows?: number;
  readonly spanMs?: number;
  readonly remote?: RemoteNow;
}

export const NO_REMOTE: RemoteNow = { kind: 'off', why: 'none is configured' };

/** A state that has read these lines, oldest first. */
export function stateOf(situation: Situation = {}): State {
  const { lines = [], columns = 80, rows = 24, spanMs = 24 * HOUR, remote = NO_REMOTE } = situation;
  const beginning = { columns, rows, nowMs: NOON, spanMs, spanText: '24h', storeRoot: '/store', remote };
  const text = lines.map((line) => JSON.stringify(line));
  const read = update(firstState(beginning), { kind: 'lines', batch: { lines: text, age: 'older' } });
  return update(read, { kind: 'history-read' });
}

export const pressed = (state: State, ...keys: readonly Key[]): State => keys.reduce(press, state);

/** The screen without styles, a line each, right edges trimmed. */
export const shown = (state: State): string[] => screen(state).map((line) => textOf(line).trimEnd());
