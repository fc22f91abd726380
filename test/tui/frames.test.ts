// Every tab, detail and the help page at both sizes, as text and as Ink writes it on a terminal.
import { expect, test } from 'bun:test';
import { EventEmitter } from 'node:events';
import { render } from 'ink';
import { createElement } from 'react';
import type { Background } from '../../src/cli/background.ts';
import type { BlobId, CacheKey, UnitId } from '../../src/core/ids.ts';
import type { TransferLine, TransferRecord } from '../../src/core/transfers.ts';
import type { Target } from '../../src/store/targets.ts';
import { Screen } from '../../src/tui/app.ts';
import { textOf, widthOf } from '../../src/tui/layout.ts';
import { type State, update } from '../../src/tui/state.ts';
import type { EntryRow, Stock } from '../../src/tui/stock.ts';
import { Surface } from '../../src/tui/surface.ts';
import { screen } from '../../src/tui/views/screen.ts';
import { event, HOUR, hit, NOON, pressed, shown, start, stateOf } from './states.ts';

const entryRow = (name: string, index: number): EntryRow => {
  const key = String(index).padStart(64, 'b') as CacheKey;
  return {
    id: key,
    sizeBytes: 1024 * index,
    usedMs: NOON - index * HOUR,
    evictionRank: index,
    entry: {
      key,
      unit: 'c'.repeat(64) as UnitId,
      crateName: name,
      crateVersion: '1.2.3',
      crateTypes: 'lib',
      createdMs: NOON - index * HOUR,
      compileMs: 1000 * index,
      outputs: [{ kind: 'link', blob: 'd'.repeat(64) as BlobId, sizeBytes: 1024 * index, mode: 0o644 }],
      stderr: [],
      stdout: [],
    },
  };
};

const STOCK: Stock = {
  rows: ['alpha', 'beta', 'gamma'].map((name, index) => entryRow(name, index + 1)),
  figures: {
    store_blobs: 3,
    store_entries: 3,
    logical_bytes: 6144,
    blob_bytes: 5120,
    dedup_saved_bytes: 1024,
    size_bytes: 5 * 1024 ** 3,
  },
  capBytes: 20 * 1024 ** 3,
  unreadable: 0,
  overdue: { entries: 0, bytes: 0 },
};

const target = (path: string, shared: readonly (readonly [string, number])[]): Target => ({
  path,
  files: 12,
  logicalBytes: 9 * 1024 ** 2,
  occupiedBytes: 8 * 1024 ** 2,
  exclusiveBytes: 5 * 1024 ** 2,
  sharedBytes: 3 * 1024 ** 2,
  sharedWith: new Map(shared),
  modifiedMs: NOON - 5 * 60e3,
  blocks: new Map(),
  linked: new Map([['1:2', { bytes: 3 * 1024 ** 2, links: 3, names: 1 }]]),
});

const TARGETS = [
  target('/home/user/shop/target', [
    ['/store', 3 * 1024 ** 2],
    ['/home/user/shop-2/target', 3 * 1024 ** 2],
  ]),
  target('/home/user/shop-2/target', [['/store', 3 * 1024 ** 2]]),
];

function full(columns: number, rows: number): State {
  const lines = [
    event('alpha', { ago: 2 * HOUR, build_pid: 1, cache_key: '1'.padStart(64, 'b'), stored_bytes: 4096 }),
    hit('alpha', { ago: 60_000, cache_key: '1'.padStart(64, 'b') }),
    event('broken', { ago: 50_000, result: 'error' }),
    event('long_crate_name_that_goes_on_and_on_beyond_every_column', { ago: 40_000, size_bytes: 123_456 }),
    event('build_script_build', {
      ago: 30_000,
      crate_types: 'bin',
      result: 'passthrough',
      passthrough_reason: 'policy|linked-output',
      root: '/home/user/.cargo/registry/src/index.crates.io-1/serde_core-1.0.2',
    }),
    start('alpha', 700, { pid: 901 }),
    start('never_seen', 300, { pid: 902 }),
  ];
  let state = stateOf({ lines, columns, rows });
  state = update(state, { kind: 'stock', stock: STOCK });
  return update(state, { kind: 'targets', targets: TARGETS });
}

const REMOTE = { kind: 'on', type: 's3', place: 's3://bucket/artifacts at host', isReadonly: false } as const;
const KEY = { alpha: '1'.padStart(64, 'b'), stranger: 'c'.repeat(64) };

const request = (record: Partial<TransferRecord>): TransferLine => ({
  kind: 'request',
  record: {
    ts: NOON - 2000,
    request: 'get',
    what: 'entry',
    bytes: 0,
    elapsed_ms: 12,
    result: 'found',
    ...record,
  },
});

