// Every figure on the screens against one computed here from the lines of the log and the files of the store alone.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fillStore } from '../../bench/big-store.ts';
import { formatBytes, formatMs } from '../../src/core/quantities.ts';
import { storeBytes, takeInventory } from '../../src/store/inventory.ts';
import { firstState, type State, startOfDay, update } from '../../src/tui/state.ts';
import { stockOf } from '../../src/tui/stock.ts';
import { storeOf } from '../store/stores.ts';
import { Lab } from '../support/lab.ts';
import { HOUR, NO_REMOTE, NOON, pressed, shown } from './states.ts';

interface Line {
  readonly ts: number;
  readonly result: string;
  readonly crate_name: string;
  readonly elapsed_ms: number;
  readonly compile_ms: number;
  readonly build_pid: number;
  readonly cache_key?: string;
  readonly size_bytes?: number;
  readonly stored_bytes?: number;
  readonly restored?: { readonly reflinked: number; readonly hardlinked: number; readonly copied: number };
}

const SPAN_MS = 15 * HOUR;
const CAP_BYTES = 64 * 1024 ** 2;
let lab: Lab;
let state: State;
/** All of the log, and the part in the span. */
let [all, inSpan]: [Line[], Line[]] = [[], []];

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name));

const linesOf = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const oneDecimal = (part: number, whole: number): string => `${Math.round((part / whole) * 1000) / 10} %`;
const isHit = ({ result }: Line): boolean => result === 'local_hit';
const isMiss = ({ result }: Line): boolean => result === 'miss' || result === 'dup';
const saved = (line: Line): number => (isHit(line) ? Math.max(0, line.compile_ms - line.elapsed_ms) : 0);

