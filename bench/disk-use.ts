// What a second worktree occupies, measured by df on a file system of its own, where shared bytes count once.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Mount } from '../test/support/mounts.ts';
import { build, checkout } from './phases.ts';
import { kacheBinary } from './tools.ts';

export interface DiskUse {
  readonly fileSystem: string;
  /** Undefined where the file system could not be made. */
  readonly figures:
    | {
        /** Bytes the second build added to the disk. */
        readonly addedBytes: number;
        /** Size of its libraries (rlib and rmeta), each inode once. */
        readonly libraryBytes: number;
        /** Blocks of everything else in its target folder. */
        readonly otherBytes: number;
        /** What the libraries added, as a share of their size. */
        readonly libraryPct: number;
      }
    | undefined;
}

function targetBytes(dir: string): { libraryBytes: number; otherBytes: number } {
  const seen = new Set<bigint>();
  let [libraryBytes, otherBytes] = [0, 0];
  for (const entry of readdirSync(join(dir, 'target'), { recursive: true, withFileTypes: true })) {
    const info = statSync(join(entry.parentPath, entry.name), { bigint: true, throwIfNoEntry: false });
    if (info === undefined || seen.has(info.ino)) continue;
    seen.add(info.ino);
    if (/\.(rlib|rmeta)$/.test(entry.name)) libraryBytes += Number(info.size);
    else otherBytes += Number(info.blocks) * 512;
  }
  return { libraryBytes, otherBytes };
}

export function diskUse(source: string, workDir: string): DiskUse[] {
  return (['ext4', 'xfs', 'btrfs'] as const).map((fileSystem) => {
    using mount = Mount.make(fileSystem, workDir, 4000);
    if (mount === undefined) return { fileSystem, figures: undefined };
    const env = { RUSTC_WRAPPER: kacheBinary, KACHE_CACHE_DIR: join(mount.path, 'store') };
    build(checkout(source, join(mount.path, 'a')), env);
    const b = checkout(source, join(mount.path, 'deep/b'));
    const before = mount.usedBytes();
    build(b, env);
    const addedBytes = mount.usedBytes() - before;
    const { libraryBytes, otherBytes } = targetBytes(b);
    const libraryPct = (Math.max(0, addedBytes - otherBytes) / libraryBytes) * 100;
    return { fileSystem, figures: { addedBytes, libraryBytes, otherBytes, libraryPct } };
  });
}
