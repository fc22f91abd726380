// Files and folders through libc: stat, read, write, rename, list. Every call that fails throws an OsError, except
// where the doc of the function names the states it returns as a value.
import { type Pointer, ptr } from 'bun:ffi';
import { cString, isMac, lastError, libc, linux, mac, O, OsError } from './libc.ts';
import { dirname } from './paths.ts';

/** What stat(2) says of one file. Times are split into seconds and nanoseconds, exact as the kernel keeps them. */
export interface FileStat {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly size: number;
  readonly blocks: number;
  readonly ino: bigint;
  readonly dev: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
}

const AT_FDCWD = isMac ? -2 : -100;
const AT_SYMLINK_NOFOLLOW = isMac ? 0x20 : 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC = 0x7ff;
const statBuffer = new DataView(new ArrayBuffer(256));
const statAt = ptr(statBuffer);

/** struct statx, the same on every Linux architecture; on macOS struct stat with 64-bit inodes. */
function decodeStat(): FileStat {
  const view = statBuffer;
  if (isMac) {
    return {
      dev: view.getInt32(0, true),
      mode: view.getUint16(4, true),
      nlink: view.getUint16(6, true),
      ino: view.getBigUint64(8, true),
      uid: view.getUint32(16, true),
      mtimeSec: Number(view.getBigInt64(48, true)),
      mtimeNsec: Number(view.getBigInt64(56, true)),
      ctimeSec: Number(view.getBigInt64(64, true)),
      ctimeNsec: Number(view.getBigInt64(72, true)),
      size: Number(view.getBigInt64(96, true)),
      blocks: Number(view.getBigInt64(104, true)),
    };
  }
  return {
    nlink: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    mode: view.getUint16(28, true),
    ino: view.getBigUint64(32, true),
    size: Number(view.getBigInt64(40, true)),
    blocks: Number(view.getBigInt64(48, true)),
    ctimeSec: Number(view.getBigInt64(96, true)),
    ctimeNsec: view.getUint32(104, true),
    mtimeSec: Number(view.getBigInt64(112, true)),
    mtimeNsec: view.getUint32(120, true),
    dev: view.getUint32(136, true) * 0x100000 + view.getUint32(140, true),
  };
}

