// A C library with faults, for tests: imported before the program, it puts itself between the program and the calls that
// reach a file system. It is a module of the test build only, so the binary people use holds none of it.
//
//   KACHE_TEST_FAULT   `<operation> <n or every> <effect> [<pattern of a path>]`, several separated by `;`
//   KACHE_TEST_TRACE   a file that gets one line for each changing operation, and one that begins with `!` for each
//                      operation that was struck, so that a test knows what there is and when it has seen all of it
//   KACHE_TEST_WHILE   a file; while it is not there nothing fails, counts or is noted
//   KACHE_TEST_BOOT    a file to read instead of the kernel's boot id
//
// Operations: create, write, link, unlink, rename, mkdir, touch, truncate, chmod, reflink, copy, lock change something,
// and `any` stands for all of them; open, read, stat, list and close do not. Effects: `die` (SIGKILL before the
// operation), `die-midway` (half of the bytes are written), `short` (half of the bytes, which is legal), `full` (half
// of the bytes, and from then on the disk is full), or the name of an error.
import { type Pointer, toArrayBuffer } from 'bun:ffi';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { libc, linux, O } from '../../src/sys/libc.ts';

type Operation =
  | 'create'
  | 'write'
  | 'link'
  | 'unlink'
  | 'rename'
  | 'mkdir'
  | 'touch'
  | 'truncate'
  | 'chmod'
  | 'reflink'
  | 'copy'
  | 'lock'
  | 'open'
  | 'read'
  | 'stat'
  | 'list'
  | 'close';

const HARMLESS: readonly string[] = ['open', 'read', 'stat', 'list', 'close'] satisfies Operation[];
/** What takes room on a disk. */
const TAKES_ROOM: readonly string[] = ['create', 'write', 'mkdir', 'copy', 'link'] satisfies Operation[];

/** A call of the C library as bun:ffi makes it: numbers, pointers and the arrays they point to. */
type Call = (...args: unknown[]) => unknown;
type Transfer = (length: number) => unknown;

interface Fault {
  readonly operation: string;
  readonly nth: number | 'every';
  readonly effect: string;
  readonly path: RegExp;
  seen: number;
}

const table = libc as unknown as Record<string, Call>;
const real: Readonly<Record<string, Call>> = { ...table };
const original = (name: string): Call => {
  const call = real[name];
  if (call === undefined) throw new Error(`the C library has no ${name}`);
  return call;
};

const faults: Fault[] = (process.env['KACHE_TEST_FAULT'] ?? '')
  .split(';')
  .filter((text) => text !== '')
  .map((text) => {
    const [operation = '', nth = '', effect = '', path = ''] = text.trim().split(' ');
    return {
      operation,
      nth: nth === 'every' ? nth : Number(nth),
      effect,
      path: new RegExp(path),
      seen: 0,
    };
  });
const state = { full: false };
const tracePath = process.env['KACHE_TEST_TRACE'];
const whilePath = process.env['KACHE_TEST_WHILE'];
const bootPath = process.env['KACHE_TEST_BOOT'];

const errnoAt = linux?.__errno_location() as Pointer;
const errnoCell = new Int32Array(toArrayBuffer(errnoAt, 0, 4));

function fail(name: string): number {
  const number = (constants.errno as Readonly<Record<string, number>>)[name];
  if (number === undefined) throw new Error(`no error is called ${name}`);
  errnoCell[0] = number;
  return -1;
}

function die(): never {
  original('kill')(process.pid, 9);
  throw new Error('SIGKILL was survived');
}

const decoder = new TextDecoder();
const text = (at: unknown): string =>
  at instanceof Uint8Array ? decoder.decode(at.subarray(0, at.indexOf(0))) : '';
const cString = (path: string): Uint8Array => new TextEncoder().encode(`${path}\0`);

/** Paths of the descriptors that were opened here: standard streams and pipes are not a file system's. */
const paths = new Map<number, string>();

function trace(operation: string, path: string): void {
  if (tracePath === undefined) return;
  const line = new TextEncoder().encode(`${operation} ${path}\n`);
  const fd = original('open')(cString(tracePath), O.WRONLY | O.CREAT | O.APPEND, 0o600);
  original('write')(fd, line, line.length);
  original('close')(fd);
}

/** Whether it is the time for faults. */
const isTime = (): boolean => whilePath === undefined || existsSync(whilePath);

