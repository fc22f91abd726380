// An advisory lock that dies with its holder: flock(2) on a file of its own.
import { fstat, isOsError, type OpenFile, openFile, removeFile, stat } from './files.ts';
import { lastError, libc, O } from './libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;

/** A held lock. Disposing removes the file and releases the lock; a killed holder releases it through the kernel. */
export class FileLock implements Disposable {
  readonly #file: OpenFile;
  readonly waitedMs: number;

  constructor(file: OpenFile, waitedMs: number) {
    this.#file = file;
    this.waitedMs = waitedMs;
  }

  [Symbol.dispose](): void {
    // Remove before release: whoever opened the old file sees, once it has the lock, that the name no longer leads there.
    try {
      removeFile(this.#file.path);
    } catch (error) {
      if (!isOsError(error)) throw error;
    }
    this.#file[Symbol.dispose]();
  }
}

/** Takes the lock named `path`, waiting as long as another process holds it. The waiter sleeps in the kernel. */
export function acquireLock(path: string): FileLock {
  const startedMs = Date.now();
  for (;;) {
    const lock = tryOnce(path, LOCK_EX, startedMs);
    if (lock !== undefined) return lock;
  }
}

/** Takes the lock if nobody holds it. */
export const tryLock = (path: string): FileLock | undefined => tryOnce(path, LOCK_EX | LOCK_NB, Date.now());

function tryOnce(path: string, operation: number, startedMs: number): FileLock | undefined {
  const file = openFile(path, O.RDWR | O.CREAT, 0o600);
  if (libc.flock(file.fd, operation) !== 0) {
    const error = lastError('lock', path);
    file[Symbol.dispose]();
    if (error.code === 'EAGAIN' || error.code === 'EINTR') return undefined;
    throw error;
  }
  // The previous holder removed the file between our open and our lock: then this lock guards nothing.
  if (stat(path)?.ino !== fstat(file.fd).ino) {
    file[Symbol.dispose]();
    return undefined;
  }
  return new FileLock(file, Date.now() - startedMs);
}
