// A pack in one file or in several: whoever unpacks the first while the others are still on their way waits only for the
// last one.
import type { CacheKey, Digest } from '../core/ids.ts';
import { sha256 } from '../sys/hash.ts';
import { type PackAbout, PackWriter } from './pack-file.ts';

/** One file of a pack, a pack itself. */
export interface PackPart {
  readonly file: string;
  readonly bytes: number;
  /** A hash of what is in it, whatever the order. */
  readonly set: string;
}

/** What a set of entries and plans is known by. */
export const setOf = (ids: readonly Digest[]): string => sha256([...ids].sort().join('\n'));

/**
 * A part holds so many bytes more than the one before it. They are on their way together, and so they arrive one after
 * the other; the first one, which may have to tell of the others, soon.
 */
const STEP_BYTES = 8e6;
/** Each costs a request or two, and a process that unpacks it. The last one takes what is left. */
const MAX_PARTS = 8;

export interface PartsOptions {
  /** One file, whatever its size. */
  readonly isWhole: boolean;
}

/** Writes `path`, then `path.2` and so on, each beside its place until {@link finish}. Killed before, it leaves what was there. */
export class PartsWriter implements Disposable {
  readonly #path: string;
  readonly #about: PackAbout;
  readonly #isWhole: boolean;
  readonly #parts: { file: string; writer: PackWriter; ids: Digest[]; bytes: number }[] = [];

  constructor(path: string, about: PackAbout, { isWhole }: PartsOptions) {
    this.#path = path;
    this.#about = about;
    this.#isWhole = isWhole;
  }

  add(key: CacheKey, packed: Uint8Array): void {
    this.#partFor(key, packed).add(key, packed);
  }

  addPlan(digest: Digest, packed: Uint8Array): void {
    this.#partFor(digest, packed).addPlan(digest, packed);
  }

  #partFor(id: Digest, { length }: Uint8Array): PackWriter {
    const nth = this.#parts.length;
    let part = this.#parts.at(-1);
    const isFull =
      part !== undefined && !this.#isWhole && nth < MAX_PARTS && part.bytes + length > nth * STEP_BYTES;
    if (part === undefined || isFull) {
      const file = nth === 0 ? this.#path : `${this.#path}.${nth + 1}`;
      part = { file, writer: new PackWriter(file, this.#about), ids: [], bytes: 0 };
      this.#parts.push(part);
    }
    part.ids.push(id);
    part.bytes += length;
    return part.writer;
  }

  /** Puts every part in its place. Of nothing, no file is written: without a base it would only replace one of something. */
  finish(): PackPart[] {
    const parts = this.#parts.map(({ file, writer, ids }) => ({
      file,
      bytes: writer.end(),
      set: setOf(ids),
    }));
    for (const { writer } of this.#parts) writer.place();
    return parts;
  }

  [Symbol.dispose](): void {
    for (const { writer } of this.#parts) writer[Symbol.dispose]();
  }
}