beforeAll(() => {
  lab = new Lab();
  const store = storeOf(lab);
  // The span of the events is longer than what is shown: some are older than the span, some older than the day.
  fillStore(store, { events: 3000, entries: 60, nowMs: NOON, spanMs: 20 * HOUR });
  const beginning = {
    columns: 120,
    rows: 60,
    nowMs: NOON,
    spanMs: SPAN_MS,
    spanText: '15h',
    storeRoot: lab.store,
    remote: NO_REMOTE,
  };
  state = firstState(beginning);
  const [older, newer] = [linesOf(`${store.layout.events}.1`), linesOf(store.layout.events)];
  for (const lines of [newer, older])
    state = update(state, { kind: 'lines', batch: { lines, age: 'older' } });
  state = update(state, { kind: 'history-read' });
  state = update(state, { kind: 'stock', stock: stockOf(takeInventory(store), CAP_BYTES) });
  all = [...older, ...newer].map((text) => JSON.parse(text) as Line);
  inSpan = all.filter(({ ts }) => ts >= NOON - SPAN_MS);
  expect(inSpan.length).toBeGreaterThan(2000);
  expect(inSpan.length).toBeLessThan(all.length);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

test('header: hit rates, time saved today, store use', () => {
  const [, store, rates] = shown(state);
  const [hits, misses] = [inSpan.filter(isHit), inSpan.filter(isMiss)];
  const hitMs = sum(hits.map((line) => line.compile_ms));
  const missMs = sum(misses.map((line) => line.compile_ms));
  expect(rates).toContain(
    `${oneDecimal(hits.length, hits.length + misses.length)} (${hits.length} of ${hits.length + misses.length} crates)`,
  );
  expect(rates).toContain(`${oneDecimal(hitMs, hitMs + missMs)} by compile time`);
  const today = all.filter(({ ts }) => ts >= startOfDay(NOON));
  expect(today.length).toBeLessThan(inSpan.length);
  expect(store).toContain(`saved today ${formatMs(sum(today.map(saved)))}`);
  const bytes = sum(filesBelow(lab.store).map((path) => statSync(path).blocks * 512));
  expect(store).toContain(`store  ${formatBytes(bytes)} of 64.0 MiB`);
});

test('builds: how their calls ended, how long they took, what they saved', () => {
  const text = shown(pressed(state, 'enter'));
  const builds = Map.groupBy(inSpan, ({ build_pid }) => build_pid);
  expect(builds.size).toBeGreaterThan(5);
  for (const [, calls] of builds) {
    // Of a build that was under way when the span begins, the part in it.
    const count = (result: string): number => calls.filter((line) => line.result === result).length;
    const rest = [`${count('skipped')} unstored`, `${count('error')} failed`].filter(
      (text) => !text.startsWith('0'),
    );
    const wanted = [`${count('local_hit')} hit`, `${count('miss') + count('dup')} miss`, ...rest].join(', ');
    const row = text.find((line) => line.includes(wanted));
    expect([wanted, row !== undefined]).toEqual([wanted, true]);
    const from = Math.min(...calls.map(({ ts, elapsed_ms }) => ts - elapsed_ms));
    const to = Math.max(...calls.map(({ ts }) => ts));
    expect(row).toContain(`took ${formatMs(to - from)}, saved ${formatMs(sum(calls.map(saved)))}`);
  }
});

test('calls: time, time saved and size of each', () => {
  const newest = inSpan.toReversed().slice(0, 40);
  const rows = shown(state).slice(6);
  for (const [index, line] of newest.entries()) {
    const row = rows[index] ?? '';
    expect(row).toContain(line.crate_name);
    expect(row).toContain(formatMs(line.elapsed_ms));
    if (isHit(line)) expect(row).toContain(` ${formatMs(saved(line))} `);
    if (line.size_bytes !== undefined) expect(row).toContain(formatBytes(line.size_bytes));
  }
});

test('entries: hits and time saved of each, over the whole log, in every order', () => {
  const entries = filesBelow(join(lab.store, 'entries'))
    .filter((path) => !path.endsWith('.inputs'))
    .map((path) => ({
      record: JSON.parse(readFileSync(path, 'utf8').split('\n')[1] ?? ''),
      usedMs: Math.floor(statSync(path).mtimeMs / 1000) * 1000,
    }));
  expect(entries).toHaveLength(60);
  const usesOf = (key: string): Line[] => all.filter((line) => isHit(line) && line.cache_key === key);
  const savedBy = (key: string): number => sum(usesOf(key).map(saved));
  const values: Readonly<Record<string, (entry: (typeof entries)[number]) => number>> = {
    t: ({ record }) => -savedBy(record.key),
    s: ({ record }) => -record.outputs[0].sizeBytes,
    h: ({ record }) => -usesOf(record.key).length,
    a: ({ usedMs }) => usedMs,
  };
  for (const [key, value] of Object.entries(values)) {
    // The store opens sorted by the time saved; the key of the present order would reverse it.
    const rows = pressed(state, '3', ...(key === 't' ? [] : [key])).store.rows;
    const order = rows.map(({ id }) =>
      value(entries.find(({ record }) => record.key === id) ?? { record: {}, usedMs: 0 }),
    );
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(rows).toHaveLength(60);
  }
  const text = shown(pressed(state, '3'));
  for (const { record } of entries) {
    const row = text.find((line) => line.includes(record.key.slice(0, 12)));
    if (row === undefined) continue;
    expect(row).toMatch(
      new RegExp(` ${usesOf(record.key).length} +${formatMs(savedBy(record.key)).replace('.', '\\.')} `),
    );
    expect(row).toContain(formatMs(record.compileMs));
    expect(row).toContain(formatBytes(record.outputs[0].sizeBytes));
  }
  expect(text.filter((line) => /crate_number/.test(line)).length).toBeGreaterThan(40);
});

test('transfers: bytes to targets and to the store, in all and over time', () => {
  const text = shown(pressed(state, '4')).join('\n');
  const shared = sum(inSpan.map(({ restored }) => (restored?.reflinked ?? 0) + (restored?.hardlinked ?? 0)));
  const copied = sum(inSpan.map(({ restored }) => restored?.copied ?? 0));
  const stored = sum(inSpan.map((line) => line.stored_bytes ?? 0));
  expect(text).toContain(`${formatBytes(shared + copied)}, ${formatBytes(shared)} of it without a copy`);
  expect(text).toMatch(new RegExp(`to store .* ${formatBytes(stored).replace('.', '\\.')}\n`));
  expect(sum(state.transfer.restoredOverTime)).toBe(shared + copied);
  expect(sum(state.transfer.storedOverTime)).toBe(stored);
  const { partMs, storedOverTime } = state.transfer;
  const lastPart = inSpan.filter(({ ts }) => ts > NOON - partMs);
  expect(storedOverTime.at(-1)).toBe(sum(lastPart.map((line) => line.stored_bytes ?? 0)));
});

test('forecast: what is stored a day, and when the cap is reached', () => {
  const perDay = (sum(inSpan.map((line) => line.stored_bytes ?? 0)) / SPAN_MS) * 24 * HOUR;
  const text = shown(pressed(state, '3')).join('\n');
  expect(text).toContain(`${formatBytes(Math.round(perDay))} stored a day`);
  const inventory = takeInventory(storeOf(lab));
  const capBytes = storeBytes(inventory) - 300_000;
  const over = stockOf(inventory, capBytes);
  const late = shown(update(pressed(state, '3'), { kind: 'stock', stock: over })).join('\n');
  expect(late).toMatch(/Over the cap: the next eviction takes \d+ entries/);
  expect(over.overdue.bytes).toBeGreaterThanOrEqual(over.figures.size_bytes - capBytes);
});
