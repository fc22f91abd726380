// A remote that is a folder, shared by NFS or a mounted volume. Objects appear by a rename or a link, whole or not at
// all; what else lies in the folder is tolerated.
import { constants } from 'node:fs';
import { link, lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type {
  Backend,
  Corrupt,
  Denied,
  Done,
  Exists,
  Failure,
  Found,
  GetOptions,
  Listed,
  Outage,
  PutOptions,
  Unavailable,
} from './backend.ts';

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** An error of the file system as the class of failure it is; anything else is a bug and is thrown. */
function failureOf(error: unknown): Failure {
  const code = codeOf(error);
  if (code === '') throw error;
  if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'not-found' };
  return outageOf(error);
}

function outageOf(error: unknown): Denied | Unavailable | Corrupt {
  const code = codeOf(error);
  if (code === '') throw error;
  if (code === 'EISDIR' || code === 'ELOOP') return { kind: 'corrupt', detail: `no regular file (${code})` };
  if (['EACCES', 'EPERM', 'EROFS'].includes(code))
    return { kind: 'denied', detail: `the folder refuses it (${code})` };
  return { kind: 'unavailable', detail: `the file system says ${code}`, timedOut: false };
}

const CHUNK_BYTES = 1024 * 1024;
/** Aside files begin with this: no object name does. */
const ASIDE = '.kache-';
/** An aside file older than this was left by a crash. */
const ASIDE_LASTS_MS = 24 * 3600 * 1000;

export class DirectoryBackend implements Backend {
  readonly place: string;
  readonly #root: string;
  #serial = 0;

  /** `root` is the folder with the prefix; it is made when something is first put there. */
  constructor(root: string) {
    this.#root = root;
    this.place = root;
  }

  async get(name: string, { maxBytes, admit }: GetOptions): Promise<Found | Failure> {
    try {
      // Neither a link to somewhere else nor a pipe that never ends is read.
      await using file = await open(
        join(this.#root, name),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
      const info = await file.stat();
      if (!info.isFile()) return { kind: 'corrupt', detail: 'no regular file' };
      if (info.size > maxBytes) return { kind: 'corrupt', detail: `longer than ${maxBytes} bytes` };
      await admit?.(info.size);
      const bytes = new Uint8Array(info.size);
      for (let at = 0; at < bytes.length; ) {
        const length = Math.min(CHUNK_BYTES, bytes.length - at);
        const { bytesRead } = await file.read(bytes, at, length, at);
        if (bytesRead === 0) return { kind: 'corrupt', detail: 'shorter than it was' };
        at += bytesRead;
      }
      return { kind: 'found', bytes };
    } catch (error) {
      return failureOf(error);
    }
  }

  async has(name: string): Promise<Done | Failure> {
    try {
      const info = await lstat(join(this.#root, name));
      return info.isFile() ? { kind: 'done' } : { kind: 'corrupt', detail: 'no regular file' };
    } catch (error) {
      return failureOf(error);
    }
  }

  async put(
    name: string,
    bytes: Uint8Array,
    { ifAbsent }: PutOptions,
  ): Promise<Done | Exists | Outage | Corrupt> {
    const path = join(this.#root, name);
    const unique = `${process.pid}-${crypto.randomUUID().slice(0, 8)}-${this.#serial++}`;
    const aside = join(dirname(path), `${ASIDE}${unique}`);
    try {
      await mkdir(dirname(path), { recursive: true });
      try {
        await using file = await open(aside, 'wx', 0o644);
        await file.writeFile(bytes);
      } catch (error) {
        await unlink(aside).catch(failureOf);
        throw error;
      }
      return ifAbsent ? await publishNew(aside, path) : await publish(aside, path);
    } catch (error) {
      return outageOf(error);
    }
  }

  async *list(prefix: string): AsyncIterable<Listed | Failure> {
    const pending = [prefix.replace(/\/$/, '')];
    for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
      let names: { name: string; isFolder: boolean }[];
      try {
        const entries = await readdir(join(this.#root, folder), { withFileTypes: true });
        names = entries.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
      } catch (error) {
        const failure = failureOf(error);
        if (failure.kind === 'not-found') continue;
        yield failure;
        return;
      }
      for (const { name, isFolder } of names) {
        const below = `${folder}/${name}`;
        if (isFolder) pending.push(below);
        else if (name.startsWith(ASIDE)) await this.#sweep(below);
        else yield* this.#listed(below);
      }
    }
  }

  async *#listed(name: string): AsyncIterable<Listed> {
    try {
      const info = await lstat(join(this.#root, name));
      if (info.isFile()) yield { name, sizeBytes: info.size, modifiedMs: info.mtimeMs };
    } catch (error) {
      // Gone since the folder was read.
      if (failureOf(error).kind !== 'not-found') throw error;
    }
  }

  async #sweep(name: string): Promise<void> {
    try {
      const info = await lstat(join(this.#root, name));
      if (Date.now() - info.mtimeMs > ASIDE_LASTS_MS) await unlink(join(this.#root, name));
    } catch (error) {
      failureOf(error);
    }
  }

  async remove(name: string): Promise<Done | Failure> {
    try {
      await unlink(join(this.#root, name));
      return { kind: 'done' };
    } catch (error) {
      return failureOf(error);
    }
  }
}

async function publish(aside: string, path: string): Promise<Done> {
  try {
    await rename(aside, path);
    return { kind: 'done' };
  } catch (error) {
    await unlink(aside).catch(failureOf);
    throw error;
  }
}

/** A link fails when the name is taken; where links cannot be had, the name is looked for first. */
async function publishNew(aside: string, path: string): Promise<Done | Exists> {
  try {
    await link(aside, path);
    await unlink(aside);
    return { kind: 'done' };
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') {
      await unlink(aside);
      return { kind: 'exists' };
    }
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) {
      await unlink(aside).catch(failureOf);
      throw error;
    }
    const known = await lstat(path).catch(failureOf);
    if (!('kind' in known)) {
      await unlink(aside);
      return { kind: 'exists' };
    }
    return publish(aside, path);
  }
}
