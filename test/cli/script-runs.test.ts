// What the command line says of a store in which runs of build scripts are: they are no compiles, and what is said of them
// is why they were run.
import { beforeAll, expect, test } from 'bun:test';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isScriptRun, SCRIPT_RUN } from '../../src/core/events.ts';
import { reasonOf, titleOf } from '../../src/tui/build-rows.ts';
import { type Env, KACHE } from '../support/lab.ts';
import { openOnLinux } from '../support/linux.ts';
import { onLinuxOnly } from '../support/script-lab.ts';
import { ended, ScriptRuns } from '../support/script-runs.ts';
import { event, pressed, shown, stateOf } from '../tui/states.ts';

const onLinux = onLinuxOnly('reports of build-script runs');

let place: ScriptRuns;
openOnLinux(ScriptRuns, (opened) => {
  place = opened;
});
beforeAll(async () => {
  await place?.setUp(async () => {
    const library = place.lab.write('library', {
      'Cargo.toml': '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
      'src/lib.rs': 'pub fn one() -> u32 { 1 }\n',
    });
    const env = { KACHE_CACHE_DIR: place.store };
    expect(place.lab.cargo(library, ['build', '--offline'], { env }).status).toBe(0);
    for (const dir of [place.first, place.second]) await place.run(dir);
  });
}, 60_000);

const run = (args: readonly string[], env: Env = {}) =>
  place.lab.run([KACHE, ...args], { env: { KACHE_CACHE_DIR: place.store, ...env } });
const json = (...args: string[]) => JSON.parse(run([...args, '--json']).stdout);

/** One more run in the second checkout; what `why-miss` says of it first. */
async function cause(changes: { input?: string; env?: Env }): Promise<string> {
  place.putBack();
  if (changes.input !== undefined) writeFileSync(join(place.second, 'input.txt'), changes.input);
  // Of another parent: another build.
  await ended(place.start(place.second, changes.env, ['sh', '-c', '"$0" "$@"; exit $?', KACHE]));
  const { misses } = json('why-miss', 'small');
  return misses.at(-1).cause.text;
}

onLinux('runs are in figures of their own, and in none of compiles', () => {
  place.putBack();
  const { summary } = json('stats');
  expect(summary).toMatchObject({
    total_crates: 1,
    local_hits: 0,
    misses: 1,
    hit_rate_pct: 0,
    weighted_hit_rate_pct: 0,
    time_saved_ms: 0,
    script_runs: 2,
    script_hits: 1,
  });
  expect(run(['stats']).stdout).toMatch(/build scripts +2 +1 of 2 runs from the store/);
  const report = JSON.parse(run(['report', '--format', 'json']).stdout);
  expect(report.summary).toEqual(summary);
  expect(report.top_misses.map(({ elapsed_ms: ms }: { elapsed_ms: number }) => ms)).toEqual([
    report.timing.total_miss_ms,
  ]);
  expect([report.top_hits, report.timing.total_hit_ms]).toEqual([[], 0]);
  expect(report.script_runs).toMatchObject([{ crate_name: 'small', cause: 'run for the first time' }]);
});

onLinux('every format of the report speaks of runs as runs', () => {
  place.putBack();
  const text = run(['report']).stdout;
  expect(text).toMatch(/^1 crate: 0 hits, 1 misses/m);
  expect(text).toMatch(/^build scripts: 1 of 2 runs from the store/m);
  expect(text).toMatch(/Build scripts that were run\n +small +\d+ms +run for the first time/);
  for (const format of ['markdown', 'github']) {
    const markdown = run(['report', '--format', format]).stdout;
    expect(markdown).toMatch(
      /Runs of build scripts[\s\S]*1 of 2 runs from the store[\s\S]*\| small 0\\?\.1\\?\.0 \|/,
    );
    expect(markdown).toContain('0 of 1');
  }
  expect(run(['report', '--format', 'html']).stdout).toContain('small (run of its build script)');
});

onLinux(
  'why-miss says why a build script was run, and why its run is not kept',
  async () => {
    expect(await cause({ input: 'another word\n' })).toBe('file ./input.txt changed (small)');
    expect(await cause({ env: { SOME_VARIABLE: 'now' } })).toBe('variable SOME_VARIABLE added');
    const elsewhere = place.lab.path('elsewhere');
    expect(await cause({ env: { ELSEWHERE: elsewhere } })).toBe(`it wrote outside its OUT_DIR: ${elsewhere}`);
    expect(existsSync(elsewhere)).toBe(true);
    expect(run(['why-miss', 'small']).stdout).toContain(`(${SCRIPT_RUN})`);
    expect(await cause({ input: 'unwatched\n', env: { RUSTC_WRAPPER: '' } })).toBe(
      'there is no launcher to watch it (`kache init` makes one)',
    );
    const whole = json('why-miss');
    expect([whole.causes, whole.misses, whole.script_runs.length]).toEqual([[], [], 1]);
    const said = run(['why-miss']).stdout;
    expect(said).toMatch(/Nothing missed: 0 crates from the store, 0 calls not looked up\.\n\nbuild script/);
  },
  60_000,
);

