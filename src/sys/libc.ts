// The C library, opened through bun:ffi, and every number that differs between platforms. node:fs would cost each
// wrapper process 0.7 ms; twenty symbols of libc cost 0.2 ms.
import { dlopen, FFIType, type Pointer, read } from 'bun:ffi';

export const isLinux = process.platform === 'linux';
export const isMac = process.platform === 'darwin';

/** Flags for {@link openFile} and friends; the values are the kernel's. */
export const O = isMac
  ? {
      RDONLY: 0,
      WRONLY: 1,
      RDWR: 2,
      CREAT: 0x200,
      EXCL: 0x800,
      TRUNC: 0x400,
      APPEND: 8,
      CLOEXEC: 0x1000000,
      NONBLOCK: 4,
      DIRECTORY: 0x100000,
    }
  : {
      RDONLY: 0,
      WRONLY: 1,
      RDWR: 2,
      CREAT: 0o100,
      EXCL: 0o200,
      TRUNC: 0o1000,
      APPEND: 0o2000,
      CLOEXEC: 0o2000000,
      NONBLOCK: 0o4000,
      DIRECTORY: process.arch === 'arm64' ? 0o40000 : 0o200000,
    };

const common = {
  open: { args: ['ptr', 'i32', 'i32'], returns: 'i32' },
  close: { args: ['i32'], returns: 'i32' },
  read: { args: ['i32', 'ptr', 'u64'], returns: FFIType.i64_fast },
  write: { args: ['i32', 'ptr', 'u64'], returns: FFIType.i64_fast },
  link: { args: ['ptr', 'ptr'], returns: 'i32' },
  unlink: { args: ['ptr'], returns: 'i32' },
  rename: { args: ['ptr', 'ptr'], returns: 'i32' },
  mkdir: { args: ['ptr', 'i32'], returns: 'i32' },
  ftruncate: { args: ['i32', 'i64'], returns: 'i32' },
  fchmod: { args: ['i32', 'i32'], returns: 'i32' },
  flock: { args: ['i32', 'i32'], returns: 'i32' },
  fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  realpath: { args: ['ptr', 'ptr'], returns: 'ptr' },
  utimensat: { args: ['i32', 'ptr', 'ptr', 'i32'], returns: 'i32' },
  access: { args: ['ptr', 'i32'], returns: 'i32' },
  signal: { args: ['i32', 'ptr'], returns: 'ptr' },
  kill: { args: ['i32', 'i32'], returns: 'i32' },
  execve: { args: ['ptr', 'ptr', 'ptr'], returns: 'i32' },
} as const;

const linuxOnly = {
  __errno_location: { args: [], returns: 'ptr' },
  statx: { args: ['i32', 'ptr', 'i32', 'u32', 'ptr'], returns: 'i32' },
  ioctl: { args: ['i32', 'u64', 'i32'], returns: 'i32' },
  copy_file_range: { args: ['i32', 'ptr', 'i32', 'ptr', 'u64', 'u32'], returns: FFIType.i64_fast },
  clock_gettime: { args: ['i32', 'ptr'], returns: 'i32' },
  syscall: { args: ['i64', 'i64', 'ptr', 'i64'], returns: FFIType.i64_fast },
  readlink: { args: ['ptr', 'ptr', 'u64'], returns: FFIType.i64_fast },
  inotify_init1: { args: ['i32'], returns: 'i32' },
  inotify_add_watch: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
} as const;

const macOnly = {
  __error: { args: [], returns: 'ptr' },
  fstatat: { args: ['i32', 'ptr', 'ptr', 'i32'], returns: 'i32' },
  fstat: { args: ['i32', 'ptr'], returns: 'i32' },
  clonefile: { args: ['ptr', 'ptr', 'u32'], returns: 'i32' },
} as const;

function openLinux() {
  const table = { ...common, ...linuxOnly };
  try {
    return dlopen('libc.so.6', table).symbols;
  } catch {
    // musl has no libc.so.6; the name it has carries the architecture.
    return dlopen(`libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`, table).symbols;
  }
}

/** What only Linux has; undefined elsewhere. */
export const linux = isLinux ? openLinux() : undefined;
/** What only macOS has; undefined elsewhere. */
export const mac = isMac ? dlopen('libSystem.B.dylib', { ...common, ...macOnly }).symbols : undefined;
/** What both have. The wrapper does not get here on other platforms. */
export const libc = (linux ?? mac) as NonNullable<typeof linux | typeof mac>;

const errnoAt = (linux?.__errno_location() ?? mac?.__error()) as Pointer;

/** errno of the calling thread; only meaningful directly after a call that failed. */
export const errno = (): number => read.i32(errnoAt, 0);

const NAMES: Record<number, string> = isMac
  ? {
      1: 'EPERM',
      2: 'ENOENT',
      4: 'EINTR',
      13: 'EACCES',
      17: 'EEXIST',
      18: 'EXDEV',
      20: 'ENOTDIR',
      21: 'EISDIR',
      22: 'EINVAL',
      23: 'ENFILE',
      24: 'EMFILE',
      25: 'ENOTTY',
      28: 'ENOSPC',
      30: 'EROFS',
      31: 'EMLINK',
      32: 'EPIPE',
      35: 'EAGAIN',
      45: 'ENOTSUP',
      62: 'ELOOP',
      63: 'ENAMETOOLONG',
      66: 'ENOTEMPTY',
      69: 'EDQUOT',
      70: 'ESTALE',
    }
  : {
      1: 'EPERM',
      2: 'ENOENT',
      4: 'EINTR',
      5: 'EIO',
      11: 'EAGAIN',
      12: 'ENOMEM',
      13: 'EACCES',
      16: 'EBUSY',
      17: 'EEXIST',
      18: 'EXDEV',
      20: 'ENOTDIR',
      21: 'EISDIR',
      22: 'EINVAL',
      23: 'ENFILE',
      24: 'EMFILE',
      25: 'ENOTTY',
      26: 'ETXTBSY',
      28: 'ENOSPC',
      30: 'EROFS',
      31: 'EMLINK',
      32: 'EPIPE',
      36: 'ENAMETOOLONG',
      38: 'ENOSYS',
      39: 'ENOTEMPTY',
      40: 'ELOOP',
      95: 'ENOTSUP',
      116: 'ESTALE',
      122: 'EDQUOT',
    };

/** A failed call of the operating system. `code` is the errno name (`ENOENT`), or `E<number>` for rare ones. */
export class OsError extends Error {
  override readonly name = 'OsError';
  readonly code: string;
  readonly operation: string;
  readonly path: string;

  constructor(operation: string, path: string, code: string) {
    super(`Cannot ${operation} "${path}": ${code}`);
    this.code = code;
    this.operation = operation;
    this.path = path;
  }
}

/** The error of the call that has just failed. */
export function lastError(operation: string, path: string): OsError {
  const number = errno();
  return new OsError(operation, path, NAMES[number] ?? `E${number}`);
}

/**
 * Makes C strings: `cString.encode(`${path}\0`)`, written out at each call. A helper of our own would be called often enough
 * in one hit for the runtime to start its compiler threads, which costs half a millisecond.
 */
export const cString = new TextEncoder();