/** The fault that strikes now. */
function strike(operation: Operation, path: string): string | undefined {
  if (!isTime()) return undefined;
  let effect: string | undefined;
  for (const fault of faults) {
    const matches =
      fault.operation === operation || (fault.operation === 'any' && !HARMLESS.includes(operation));
    if (!matches || !fault.path.test(path)) continue;
    fault.seen++;
    if (fault.nth === 'every' || fault.seen === fault.nth) effect ??= fault.effect;
  }
  if (state.full && TAKES_ROOM.includes(operation)) effect ??= 'ENOSPC';
  if (effect !== undefined) trace(`! ${effect} ${operation}`, path);
  return effect;
}

/** Performs an operation, or what is to happen instead; `transfer` moves at most so many bytes. */
function perform(
  operation: Operation,
  path: string,
  how: { whole: () => unknown; transfer?: Transfer; length?: number },
): unknown {
  if (!HARMLESS.includes(operation) && isTime()) trace(operation, path);
  const effect = strike(operation, path);
  if (effect === undefined) return how.whole();
  const half = Math.max(1, Math.floor((how.length ?? 0) / 2));
  const partly = (): unknown => (how.transfer === undefined ? how.whole() : how.transfer(half));
  if (effect === 'die') die();
  if (effect === 'die-midway') {
    if (how.transfer !== undefined) how.transfer(half);
    die();
  }
  if (effect === 'full') {
    state.full = true;
    return how.transfer === undefined ? fail('ENOSPC') : partly();
  }
  return effect === 'short' ? partly() : fail(effect);
}

/** Wraps a call whose first path or descriptor is at `at`. */
function wrap(name: string, operation: Operation, at: number): void {
  const call = original(name);
  table[name] = (...args) => {
    const subject = args[at];
    const path = typeof subject === 'number' ? paths.get(subject) : text(subject);
    return path === undefined ? call(...args) : perform(operation, path, { whole: () => call(...args) });
  };
}

wrap('link', 'link', 1);
wrap('unlink', 'unlink', 0);
wrap('rename', 'rename', 1);
wrap('mkdir', 'mkdir', 0);
wrap('utimensat', 'touch', 1);
wrap('ftruncate', 'truncate', 0);
wrap('fchmod', 'chmod', 0);
wrap('ioctl', 'reflink', 0);
wrap('flock', 'lock', 0);
wrap('read', 'read', 0);
wrap('statx', 'stat', 1);
wrap('syscall', 'list', 1);

table['open'] = (...args) => {
  const path = text(args[0]);
  if (bootPath !== undefined && path === '/proc/sys/kernel/random/boot_id')
    return original('open')(cString(bootPath), ...args.slice(1));
  const flags = Number(args[1]);
  const operation = flags & (O.CREAT | O.WRONLY | O.RDWR) ? 'create' : 'open';
  const fd = Number(perform(operation, path, { whole: () => original('open')(...args) }));
  if (fd >= 0) paths.set(fd, path);
  return fd;
};

/** A close that fails has closed all the same: it tells of writes that came to nothing. */
table['close'] = (fd) => {
  const path = paths.get(Number(fd));
  paths.delete(Number(fd));
  const effect = path === undefined ? undefined : strike('close', path);
  const result = original('close')(fd);
  return effect === undefined ? result : fail(effect);
};

table['write'] = (fd, bytes, length) => {
  const path = paths.get(Number(fd));
  const transfer = (count: number): unknown => original('write')(fd, bytes, count);
  const whole = (): unknown => original('write')(fd, bytes, length);
  return path === undefined ? whole() : perform('write', path, { whole, transfer, length: Number(length) });
};

/** The length asked for is a limit, so half of what is left is found by asking the source. */
table['copy_file_range'] = (...args) => {
  const [from, , to] = args;
  const transfer = (count: number): unknown => original('copy_file_range')(...args.slice(0, 4), count, 0);
  const buffer = new Uint8Array(256);
  original('statx')(from, cString(''), 0x1000, 0x7ff, buffer);
  const size = Number(new DataView(buffer.buffer).getBigInt64(40, true));
  const whole = (): unknown => original('copy_file_range')(...args);
  return perform('copy', paths.get(Number(to)) ?? '', { whole, transfer, length: size });
};
