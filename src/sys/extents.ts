// Blocks that several files share by reflink, as far as the file system tells (FIEMAP on Linux). Cold: no compiler call
// asks.
import { type Pointer, ptr } from 'bun:ffi';
import { isOsError, openFile } from './files.ts';
import { linux, O } from './libc.ts';

/** A run of blocks that belongs to more than one file. */
export interface SharedExtent {
  /** Where it lies on the device: equal for the files that share it. */
  readonly physical: bigint;
  readonly bytes: number;
}

const SYS_ioctl = process.arch === 'arm64' ? 29 : 16;
const FS_IOC_FIEMAP = 0xc020660b;
const HEADER_BYTES = 32;
const EXTENT_BYTES = 56;
const EXTENTS_A_CALL = 128;
const FIEMAP_EXTENT_LAST = 0x1;
/** Not on the disk yet, or inside a metadata block: no place of its own. */
const NO_PLACE = 0x2 | 0x4 | 0x200;
const FIEMAP_EXTENT_SHARED = 0x2000;

/**
 * The extents of a regular file that other files use too. Empty where nothing is shared, and where the file system does
 * not tell: then everything passes for the file's own.
 */
export function sharedExtents(path: string): SharedExtent[] {
  if (linux === undefined) return [];
  const found: SharedExtent[] = [];
  try {
    // A pipe or a device in the file's place must not block.
    using file = openFile(path, O.RDONLY | O.NONBLOCK);
    const view = new DataView(new ArrayBuffer(HEADER_BYTES + EXTENTS_A_CALL * EXTENT_BYTES));
    for (let from = 0n; ; ) {
      view.setBigUint64(0, from, true);
      view.setBigUint64(8, 0xffffffffffffffffn - from, true);
      view.setUint32(24, EXTENTS_A_CALL, true);
      if (linux.syscall(SYS_ioctl, file.fd, FS_IOC_FIEMAP as Pointer, ptr(view)) !== 0) return found;
      const count = view.getUint32(20, true);
      if (count === 0) return found;
      for (let at = HEADER_BYTES; at < HEADER_BYTES + count * EXTENT_BYTES; at += EXTENT_BYTES) {
        const flags = view.getUint32(at + 40, true);
        const length = view.getBigUint64(at + 16, true);
        from = view.getBigUint64(at, true) + length;
        if ((flags & FIEMAP_EXTENT_SHARED) !== 0 && (flags & NO_PLACE) === 0)
          found.push({ physical: view.getBigUint64(at + 8, true), bytes: Number(length) });
        if ((flags & FIEMAP_EXTENT_LAST) !== 0) return found;
      }
    }
  } catch (error) {
    if (isOsError(error)) return found;
    throw error;
  }
}
