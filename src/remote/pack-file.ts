// A pack: many packed entries in one file, for whoever can keep a file but no bucket. What is in it is proven by whoever
// takes an entry out (pack.ts); here only the lines between them are read, and not believed either.
//
//   kache-packs-2 <JSON: who wrote it, and when>\n
//   <key> <length>\n<packed entry>              for each entry
//   plan <digest> <length>\n<packed plan>       for each plan
//   end <number of entries and plans>\n
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { type CacheKey, type Digest, parseDigest } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import {
  bestEffort,
  listDirectory,
  type OpenFile,
  openFile,
  removeFile,
  rename,
  utf8,
  writeAll,
} from '../sys/files.ts';
import { O, OsError } from '../sys/libc.ts';
import { basename, dirname } from '../sys/paths.ts';
import { isRunning } from '../sys/process.ts';
import { MAX_PACK_BYTES, type Refused } from './pack.ts';

const KIND = 'kache-packs-2';
const ANY_KIND = /^kache-packs-\d+ /;

/** A line is shorter; what is longer is none. */
const MAX_LINE_BYTES = 512;

export interface PackAbout {
  /** The version of kache that wrote it. */
  readonly kache: string;
  /** RFC 3339. */
  readonly created: string;
}

/** Writes a pack beside its place; {@link place} puts it there. Killed before, it leaves what was there. */
export class PackWriter implements Disposable {
  readonly #path: string;
  readonly #file: OpenFile;
  #items = 0;
  #bytes = 0;
  #isPlaced = false;

  constructor(path: string, about: PackAbout) {
    this.#path = path;
    sweepUnfinished(path);
    this.#file = openFile(unfinished(path, process.pid), O.WRONLY | O.CREAT | O.TRUNC, 0o644);
    try {
      this.#write(utf8(`${KIND} ${JSON.stringify(about)}\n`));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  add(key: CacheKey, packed: Uint8Array): void {
    this.#addItem(key, packed);
  }

  addPlan(digest: Digest, packed: Uint8Array): void {
    this.#addItem(`plan ${digest}`, packed);
  }

  #addItem(name: string, packed: Uint8Array): void {
    this.#write(utf8(`${name} ${packed.length}\n`));
    this.#write(packed);
    this.#items++;
  }

  /** Writes what stands behind the last item, and returns the size of the whole. */
  end(): number {
    this.#write(utf8(`end ${this.#items}\n`));
    this.#file.finish();
    return this.#bytes;
  }

