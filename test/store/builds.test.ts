import { expect, test } from 'bun:test';
import type { CompileEvent } from '../../src/core/events.ts';
import { buildsOf, isTrial, newestBuild } from '../../src/store/builds.ts';

const MINUTE = 60_000;

const event = (ts: number, pid: number, more: Partial<CompileEvent> = {}): CompileEvent => ({
  ts,
  result: 'miss',
  crate_name: 'a',
  elapsed_ms: 10,
  compiler_runs: 1,
  build_pid: pid,
  root: '/ws',
  out_dir: '/ws/target/debug/deps',
  ...more,
});

test('calls of one process are one build, also when another builds at the same time', () => {
  const log = [
    event(100, 1, { unit_id: 'x' }),
    event(120, 2, { unit_id: 'x', root: '/other', out_dir: '/other/target/release/deps' }),
    event(150, 1, { unit_id: 'y' }),
  ];
  const builds = buildsOf(log);
  expect(builds.map(({ pid, root, profile }) => [pid, root, profile])).toEqual([
    [1, '/ws', 'debug'],
    [2, '/other', 'release'],
  ]);
  expect(builds[0]).toMatchObject({ startedMs: 90, endedMs: 150, events: [log[0], log[2]] });
  expect(newestBuild(log)?.pid).toBe(2);
});

test('a process id comes round again: after a silence, and when a unit is compiled a second time', () => {
  const silent = [event(100, 7, { unit_id: 'x' }), event(100 + 31 * MINUTE, 7, { unit_id: 'y' })];
  expect(buildsOf(silent).length).toBe(2);
  const long = event(100 + 31 * MINUTE, 7, { unit_id: 'y', elapsed_ms: 31 * MINUTE });
  expect(buildsOf([event(100, 7, { unit_id: 'x' }), long]).length).toBe(1);
  expect(buildsOf([event(100, 7, { unit_id: 'x' }), event(200, 7, { unit_id: 'x' })]).length).toBe(2);
  // The unit tests of a library and of a binary have one name; without a unit nothing is known.
  expect(buildsOf([event(100, 7), event(200, 7)]).length).toBe(1);
});

test('questions to the compiler are part of a build, and none by themselves', () => {
  const probe: CompileEvent = {
    ts: 50,
    result: 'passthrough',
    passthrough_reason: 'not-a-compile|-vV',
    crate_name: '',
    elapsed_ms: 1,
    compiler_runs: 1,
    build_pid: 3,
  };
  expect(buildsOf([probe])).toEqual([]);
  expect(buildsOf([probe, event(100, 3)])[0]?.events.length).toBe(2);
  const { build_pid: _, ...nobodys } = probe;
  expect(buildsOf([nobodys])).toEqual([]);
});

test('what a build script tries is part of the build that waits for it', () => {
  const script = event(300, 1, { elapsed_ms: 250, out_dir: '/ws/target/debug/build/a-0b' });
  const tried = event(150, 2, {
    result: 'error',
    out_dir: '/ws/target/debug/build/a-1c/out/probe',
    unit_id: 't',
  });
  const elsewhere = event(160, 3, { out_dir: '/other/target/debug/build/a-1c/out', unit_id: 'u' });
  const builds = buildsOf([tried, elsewhere, script]);
  expect(builds.length).toBe(1);
  expect(builds[0]).toMatchObject({ pid: 1, root: '/ws', events: [tried, script] });
  expect([isTrial(tried), isTrial(script)]).toEqual([true, false]);
  expect(buildsOf([tried])).toEqual([]);
});

test('a build is called after its workspace, whatever was compiled last', () => {
  const registry = { root: '/home/me/.cargo/registry/src/index/serde-1.0.0' };
  const member = event(100, 1);
  expect(buildsOf([member, event(200, 1, registry)])[0]?.root).toBe('/ws');
  expect(buildsOf([event(200, 1, registry)])[0]?.root).toBe('/ws');
  const elsewhere = { out_dir: '/tmp/target/debug/deps' };
  expect(buildsOf([event(100, 1, elsewhere), event(200, 1, { ...registry, ...elsewhere })])[0]?.root).toBe(
    '/ws',
  );
  const cross = { out_dir: '/ws/target/wasm32-unknown-unknown/release/deps' };
  expect(buildsOf([event(100, 1, cross)])[0]).toMatchObject({ root: '/ws', profile: 'release' });
  const script = { out_dir: '/ws/target/debug/build/native-0a1b2c' };
  expect(buildsOf([event(100, 1, script)])[0]).toMatchObject({ root: '/ws', profile: 'debug' });
  expect(buildsOf([event(100, 1, { ...registry, ...cross })])[0]?.root).toBe('/ws');
});
