// Processes a tool left running: found by the private directory in their environment.
import { readdirSync, readFileSync } from 'node:fs';

/** Ids of live processes whose environment names a path under `directory`. */
export function processesOf(directory: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(
      (id) => Number.isInteger(id) && id !== process.pid && environmentOf(id).includes(`=${directory}`),
    );
}

/** User and system time used so far by these processes; the kernel counts it in ticks of 10 ms. */
export function cpuMsOf(ids: readonly number[]): number {
  return ids.reduce((sum, id) => sum + ticksOf(id) * 10, 0);
}

/** Ends every process `processesOf` finds. */
export function endProcessesOf(directory: string): void {
  for (const id of processesOf(directory)) {
    try {
      process.kill(id, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) {
        throw error;
      }
    }
  }
}

function environmentOf(id: number): string {
  return read(`/proc/${id}/environ`);
}

function ticksOf(id: number): number {
  const fields = read(`/proc/${id}/stat`).split(') ').at(-1)?.split(' ') ?? [];
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

/** A file of /proc, empty when the process ended or belongs to someone else. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
