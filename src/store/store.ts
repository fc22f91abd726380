// Opening a store: its folders, its format version, and what its file system can do.

import type { Digest } from '../core/ids.ts';
import { CANNOT_REFLINK, reflink } from '../sys/clone.ts';
import {
  appendFile,
  bestEffort,
  createFile,
  isOsError,
  makeDirectory,
  readText,
  removeFile,
  rename,
  stat,
  utf8,
} from '../sys/files.ts';
import { acquireLock, type FileLock } from '../sys/lock.ts';
import { dirname } from '../sys/paths.ts';
import { bootId } from '../sys/process.ts';
import { STORE_VERSION, StoreLayout } from './layout.ts';

/** Why a cache directory cannot serve as a store. */
export interface StoreProblem {
  readonly kind: 'problem';
  readonly code: 'no-location' | 'unknown-version' | 'not-writable';
  readonly detail: string;
}

export class Store {
  readonly kind = 'store';
  readonly layout: StoreLayout;
  /** Whether files on this file system can share blocks. */
  readonly canReflink: boolean;
  #boot: string | undefined;
  /** One process may have opened the store more than once. */
  #serial = Math.floor(Math.random() * 2 ** 32);

  constructor(layout: StoreLayout, canReflink: boolean) {
    this.layout = layout;
    this.canReflink = canReflink;
  }

  /** The current boot of the machine: what was written in an earlier one may not have reached the disk. */
  get boot(): string {
    this.#boot ??= bootId();
    return this.#boot;
  }

  /** A name nobody else uses; its process id lets the sweep tell the dead. */
  temporaryPath(): string {
    return this.layout.temporary(`${process.pid}-${Date.now().toString(36)}-${this.#serial++}`);
  }

  /** Writes a file aside and renames it: a reader sees the old content, or all of the new. */
  replaceFile(path: string, bytes: Uint8Array): void {
    const aside = this.temporaryPath();
    withParent(aside, () => createFile(aside, bytes, 0o600));
    this.moveIntoPlace(aside, path);
  }

  /**
   * Renames a finished temporary file to its place, making the folder when this is the first file in it. A folder that
   * someone put in its place goes.
   */
  moveIntoPlace(aside: string, path: string): void {
    try {
      try {
        withParent(path, () => rename(aside, path));
      } catch (error) {
        if (!isOsError(error, 'EISDIR', 'ENOTEMPTY', 'EEXIST')) throw error;
        this.discard(path);
        rename(aside, path);
      }
    } catch (error) {
      bestEffort(() => removeFile(aside));
      throw error;
    }
  }

  /** Takes away what stands at `path`: a file; or a folder, which goes to the temporary files and is swept with them. */
  discard(path: string): void {
    try {
      removeFile(path);
    } catch (error) {
      if (!isOsError(error, 'EISDIR', 'EPERM')) throw error;
      rename(path, this.temporaryPath());
    }
  }

  /** Notes that an entry and `bytes` of blobs were added, so that eviction knows when to run. */
  noteWritten(bytes: number): void {
    appendFile(this.layout.written, new Uint8Array(Math.floor(bytes / WRITTEN_UNIT_BYTES) + 1));
  }
}

/** Bytes of output that one byte of the `written` file stands for. */
export const WRITTEN_UNIT_BYTES = 64 * 1024;

/** Runs an operation that needs the folder of `path`, making the folder when it is missing. */
export function withParent(path: string, operation: () => void): void {
  try {
    operation();
  } catch (error) {
    if (!isOsError(error, 'ENOENT')) throw error;
    makeDirectory(dirname(path), 0o700);
    operation();
  }
}

/**
 * Takes a lock of the store, waiting for whoever holds it. Undefined where locks cannot be had: everything a lock orders
 * is right without it, and done twice.
 */
export function lockStore(store: Store, name: Digest): FileLock | undefined {
  const path = store.layout.lock(name);
  let lock: FileLock | undefined;
  bestEffort(() =>
    withParent(path, () => {
      lock = acquireLock(path);
    }),
  );
  return lock;
}

const FORMAT = /^kache-store (\d+) reflink=(yes|no)\n$/;
/** What a power cut leaves of a file of this length: nothing, or zeros. */
const LOST = /^\0*$/;

/** Opens the store in `cacheDir`, making it when there is none. Creation is safe against a second process doing the same. */
export function openStore(cacheDir: string | undefined): Store | StoreProblem {
  if (cacheDir === undefined) {
    return { kind: 'problem', code: 'no-location', detail: 'neither KACHE_CACHE_DIR nor HOME is set' };
  }
  const layout = new StoreLayout(cacheDir);
  try {
    const found = readText(layout.format);
    const isLost = found !== undefined && LOST.test(found) && isStore(layout);
    const text = found === undefined || isLost ? createStore(layout) : found;
    const match = FORMAT.exec(text);
    if (Number(match?.[1]) !== STORE_VERSION) {
      return {
        kind: 'problem',
        code: 'unknown-version',
        detail: `${layout.format} holds ${JSON.stringify(text.slice(0, 60))}`,
      };
    }
    return new Store(layout, match?.[2] === 'yes');
  } catch (error) {
    if (!isOsError(error)) throw error;
    return { kind: 'problem', code: 'not-writable', detail: error.message };
  }
}

/** Whether the folder is a store by what else is in it: nobody else's file is overwritten. */
const isStore = ({ root }: StoreLayout): boolean =>
  stat(`${root}/blobs`) !== undefined && stat(`${root}/entries`) !== undefined;

function createStore(layout: StoreLayout): string {
  makeDirectory(layout.root, 0o700);
  for (const name of ['blobs', 'entries', 'units', 'hashes', 'locks', 'tmp', 'events']) {
    makeDirectory(`${layout.root}/${name}`, 0o700);
  }
  const text = `kache-store ${STORE_VERSION} reflink=${probeReflink(layout) ? 'yes' : 'no'}\n`;
  const aside = layout.temporary(`format-${process.pid}`);
  removeFile(aside);
  createFile(aside, utf8(text), 0o600);
  rename(aside, layout.format);
  return text;
}

function probeReflink(layout: StoreLayout): boolean {
  const [source, target] = [
    layout.temporary(`probe-${process.pid}-a`),
    layout.temporary(`probe-${process.pid}-b`),
  ];
  try {
    createFile(source, utf8('probe'));
    reflink(source, target);
    return true;
  } catch (error) {
    if (isOsError(error, ...CANNOT_REFLINK)) return false;
    throw error;
  } finally {
    removeFile(source);
    removeFile(target);
  }
}
