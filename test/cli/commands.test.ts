// The command line on the built binary: output, exit status, help, JSON.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KACHE, Lab } from '../support/lab.ts';

let lab: Lab;
let dir: string;
beforeAll(() => {
  lab = new Lab();
  dir = lab.write('project', {
    'Cargo.toml': '[package]\nname = "few"\nversion = "0.3.0"\nedition = "2021"\n',
    'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
    'src/main.rs': 'fn main() { println!("{}", few::few()); }\n',
  });
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: dir }).status).toBe(0);
  const second = lab.copy(dir, 'second');
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: second }).status).toBe(0);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

const kache = (...args: string[]) => lab.run([KACHE, ...args], { cwd: dir });

test('every command has help with an example, and wrong usage is 2', () => {
  for (const command of [
    'init',
    'monitor',
    'stats',
    'why-miss',
    'report',
    'list',
    'gc',
    'purge',
    'doctor',
    'clean',
    'config',
    'pack',
    'sync',
    'completions',
  ]) {
    const help = kache(command, '--help');
    expect([command, help.status]).toEqual([command, 0]);
    expect(help.stdout).toContain(`kache ${command}`);
    expect(help.stdout).toContain('Example:');
    expect([command, kache(command, '--no-such-option').status]).toEqual([command, 2]);
  }
  expect(kache().stdout).toContain('Usage: kache');
  expect(kache('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(kache('nonsense').status).toBe(2);
  expect(kache('stats', '--since', 'yesterday')).toMatchObject({ status: 2, stdout: '' });
});

test('`cargo` is cargo, with its own exit status and arguments', () => {
  expect(kache('cargo', '--version').stdout).toMatch(/^cargo \d/);
  expect(kache('cargo', 'no-such-command').status).toBe(101);
});

test('figures are those of the events', () => {
  const events = lab.events().filter(({ crate_types }) => crate_types === 'lib');
  expect(events.map(({ result }) => result)).toEqual(['miss', 'local_hit']);
  const stats = JSON.parse(kache('stats', '--json').stdout);
  expect(stats.summary).toMatchObject({
    total_crates: 2,
    local_hits: 1,
    misses: 1,
    dups: 0,
    hit_rate_pct: 50,
    weighted_hit_rate_pct: 50,
  });
  const report = JSON.parse(kache('report', '--format', 'json').stdout);
  expect(report.schema_version).toBe(1);
  for (const field of [
    'meta',
    'summary',
    'timeline',
    'timing',
    'storage',
    'network',
    'prefetch',
    'top_misses',
    'top_hits',
    'bypass',
    'errors_detail',
    'suggestions',
    'traceEvents',
    'displayTimeUnit',
    'all_events',
  ]) {
    expect(Object.keys(report)).toContain(field);
  }
  const hit = report.all_events.find(({ result }: { result: string }) => result === 'local_hit');
  expect(hit).toMatchObject({ crate_name: 'few', compiler_runs: 0, preprocessor_runs: 0, probe_runs: 0 });
  expect(report.all_events.length).toBe(lab.events().length);
  const binaries = report.all_events.filter(
    ({ passthrough_reason: reason }: { passthrough_reason?: string }) => reason === 'policy|linked-output',
  );
  expect(binaries.length).toBe(2);
  expect(kache('stats').stdout).toContain('1 of 2 crates');
  expect(kache('report').stdout).toContain('compiled for the first time');
  expect(kache('report', '--format', 'pdf')).toMatchObject({ status: 2, stdout: '' });
});

test('list shows the entry with its hit, in every order', () => {
  const all = JSON.parse(kache('list', '--json').stdout);
  expect(Object.keys(all[0])).toEqual([
    'crate',
    'version',
    'types',
    'key',
    'size_bytes',
    'hits',
    'compile_ms',
    'created_ms',
    'used_ms',
  ]);
  const hits = lab
    .events()
    .filter(({ cache_key, result }) => cache_key === all[0].key && result === 'local_hit');
  expect(all[0].hits).toBe(hits.length);
  const [row] = JSON.parse(kache('list', 'few', '--json').stdout);
  expect(row).toMatchObject({ crate: 'few', version: '0.3.0', hits: 1 });
  for (const sort of ['name', 'size', 'hits', 'age'])
    expect(kache('list', '--sort', sort).stdout).toContain('few');
  expect(kache('list', 'absent').stdout).toContain('No entry');
  expect(kache('list', '--sort', 'colour').status).toBe(2);
});

test('no colour in a pipe, and not with NO_COLOR', () => {
  for (const args of [['stats'], ['doctor'], ['report'], ['list']])
    expect(kache(...args).stdout).not.toContain('\x1b');
});

test('a cap is kept without a daemon, and purging leaves builds right', () => {
  const env = { KACHE_MAX_SIZE: '30KB', KACHE_CACHE_DIR: lab.path('tiny') };
  for (let round = 0; round < 3; round++) {
    const place = lab.copy(dir, `tiny-${round}`);
    writeFileSync(join(place, 'src/lib.rs'), `pub fn few() -> u32 { ${round} }\n`);
    expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: place, env }).status).toBe(0);
    expect(Bun.spawnSync([join(place, 'target/debug/few')]).stdout.toString()).toBe(`${round}\n`);
  }
  expect(readFileSync(lab.path('tiny', 'events/log'), 'utf8')).toContain('"result":"miss"');
  // The wrapper has started evictions by itself; one more by hand ends with the store below its cap.
  expect(lab.run([KACHE, 'gc'], { cwd: dir, env }).status).toBe(0);
  expect(JSON.parse(lab.run([KACHE, 'list', '--json'], { cwd: dir, env }).stdout)).toEqual([]);
  expect(kache('purge', '--crate-name', 'absent').stdout).toContain('Removed 0 entries');
  expect(kache('purge').stdout).toContain('Removed 1 entry and 2 blobs');
  const again = lab.copy(dir, 'again');
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: again }).status).toBe(0);
}, 60_000);
