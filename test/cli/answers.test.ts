// stats and report on the built binary: every figure against a computation of its own from the event log.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { WORKSPACE } from '../support/workspace.ts';

let lab: Lab;
let a: string;
let b: string;
beforeAll(() => {
  lab = new Lab();
  a = lab.write('a', WORKSPACE);
  b = lab.path('b');
  const build = (cwd: string) => lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd }).status;
  expect(build(a)).toBe(0);
  lab.copy(a, 'b');
  expect(build(b)).toBe(0);
  appendFileSync(join(b, 'facade/src/lib.rs'), 'pub fn more() {}\n');
  expect(build(b)).toBe(0);
  appendFileSync(join(b, 'native/src/lib.rs'), 'pub fn wrong() -> u32 { "" }\n');
  expect(build(b)).toBe(101);
}, 120_000);
afterAll(() => lab[Symbol.dispose]());

const kache = (...args: string[]) => lab.run([KACHE, ...args], { cwd: b });
const json = (...args: string[]) => {
  const done = kache(...args);
  expect([done.status, done.stderr]).toEqual([0, '']);
  return JSON.parse(done.stdout);
};

/** The figures once more, by hand. */
function countedBy(events: readonly CompileEvent[]) {
  const figures = {
    hits: 0,
    misses: 0,
    dups: 0,
    errors: 0,
    skipped: 0,
    passed: 0,
    probes: 0,
    saved: 0,
    total: 0,
  };
  let [hitMs, missMs] = [0, 0];
  for (const event of events) {
    figures.total += event.elapsed_ms;
    if (event.result === 'local_hit') {
      figures.hits++;
      hitMs += event.compile_ms ?? 0;
      if ((event.compile_ms ?? 0) > event.elapsed_ms)
        figures.saved += (event.compile_ms ?? 0) - event.elapsed_ms;
    } else if (event.result === 'miss' || event.result === 'dup') {
      figures[event.result === 'miss' ? 'misses' : 'dups']++;
      missMs += event.compile_ms ?? 0;
    } else if (event.result === 'error') figures.errors++;
    else if (event.result === 'skipped') figures.skipped++;
    else if (event.passthrough_reason?.startsWith('not-a-compile')) figures.probes++;
    else figures.passed++;
  }
  const looked = figures.hits + figures.misses + figures.dups;
  const rate = looked === 0 ? 0 : (100 * figures.hits) / looked;
  const weighted = hitMs + missMs === 0 ? 0 : (100 * hitMs) / (hitMs + missMs);
  return { ...figures, looked, rate, weighted };
}

function expectFigures(summary: Record<string, number>, events: readonly CompileEvent[]): void {
  const by = countedBy(events);
  expect(summary).toMatchObject({
    total_crates: by.looked,
    local_hits: by.hits,
    prefetch_hits: 0,
    remote_hits: 0,
    dups: by.dups,
    misses: by.misses,
    errors: by.errors,
    passthroughs: by.passed,
    probes: by.probes,
    skipped: by.skipped,
    store_failures: 0,
    fallbacks: 0,
    total_duration_ms: by.total,
  });
  expect(summary['hit_rate_pct']).toBeCloseTo(by.rate, 0);
  expect(summary['weighted_hit_rate_pct']).toBeCloseTo(by.weighted, 0);
  expect(Math.abs((summary['time_saved_ms'] ?? 0) - by.saved)).toBeLessThan(1);
  expect(summary['cache_efficiency_pct']).toBeCloseTo((100 * by.saved) / (by.saved + by.total), 0);
}

