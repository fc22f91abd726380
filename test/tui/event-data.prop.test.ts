// However the log arrives (in blocks from the end backwards, in batches as it grows), the monitor knows the same as from
// reading it in one piece.
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { CompileEvent, EventResult } from '../../src/core/events.ts';
import { buildsOf } from '../../src/store/builds.ts';
import { addLines, type EventData, forgetBefore, median, noEvents } from '../../src/tui/event-data.ts';
import { event, NOON, start } from './states.ts';

const results: readonly EventResult[] = ['local_hit', 'miss', 'dup', 'error', 'skipped', 'passthrough'];

/** A log: events in the order of their ends, with starts before some of them. */
const log = fc
  .array(
    fc.record({
      crate: fc.constantFrom('a', 'b', 'c'),
      result: fc.constantFrom(...results),
      caller: fc.constantFrom(1, 2, 3),
      pid: fc.integer({ min: 10, max: 30 }),
      gapMs: fc.constantFrom(0, 5, 1000, 45 * 60e3),
      elapsedMs: fc.integer({ min: 1, max: 3000 }),
      isProbe: fc.boolean(),
      withStart: fc.boolean(),
    }),
    { maxLength: 60 },
  )
  .map((calls) => {
    let ts = NOON - 24 * 3600e3;
    return calls.flatMap((call) => {
      ts += call.gapMs;
      const { crate, result, caller, pid, elapsedMs } = call;
      const ended = event(crate, {
        result,
        build_pid: caller,
        pid,
        elapsed_ms: elapsedMs,
        compile_ms: elapsedMs,
      });
      const { out_dir: _, ...probe } = ended;
      const line = { ...(call.isProbe ? probe : ended), ts };
      const begun = start(crate, NOON - (ts - elapsedMs), { pid, build_pid: caller });
      return (call.withStart ? [begun, line] : [line]).map((one) => JSON.stringify(one));
    });
  });

const whole = (lines: readonly string[]): EventData =>
  addLines(noEvents(), { lines, age: 'older', keepFromMs: 0 });

const inPieces = (lines: readonly string[], cut: number, pieces: number): EventData => {
  const at = Math.min(cut, lines.length);
  let data = noEvents();
  for (let to = at; to > 0; to -= pieces)
    data = addLines(data, { lines: lines.slice(Math.max(0, to - pieces), to), age: 'older', keepFromMs: 0 });
  for (let from = at; from < lines.length; from += pieces)
    data = addLines(data, { lines: lines.slice(from, from + pieces), age: 'newer', keepFromMs: 0 });
  return data;
};

const eventsOf = (lines: readonly string[]): CompileEvent[] =>
  lines.map((line) => JSON.parse(line)).filter(({ result }) => result !== undefined);

const byFirst = (builds: EventData['builds']) =>
  builds.toSorted((a, b) => a.startedMs - b.startedMs || a.pid - b.pid || a.endedMs - b.endedMs);

test('pieces add up to the whole: events, builds, compilers that run, sums', () => {
  fc.assert(
    fc.property(log, fc.nat(80), fc.integer({ min: 1, max: 9 }), (lines, cut, pieces) => {
      const [one, many] = [whole(lines), inPieces(lines, cut, pieces)];
      expect(many.events).toEqual(one.events);
      expect(one.events).toEqual(eventsOf(lines));
      expect(byFirst(many.builds)).toEqual(byFirst(one.builds));
      expect([...many.started.keys()].sort()).toEqual([...one.started.keys()].sort());
      for (const crate of ['a', 'b', 'c'])
        expect(many.totals.typicalMs(event(crate))).toBe(one.totals.typicalMs(event(crate)) as number);
    }),
    { numRuns: 300 },
  );
});

test('the builds are those of everything else that speaks of builds', () => {
  fc.assert(
    fc.property(log, (lines) => {
      expect(byFirst(whole(lines).builds)).toEqual(byFirst(buildsOf(eventsOf(lines))));
    }),
  );
});

test('a compiler runs from its start until an event of its process', () => {
  const lines = (...all: object[]): string[] => all.map((one) => JSON.stringify(one));
  const running = start('slow', 5000, { pid: 11 });
  const ended = start('quick', 5000, { pid: 12 });
  const data = whole(lines(running, ended, event('quick', { pid: 12, ago: 1000 })));
  expect([...data.started.values()].map(({ crate_name }) => crate_name)).toEqual(['slow']);
  const later = addLines(data, {
    lines: lines(event('slow', { pid: 11 })),
    age: 'newer',
    keepFromMs: 0,
  });
  expect(later.started.size).toBe(0);
  // The start was in an older block than the end.
  const end = addLines(noEvents(), { lines: lines(event('slow', { pid: 11 })), age: 'older', keepFromMs: 0 });
  expect(addLines(end, { lines: lines(running), age: 'older', keepFromMs: 0 }).started.size).toBe(0);
  // The number has come round: the end belongs to an earlier process.
  const before = addLines(noEvents(), {
    lines: lines(event('other', { pid: 11, ago: 9000 }), running),
    age: 'older',
    keepFromMs: 0,
  });
  expect(before.started.size).toBe(1);
});

test('a typical time is the median of what compiling took, hits and failures aside', () => {
  const took = (ms: number, result: EventResult = 'miss') =>
    JSON.stringify(event('a', { result, compile_ms: ms, compiler_runs: result === 'local_hit' ? 0 : 1 }));
  const data = whole([took(100), took(9000), took(300), took(1, 'error'), took(5, 'local_hit')]);
  expect(data.totals.typicalMs(start('a', 0))).toBe(300);
  expect(data.totals.typicalMs(start('a', 0, { unit_id: 'f'.repeat(64) }))).toBe(300);
  expect(data.totals.typicalMs(start('b', 0, { unit_id: 'f'.repeat(64) }))).toBeUndefined();
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 1 }), (values) => {
      const middle = median(values);
      const below = values.filter((value) => value < middle).length;
      const above = values.filter((value) => value > middle).length;
      expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
    }),
  );
});

test('what has left the window is forgotten, and still counts for sums', () => {
  const lines = [event('a', { ago: 9000, compile_ms: 50 }), event('a', { ago: 1000, compile_ms: 70 })];
  const data = whole(lines.map((line) => JSON.stringify(line)));
  const later = forgetBefore(data, NOON - 2000);
  expect(later.events.map(({ compile_ms }) => compile_ms)).toEqual([70]);
  expect(later.builds.flatMap(({ events }) => events)).toEqual(later.events as CompileEvent[]);
  expect(later.totals.typicalMs(event('a'))).toBe(60);
  expect(forgetBefore(later, NOON - 2000)).toBe(later);
});
