// File systems made for a test: on a file through a loop device, or in memory. Needs root and the mkfs programs.
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type FileSystem = 'ext4' | 'xfs' | 'btrfs' | 'tmpfs';

const MAKE: Readonly<Record<Exclude<FileSystem, 'tmpfs'>, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
};

/** A file lies in pieces of this size, at least. */
const BLOCK_BYTES = 1024;

const run = (argv: readonly string[]): boolean => {
  try {
    return Bun.spawnSync([...argv], { stdout: 'ignore', stderr: 'ignore' }).exitCode === 0;
  } catch {
    return false;
  }
};

/** A mounted file system, unmounted and removed at the end of its scope. */
export class Mount implements Disposable {
  readonly path: string;
  readonly #image: string;

  private constructor(path: string, image: string) {
    this.path = path;
    this.#image = image;
  }

  /** Undefined where it cannot be had: no root, no mkfs, no loop device. */
  static make(kind: FileSystem, dir: string, megabytes: number): Mount | undefined {
    const [image, path] = [join(dir, `${kind}.img`), join(dir, kind)];
    mkdirSync(path, { recursive: true });
    const mount = new Mount(path, image);
    if (kind === 'tmpfs')
      return run(['mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path]) ? mount : undefined;
    writeFileSync(image, '');
    truncateSync(image, megabytes * 1024 * 1024);
    return run([...MAKE[kind], image]) && run(['mount', '-o', 'loop', image, path]) ? mount : undefined;
  }

  /**
   * Shows a folder at another place, read-only, where it is reached without the permissions of the way to it. Undefined
   * where that cannot be had.
   */
  static bind(source: string, path: string): Mount | undefined {
    mkdirSync(path, { recursive: true });
    if (!run(['mount', '--bind', source, path])) return undefined;
    const mount = new Mount(path, `${path}.img`);
    if (run(['mount', '-o', 'remount,bind,ro', path])) return mount;
    mount[Symbol.dispose]();
    return undefined;
  }

  /** Mounts it anew with other options (`ro`, `rw`). */
  remount(options: string): boolean {
    return run(['mount', '-o', `remount,${options}`, this.path]);
  }

  /**
   * Changes a file on the disk while it is not mounted, so that no stamp moves: `content` becomes `edited`, of the same
   * length. False when it was not found there, or cannot be mounted again.
   */
  editUnmounted(content: Uint8Array, edited: Uint8Array): boolean {
    run(['sync', '-f', this.path]);
    if (!run(['umount', this.path])) return false;
    const image = readFileSync(this.#image);
    let found = false;
    for (let at = 0; at < content.length; at += BLOCK_BYTES) {
      const [from, to] = [content, edited].map((bytes) => Buffer.from(bytes.subarray(at, at + BLOCK_BYTES)));
      if (from === undefined || to === undefined || from.equals(to)) continue;
      const where = image.indexOf(from);
      found = where >= 0;
      if (found) to.copy(image, where);
    }
    writeFileSync(this.#image, image);
    return run(['mount', '-o', 'loop', this.#image, this.path]) && found;
  }

  /** Bytes in use, after everything written has reached the file system. */
  usedBytes(): number {
    run(['sync', '-f', this.path]);
    const words = Bun.spawnSync(['df', '-B1', '--output=used', this.path])
      .stdout.toString()
      .trim()
      .split('\n');
    return Number(words.at(-1));
  }

  [Symbol.dispose](): void {
    run(['umount', '-l', this.path]);
    rmSync(this.#image, { force: true });
  }
}
