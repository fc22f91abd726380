// Following a log, of events or of transfers, while others write it: what is appended, across rotation and truncation,
// and what was there before, from the end backwards. Cold: nothing a compiler call loads.
import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { previousGeneration } from './event-log.ts';

/** The first look back is short, so that there is something to show at once. */
const FIRST_BLOCK_BYTES = 256 * 1024;
const BLOCK_BYTES = 1024 * 1024;
/** Read at most this much in one poll: the rest comes with the next. */
const POLL_BYTES = 4 * 1024 * 1024;

const NEWLINE = 10;

interface Followed {
  readonly fd: number;
  readonly file: Stats;
  /** Where the next line starts. */
  offset: number;
}

/** Where the log stood when following began: lines before these offsets are history. */
interface Past {
  readonly fd: number;
  readonly endOffset: number;
}

export class LogTail implements Disposable {
  readonly #path: string;
  readonly #past: readonly Past[];
  #current: Followed | undefined;
  /** The generation before, as long as a writer may still have it open. */
  #rotated: Followed | undefined;

  constructor(path: string) {
    this.#path = path;
    const current = follow(this.#path);
    const previous = follow(previousGeneration(path));
    if (current !== undefined) current.offset = endOfLines(current.fd, fstatSync(current.fd).size);
    const past: Past[] = current === undefined ? [] : [{ fd: current.fd, endOffset: current.offset }];
    // Renamed between the two looks, it is the file that is already open.
    const isSame = previous?.file.ino === current?.file.ino;
    if (previous !== undefined && isSame) closeSync(previous.fd);
    if (previous !== undefined && !isSame)
      past.push({ fd: previous.fd, endOffset: fstatSync(previous.fd).size });
    this.#past = past;
    this.#current = current;
  }

  /** The lines that were appended since the last call, oldest first. */
  poll(): string[] {
    const info = statSync(this.#path, { throwIfNoEntry: false });
    if (info !== undefined && info.ino !== this.#current?.file.ino) {
      if (this.#rotated !== undefined) this.#close(this.#rotated);
      this.#rotated = this.#current;
      this.#current = follow(this.#path);
    }
    return [...this.#appended(this.#rotated), ...this.#appended(this.#current)];
  }

  /** What was there when following began: blocks of lines, newest block first, oldest line first in each. */
  *history(): Generator<string[]> {
    let blockBytes = FIRST_BLOCK_BYTES;
    for (const { fd, endOffset } of this.#past) {
      // The head of a block belongs to a line that starts in the block before it.
      let head: Uint8Array = new Uint8Array();
      for (let to = endOffset; to > 0; ) {
        const from = Math.max(0, to - blockBytes);
        const bytes = joined(readRange(fd, from, to), head);
        const start = from === 0 ? 0 : bytes.indexOf(NEWLINE) + 1;
        head = from === 0 || start === 0 ? bytes : bytes.slice(0, start);
        if (from === 0 || start > 0) yield linesOf(bytes.subarray(start));
        to = from;
        blockBytes = BLOCK_BYTES;
      }
    }
  }

  #appended(followed: Followed | undefined): string[] {
    if (followed === undefined) return [];
    const { size } = fstatSync(followed.fd);
    // Cut off and begun anew.
    if (size < followed.offset) followed.offset = 0;
    if (size === followed.offset) return [];
    const bytes = readRange(followed.fd, followed.offset, Math.min(size, followed.offset + POLL_BYTES));
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    followed.offset += end;
    return linesOf(bytes.subarray(0, end));
  }

  #close(followed: Followed): void {
    // Its history may still be read.
    if (!this.#past.some(({ fd }) => fd === followed.fd)) closeSync(followed.fd);
  }

  [Symbol.dispose](): void {
    for (const followed of [this.#current, this.#rotated]) if (followed !== undefined) this.#close(followed);
    for (const { fd } of this.#past) closeSync(fd);
  }
}

function follow(path: string): Followed | undefined {
  try {
    const fd = openSync(path, 'r');
    return { fd, file: fstatSync(fd), offset: 0 };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The offset behind the last whole line. */
function endOfLines(fd: number, size: number): number {
  for (let to = size; to > 0; ) {
    const from = Math.max(0, to - 64 * 1024);
    const at = readRange(fd, from, to).lastIndexOf(NEWLINE);
    if (at >= 0) return from + at + 1;
    to = from;
  }
  return 0;
}

function readRange(fd: number, from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(to - from);
  let length = 0;
  while (length < bytes.length) {
    const count = readSync(fd, bytes, length, bytes.length - length, from + length);
    if (count === 0) break;
    length += count;
  }
  return bytes.subarray(0, length);
}

function joined(head: Uint8Array, rest: Uint8Array): Uint8Array {
  if (rest.length === 0) return head;
  const bytes = new Uint8Array(head.length + rest.length);
  bytes.set(head);
  bytes.set(rest, head.length);
  return bytes;
}

const linesOf = (bytes: Uint8Array): string[] =>
  new TextDecoder()
    .decode(bytes)
    .split('\n')
    .filter((line) => line !== '');
