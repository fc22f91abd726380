import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type CompileEvent, parseEvent, parseLogLine, type StartRecord } from '../../src/core/events.ts';

const event: fc.Arbitrary<CompileEvent> = fc.record({
  ts: fc.nat(),
  result: fc.constantFrom('local_hit', 'miss', 'passthrough'),
  crate_name: fc.string(),
  elapsed_ms: fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 }),
  compiler_runs: fc.nat(2),
});

test('a line says what was written', () => {
  fc.assert(
    fc.property(event, (written) => {
      const line = JSON.stringify(written);
      expect(parseEvent(line)).toEqual(JSON.parse(line));
    }),
  );
});

test('a line torn anywhere, at its start or at its end, is no event', () => {
  fc.assert(
    fc.property(event, fc.nat(), (written, where) => {
      const line = JSON.stringify(written);
      const at = 1 + (where % (line.length - 1));
      expect(parseEvent(line.slice(0, at))).toBeUndefined();
      expect(parseEvent(line.slice(at))).toBeUndefined();
      // A power cut can leave zeros where the rest was to be.
      expect(parseEvent(line.slice(0, at) + '\0'.repeat(line.length - at))).toBeUndefined();
      // And a torn line takes no other with it.
      expect(parseEvent(line.slice(0, at) + line)).toEqual(JSON.parse(line));
    }),
  );
});

test('no line whatever makes it throw, and only events pass', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      const parsed = parseEvent(line);
      if (parsed === undefined) return;
      expect([typeof parsed.ts, typeof parsed.result, typeof parsed.crate_name]).toEqual([
        'number',
        'string',
        'string',
      ]);
    }),
  );
  for (const line of ['null', '[]', '7', '"x"', '{"ts":"1","result":"miss","crate_name":"a"}'])
    expect(parseEvent(line)).toBeUndefined();
});

test('what a later version adds is no obstacle', () => {
  const line = '{"ts":1,"result":"teleported","crate_name":"a","elapsed_ms":1,"new":{"field":[1]}}';
  expect(parseEvent(line)).toMatchObject({ crate_name: 'a' });
});

test('a line about the start of a compiler is no event, and nothing but itself', () => {
  const start: fc.Arbitrary<StartRecord> = fc.record(
    {
      started: fc.nat(),
      pid: fc.nat(),
      build_pid: fc.nat(),
      crate_name: fc.string(),
      crate_version: fc.string(),
      unit_id: fc.string(),
      root: fc.string(),
    },
    { requiredKeys: ['started', 'pid', 'build_pid', 'crate_name'] },
  );
  fc.assert(
    fc.property(start, event, (begun, ended) => {
      const line = JSON.stringify(begun);
      expect(parseEvent(line)).toBeUndefined();
      expect(parseLogLine(line)).toEqual({ kind: 'start', start: JSON.parse(line) });
      const other = JSON.stringify(ended);
      expect(parseLogLine(other)).toEqual({ kind: 'event', event: JSON.parse(other) });
    }),
  );
  expect(parseLogLine('{"started":1,"pid":"2","crate_name":"a"}')).toBeUndefined();
});