/** Requests of the last hours: an upload, what a prefetch brought, a failure. */
const REQUESTS: readonly TransferLine[] = [
  request({ ts: NOON - HOUR, request: 'put', id: KEY.stranger, bytes: 4096, result: 'done' }),
  request({ ts: NOON - 60_000, request: 'has', id: KEY.stranger, result: 'not-found' }),
  { kind: 'plan', plan: { ts: NOON - 3000, planned: 40, build_pid: 100 } },
  request({ what: 'build', bytes: 100, id: 'd'.repeat(64), ts: NOON - 15_000 }),
  request({ what: 'unit', id: 'unit of beta', elapsed_ms: 2500, result: 'unavailable' }),
  request({ id: 'e'.repeat(64), bytes: 1024, prefetch: true }),
  request({ id: KEY.alpha, bytes: 2048, prefetch: true }),
];

function remoteState(columns: number, rows: number): State {
  const lines = [
    event('beta', { ago: 30_000 }),
    hit('alpha', { ago: 1000, cache_key: KEY.alpha, result: 'prefetch_hit' }),
  ];
  const state = stateOf({ lines, columns, rows, remote: REMOTE });
  return update(state, { kind: 'transfers', lines: REQUESTS, age: 'older' });
}

type Session = Extract<Background['daemon'], { kind: 'runs' }>['sessions'][number];

const running = (changes: Partial<Session> = {}): Background => ({
  queued: 3,
  daemon: {
    kind: 'runs',
    pid: 4711,
    version: '0.1.0',
    uptimeMs: 90_000,
    residentBytes: 60 * 1024 ** 2,
    sessions: [
      {
        place: REMOTE.place,
        readonly: false,
        queued: 3,
        outage: null,
        restsForMs: null,
        builds: 0,
        prefetching: { planned: 40, done: 7 },
        requests: 9,
        failures: 1,
        downloadedBytes: 3172,
        uploadedBytes: 4096,
        inFlight: 2,
        lastFailure: { atMs: NOON - 4000, why: 'no answer for 2500 ms' },
        downloads: { entries: 2, prefetched: 2, absent: 0, refused: 0, newBytes: 5000 },
        uploads: { uploaded: 1, present: 0, dropped: 0, bytes: 4096 },
        ...changes,
      },
    ],
  },
});

const SIZES = [
  [80, 24],
  [200, 60],
  [100, 30],
  [40, 10],
] as const;

const PAGES: readonly (readonly [
  name: string,
  keys: readonly string[],
  texts: readonly (string | RegExp)[],
])[] = [
  [
    'build',
    ['1'],
    [
      /never_seen +running +300ms.*first time/,
      /alpha +running +700ms.*usually 1\.0s/,
      /▾ 11:5\d(:\d\d)? {2}shop \(debug\) {2}1 hit, 1 miss, 1 failed/,
      /▸ 0\d:59(:58)? {2}shop \(debug\) {2}0 hit, 1 miss/,
      /serde_core build scri\S* +(1\.2\.3 +)?– passed/,
      /broken +(1\.2\.3 +)?✗ failed/,
      /alpha +(1\.2\.3 +)?✓ hit +10ms +990ms +2\.0 KiB/,
    ],
  ],
  [
    'projects',
    ['2'],
    [
      /shop\/target +8\.0 MiB +3\.0 MiB +5\.0 MiB store, shop-2/,
      /shop-2\/target +8\.0 MiB +3\.0 MiB +5\.0 MiB store/,
      '2 target folders hold 18.0 MiB in files and occupy 16.0 MiB',
    ],
  ],
  [
    'store',
    ['3'],
    [/5\.0 GiB of 20\.0 GiB, 25 %/, /alpha +1\.2\.3 +1\.0 KiB +1 +990ms/, '3 entries, 3 files', 'goes first'],
  ],
  [
    'transfer',
    ['4'],
    ['Remote is off', /to target +.*█ /, /to store .*█/, /alpha +✓ hit +2\.0 KiB +73 % linked/],
  ],
  [
    'call',
    ['1', 'j', 'j', 'enter'],
    ['long_crate_name', /outcome +● miss/, /took +1\.0s/, /in +\/home\/user\/shop$/m],
  ],
  ['entry', ['3', 'enter'], ['alpha 1.2.3', /hits +1, 990ms saved/, /link +1\.0 KiB/]],
  ['target', ['2', 'enter'], ['/home/user/shop/target', /deleting it frees +5\.0 MiB/, /3\.0 MiB +store/]],
  ['help', ['?'], ['Keys', 'Ctrl-C']],
];

