// What file system a path is on: its name, its room, and whether it is one that can share blocks or lies behind a
// network. Cold: no compiler call asks.
import { statfsSync } from 'node:fs';

export interface FileSystemInfo {
  /** The kernel's name for it (`ext4`), or its type number where we have none. */
  readonly name: string;
  readonly isNetwork: boolean;
  /** Known to have no reflinks. */
  readonly neverShares: boolean;
  readonly sizeBytes: number;
  /** Free for users without privilege. */
  readonly freeBytes: number;
  /** Undefined where inodes are made as needed. */
  readonly freeInodes: number | undefined;
}

/** statfs(2) f_type on Linux. */
const NAMES: Readonly<Record<number, string>> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  801189825: 'zfs',
  3393526350: 'bcachefs',
  4076150800: 'f2fs',
  16914836: 'tmpfs',
  2240043254: 'ramfs',
  2035054128: 'overlayfs',
  1702057286: 'fuse',
  26985: 'nfs',
  4283649346: 'cifs',
  4266872130: 'smb2',
  16914839: '9p',
  12805120: 'ceph',
  1397113167: 'afs',
  1382369651: 'gfs2',
};

const NETWORK = ['nfs', 'cifs', 'smb2', '9p', 'ceph', 'afs', 'gfs2'];
const NO_REFLINKS = ['ext4', 'tmpfs', 'ramfs', 'f2fs'];

/** Follows symbolic links; throws as `statfs` does when there is no such path. */
export function fileSystemOf(path: string): FileSystemInfo {
  const { type, bsize, blocks, bavail, files, ffree } = statfsSync(path);
  // Types with the highest bit set come out negative on some platforms.
  const number = type < 0 ? type + 2 ** 32 : type;
  const name = NAMES[number] ?? `type 0x${number.toString(16)}`;
  return {
    name,
    isNetwork: NETWORK.includes(name),
    neverShares: NO_REFLINKS.includes(name),
    sizeBytes: blocks * bsize,
    freeBytes: bavail * bsize,
    freeInodes: files === 0 ? undefined : ffree,
  };
}
