// Which files and folders below some folders are opened while something runs: inotify, which needs no privilege.
import { ptr } from 'bun:ffi';
import { cString, isLinux, lastError, libc, linux, O } from './libc.ts';

const IN_OPEN = 0x20;
const IN_Q_OVERFLOW = 0x4000;
const IN_ONLYDIR = 0x01000000;
const IN_DONT_FOLLOW = 0x02000000;
const IN_ISDIR = 0x40000000;

export interface Opened {
  /** Absolute paths of files that were opened. */
  readonly files: readonly string[];
  /** Absolute paths of folders that were opened, to be listed as a rule. */
  readonly folders: readonly string[];
}

/** A watch on a set of folders. Opens by any process count: more is seen than one asked for, never less. */
export class OpenWatch implements Disposable {
  readonly #fd: number;
  readonly #folders = new Map<number, string>();
  readonly #files = new Set<string>();
  readonly #listed = new Set<string>();
  #complete = true;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Watches `folders`; undefined where the platform or the user's watch limit does not allow it. */
  static start(folders: readonly string[]): OpenWatch | undefined {
    if (!isLinux || linux === undefined) return undefined;
    const fd = linux.inotify_init1(O.NONBLOCK | O.CLOEXEC);
    if (fd < 0) return undefined;
    const watch = new OpenWatch(fd);
    for (const folder of folders) {
      const id = linux.inotify_add_watch(
        fd,
        cString.encode(`${folder}\0`),
        IN_OPEN | IN_ONLYDIR | IN_DONT_FOLLOW,
      );
      if (id >= 0) watch.#folders.set(id, folder);
      else if (!['ENOENT', 'ENOTDIR'].includes(lastError('watch', folder).code)) {
        watch[Symbol.dispose]();
        return undefined;
      }
    }
    return watch;
  }

  /** What has been opened so far; undefined when the kernel's queue overflowed and events are lost. */
  collect(): Opened | undefined {
    const buffer = new Uint8Array(64 * 1024);
    const view = new DataView(buffer.buffer);
    for (;;) {
      const count = Number(libc.read(this.#fd, ptr(buffer), buffer.length));
      if (count <= 0) break;
      // struct inotify_event: wd, mask, cookie, len, then len bytes of a NUL-padded name.
      for (let at = 0; at < count; at += 16 + view.getUint32(at + 12, true)) {
        const mask = view.getUint32(at + 4, true);
        const name = buffer.subarray(at + 16, at + 16 + view.getUint32(at + 12, true));
        this.#note(view.getInt32(at, true), mask, name);
      }
    }
    return this.#complete ? { files: [...this.#files], folders: [...this.#listed] } : undefined;
  }

  #note(watch: number, mask: number, name: Uint8Array): void {
    if (mask & IN_Q_OVERFLOW) this.#complete = false;
    const folder = this.#folders.get(watch);
    if (folder === undefined || !(mask & IN_OPEN)) return;
    const end = name.indexOf(0);
    const text = new TextDecoder().decode(end < 0 ? name : name.subarray(0, end));
    if (mask & IN_ISDIR) this.#listed.add(text === '' ? folder : `${folder}/${text}`);
    else if (text !== '') this.#files.add(`${folder}/${text}`);
  }

  [Symbol.dispose](): void {
    libc.close(this.#fd);
  }
}
