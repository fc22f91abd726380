// Processes: becoming the real compiler, running it as a child, and ending as it ended.
import { ptr } from 'bun:ffi';
import { listDirectory, readFile, readText, utf8 } from './files.ts';
import { cString, lastError, libc, linux } from './libc.ts';

const F_SETFD = 2;
const SIGPIPE = 13;
const SIGXFSZ = 25;

/** The argument bytes of this process, split; on Linux exactly as given, elsewhere as the runtime decoded them. */
function rawArguments(): Uint8Array[] {
  const raw = linux === undefined ? undefined : readFile('/proc/self/cmdline');
  if (raw === undefined) return [process.execPath, ...process.argv.slice(2)].map(utf8);
  return splitAtNul(raw);
}

function splitAtNul(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from);
    const to = end < 0 ? bytes.length : end;
    parts.push(bytes.slice(from, to));
    from = to + 1;
  }
  return parts;
}

/** A NULL-terminated array of C strings; the returned buffers must outlive the call that reads it. */
function cStrings(strings: readonly Uint8Array[]): { array: BigUint64Array; keep: Uint8Array } {
  const keep = new Uint8Array(strings.reduce((sum, text) => sum + text.length + 1, 0) + 1);
  const array = new BigUint64Array(strings.length + 1);
  const base = BigInt(ptr(keep));
  let at = 0;
  for (const [index, text] of strings.entries()) {
    keep.set(text, at);
    array[index] = base + BigInt(at);
    at += text.length + 1;
  }
  return { array, keep };
}

function rawEnvironment(changes: Readonly<Record<string, string>>): Uint8Array[] {
  const raw = linux === undefined ? undefined : readFile('/proc/self/environ');
  const inherited =
    raw === undefined
      ? Object.entries(process.env).map(([name, value]) => utf8(`${name}=${value}`))
      : splitAtNul(raw);
  const names = Object.keys(changes).map((name) => utf8(`${name}=`));
  const replaced = (item: Uint8Array): boolean =>
    names.some((name) => name.every((byte, at) => item[at] === byte));
  const kept = inherited.filter((item) => item.length > 0 && !replaced(item));
  return [...kept, ...Object.entries(changes).map(([name, value]) => utf8(`${name}=${value}`))];
}

/** The runtime marks every descriptor it inherits close-on-exec; the program we become must have them all. */
function keepDescriptors(): void {
  if (linux === undefined) return;
  for (const { name } of listDirectory('/proc/self/fd') ?? []) {
    const fd = Number(name);
    if (fd > 2 && !isRuntimeDescriptor(fd)) libc.fcntl(fd, F_SETFD, 0);
  }
}

/** Event queues are the runtime's own: no caller hands one on. */
function isRuntimeDescriptor(fd: number): boolean {
  const at = new Uint8Array(256);
  const length = Number(linux?.readlink(cString.encode(`/proc/self/fd/${fd}\0`), ptr(at), at.length) ?? -1);
  return length < 0 || new TextDecoder().decode(at.subarray(0, length)).startsWith('anon_inode:[event');
}

/**
 * Replaces this process by `program`, whose arguments are `leading` (if any) and then this process's own from the first
 * on, byte for byte, with the environment it was started with. Returns only by throwing an OsError.
 */
export const execArguments = (program: string, leading: readonly string[]): never =>
  execRaw(program, [...leading.map(utf8), ...rawArguments().slice(1)]);

/** Replaces this process by `program` with `args`, args[0] included. `env` is put over the inherited environment. */
export const exec = (
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): never => execRaw(program, args.map(utf8), env);

function execRaw(
  program: string,
  args: readonly Uint8Array[],
  changes: Readonly<Record<string, string>> = {},
): never {
  const [argv, envp] = [cStrings(args), cStrings(rawEnvironment(changes))];
  keepDescriptors();
  for (const signal of [SIGPIPE, SIGXFSZ]) libc.signal(signal, null);
  libc.execve(cString.encode(`${program}\0`), ptr(argv.array), ptr(envp.array));
  throw lastError('run', program);
}

/** The descriptors of a make-style jobserver named in MAKEFLAGS; none when it is absent or a named pipe. */
export function jobserverDescriptors(makeflags: string | undefined): number[] {
  const match = /--jobserver-(?:auth|fds)=(\d+),(\d+)/.exec(makeflags ?? '');
  return match === null ? [] : [Number(match[1]), Number(match[2])];
}