for (const [columns, rows] of SIZES) {
  test(`every page fills ${columns}x${rows} exactly`, () => {
    for (const [name, keys, texts] of PAGES) {
      const state = pressed(full(columns, rows), ...keys);
      const lines = screen(state);
      expect([name, lines.length]).toEqual([name, rows]);
      expect(lines.map((line) => widthOf(textOf(line)))).toEqual(new Array<number>(rows).fill(columns));
      const text = shown(state).join('\n');
      if (columns < 80) continue;
      for (const wanted of texts) expect(text).toMatch(wanted);
    }
  });
}

test('the header names store, rates, the time saved and what is off, on every tab', () => {
  for (const tab of ['1', '2', '3', '4']) {
    const [first, second, third] = shown(pressed(full(120, 30), tab));
    expect(first).toMatch(/kache.*Build.*Projects.*Store.*Transfer.*daemon off · remote off/);
    expect(first).toContain(`[${tab} `);
    expect(second).toMatch(/store +5\.0 GiB of 20\.0 GiB .* 25 % .*saved today 990ms/);
    expect(third).toMatch(/hits +33\.3 % \(1 of 3 crates\) · 33\.3 % by compile time +last 24h/);
  }
});

const tab = (state: State): string => shown(pressed(state, '4')).join('\n');

test('the remote and the daemon are shown as they are, in the header and on the Transfer tab', () => {
  const state = (background?: Background, columns = 120): State => {
    const first = remoteState(columns, columns > 100 ? 40 : 24);
    return background === undefined ? first : update(first, { kind: 'background', background });
  };
  const [asking, none] = [state(), state({ daemon: { kind: 'none' }, queued: 12 })];
  expect(shown(asking)[0]).toContain('daemon … · remote s3');
  expect(shown(none)[0]).toContain('daemon none · remote s3 · 12 queued');
  expect(tab(none)).toMatch(
    /s3:\/\/bucket\/artifacts at host\n {2}daemon +not running; .* · 12 uploads wait/,
  );
  const hangs = state({ daemon: { kind: 'hangs' }, queued: 0 });
  expect(shown(hangs)[0]).toContain('daemon hangs · remote s3');
  expect(tab(hangs)).toContain('does not answer: builds go on without it');

  const up = state(running());
  expect(shown(up)[0]).toContain('daemon up · remote answers · 3 queued');
  expect(tab(up)).toMatch(/daemon +process 4711 · up 1m 30s · 60\.0 MiB · 2 in flight · 3 uploads wait/);
  expect(tab(up)).toMatch(/remote +answers; 4\.0s ago: no answer for 2500 ms/);
  expect(tab(up)).toMatch(/prefetch +7 of 40 now · 2 of 40 fetched, 1 used, 1 not yet, 3\.0 KiB/);
  expect(tab(up)).toMatch(/↓ down .*█ {2}3\.1 KiB, 2 entries; 307 B\/s now/);
  expect(tab(up)).toMatch(/↑ up .*█.* {2}4\.0 KiB, 1 entry; 0 B\/s now/);
  expect(tab(up)).toMatch(/alpha +entry +↓ prefetch +2\.0 KiB found +12ms +1[12]:/);
  expect(tab(up)).toMatch(/beta +closures +↓ download +✗ unavailable +2\.5s/);
  expect(tab(up)).toMatch(/c{11}… +entry +↑ upload +4\.0 KiB done/);

  const resting = state(running({ outage: 'no answer for 2500 ms', restsForMs: 12_300 }));
  expect(shown(resting)[0]).toContain('daemon up · remote resting');
  expect(tab(resting)).toMatch(/remote +resting, asked again in 13 s: no answer for 2500 ms/);
  const probing = state(running({ outage: 'the folder refuses it (EACCES)', restsForMs: null }));
  expect(tab(probing)).toContain('resting, being asked again: the folder refuses it (EACCES)');
  // On a small terminal the header still holds both words, and both lists have a place.
  const small = pressed(state(running(), 80), '4');
  expect(shown(small)[0]).toContain('daemon up · remote answers');
  expect(shown(small).join('\n')).toMatch(
    /with the remo… [\s\S]*alpha +entry[\s\S]*crate +outcome[\s\S]*alpha +✓ prefetch/,
  );
  const wrong = { ...state(), remote: { kind: 'wrong', why: 'Cannot use the prefix "..".' } as const };
  expect(tab(wrong)).toContain('Remote is not usable. Cannot use the prefix');
});

test('every page of a state with a remote fills every size exactly', () => {
  for (const [columns, rows] of SIZES) {
    const state = pressed(
      update(remoteState(columns, rows), { kind: 'background', background: running() }),
      '4',
    );
    expect(screen(state).map((line) => widthOf(textOf(line)))).toEqual(new Array<number>(rows).fill(columns));
  }
});

