// A child process with its output. One that does not end is killed, and is an error of the run.
import type { Env } from '../support/lab.ts';

/** Far above what any step takes: whoever needs longer hangs. */
const LIMIT_MS = 900_000;

export interface Done {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function spawn(
  argv: readonly string[],
  options: { readonly cwd: string; readonly env: Env },
): Promise<Done> {
  const child = Bun.spawn([...argv], {
    cwd: options.cwd,
    env: { ...options.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.signalCode === 'SIGKILL')
    throw new Error(
      `Cannot go on after "${argv.join(' ')}": it did not end in ${LIMIT_MS / 1000} s. Look for a hang.`,
    );
  // A program may die by another signal without kache, too: then both do.
  return { status: child.exitCode ?? -1, stdout, stderr };
}