/** The calls of the newest build: those of the process that called last. */
function lastBuild(): CompileEvent[] {
  const events = lab.events();
  return events.filter(({ build_pid }) => build_pid === events.at(-1)?.build_pid);
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

test('stats: rates, time saved, store use, sharing, transfers', () => {
  const stats = json('stats', '--json');
  expectFigures(stats.summary, lab.events());
  expect(stats).toMatchObject({ since_hours: 24, build: null, network: { remote: 'off', requests: 0 } });
  const blobs = filesBelow(join(lab.store, 'blobs')).filter((path) => !path.endsWith('.seal'));
  const entries = filesBelow(join(lab.store, 'entries'));
  const records = entries.filter((path) => !path.endsWith('.inputs'));
  const logical = records.reduce((sum, path) => {
    const entry = JSON.parse(readFileSync(path, 'utf8').split('\n')[1] ?? '');
    return (
      sum + entry.outputs.reduce((one: number, output: { sizeBytes: number }) => one + output.sizeBytes, 0)
    );
  }, 0);
  const blobBytes = blobs.reduce((sum, path) => sum + statSync(path).size, 0);
  const occupied = filesBelow(lab.store).reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
  expect(stats.store).toMatchObject({
    store_blobs: blobs.length,
    store_entries: records.length,
    logical_bytes: logical,
    blob_bytes: blobBytes,
    dedup_saved_bytes: logical - blobBytes,
    size_bytes: occupied,
  });
  expect(stats.store.used_pct).toBeCloseTo((100 * occupied) / stats.store.cap_bytes, 1);
  const { hits, looked } = countedBy(lab.events());
  const text = kache('stats').stdout;
  expect(text).toContain(`${hits} of ${looked} crates`);
  expect(text).toContain('none is configured');
  expect(text).toContain(lab.store);
});

test('stats of the last build, and of a span in which nothing was built', () => {
  const stats = json('stats', '--last-build', '--json');
  const events = lastBuild();
  expect(events.length).toBeLessThan(lab.events().length);
  expectFigures(stats.summary, events);
  const starts = events.map(({ ts, elapsed_ms }) => ts - elapsed_ms);
  expect(stats.build).toEqual({
    root: b,
    started_at: new Date(Math.min(...starts)).toISOString(),
    duration_ms: Math.max(...events.map(({ ts }) => ts)) - Math.min(...starts),
  });
  expect(kache('stats', '--last-build').stdout).toContain(`in ${b}`);
  const empty = lab.run([KACHE, 'stats', '--last-build', '--json'], {
    cwd: b,
    env: { KACHE_CACHE_DIR: lab.path('empty') },
  });
  expect(JSON.parse(empty.stdout)).toMatchObject({
    build: null,
    summary: { total_crates: 0, hit_rate_pct: 0 },
  });
});

test('a large gap between the rates is explained in a word', () => {
  const store = lab.path('gap');
  const env = { KACHE_CACHE_DIR: store };
  lab.run([KACHE, 'stats'], { cwd: b, env });
  const call = (result: string, compileMs: number) =>
    `${JSON.stringify({ ts: Date.now(), result, crate_name: 'x', elapsed_ms: 1, compiler_runs: 0, compile_ms: compileMs })}\n`;
  const gap = (...lines: string[]) => {
    writeFileSync(join(store, 'events/log'), lines.join(''));
    return JSON.parse(lab.run([KACHE, 'stats', '--json'], { cwd: b, env }).stdout).gap;
  };
  expect(gap(call('local_hit', 1), call('local_hit', 1), call('miss', 100))).toBe(
    'many small hits, few dear misses',
  );
  expect(lab.run([KACHE, 'stats'], { cwd: b, env }).stdout).toContain('many small hits, few dear misses');
  expect(gap(call('miss', 1), call('miss', 1), call('local_hit', 100))).toBe(
    'few dear hits, many small misses',
  );
  expect(gap(call('local_hit', 10), call('miss', 10))).toBeNull();
});

test('the JSON report has every field of schema_version 1, and each is right', () => {
  const report = json('report', '--format', 'json', '--top', '3');
  const events = lab.events().toSorted((x, y) => x.ts - y.ts);
  expect(report.schema_version).toBe(1);
  expect(report.meta).toMatchObject({
    kache_version: kache('--version').stdout.trim(),
    since_hours: 24,
    root_filter: null,
  });
  expect(Math.abs(Date.parse(report.meta.generated_at) - Date.now())).toBeLessThan(60_000);
  expectFigures(report.summary, events);
  expect(
    report.all_events.map(({ ts, result, crate_name }: CompileEvent) => [ts, result, crate_name]),
  ).toEqual(events.map(({ ts, result, crate_name }) => [ts, result, crate_name]));
  for (const event of report.all_events) {
    const isProbe = event.passthrough_reason?.startsWith('not-a-compile|') === true;
    expect(event).toMatchObject({
      compiler_runs: event.result === 'local_hit' ? 0 : 1,
      preprocessor_runs: 0,
      probe_runs: isProbe ? 1 : 0,
    });
    if (event.result === 'passthrough') expect(event.passthrough_reason).toMatch(/^(policy|not-a-compile)\|/);
    else if (event.result !== 'error') expect(event.passthrough_reason).toBeNull();
  }
  const dear = (results: string[]) =>
    events
      .filter(({ result }) => results.includes(result))
      .sort((x, y) => (y.compile_ms ?? 0) - (x.compile_ms ?? 0))
      .slice(0, 3);
  const names = (list: { crate_name: string }[]) => list.map(({ crate_name }) => crate_name);
  expect(names(report.top_misses)).toEqual(names(dear(['miss', 'dup'])));
  expect(names(report.top_hits)).toEqual(names(dear(['local_hit'])));
  const causes = JSON.parse(kache('why-miss', '--json').stdout).misses.concat(
    ...['place', 'app', 'native', 'generated', 'facade'].map(
      (crate) => JSON.parse(kache('why-miss', crate, '--json').stdout).misses,
    ),
  );
  const known = [
    ...causes.map(({ cause }: { cause: { text: string } }) => cause.text),
    'compiled for the first time',
  ];
  for (const { cause } of report.top_misses) expect(known).toContain(cause);
  expect(names(report.errors_detail)).toEqual(['native']);
  expect(report.errors_detail[0].cause).toBe('file ./native/src/lib.rs changed');
  const passed = events.filter(({ result }) => result === 'passthrough');
  for (const { reason, count } of report.bypass)
    expect([reason, count]).toEqual([
      reason,
      passed.filter((one) => one.passthrough_reason === reason).length,
    ]);
  expect(report.bypass.reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(
    passed.length,
  );
  const minutes = report.timeline.reduce(
    (sum: number, { hits, misses }: Record<string, number>) => sum + (hits ?? 0) + (misses ?? 0),
    0,
  );
  expect(minutes).toBe(report.summary.total_crates);
  expect(report.network).toMatchObject({ uploaded_bytes: 0, downloaded_bytes: 0 });
  expect(report.prefetch).toMatchObject({ requested: 0, used: 0 });
  expect(report.suggestions.length).toBeGreaterThan(0);
  expect(report.builds.length).toBe(new Set(events.map(({ build_pid }) => build_pid)).size);
  expect(report.displayTimeUnit).toBe('ms');
});

test('timing and storage are sums over the log', () => {
  const { timing, storage } = json('report', '--format', 'json');
  const events = lab.events();
  for (const [name, values] of [
    ['hit', events.filter(({ result }) => result === 'local_hit').map(({ elapsed_ms }) => elapsed_ms)],
    [
      'miss',
      events
        .filter(({ result }) => result === 'miss' || result === 'dup')
        .map(({ elapsed_ms }) => elapsed_ms),
    ],
    ...(['key', 'lookup', 'restore', 'store'] as const).map(
      (phase) => [phase, events.flatMap(({ phases }) => phases?.[phase] ?? [])] as const,
    ),
  ] as const) {
    const total = values.reduce((sum, value) => sum + value, 0);
    expect(timing[`total_${name}_ms`]).toBeCloseTo(total, 1);
    expect(timing[`avg_${name}_ms`]).toBeCloseTo(total / values.length, 1);
  }
  const restored = (kind: 'reflinked' | 'hardlinked' | 'copied'): number =>
    events.reduce((sum, event) => sum + (event.restored?.[kind] ?? 0), 0);
  const whole = restored('reflinked') + restored('hardlinked') + restored('copied');
  expect(whole).toBeGreaterThan(0);
  expect(storage).toMatchObject({
    reflinked_bytes: restored('reflinked'),
    hardlinked_bytes: restored('hardlinked'),
    copied_bytes: restored('copied'),
    restored_bytes: whole,
  });
  expect(storage.zero_copy_pct).toBeCloseTo((100 * (whole - restored('copied'))) / whole, 0);
});

test('the trace has every call of every build in a lane of its own time', () => {
  const trace = json('report', '--format', 'trace');
  const calls = trace.traceEvents.filter(
    ({ ph, cat }: { ph: string; cat: string }) => ph === 'X' && cat !== 'phase',
  );
  expect(calls.length).toBe(lab.events().length);
  interface Call {
    pid: number;
    tid: number;
    ts: number;
    dur: number;
  }
  const lanes = Map.groupBy(calls as Call[], ({ pid, tid }) => `${pid} ${tid}`);
  for (const lane of lanes.values()) {
    const sorted = lane.toSorted((x, y) => x.ts - y.ts);
    sorted.reduce((until, { ts, dur }) => {
      expect(ts).toBeGreaterThanOrEqual(until);
      return ts + dur;
    }, 0);
  }
  const app = lab.events().find(({ crate_name, result }) => crate_name === 'app' && result === 'miss');
  expect(calls).toContainEqual(
    expect.objectContaining({ name: 'app', cat: 'miss', dur: (app?.elapsed_ms ?? 0) * 1000 }),
  );
  expect(json('report', '--format', 'json').traceEvents).toEqual(trace.traceEvents);
});

test('--root takes whole builds, --since what is young, --output writes', () => {
  const below = json('report', '--format', 'json', '--root', a);
  const pids = new Set(
    lab
      .events()
      .filter(({ root }) => root === a)
      .map(({ build_pid }) => build_pid),
  );
  const wanted = lab.events().filter(({ build_pid }) => pids.has(build_pid));
  expectFigures(below.summary, wanted);
  expect(below.meta.root_filter).toBe(a);
  expect(json('report', '--format', 'json', '--root', '/nowhere').summary.total_crates).toBe(0);
  expect(json('report', '--format', 'json', '--since', '0s').all_events).toEqual([]);
  const file = lab.path('out.md');
  expect(kache('report', '--format', 'markdown', '--output', file)).toMatchObject({ status: 0, stdout: '' });
  expect(readFileSync(file, 'utf8')).toStartWith('# kache');
  const failed = kache('report', '--output', lab.path('no/such/folder'));
  expect(failed).toMatchObject({ status: 1, stdout: '' });
  expect(failed.stderr).toContain('Cannot write');
});

test('text, markdown and github say the same figures', () => {
  const { hits, looked } = countedBy(lab.events());
  const text = kache('report').stdout;
  for (const part of [
    `${looked} crates`,
    `${hits} hits`,
    'Dearest misses',
    'file ./facade/src/lib.rs changed',
    'policy|linked-output',
  ])
    expect(text).toContain(part);
  for (const format of ['markdown', 'github']) {
    const markdown = kache('report', '--format', format).stdout;
    expect(markdown).toContain(`| ${hits} of ${looked} |`);
    expect(markdown).toContain('| file ./facade/src/lib.rs changed | 2 |');
    // No cell breaks its table.
    const tables = markdown.split('\n\n').filter((block) => block.startsWith('|'));
    expect(tables.length).toBeGreaterThan(2);
    for (const table of tables) {
      const widths = table.split('\n').map((line) => line.replaceAll('\\|', '').split('|').length);
      expect(new Set(widths).size).toBe(1);
    }
  }
  const github = kache('report', '--format', 'github').stdout;
  expect(github).toContain('<details>');
  expect(github.match(/<details>/g)?.length).toBe(github.match(/<\/details>/g)?.length);
  expect(github).toContain('> [!NOTE]');
});

test('wrong usage is 2, and says what would be right', () => {
  for (const args of [
    ['--format', 'pdf'],
    ['--top', 'some'],
    ['--since', 'yesterday'],
  ]) {
    const done = kache('report', ...args);
    expect([args, done.status, done.stdout]).toEqual([args, 2, '']);
    expect(done.stderr).toContain('expected');
  }
  expect(kache('report', '--help').stdout).toContain('html');
  expect(kache('why-miss', '--help').stdout).toContain('Example:');
});