function statWith(path: string, flags: number): FileStat | undefined {
  const failed =
    linux === undefined
      ? mac?.fstatat(AT_FDCWD, cString.encode(`${path}\0`), statAt, flags)
      : linux.statx(AT_FDCWD, cString.encode(`${path}\0`), flags, STATX_BASIC, statAt);
  if (failed === 0) return decodeStat();
  const error = lastError('stat', path);
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

/** Follows symbolic links; undefined when there is no such file. */
export const stat = (path: string): FileStat | undefined => statWith(path, 0);

/** Does not follow a final symbolic link; undefined when there is no such file. */
export const lstat = (path: string): FileStat | undefined => statWith(path, AT_SYMLINK_NOFOLLOW);

/** The empty C string. Passed as the array it is: of a bare pointer nothing would keep the memory. */
const emptyPath = new Uint8Array(1);

export function fstat(fd: number): FileStat {
  const failed =
    linux === undefined
      ? mac?.fstat(fd, statAt)
      : linux.statx(fd, emptyPath, AT_EMPTY_PATH, STATX_BASIC, statAt);
  if (failed !== 0) throw lastError('stat', `fd ${fd}`);
  return decodeStat();
}

const S_IFMT = 0o170000;
export const isDirectory = (info: FileStat): boolean => (info.mode & S_IFMT) === 0o040000;
export const isRegular = (info: FileStat): boolean => (info.mode & S_IFMT) === 0o100000;
export const isSymlink = (info: FileStat): boolean => (info.mode & S_IFMT) === 0o120000;

/** The state of a file as one comparable value: size, times and inode. A change of content changes it, up to the clock's granularity. */
export type StatSignature = string & { readonly brand: 'StatSignature' };

export const signatureOf = (info: FileStat): StatSignature =>
  `${info.ino}:${info.size}:${info.mtimeSec}.${info.mtimeNsec}:${info.ctimeSec}.${info.ctimeNsec}` as StatSignature;

/** Whether nobody has written to a file between two looks at it, up to the clock's granularity; links may have come or gone. */
export const holdsTheSame = (a: FileStat, b: FileStat): boolean =>
  a.ino === b.ino && a.size === b.size && a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec;

/** The later of mtime and ctime, in milliseconds since the epoch. */
export const touchedMs = (info: FileStat): number =>
  Math.max(info.mtimeSec * 1000 + info.mtimeNsec / 1e6, info.ctimeSec * 1000 + info.ctimeNsec / 1e6);

/** An open file descriptor (close-on-exec), closed at the end of its scope. */
export class OpenFile implements Disposable {
  readonly fd: number;
  readonly path: string;
  #isClosed = false;

  constructor(fd: number, path: string) {
    this.fd = fd;
    this.path = path;
  }

  /** Closes a file that was written; here a network file system or a quota may still refuse what write(2) took. */
  finish(): void {
    this.#isClosed = true;
    if (libc.close(this.fd) !== 0) throw lastError('write', this.path);
  }

  [Symbol.dispose](): void {
    if (!this.#isClosed) libc.close(this.fd);
  }
}

/** Opens `path` with `O` flags; `mode` applies to a file that is created. */
export function openFile(path: string, flags: number, mode = 0o644): OpenFile {
  const fd = libc.open(cString.encode(`${path}\0`), flags | O.CLOEXEC, mode);
  if (fd < 0) throw lastError(flags & O.CREAT ? 'create' : 'open', path);
  // Apple's arm64 passes variadic arguments on the stack, where this call cannot put the mode.
  if (isMac && flags & O.CREAT) libc.fchmod(fd, mode);
  return new OpenFile(fd, path);
}

const chunk = new Uint8Array(64 * 1024);
const chunkAt = ptr(chunk);

function readInto(file: OpenFile, at: Pointer, length: number): number {
  const count = libc.read(file.fd, at, length);
  if (count < 0) throw lastError('read', file.path);
  return Number(count);
}

/** The rest of an open regular file. */
export function readAll(file: OpenFile): Uint8Array {
  const first = readInto(file, chunkAt, chunk.length);
  if (first < chunk.length) return chunk.slice(0, first);
  let bytes = new Uint8Array(Math.max(fstat(file.fd).size + 1, first * 2));
  bytes.set(chunk);
  let length = first;
  for (;;) {
    if (length === bytes.length) {
      const larger = new Uint8Array(bytes.length * 2);
      larger.set(bytes);
      bytes = larger;
    }
    const count = readInto(file, ptr(bytes, length), bytes.length - length);
    if (count === 0) return bytes.subarray(0, length);
    length += count;
  }
}

/** Undefined when it does not exist. */
function openToRead(path: string): OpenFile | undefined {
  const fd = libc.open(cString.encode(`${path}\0`), O.RDONLY | O.CLOEXEC, 0);
  if (fd >= 0) return new OpenFile(fd, path);
  const error = lastError('open', path);
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

/** The content of a file, or undefined when it does not exist. */
export function readFile(path: string): Uint8Array | undefined {
  using file = openToRead(path);
  return file === undefined ? undefined : readAll(file);
}

/** Large enough that what is done with a piece costs more than to ask for it, and small enough for the processor's cache. */
const LARGE_PIECE_BYTES = 256 * 1024;

/**
 * Hands a file's content on in pieces, all in the same memory: each one, and the same with the `overlap` bytes that came
 * before it in front. `visit` keeps neither. False when the file does not exist.
 */
export function readOverlapping(
  path: string,
  overlap: number,
  visit: (piece: Uint8Array, withOverlap: Uint8Array) => void,
): boolean {
  using file = openToRead(path);
  if (file === undefined) return false;
  const memory = new Uint8Array(overlap + Math.min(LARGE_PIECE_BYTES, fstat(file.fd).size + 1));
  for (let before = 0; ; ) {
    const count = readInto(file, ptr(memory, before), memory.length - before);
    if (count === 0) return true;
    const end = before + count;
    visit(memory.subarray(before, end), memory.subarray(0, end));
    const kept = Math.min(overlap, end);
    memory.copyWithin(0, end - kept, end);
    before = kept;
  }
}

/**
 * Hands a file's content on in pieces of 64 KiB, each in the same memory: fresh memory for a whole file costs as much as
 * hashing it, and for a small one as much as opening and reading it. `visit` reads nothing itself. False when the file does
 * not exist.
 */
export function readPieces(path: string, visit: (piece: Uint8Array) => void): boolean {
  using file = openToRead(path);
  if (file === undefined) return false;
  for (;;) {
    const count = readInto(file, chunkAt, chunk.length);
    if (count === 0) return true;
    visit(chunk.subarray(0, count));
  }
}

/** The first bytes of a file, at most `length` and 64 KiB; none when it does not exist or is no file. */
export function readStart(path: string, length: number): Uint8Array {
  const fd = libc.open(cString.encode(`${path}\0`), O.RDONLY | O.CLOEXEC, 0);
  if (fd < 0) return new Uint8Array();
  using file = new OpenFile(fd, path);
  const count = Number(libc.read(file.fd, chunkAt, Math.min(length, chunk.length)));
  return chunk.slice(0, Math.max(0, count));
}

const decoder = new TextDecoder();

/** The content of a UTF-8 file (invalid bytes become U+FFFD), or undefined when it does not exist. */
export function readText(path: string): string | undefined {
  const bytes = readFile(path);
  return bytes === undefined ? undefined : decoder.decode(bytes);
}

/** Like {@link readText}, for what one can do without: undefined also when it cannot be read, whatever the reason. */
export function readableText(path: string): string | undefined {
  try {
    return readText(path);
  } catch (error) {
    if (!isOsError(error)) throw error;
    return undefined;
  }
}

/** Writes all of `bytes` at the descriptor's position. */
export function writeAll(fd: number, bytes: Uint8Array, path = `fd ${fd}`): void {
  let offset = 0;
  while (offset < bytes.length) {
    const count = Number(libc.write(fd, ptr(bytes, offset), bytes.length - offset));
    if (count >= 0) offset += count;
    else {
      const error = lastError('write', path);
      if (error.code !== 'EINTR' && error.code !== 'EAGAIN') throw error;
    }
  }
}

const encoder = new TextEncoder();
export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** Creates a file that did not exist (EEXIST otherwise) and fills it. A failure leaves no file behind. */
export function createFile(path: string, bytes: Uint8Array, mode = 0o644): void {
  using file = openFile(path, O.WRONLY | O.CREAT | O.EXCL, mode);
  try {
    if (bytes.length > 0) writeAll(file.fd, bytes, path);
    file.finish();
  } catch (error) {
    bestEffort(() => removeFile(path));
    throw error;
  }
}

/** Appends in one write(2), so that lines of several processes never mix on a local file system. */
export function appendFile(path: string, bytes: Uint8Array): void {
  using file = openFile(path, O.WRONLY | O.CREAT | O.APPEND, 0o600);
  writeAll(file.fd, bytes, path);
}

export function rename(from: string, to: string): void {
  if (libc.rename(cString.encode(`${from}\0`), cString.encode(`${to}\0`)) !== 0)
    throw lastError('rename', to);
}

export function link(existing: string, path: string): void {
  if (libc.link(cString.encode(`${existing}\0`), cString.encode(`${path}\0`)) !== 0)
    throw lastError('link', path);
}

/** Removes a file; true when it was there. */
export function removeFile(path: string): boolean {
  if (libc.unlink(cString.encode(`${path}\0`)) === 0) return true;
  const error = lastError('remove', path);
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return false;
  throw error;
}

/** Removes whatever is at a path, a folder with everything in it. Not for compiler calls: it loads `node:fs`. */
export function removeTree(path: string): void {
  withNodeErrors('remove', path, (fs) => fs.rmSync(path, { recursive: true, force: true }));
}

const nodeFs = () => process.getBuiltinModule('node:fs');

/** Runs an operation of `node:fs`, whose errors are as those of all others here. */
function withNodeErrors<T>(operation: string, path: string, run: (fs: ReturnType<typeof nodeFs>) => T): T {
  try {
    return run(nodeFs());
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    throw new OsError(operation, path, String(error.code));
  }
}

/** Creates a folder and its parents; what exists stays as it is. */
export function makeDirectory(path: string, mode = 0o755): void {
  if (libc.mkdir(cString.encode(`${path}\0`), mode) === 0) return;
  const error = lastError('create folder', path);
  if (error.code === 'ENOENT') {
    makeDirectory(dirname(path), mode);
    if (
      libc.mkdir(cString.encode(`${path}\0`), mode) === 0 ||
      lastError('create folder', path).code === 'EEXIST'
    )
      return;
    throw lastError('create folder', path);
  }
  const existing = stat(path);
  if (existing === undefined || !isDirectory(existing)) throw error;
}

/** Where a symbolic link leads, as it says itself. For build scripts only: it loads `node:fs`. */
export const linkTarget = (path: string): string =>
  withNodeErrors('read', path, (fs) => fs.readlinkSync(path));

/** Makes a symbolic link. For build scripts only: it loads `node:fs`. */
export const makeLink = (target: string, path: string): void =>
  withNodeErrors('link', path, (fs) => fs.symlinkSync(target, path));

/** The path with every symbolic link resolved, or undefined when something on it does not exist. */
export function realPath(path: string): string | undefined {
  const out = new Uint8Array(4097);
  const found = libc.realpath(cString.encode(`${path}\0`), ptr(out));
  if (found === null) {
    const error = lastError('resolve', path);
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  }
  return decoder.decode(out.subarray(0, out.indexOf(0)));
}

export const isExecutable = (path: string): boolean => libc.access(cString.encode(`${path}\0`), 1) === 0;

const UTIME_OMIT = isMac ? -2 : 0x3ffffffe;
const UTIME_NOW = isMac ? -1 : 0x3fffffff;
const times = new BigInt64Array(4);
const timesAt = ptr(times);

/** Sets mtime to the kernel's current time (its own clock, the one fresh files are stamped with); atime stays. */
export function touch(path: string): void {
  times[1] = BigInt(UTIME_OMIT);
  times[3] = BigInt(UTIME_NOW);
  if (libc.utimensat(AT_FDCWD, cString.encode(`${path}\0`), timesAt, 0) !== 0) throw lastError('touch', path);
}

/** One name in a folder. Symbolic links and special files are `other`. */
export interface DirectoryEntry {
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'other';
}

const SYS_getdents64 = process.arch === 'arm64' ? 61 : 217;

/** The names in a folder, in the order of the file system; undefined when there is no such folder. */
export function listDirectory(path: string): DirectoryEntry[] | undefined {
  const fd = libc.open(cString.encode(`${path}\0`), O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  if (fd < 0) {
    const error = lastError('list', path);
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  }
  using folder = new OpenFile(fd, path);
  return linux === undefined ? listPortably(path) : readEntries(folder);
}

/** struct linux_dirent64: reclen at 16, type at 18 (4 folder, 8 file, 0 unknown), name at 19. */
function readEntries(folder: OpenFile): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const view = new DataView(chunk.buffer);
  for (;;) {
    const count = Number(linux?.syscall(SYS_getdents64, folder.fd, chunkAt, chunk.length) ?? -1);
    if (count < 0) throw lastError('list', folder.path);
    if (count === 0) return entries;
    for (let at = 0; at < count; at += view.getUint16(at + 16, true)) {
      const name = decoder.decode(chunk.subarray(at + 19, chunk.indexOf(0, at + 19)));
      if (name === '.' || name === '..') continue;
      entries.push({ name, kind: kindOf(folder.path, name, chunk[at + 18] ?? 0) });
    }
  }
}

function kindOf(folder: string, name: string, type: number): DirectoryEntry['kind'] {
  if (type === 8) return 'file';
  if (type === 4) return 'directory';
  if (type !== 0) return 'other';
  const info = lstat(`${folder}/${name}`);
  if (info === undefined) return 'other';
  return isDirectory(info) ? 'directory' : isRegular(info) ? 'file' : 'other';
}

function listPortably(path: string): DirectoryEntry[] {
  const fs = process.getBuiltinModule('node:fs');
  return fs.readdirSync(path, { withFileTypes: true }).map((entry) => ({
    name: entry.name,
    kind: entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other',
  }));
}

/** Whether an error says that the file system, not kache, is at its limit or closed to us. */
export const isOsError = (error: unknown, ...codes: string[]): error is OsError =>
  error instanceof OsError && (codes.length === 0 || codes.includes(error.code));

/**
 * Runs something the result does not depend on (a memo, a seal, a time stamp): a file system that refuses it is no
 * reason to fail. Returns whether it was done.
 */
export function bestEffort(operation: () => void): boolean {
  try {
    operation();
    return true;
  } catch (error) {
    if (!isOsError(error)) throw error;
    return false;
  }
}
