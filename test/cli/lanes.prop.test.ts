import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { laneOut, releasedMs, segmentsOf, traceEvents } from '../../src/cli/lanes.ts';
import type { CompileEvent } from '../../src/core/events.ts';
import { buildsOf, startOf } from '../../src/store/builds.ts';

const ms = fc.double({ min: 0, max: 500, noNaN: true });

const anyEvent: fc.Arbitrary<CompileEvent> = fc
  .record({
    ts: fc.integer({ min: 1000, max: 3000 }),
    elapsed_ms: fc.integer({ min: 0, max: 900 }),
    result: fc.constantFrom('miss', 'local_hit', 'passthrough', 'error'),
    build_pid: fc.integer({ min: 1, max: 3 }),
    phases: fc.record(
      { key: ms, lookup: ms, lock: ms, compile: ms, metadata: ms, store: ms },
      { requiredKeys: [] },
    ),
  })
  .map((event) => ({
    ...event,
    crate_name: 'a',
    compiler_runs: 1,
    root: '/ws',
    out_dir: '/ws/target/debug/deps',
  }));

test('no lane holds two calls at once, and there are as many lanes as calls ran at once', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
      const placed = laneOut(events);
      expect(placed.length).toBe(events.length);
      for (const lane of Map.groupBy(placed, (one) => one.lane).values())
        for (let at = 1; at < lane.length; at++)
          expect(lane[at]?.startMs).toBeGreaterThanOrEqual(lane[at - 1]?.event.ts ?? 0);
      // Calls that took no time at all are in a lane, and ran beside nothing.
      const most = Math.max(
        0,
        ...events.map(
          (one) => events.filter((other) => startOf(other) <= startOf(one) && other.ts > startOf(one)).length,
        ),
      );
      const lanes = new Set(placed.filter(({ event }) => event.elapsed_ms > 0).map(({ lane }) => lane)).size;
      expect(lanes).toBeLessThanOrEqual(Math.max(most, 1));
      expect(new Set(placed.map(({ lane }) => lane)).size).toBeGreaterThanOrEqual(
        Math.min(most, events.length),
      );
    }),
  );
});

test('the parts of a call lie within it, in order, each at most as long as the log says', () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      let until = 0;
      for (const { part, fromMs, durationMs } of segmentsOf(event)) {
        expect(fromMs).toBeGreaterThanOrEqual(until - 1e-9);
        expect(durationMs).toBeLessThanOrEqual((event.phases?.[part] ?? 0) + 1e-9);
        until = fromMs + durationMs;
      }
      expect(until).toBeLessThanOrEqual(event.elapsed_ms + 1e-9);
      const released = releasedMs(event, event);
      expect(released).toBeLessThanOrEqual(event.ts + 1e-9);
      expect(released).toBeGreaterThanOrEqual(startOf(event) - 1e-9);
    }),
  );
});

test('a trace names its builds and lanes, and nests the parts in their calls', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 20 }), (events) => {
      const builds = buildsOf(events.toSorted((a, b) => a.ts - b.ts));
      const trace = traceEvents(builds) as {
        ph: string;
        name: string;
        cat?: string;
        pid: number;
        tid: number;
        ts: number;
        dur: number;
      }[];
      const calls = trace.filter(({ ph, cat }) => ph === 'X' && cat !== 'phase');
      expect(calls.length).toBe(events.length);
      expect(trace.filter(({ name }) => name === 'process_name').length).toBe(builds.length);
      for (const { pid, tid } of calls)
        expect(trace.some((one) => one.name === 'thread_name' && one.pid === pid && one.tid === tid)).toBe(
          true,
        );
      for (const part of trace.filter(({ cat }) => cat === 'phase')) {
        const within = calls.some(
          (call) =>
            call.pid === part.pid &&
            call.tid === part.tid &&
            call.ts <= part.ts + 1 &&
            part.ts + part.dur <= call.ts + call.dur + 1,
        );
        expect(within).toBe(true);
      }
    }),
  );
});
