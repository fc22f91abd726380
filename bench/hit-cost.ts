// What one hit costs as a whole process: every library call of a warm build is recorded and played again into an empty
// folder, beside a program of the same runtime that does nothing.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, checkout } from './phases.ts';
import { kacheBinary } from './tools.ts';

export interface HitCost {
  readonly crates: number;
  readonly medianCpuMs: number;
  readonly p90CpuMs: number;
  readonly medianWallMs: number;
  readonly maxRssMb: number;
  /** The same for a program that does nothing. */
  readonly emptyCpuMs: number;
  readonly emptyRssMb: number;
}

export interface Call {
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
  readonly cwd: string;
}

export interface Cost {
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly rssMb: number;
}

const REPEATS = 7;

export const median = (values: readonly number[], at = 0.5): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * at)] ?? 0;

/** Compiles the program that runs another and says what that took. */
export function meterIn(dir: string): string {
  const meter = join(dir, 'meter');
  Bun.spawnSync(['rustc', '-O', '-o', meter, join(import.meta.dir, 'process-meter.rs')]);
  return meter;
}

/** Runs one call through the meter. */
export function run(meter: string, call: Call): Cost {
  const from = performance.now();
  const done = Bun.spawnSync([meter, ...call.argv], { cwd: call.cwd, env: call.env });
  const wallMs = performance.now() - from;
  const [status, cpuMicros, rssKilobytes] = done.stdout.toString().trim().split(' ').map(Number);
  if (status !== 0)
    throw new Error(`Cannot replay ${call.argv.slice(0, 4).join(' ')}: wait status ${status}`);
  return { wallMs, cpuMs: (cpuMicros ?? 0) / 1000, rssMb: (rssKilobytes ?? 0) / 1024 };
}

/** A wrapper that writes down the calls it is given, below `calls`, and goes on with kache. */
export function recorderIn(dir: string, calls: string): string {
  mkdirSync(calls, { recursive: true });
  const recorder = join(dir, 'recorder');
  writeFileSync(
    recorder,
    `#!/bin/bash\nd=$(mktemp -d ${calls}/XXXXXX)\nprintf '%s\\0' "$@" > $d/argv\ncat /proc/self/environ > $d/env\npwd > $d/cwd\nexec ${kacheBinary} "$@"\n`,
  );
  chmodSync(recorder, 0o755);
  return recorder;
}

/** The library calls that were written down. */
export function libraryCalls(calls: string): Call[] {
  const nul = (path: string): string[] => readFileSync(path, 'utf8').split('\0').slice(0, -1);
  const recorded = readdirSync(calls).map((name) => ({
    argv: nul(join(calls, name, 'argv')),
    env: Object.fromEntries(
      nul(join(calls, name, 'env')).map((pair) => [
        pair.slice(0, pair.indexOf('=')),
        pair.slice(pair.indexOf('=') + 1),
      ]),
    ),
    cwd: readFileSync(join(calls, name, 'cwd'), 'utf8').trim(),
  }));
  return recorded.filter(
    ({ argv }) =>
      argv[argv.indexOf('--crate-type') + 1] === 'lib' &&
      !argv.includes('___') &&
      argv.includes('--out-dir') &&
      argv.some((arg) => arg.startsWith('extra-filename=')),
  );
}

/** Records the calls of a warm build of the application at `source`. */
function record(source: string, workDir: string): Call[] {
  const state = join(workDir, 'hits');
  rmSync(state, { recursive: true, force: true });
  const calls = join(state, 'calls');
  const recorder = recorderIn(state, calls);
  const env = { KACHE_CACHE_DIR: join(state, 'store') };
  build(checkout(source, join(state, 'a')), { ...env, RUSTC_WRAPPER: kacheBinary });
  build(checkout(source, join(state, 'deeper/b')), { ...env, RUSTC_WRAPPER: recorder });
  return libraryCalls(calls);
}

export function hitCost(source: string, workDir: string): HitCost {
  const hits = record(source, workDir);
  const empty = join(workDir, 'hits', 'empty');
  writeFileSync(`${empty}.ts`, '');
  Bun.spawnSync([
    process.execPath,
    'build',
    '--compile',
    '--bytecode',
    '--format=esm',
    '--minify',
    `${empty}.ts`,
    `--outfile=${empty}`,
  ]);
  const meter = meterIn(join(workDir, 'hits'));
  const costs: Cost[] = [];
  const emptyCosts: Cost[] = [];
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const [index, call] of hits.entries()) {
      // A fresh folder each time, as in a new worktree; removing the last one's links would have the blobs hashed again.
      const out = join(workDir, 'hits', 'out', `${repeat}-${index}`);
      mkdirSync(out, { recursive: true });
      const argv = call.argv.map((arg, at) => (call.argv[at - 1] === '--out-dir' ? out : arg));
      costs.push(run(meter, { ...call, argv: [kacheBinary, ...argv] }));
      emptyCosts.push(run(meter, { ...call, argv: [empty] }));
    }
  }
  rmSync(join(workDir, 'hits'), { recursive: true, force: true });
  return {
    crates: hits.length,
    medianCpuMs: median(costs.map(({ cpuMs }) => cpuMs)),
    p90CpuMs: median(
      costs.map(({ cpuMs }) => cpuMs),
      0.9,
    ),
    medianWallMs: median(costs.map(({ wallMs }) => wallMs)),
    maxRssMb: Math.max(...costs.map(({ rssMb }) => rssMb)),
    emptyCpuMs: median(emptyCosts.map(({ cpuMs }) => cpuMs)),
    emptyRssMb: Math.max(...emptyCosts.map(({ rssMb }) => rssMb)),
  };
}
