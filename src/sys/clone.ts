// Bringing the content of one file under another name: reflink, hardlink or copy. Each strategy makes the whole file
// or throws; none replaces an existing one.
import {
  bestEffort,
  createFile,
  fstat,
  type OpenFile,
  openFile,
  readAll,
  removeFile,
  touch,
  writeAll,
} from './files.ts';
import { cString, lastError, libc, linux, mac, O, OsError } from './libc.ts';

const FICLONE = 0x40049409;

/** The errno values by which a file system says that it cannot share blocks between these two files. */
export const CANNOT_REFLINK = ['ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS', 'EPERM'] as const;

/**
 * A copy that shares blocks with `source` (FICLONE on Linux, clonefile on macOS): neither ever sees a write to the other.
 * The new file carries the kernel's current time. Throws one of {@link CANNOT_REFLINK} where that cannot be had.
 */
export function reflink(source: string, target: string, mode = 0o644): void {
  if (mac !== undefined) {
    if (mac.clonefile(cString.encode(`${source}\0`), cString.encode(`${target}\0`), 0) !== 0)
      throw lastError('reflink', target);
    // clonefile(2) brings times and mode along.
    using clone = openFile(target, O.RDONLY);
    libc.fchmod(clone.fd, mode);
    touch(target);
    return;
  }
  using from = openFile(source, O.RDONLY);
  using to = openFile(target, O.WRONLY | O.CREAT | O.EXCL, mode);
  if (linux?.ioctl(to.fd, FICLONE, from.fd) !== 0) {
    const error = lastError('reflink', target);
    bestEffort(() => removeFile(target));
    throw error;
  }
}

/** A second file with the same bytes and the kernel's current time. A failure leaves no file behind. */
export function copy(source: string, target: string, mode = 0o644): void {
  using from = openFile(source, O.RDONLY);
  if (linux === undefined) {
    createFile(target, readAll(from), mode);
    return;
  }
  using to = openFile(target, O.WRONLY | O.CREAT | O.EXCL, mode);
  try {
    // Some file systems have answered that there is nothing to copy where there was.
    if (copyRange(from, to) !== fstat(from.fd).size) throw new OsError('copy', target, 'EIO');
    to.finish();
  } catch (error) {
    bestEffort(() => removeFile(target));
    throw error;
  }
}

/** Copies and counts. copy_file_range(2) keeps the bytes in the kernel; where it does not apply (two file systems on old kernels) they pass through us. */
function copyRange(from: OpenFile, to: OpenFile): number {
  for (let total = 0; ; ) {
    const count = Number(linux?.copy_file_range(from.fd, null, to.fd, null, 1 << 30, 0) ?? -1);
    if (count > 0) total += count;
    else if (count === 0) return total;
    else {
      const error = lastError('copy', to.path);
      if (total > 0 || !['EXDEV', 'EINVAL', 'ENOSYS', 'ENOTSUP'].includes(error.code)) throw error;
      const bytes = readAll(from);
      writeAll(to.fd, bytes, to.path);
      return bytes.length;
    }
  }
}