onLinux('the monitor calls a run a run, and says in words why it is not kept', () => {
  const [event] = place.events().filter(isScriptRun);
  if (event === undefined) throw new Error('no run is in the log');
  expect(titleOf(event)).toBe('small (script run)');
  expect(reasonOf(event)).toBe('not run before');
  const reason = 'wrote-elsewhere|/a-place/some-file';
  expect(reasonOf({ ...event, result: 'skipped', reason })).toBe(
    'it wrote outside its OUT_DIR: /a-place/some-file',
  );
});

test('the Build tab counts a run as no crate, and its detail says that it was run', () => {
  const run = { crate_types: SCRIPT_RUN, compiler_runs: 0, compile_ms: 70 };
  const lines = [event('part'), event('part', { ...run, reason: 'never-compiled', unit_id: 'u' })];
  const tab = stateOf({ lines });
  expect(shown(tab).join('\n')).toMatch(/0 hit, 1 miss\b/);
  expect(shown(tab).join('\n')).toContain('part (script run)');
  const detail = shown(pressed(tab, 'down', 'enter')).join('\n');
  expect(detail).toMatch(/run +70ms$/m);
  expect(detail).toContain('not run before');
});

onLinux('list tells a run from the library of the same name', () => {
  place.putBack();
  const types = json('list').map(({ types: name }: { types: string }) => name);
  expect(types.sort()).toEqual([SCRIPT_RUN, 'lib']);
  expect(run(['list']).stdout).toContain('small (run of its build script)');
});

onLinux('runs stay on this machine', () => {
  place.putBack();
  const pack = place.lab.path('pack');
  const saved = run(['pack', 'save', pack, '--json']);
  expect([saved.status, JSON.parse(saved.stdout).entries]).toEqual([0, 1]);
  const remote = place.lab.path('remote');
  const pushed = run(['sync', '--push', '--all'], { KACHE_REMOTE_PATH: remote });
  expect([pushed.status, pushed.stdout]).toEqual([0, expect.stringMatching(/^Uploaded 1 entries/)]);
});

onLinux('a store with runs is verified, collected and purged like any', () => {
  place.putBack();
  const verified = json('doctor', '--checksums');
  for (const id of ['entries', 'blobs'])
    expect(verified.checks.find((check: { id: string }) => check.id === id)).toMatchObject({ state: 'ok' });
  expect(run(['gc']).status).toBe(0);
  expect([json('list').length, place.broken()]).toEqual([2, []]);
  expect(run(['purge']).status).toBe(0);
  expect(json('list')).toEqual([]);
});

const checked = (env: Env) => {
  const done = run(['doctor', '--json'], { CARGO_HOME: place.lab.path('cargo-home'), ...env });
  const { checks } = JSON.parse(done.stdout);
  return checks.find(({ id }: { id: string }) => id === 'build-scripts');
};

onLinux('doctor says what keeps runs from being kept', () => {
  place.putBack();
  const on = { KACHE_CACHE_BUILD_SCRIPTS: 'all', KACHE_CACHE_EXECUTABLES: '1' };
  expect(checked({ RUSTC_WRAPPER: place.observer })).toBeUndefined();
  expect(checked({ ...on, RUSTC_WRAPPER: place.observer })).toMatchObject({
    state: 'ok',
    detail: expect.stringContaining(place.observer),
  });
  expect(checked({ ...on, KACHE_CACHE_EXECUTABLES: '0' })).toMatchObject({
    state: 'look',
    remedy: expect.stringContaining('cache_executables'),
  });
  expect(checked({ ...on, KACHE_VERIFY_RESTORES: 'always' })).toMatchObject({
    state: 'look',
    detail: expect.stringContaining('verify_restores'),
  });
  expect(checked({ ...on, RUSTC_WRAPPER: KACHE })).toMatchObject({
    state: 'look',
    detail: expect.stringContaining('no launcher'),
  });
  const old = place.lab.path('old/kache-launcher');
  place.lab.write('old', { 'kache-launcher': '#!/bin/sh\nexit 127\n' });
  Bun.spawnSync(['chmod', '755', old]);
  expect(checked({ ...on, RUSTC_WRAPPER: old })).toMatchObject({
    state: 'look',
    detail: expect.stringContaining('cannot watch'),
  });
});
