import { expect, test } from 'bun:test';
import { boundingChain, dependenciesOf } from '../../src/cli/build-chain.ts';
import type { CompileEvent } from '../../src/core/events.ts';
import { type Build, buildsOf } from '../../src/store/builds.ts';
import { storeOf } from '../store/stores.ts';
import { Lab } from '../support/lab.ts';

const call = (
  name: string,
  fromMs: number,
  untilMs: number,
  more: Partial<CompileEvent> = {},
): CompileEvent => ({
  ts: 10_000 + untilMs,
  elapsed_ms: untilMs - fromMs,
  result: 'passthrough',
  crate_name: name,
  crate_types: 'lib',
  compiler_runs: 1,
  build_pid: 1,
  root: '/ws',
  out_dir: '/ws/target/debug/deps',
  externs: [],
  ...more,
});

function buildOf(...events: CompileEvent[]): Build {
  const [build] = buildsOf(events.toSorted((a, b) => a.ts - b.ts));
  if (build === undefined) throw new Error('no build');
  return build;
}

/** Crate, what it waited for, and how long it took from then on, of every link. */
function chainOf(...events: CompileEvent[]): [string, string, number][] {
  using lab = new Lab();
  const build = buildOf(...events);
  const chain = boundingChain(build, dependenciesOf(storeOf(lab), build));
  return chain.map(({ event, after, gapMs }) => [event.crate_name, after, gapMs]);
}

test('the chain goes back through the extern that was ready last', () => {
  const found = chainOf(
    call('slow', 0, 500),
    call('quick', 0, 100),
    call('middle', 505, 900, { externs: ['slow', 'quick'] }),
    call('app', 910, 1000, { externs: ['middle', 'quick'] }),
  );
  expect(found).toEqual([
    ['slow', 'start', 0],
    ['middle', 'extern', 5],
    ['app', 'extern', 10],
  ]);
});

test('a library can begin when the metadata of another is out, a program cannot', () => {
  const early = { phases: { metadata: 200, compile: 500 } };
  const library = call('user', 210, 800, { externs: undefined as never });
  delete library.externs;
  using lab = new Lab();
  const build = buildOf(call('used', 0, 500, early), library);
  const [used, user] = [build.events[0], build.events[1]];
  if (used === undefined || user === undefined) throw new Error('two calls');
  expect(boundingChain(build, new Map([[user, [used]]])).map(({ gapMs }) => gapMs)).toEqual([0, 10]);
  expect(dependenciesOf(storeOf(lab), build).get(user)).toEqual([]);
});

test('a start long after everything was ready waited for a job', () => {
  const found = chainOf(
    call('used', 0, 100),
    call('other', 100, 700),
    call('app', 705, 900, { externs: ['used'] }),
  );
  expect(found).toEqual([
    ['used', 'start', 0],
    ['other', 'job', 0],
    ['app', 'job', 5],
  ]);
});

test('a build script is waited for while it runs, by its own package only', () => {
  const script = {
    out_dir: '/ws/target/debug/build/na-tive-0a1b2c',
    crate_types: 'bin',
    crate_version: '1.0.0',
  };
  const found = chainOf(
    call('build_script_build', 0, 100, script),
    call('other', 0, 900),
    call('na_tive', 1000, 1200, { crate_version: '1.0.0' }),
  );
  expect(found).toEqual([
    ['build_script_build', 'start', 0],
    ['na_tive', 'extern', 900],
  ]);
  const foreign = chainOf(
    call('build_script_build', 0, 100, script),
    call('other', 0, 900),
    call('na_tive', 1000, 1200, { crate_version: '2.0.0' }),
  );
  expect(foreign.map(([name]) => name)).toEqual(['other', 'na_tive']);
});

test('calls that stand still in time do not go round in circles', () => {
  const found = chainOf(call('a', 100, 100, { externs: ['b'] }), call('b', 100, 100, { externs: ['a'] }));
  expect(found.length).toBe(2);
});
