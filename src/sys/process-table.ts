// Which processes there are: whether one that noted its number still runs. Cold.
import { readText } from './files.ts';
import { linux } from './libc.ts';

/** A clock tick of /proc is a hundredth of a second on every Linux. */
const TICK_MS = 10;
/** What clocks may differ by. */
const TOLERANCE_MS = 2000;

/** Whether process `pid`, noted at `notedMs` (milliseconds since the epoch), is still there, and no later one of that number. */
export function stillRuns(pid: number, notedMs: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process: it is there, and may not be signalled.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  const startedMs = processStartMs(pid);
  return startedMs === undefined || startedMs <= notedMs + TOLERANCE_MS;
}

/** When a process began, in ticks since the system did, as /proc has it; undefined where that does not tell. */
export function startOf(pid: number): string | undefined {
  const text = readText(`/proc/${pid}/stat`);
  // The name of the program, in parentheses, may hold spaces and parentheses.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}

/** Whose a process is, and what it takes from the modes of files it makes; undefined what is not told. */
export function identityOf(pid: number): {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly umask: number | undefined;
} {
  // Not by its number, which may be another one's in the /proc that is mounted here.
  if (pid === process.pid)
    return { uid: process.getuid?.(), gid: process.getgid?.(), umask: process.umask() };
  const status = readText(`/proc/${pid}/status`) ?? '';
  const told = (name: string, radix: number): number | undefined => {
    const digits = new RegExp(`^${name}:\\t(\\d+)`, 'm').exec(status)?.[1];
    return digits === undefined ? undefined : Number.parseInt(digits, radix);
  };
  return { uid: told('Uid', 10), gid: told('Gid', 10), umask: told('Umask', 8) };
}

/** Undefined where the system does not tell. */
function processStartMs(pid: number): number | undefined {
  if (linux === undefined) return undefined;
  const started = startOf(pid);
  // The clock first: whoever is held up between the two takes the process for older, never for a later one.
  const nowMs = Date.now();
  const ticks = Number(started);
  const uptimeSeconds = Number(readText('/proc/uptime')?.split(' ')[0]);
  if (!Number.isFinite(ticks) || !Number.isFinite(uptimeSeconds)) return undefined;
  return nowMs - uptimeSeconds * 1000 + ticks * TICK_MS;
}