  /** Puts the pack, which has ended, in its place. */
  place(): void {
    rename(this.#file.path, this.#path);
    this.#isPlaced = true;
  }

  #write(bytes: Uint8Array): void {
    writeAll(this.#file.fd, bytes, this.#file.path);
    this.#bytes += bytes.length;
  }

  [Symbol.dispose](): void {
    if (this.#isPlaced) return;
    this.#file[Symbol.dispose]();
    bestEffort(() => removeFile(this.#file.path));
  }
}

const unfinished = (path: string, pid: number): string => `${path}.unfinished-${pid}`;

/** Removes what killed processes have left of the same pack, and of its parts. */
function sweepUnfinished(path: string): void {
  const [folder, start] = [dirname(path), basename(path)];
  for (const { name } of listDirectory(folder) ?? []) {
    const rest = name.startsWith(start)
      ? /^(?:\.\d+)?\.unfinished-(\d+)$/.exec(name.slice(start.length))
      : null;
    if (rest !== null && !isRunning(Number(rest[1]))) bestEffort(() => removeFile(`${folder}/${name}`));
  }
}

/** One entry or plan in a pack, still unread and unproven. */
export type Frame = EntryFrame | PlanFrame;

export interface EntryFrame extends Packed {
  readonly kind: 'entry';
  readonly key: CacheKey;
}

export interface PlanFrame extends Packed {
  readonly kind: 'plan';
  readonly digest: Digest;
}

interface Packed {
  readonly sizeBytes: number;
  read(): Uint8Array;
}

interface Opened {
  readonly fd: number;
  readonly path: string;
}

/** An open pack. Only what is asked for is in memory. */
export class PackReader implements Disposable {
  readonly about: PackAbout;
  readonly sizeBytes: number;
  readonly #file: Opened;
  readonly #start: number;

  private constructor(file: Opened, about: PackAbout, start: number) {
    this.#file = file;
    this.sizeBytes = fstatSync(file.fd).size;
    this.about = about;
    this.#start = start;
  }

  static open(path: string): PackReader | Refused {
    // Asked before it is opened: a pipe would wait for a writer.
    const info = statSync(path, { throwIfNoEntry: false });
    if (info === undefined) return refused('it is not there');
    if (!info.isFile()) return refused('it is not a file');
    const fd = asOsError('open', path, () => openSync(path, 'r'));
    const line = lineAt({ fd, path }, 0);
    const about = line?.startsWith(`${KIND} `) === true ? parseJson(line.slice(KIND.length)) : undefined;
    if (line !== undefined && isAbout(about)) return new PackReader({ fd, path }, about, line.length + 1);
    closeSync(fd);
    const isOther = line !== undefined && ANY_KIND.test(line) && !line.startsWith(`${KIND} `);
    return refused(isOther ? 'it was written by another version of kache' : 'it is not a pack');
  }

  /** The entries and plans in order. The last item is a refusal when what follows cannot be read, or is missing. */
  *frames(): Generator<Frame | Refused> {
    let at = this.#start;
    for (let entries = 0; ; entries++) {
      const line = lineAt(this.#file, at);
      if (line === undefined) {
        const isCut = this.sizeBytes - at < MAX_LINE_BYTES;
        yield refused(isCut ? `cut off behind ${entries} entries` : `damaged behind ${entries} entries`);
        return;
      }
      const from = at + line.length + 1;
      if (line === `end ${entries}` && from === this.sizeBytes) return;
      const [, isPlan, word = '', digits = ''] = /^(plan )?(\w+) ([1-9]\d{0,9})$/.exec(line) ?? [];
      const digest = parseDigest<CacheKey>(word);
      const sizeBytes = Number(digits);
      if (digest === undefined || sizeBytes > MAX_PACK_BYTES) {
        yield refused(`damaged behind ${entries} entries`);
        return;
      }
      at = from + sizeBytes;
      if (at > this.sizeBytes) {
        yield refused(`cut off behind ${entries} entries`);
        return;
      }
      const packed = { sizeBytes, read: () => readAt(this.#file, from, sizeBytes) };
      yield isPlan === undefined
        ? { kind: 'entry', key: digest, ...packed }
        : { kind: 'plan', digest, ...packed };
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file.fd);
  }
}

const refused = (why: string): Refused => ({ kind: 'refused', why });

function isAbout(value: unknown): value is PackAbout {
  if (typeof value !== 'object' || value === null) return false;
  const { kache, created } = value as Partial<Record<keyof PackAbout, unknown>>;
  // Shown on terminals.
  return /^[\w.+-]{1,40}$/.test(`${kache}`) && /^[\dTZ:.+-]{1,40}$/.test(`${created}`);
}

/** The line that begins there, one byte a character; undefined when none ends within its longest length. */
function lineAt(file: Opened, at: number): string | undefined {
  const text = Buffer.from(readAt(file, at, MAX_LINE_BYTES)).toString('latin1');
  const end = text.indexOf('\n');
  return end < 0 ? undefined : text.slice(0, end);
}

/** At most `length` bytes: fewer at the end of the file. */
function readAt({ fd, path }: Opened, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = asOsError('read', path, () => readSync(fd, bytes, done, length - done, at + done));
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** What the runtime throws when the system refuses, as our own error. */
function asOsError<T>(operation: string, path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Error && 'code' in error) throw new OsError(operation, path, `${error.code}`);
    throw error;
  }
}
