// What one hit costs as a whole process: every library call of a warm build is recorded and played again into an empty
// folder, beside a program of the same runtime that does nothing.
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, checkout } from './phases.ts';
import { forget, kacheBinary, launcherIn, stopDaemon } from './tools.ts';

export interface HitCost {
  readonly crates: number;
  /** Behind the launcher, as `kache init` sets it up on Linux. */
  readonly launched: Costs & {
    /** What the daemon takes for one of them, on average, when it has answered as many before. */
    readonly daemonCpuMs: number;
    readonly daemonRssMb: number;
  };
  /** The binary alone. */
  readonly alone: Costs;
  /** A program of the same runtime that does nothing. */
  readonly empty: Costs;
}

/** Of many calls, each a process. */
export interface Costs {
  readonly medianCpuMs: number;
  readonly p90CpuMs: number;
  readonly medianWallMs: number;
  readonly maxRssMb: number;
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
  forget(state);
  const calls = join(state, 'calls');
  const recorder = recorderIn(state, calls);
  const env = { KACHE_CACHE_DIR: join(state, 'store') };
  build(checkout(source, join(state, 'a')), { ...env, RUSTC_WRAPPER: kacheBinary });
  build(checkout(source, join(state, 'deeper/b')), { ...env, RUSTC_WRAPPER: recorder });
  return libraryCalls(calls);
}

const costsOf = (costs: readonly Cost[]): Costs => ({
  medianCpuMs: median(costs.map(({ cpuMs }) => cpuMs)),
  p90CpuMs: median(
    costs.map(({ cpuMs }) => cpuMs),
    0.9,
  ),
  medianWallMs: median(costs.map(({ wallMs }) => wallMs)),
  maxRssMb: Math.max(...costs.map(({ rssMb }) => rssMb)),
});

/** The CPU time of a process so far, in milliseconds, and what it has resident now. */
export function usedBy(pid: number): { cpuMs: number; rssMb: number } {
  const [, text = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const fields = text.split(' ');
  const TICK_MS = 10;
  const resident = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS, rssMb: Number(resident) / 1024 };
}

interface DaemonNow {
  readonly pid: number;
  readonly hits: number;
  readonly compiles: number;
}

/** Starts the daemon of the store when there is none. */
export function daemonOf(cacheDir: string): DaemonNow {
  const env = { ...process.env, KACHE_CACHE_DIR: cacheDir };
  Bun.spawnSync([kacheBinary, 'daemon', 'start'], { env });
  return JSON.parse(
    Bun.spawnSync([kacheBinary, 'daemon', 'status', '--json'], { env }).stdout.toString(),
  ) as DaemonNow;
}

export function hitCost(source: string, workDir: string): HitCost {
  const hits = record(source, workDir);
  const [state, store] = [join(workDir, 'hits'), join(workDir, 'hits', 'store')];
  const empty = join(state, 'empty');
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
  const meter = meterIn(state);
  const launcher = launcherIn(join(state, 'cargo'), store);
  const { pid } = daemonOf(store);
  const costs: Record<'launched' | 'alone' | 'empty', Cost[]> = { launched: [], alone: [], empty: [] };
  const play = (kind: keyof typeof costs, program: string, round: string): void => {
    for (const [index, call] of hits.entries()) {
      // A fresh folder each time, as in a new worktree; removing the last one's links would have the blobs hashed again.
      const out = join(state, 'out', `${kind}-${round}-${index}`);
      mkdirSync(out, { recursive: true });
      const argv = call.argv.map((arg, at) => (call.argv[at - 1] === '--out-dir' ? out : arg));
      costs[kind].push(run(meter, { ...call, argv: kind === 'empty' ? [program] : [program, ...argv] }));
    }
  };
  for (let repeat = 0; repeat < REPEATS; repeat++) play('launched', launcher, `before-${repeat}`);
  costs.launched.length = 0;
  const [before, answered] = [usedBy(pid), daemonOf(store).hits];
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    play('alone', kacheBinary, `${repeat}`);
    play('empty', empty, `${repeat}`);
    play('launched', launcher, `${repeat}`);
  }
  const after = usedBy(pid);
  const count = daemonOf(store).hits - answered;
  if (count !== hits.length * REPEATS)
    throw new Error(
      `The daemon answered ${count} of ${hits.length * REPEATS} calls: these are not its costs.`,
    );
  stopDaemon(store);
  forget(state);
  return {
    crates: hits.length,
    launched: {
      ...costsOf(costs.launched),
      daemonCpuMs: (after.cpuMs - before.cpuMs) / count,
      daemonRssMb: after.rssMb,
    },
    alone: costsOf(costs.alone),
    empty: costsOf(costs.empty),
  };
}
