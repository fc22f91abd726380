// The calls of rustc that Cargo makes for a project, recorded once and made again by tests: one call takes some tens of
// milliseconds, where a build takes seconds.
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Env, Lab } from './lab.ts';

export interface RustcCall {
  readonly crateName: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Where the outputs go. */
  readonly outDir: string;
}

export interface CallResult {
  readonly status: number | null;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Builds `dir` with plain rustc and returns every compile of a crate, in the order in which Cargo started them. */
export function recordCalls(lab: Lab, dir: string, cargoArgs: readonly string[]): RustcCall[] {
  const records = lab.path('recorded');
  mkdirSync(records, { recursive: true });
  const recorder = lab.path('recorder.sh');
  // One job: the number of files in the folder is the number of calls so far.
  writeFileSync(
    recorder,
    `#!/bin/sh\nn=$(ls ${records} | wc -l)\nenv -0 > ${records}/$n.env\nprintf '%s\\0' "$PWD" "$@" > ${records}/$n.argv\nexec "$@"\n`,
  );
  chmodSync(recorder, 0o755);
  // rustc's own incremental outputs are not the same bytes twice.
  const env: Env = { RUSTC_WRAPPER: recorder, CARGO_INCREMENTAL: '0' };
  const built = lab.cargo(dir, ['build', '--offline', '-j1', ...cargoArgs], { env });
  if (built.status !== 0) throw new Error(built.stderr);
  return readdirSync(records)
    .filter((name) => name.endsWith('.argv'))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .flatMap((name) => readCall(join(records, name)) ?? []);
}

function readCall(path: string): RustcCall | undefined {
  const [cwd = '', ...argv] = readFileSync(path, 'utf8').split('\0').slice(0, -1);
  const after = (flag: string): string | undefined => {
    const at = argv.indexOf(flag);
    return at < 0 ? undefined : argv[at + 1];
  };
  const [crateName, outDir] = [after('--crate-name'), after('--out-dir')];
  // Questions to rustc have no crate, or one whose name says so.
  if (crateName === undefined || crateName === '___' || outDir === undefined) return undefined;
  const env: Record<string, string> = {};
  for (const pair of readFileSync(path.replace(/argv$/, 'env'), 'utf8').split('\0').slice(0, -1)) {
    const at = pair.indexOf('=');
    env[pair.slice(0, at)] = pair.slice(at + 1);
  }
  delete env['RUSTC_WRAPPER'];
  // The jobserver of the recorded build is gone.
  delete env['CARGO_MAKEFLAGS'];
  delete env['MAKEFLAGS'];
  return { crateName, argv, env, cwd, outDir };
}

/** The same call in another checkout. */
export function moved(call: RustcCall, from: string, to: string): RustcCall {
  const move = (text: string): string => text.replaceAll(from, to);
  return {
    crateName: call.crateName,
    argv: call.argv.map(move),
    env: Object.fromEntries(Object.entries(call.env).map(([name, value]) => [name, move(value)])),
    cwd: move(call.cwd),
    outDir: move(call.outDir),
  };
}

/** Makes a call through `binary` (undefined: as it is), as Cargo would. */
export async function make(binary: string | undefined, call: RustcCall, env: Env = {}): Promise<CallResult> {
  mkdirSync(call.outDir, { recursive: true });
  const child = Bun.spawn([...(binary === undefined ? [] : [binary]), ...call.argv], {
    cwd: call.cwd,
    env: { ...call.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return {
    status: child.exitCode,
    signal: child.signalCode === null ? undefined : String(child.signalCode),
    stdout,
    stderr,
  };
}