test('a large gap between the two rates is explained in a word', () => {
  const slow = [hit('a', { compile_ms: 10 }), hit('b', { compile_ms: 10 }), event('c', { compile_ms: 9000 })];
  const dear = [
    event('a', { compile_ms: 10 }),
    event('b', { compile_ms: 10 }),
    hit('c', { compile_ms: 9000 }),
  ];
  expect(shown(stateOf({ lines: slow }))[2]).toContain('many small hits, few dear misses');
  expect(shown(stateOf({ lines: dear }))[2]).toContain('few dear hits, many small misses');
  expect(shown(stateOf({ lines: [hit('a'), event('b')] }))[2]).not.toContain(':');
});

test('an empty store and a log that is still read say so', () => {
  const empty = stateOf();
  expect(shown(empty).join('\n')).toContain('No compile in the last 24h');
  expect(shown(empty)[1]).toContain('taking stock');
  expect(shown({ ...empty, events: { ...empty.events, isComplete: false } }).join('\n')).toContain(
    'Reading the log',
  );
  expect(shown(pressed(empty, '2')).join('\n')).toContain('Looking for target folders');
});

test('names with control characters cannot steer the terminal', () => {
  const state = stateOf({
    lines: [event('evil\x1b[2J\x07', { crate_version: '\x9b1', reason: 'a\nb', root: '/x/\x1b]0;y' })],
  });
  const isControl = (symbol: string): boolean => symbol < ' ' || (symbol >= '\x7f' && symbol <= '\x9f');
  for (const page of [state, pressed(state, 'down', 'enter')])
    expect([...screen(page).map(textOf).join('')].filter(isControl)).toEqual([]);
});

/** A terminal that keeps what was painted, and the bytes. */
class FakeTerminal {
  columns = 80;
  rows = 24;
  readonly lines: string[] = [];
  written = '';

  write(text: string): void {
    this.written += text;
    let row = 0;
    for (const part of text.split('\x1b[')) {
      if (part.startsWith('2J')) this.lines.length = 0;
      const moved = /^(\d+);1H/.exec(part);
      if (moved !== null) {
        row = Number(moved[1]) - 1;
        this.lines[row] = '';
      }
      if (moved !== null || /^[\d;]*m/.test(part))
        this.lines[row] = `${this.lines[row] ?? ''}${part.replace(/^[\d;]*[mH]/, '')}`;
    }
    for (const [at, line] of this.lines.entries()) this.lines[at] = (line ?? '').trimEnd();
  }
}

/** What Ink needs of a keyboard. */
class FakeKeyboard extends EventEmitter {
  readonly isTTY = true;
  setRawMode(): this {
    return this;
  }
  setEncoding(): this {
    return this;
  }
  ref(): void {}
  unref(): void {}
  read(): null {
    return null;
  }
}

function inkOn(state: State) {
  const terminal = Object.assign(new FakeTerminal(), { columns: state.columns, rows: state.rows });
  const surface = new Surface(terminal);
  const view = (of: State) => createElement(Screen, { lines: screen(of), hasColour: true, onKey: () => {} });
  const ink = render(view(state), {
    stdout: surface as unknown as NodeJS.WriteStream,
    stdin: new FakeKeyboard() as unknown as NodeJS.ReadStream,
    debug: true,
    patchConsole: false,
    exitOnCtrlC: false,
  });
  return {
    terminal,
    draw: (next: State) => ink.rerender(view(next)),
    end: () => {
      ink.unmount();
      surface[Symbol.dispose]();
    },
  };
}

test('what Ink paints is the screen, and the next frame only what changed', () => {
  for (const [columns, rows] of SIZES) {
    const state = full(columns, rows);
    const { terminal, draw, end } = inkOn(state);
    const padded = (): string[] => Array.from({ length: rows }, (_, at) => terminal.lines[at] ?? '');
    expect(padded()).toEqual(shown(state));
    const before = terminal.written.length;
    const next = pressed(state, 'down');
    draw(next);
    expect(padded()).toEqual(shown(next));
    expect(terminal.written.length - before).toBeLessThan(8 * columns + 400);
    const other = pressed(state, '3');
    draw(other);
    expect(padded()).toEqual(shown(other));
    end();
    expect(terminal.written.startsWith('\x1b[?1049h')).toBe(true);
    expect(terminal.written.endsWith('\x1b[0m\x1b[?25h\x1b[?1049l')).toBe(true);
    // Erasing what was scrolled away would take what is the user's.
    expect(terminal.written).not.toContain('\x1b[3J');
  }
});
