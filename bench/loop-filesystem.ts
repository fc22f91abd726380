// A file system of its own in a file, so that `df` counts what a build adds and shared bytes count once.
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { capture, tryCapture } from './process.ts';
import type { LoopFilesystem } from './results.ts';

const IMAGE_BYTES = 16 * 1024 ** 3;

const MAKE: Record<LoopFilesystem, string[]> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
  xfs: ['mkfs.xfs', '-q', '-f', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
};

/** Why this file system cannot be had here, or null when it can. */
export function whyNot(kind: LoopFilesystem): string | null {
  if (process.getuid?.() !== 0) {
    return 'needs root';
  }
  const program = MAKE[kind][0] ?? '';
  return Bun.which(program) === null ? `needs ${program}` : null;
}

/** A mounted file system; unmounted and its (sparse) image removed when disposed. */
export class MountedFilesystem implements Disposable {
  readonly path: string;
  readonly #image: string;

  /** Throws when making or mounting it fails. */
  constructor(kind: LoopFilesystem, work: string) {
    this.path = join(work, `mnt-${kind}`);
    this.#image = join(work, `${kind}.img`);
    mkdirSync(this.path, { recursive: true });
    const file = openSync(this.#image, 'w');
    ftruncateSync(file, IMAGE_BYTES);
    closeSync(file);
    capture([...MAKE[kind], this.#image]);
    capture(['mount', '-o', 'loop', this.#image, this.path]);
  }

  /** Bytes in use, once two looks a third of a second apart agree: file systems free and allocate late. */
  usedBytes(): number {
    for (let before = -1; ; ) {
      spawnSync('sync', ['-f', this.path]);
      const { blocks, bfree, bsize } = statfsSync(this.path);
      const used = (blocks - bfree) * bsize;
      if (used === before) {
        return used;
      }
      before = used;
      Bun.sleepSync(333);
    }
  }

  [Symbol.dispose](): void {
    if (tryCapture(['umount', this.path]) === null) {
      capture(['umount', '-l', this.path]);
    }
    rmSync(this.#image, { force: true });
  }
}
