// Deleting a target directory of Cargo so that it is safe at any moment: no build may be running in it, and whoever
// builds after an interruption finds no half of a profile. Cold.
import { rmdirSync } from 'node:fs';
import { sharedExtents } from '../sys/extents.ts';
import { fileSystemOf } from '../sys/file-system.ts';
import {
  type FileStat,
  isDirectory,
  isOsError,
  isRegular,
  listDirectory,
  lstat,
  makeDirectory,
  type OpenFile,
  openFile,
  removeFile,
  rename,
} from '../sys/files.ts';
import { libc, O } from '../sys/libc.ts';
import type { Pace } from '../sys/pace.ts';
import { dirname } from '../sys/paths.ts';
import { occupiedBytes } from './inventory.ts';
import { isTargetDirectory, lockFiles, REMOVED } from './targets.ts';

export interface Removal {
  /** `changed`: it is no longer certainly a target directory. `partly`: `problem` says what stays. */
  readonly kind: 'removed' | 'busy' | 'changed' | 'partly';
  /** Bytes of the files whose last name went, without blocks that other files share. */
  readonly freedBytes: number;
  readonly problem: string | undefined;
}

const LOCK_EX_NB = 2 | 4;

/** Cargo's locks on every profile, held to the end of the scope; undefined when a build holds one. */
export const lockProfiles = (target: string): Disposable | undefined =>
  lockAll(lockFiles(target), { create: false });

/** Locks as Cargo takes them, held to the end of the scope; undefined when somebody holds one. */
export function lockAll(paths: readonly string[], { create }: { create: boolean }): Disposable | undefined {
  const held: OpenFile[] = [];
  let isHeld = false;
  const release = (): void => {
    for (const file of held) file[Symbol.dispose]();
  };
  try {
    for (const path of paths) {
      // With the modes that Cargo gives them.
      if (create) makeDirectory(dirname(path), 0o777);
      const file = openFile(path, O.RDWR | (create ? O.CREAT : 0), 0o666);
      held.push(file);
      if (libc.flock(file.fd, LOCK_EX_NB) !== 0) return undefined;
    }
    isHeld = true;
    return { [Symbol.dispose]: release };
  } finally {
    // One that cannot be opened is no reason to keep the others.
    if (!isHeld) release();
  }
}

/** What makes a folder known as a target directory goes last: an interrupted removal is found, and finished, later. */
const LAST = ['.rustc_info.json', 'CACHEDIR.TAG'];

/**
 * Deletes one. Its content is first renamed into a folder of it that Cargo does not know, profile by profile: Cargo sees
 * each profile whole or not at all. Symbolic links and other file systems mounted in it are not followed.
 */
export async function removeTarget(path: string, pace: Pace): Promise<Removal> {
  try {
    if (!isTargetDirectory(path)) return { kind: 'changed', freedBytes: 0, problem: undefined };
    using lock = lockProfiles(path);
    if (lock === undefined) return { kind: 'busy', freedBytes: 0, problem: undefined };
    return await removeLocked(path, new Deletion(path, pace));
  } catch (error) {
    // It is somebody else's: nothing of it may be locked, or listed.
    if (isOsError(error)) return { kind: 'partly', freedBytes: 0, problem: error.message };
    throw error;
  }
}

async function removeLocked(path: string, removal: Deletion): Promise<Removal> {
  const aside = `${path}/${REMOVED}`;
  removal.attempt(() => makeDirectory(aside));
  const stamp = `${Date.now().toString(36)}-${process.pid}`;
  for (const { name } of listDirectory(path) ?? []) {
    if (name !== REMOVED && !LAST.includes(name))
      removal.attempt(() => rename(`${path}/${name}`, `${aside}/${stamp}-${name}`));
  }
  await removal.deleteBelow(aside);
  removal.deleteFolder(aside);
  // A build that has begun meanwhile keeps what it has made, and the tag.
  if ((listDirectory(path) ?? []).every(({ name }) => LAST.includes(name))) {
    for (const name of LAST) removal.deleteFile(`${path}/${name}`);
    removal.deleteFolder(path);
  }
  const { freedBytes, problem } = removal;
  return lstat(path) === undefined
    ? { kind: 'removed', freedBytes, problem: undefined }
    : { kind: 'partly', freedBytes, problem: problem ?? 'a build has begun in it' };
}

/** A deletion under way: what it has freed, and the first thing it could not do. */
class Deletion {
  readonly #pace: Pace;
  readonly #root: string;
  readonly #device: number | undefined;
  readonly #mayShareBlocks: boolean;
  #files = 0;
  freedBytes = 0;
  problem: string | undefined;

  constructor(root: string, pace: Pace) {
    this.#pace = pace;
    this.#root = root;
    this.#device = lstat(root)?.dev;
    this.#mayShareBlocks = !fileSystemOf(root).neverShares;
  }

  attempt(operation: () => void): void {
    try {
      operation();
    } catch (error) {
      if (!isOsError(error) && !(error instanceof Error && 'code' in error)) throw error;
      this.problem ??= error.message;
    }
  }

  async deleteBelow(folder: string): Promise<void> {
    const info = lstat(folder);
    if (info === undefined || !isDirectory(info)) return;
    if (info.dev !== this.#device) {
      this.problem ??= `another file system is mounted at "${folder}"`;
      return;
    }
    let entries: ReturnType<typeof listDirectory>;
    this.attempt(() => {
      entries = listDirectory(folder);
    });
    for (const { name, kind } of entries ?? []) {
      await this.#pace.step(() => `Deleting ${this.#root}: ${this.#files} files`);
      const path = `${folder}/${name}`;
      if (kind !== 'directory') this.deleteFile(path);
      else {
        await this.deleteBelow(path);
        this.deleteFolder(path);
      }
    }
  }

  deleteFile(path: string): void {
    this.attempt(() => {
      const info = lstat(path);
      const bytes = info === undefined ? 0 : this.#ownBytes(path, info);
      if (removeFile(path)) {
        this.freedBytes += bytes;
        this.#files++;
      }
    });
  }

  #ownBytes(path: string, info: FileStat): number {
    if (!isRegular(info)) return occupiedBytes(info);
    if (info.nlink > 1) return 0;
    const shared = this.#mayShareBlocks ? sharedExtents(path).reduce((sum, { bytes }) => sum + bytes, 0) : 0;
    return Math.max(0, occupiedBytes(info) - shared);
  }

  deleteFolder(path: string): void {
    this.attempt(() => {
      const info = lstat(path);
      if (info === undefined) return;
      rmdirSync(path);
      this.freedBytes += occupiedBytes(info);
    });
  }
}
