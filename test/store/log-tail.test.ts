// Following a log that others append to, rotate, cut off and remove.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { appendFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { LogTail } from '../../src/store/log-tail.ts';
import { Lab } from '../support/lab.ts';
import { storeOf } from './stores.ts';

let lab: Lab;
let log: string;
beforeEach(() => {
  lab = new Lab();
  log = storeOf(lab).layout.events;
});
afterEach(() => lab[Symbol.dispose]());

const follow = (): LogTail => new LogTail(storeOf(lab).layout.events);
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, at) => `line ${from + at} ${'é'.repeat((from + at) % 50)}`);
const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
/** History in the order of the log. */
const past = (tail: LogTail): string[] => [...tail.history()].reverse().flat();

test('what is appended comes once, in order, and only when its line is whole', () => {
  writeFileSync(log, 'old\n');
  using tail = follow();
  expect(tail.poll()).toEqual([]);
  appendFileSync(log, 'one\ntwo\nthr');
  expect(tail.poll()).toEqual(['one', 'two']);
  expect(tail.poll()).toEqual([]);
  appendFileSync(log, 'ee\n');
  expect(tail.poll()).toEqual(['three']);
});

test('a line that was half there when following began comes whole, and once', () => {
  writeFileSync(log, 'one\ntw');
  using tail = follow();
  expect(past(tail)).toEqual(['one']);
  appendFileSync(log, 'o\n');
  expect(tail.poll()).toEqual(['two']);
});

test('a log that comes into being later is followed from its start', () => {
  using tail = follow();
  expect([tail.poll(), past(tail)]).toEqual([[], []]);
  writeFileSync(log, 'first\n');
  expect(tail.poll()).toEqual(['first']);
});

test('history is the whole of both generations, newest blocks first, however long the lines', () => {
  const lines = numbered(0, 40_000);
  const long = `long ${'x'.repeat(3 * 1024 * 1024)}`;
  writeFileSync(`${log}.1`, text(lines.slice(0, 15_000)));
  writeFileSync(log, text([...lines.slice(15_000, 20_000), long, ...lines.slice(20_000)]));
  using tail = follow();
  expect(past(tail)).toEqual([...lines.slice(0, 20_000), long, ...lines.slice(20_000)]);
  const [newest] = tail.history().next().value ?? [];
  expect(Number(newest?.split(' ')[1])).toBeGreaterThan(30_000);
});

test('history is what was there at first: appended lines are not in it', () => {
  writeFileSync(log, text(numbered(0, 10)));
  using tail = follow();
  appendFileSync(log, 'new\n');
  expect(past(tail)).toEqual(numbered(0, 10));
  expect(tail.poll()).toEqual(['new']);
});

test('a rotated log goes on in the new file, and nothing that a late writer adds to the old one is lost', () => {
  writeFileSync(log, text(numbered(0, 5)));
  using tail = follow();
  appendFileSync(log, 'before\n');
  renameSync(log, `${log}.1`);
  writeFileSync(log, 'after\n');
  expect(tail.poll()).toEqual(['before', 'after']);
  appendFileSync(`${log}.1`, 'late\n');
  appendFileSync(log, 'later\n');
  expect(tail.poll()).toEqual(['late', 'later']);
  renameSync(log, `${log}.1`);
  expect(tail.poll()).toEqual([]);
  writeFileSync(log, 'third\n');
  expect(tail.poll()).toEqual(['third']);
  // History is still that of the files that were there at first.
  expect(past(tail)).toEqual(numbered(0, 5));
});

test('a log that is cut off, removed or made anew is read from its start', () => {
  writeFileSync(log, text(numbered(0, 50)));
  using tail = follow();
  truncateSync(log, 0);
  appendFileSync(log, 'short\n');
  expect(tail.poll()).toEqual(['short']);
  rmSync(log);
  expect(tail.poll()).toEqual([]);
  writeFileSync(log, 'anew\n');
  expect(tail.poll()).toEqual(['anew']);
});