export type ExitStatus =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signalled'; readonly signal: NodeJS.Signals };

/** Whether a program did what it was asked for. */
export const succeeded = (status: ExitStatus): boolean => status.kind === 'exited' && status.code === 0;

export interface ChildOptions {
  /** Inherited descriptors that the child gets under their own numbers. */
  readonly descriptors: readonly number[];
  /** Receives the chunks as they come; without it the child writes to our own descriptor. */
  readonly onStdout?: ((chunk: Uint8Array) => void) | undefined;
  readonly onStderr?: ((chunk: Uint8Array) => void) | undefined;
  /** The child's whole environment; without it, ours. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a child to its end. SIGINT, SIGTERM and SIGHUP sent to us reach it. Throws when it cannot be started. */
export async function runChild(argv: readonly string[], options: ChildOptions): Promise<ExitStatus> {
  const extra: (number | null)[] = [];
  for (const fd of options.descriptors) {
    while (extra.length < fd - 3) extra.push(null);
    extra[fd - 3] = fd;
  }
  const child = Bun.spawn([...argv], {
    ...(options.env === undefined ? {} : { env: options.env }),
    stdio: [
      'inherit',
      options.onStdout === undefined ? 'inherit' : 'pipe',
      options.onStderr === undefined ? 'inherit' : 'pipe',
      ...extra,
    ],
  });
  const forward = (signal: NodeJS.Signals): void => child.kill(signal);
  const forwarded: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of forwarded) process.on(signal, forward);
  const ends = await Promise.allSettled([
    pump(child.stdout, options.onStdout),
    pump(child.stderr, options.onStderr),
    child.exited,
  ]);
  for (const signal of forwarded) process.off(signal, forward);
  // Only now: whoever handles a receiver's failure must not find the child still at work.
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return child.signalCode === null
    ? { kind: 'exited', code: child.exitCode ?? 1 }
    : { kind: 'signalled', signal: child.signalCode as NodeJS.Signals };
}

async function pump(
  stream: ReadableStream<Uint8Array> | undefined,
  receive: ((chunk: Uint8Array) => void) | undefined,
): Promise<void> {
  if (stream === undefined || receive === undefined) return;
  for await (const chunk of stream) receive(chunk);
}

/** Ends this process as a child ended: with its code, or by its signal. */
export function endLike(status: ExitStatus): never {
  if (status.kind === 'exited') process.exit(status.code);
  const number = SIGNALS[status.signal] ?? 15;
  libc.signal(number, null);
  libc.kill(process.pid, number);
  process.exit(128 + number);
}

const SIGNALS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGBUS: process.platform === 'darwin' ? 10 : 7,
  SIGUSR1: process.platform === 'darwin' ? 30 : 10,
  SIGUSR2: process.platform === 'darwin' ? 31 : 12,
};

/** The signal of a number; one of no name here counts as SIGTERM. */
export const signalCalled = (number: number): NodeJS.Signals =>
  (Object.keys(SIGNALS) as NodeJS.Signals[]).find((name) => SIGNALS[name] === number) ?? 'SIGTERM';

/** Whether a process of this number lives, as far as we can see it. */
export const isRunning = (pid: number): boolean =>
  libc.kill(pid, 0) === 0 || lastError('ask', `process ${pid}`).code === 'EPERM';

/** Runs a short program and returns its stdout; undefined when it cannot be started or fails. */
export function outputOf(argv: readonly string[]): string | undefined {
  try {
    const result = Bun.spawnSync([...argv], { stdin: 'ignore', stdout: 'pipe', stderr: 'ignore' });
    return result.exitCode === 0 ? result.stdout.toString() : undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/** Starts a helper that outlives us and holds none of our descriptors; false when it cannot be started. */
export function startDetached(argv: readonly string[], env: Readonly<Record<string, string>> = {}): boolean {
  try {
    Bun.spawn([...argv], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    }).unref();
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}

/** Tells one boot of the machine from the next. */
export function bootId(): string {
  const id = linux === undefined ? undefined : readText('/proc/sys/kernel/random/boot_id')?.trim();
  if (id !== undefined) return id;
  const bootedAtMinutes = Math.round((Date.now() / 1000 - process.getBuiltinModule('node:os').uptime()) / 60);
  return `boot-${bootedAtMinutes}`;
}
