// Running programs: captured for questions, timed for builds.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

export type Environment = Record<string, string>;

/** A short command's standard output, trimmed; throws with its stderr when it fails. */
export function capture(command: string[], options: { cwd?: string; env?: Environment } = {}): string {
  const [program = '', ...args] = command;
  const result = spawnSync(program, args, {
    ...options,
    env: options.env ?? process.env,
    encoding: 'utf8',
    maxBuffer: 256 << 20,
  });
  if (result.error !== undefined || result.status !== 0) {
    const why =
      result.error?.message ?? `${result.signal ?? `exit ${result.status}`}: ${result.stderr.trim()}`;
    throw new Error(`Cannot run "${command.join(' ')}": ${why}`);
  }
  return result.stdout.trim();
}

/** As `capture`, but null when the program is missing or fails. */
export function tryCapture(
  command: string[],
  options: { cwd?: string; env?: Environment } = {},
): string | null {
  try {
    return capture(command, options);
  } catch {
    return null;
  }
}

export type Run =
  | { kind: 'succeeded'; wallMs: number; cpuMs: number; stdout: string }
  | { kind: 'failed'; message: string; stderrTail: string };

/**
 * Runs a command to its end and times it. Its output goes to files under `logs`, not into pipes, which a
 * background process started by the command could hold open. Throws only when `signal` was aborted.
 */
export async function timed(
  command: string[],
  place: { cwd: string; env: Environment; logs: string; signal: AbortSignal },
): Promise<Run> {
  place.signal.throwIfAborted();
  const stdout = Bun.file(join(place.logs, 'stdout'));
  const stderr = Bun.file(join(place.logs, 'stderr'));
  for (const log of [stdout, stderr]) {
    await Bun.write(log, '');
  }
  const start = performance.now();
  const child = Bun.spawn(command, {
    cwd: place.cwd,
    env: place.env,
    signal: place.signal,
    stdin: 'ignore',
    stdout,
    stderr,
  });
  const status = await child.exited;
  const wallMs = performance.now() - start;
  place.signal.throwIfAborted();
  if (status !== 0) {
    const message = `"${command.join(' ')}" ended with ${child.signalCode ?? status}`;
    return { kind: 'failed', message, stderrTail: tail(await stderr.text()) };
  }
  const cpuMs = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000;
  return { kind: 'succeeded', wallMs, cpuMs, stdout: await stdout.text() };
}

function tail(text: string): string {
  return text.trimEnd().split('\n').slice(-30).join('\n');
}
