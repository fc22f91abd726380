// The bytes of an output, read once and kept nowhere: what they hash to, which texts stand in them, what was linked in.
import type { BlobId } from '../core/ids.ts';
import { NativeSearch } from '../rustc/archive.ts';
import type { OutputKind } from '../rustc/outputs.ts';
import { type FileStat, readOverlapping } from '../sys/files.ts';
import { type Checksum, Checksummer, Hasher } from '../sys/hash.ts';
import { OsError } from '../sys/libc.ts';

export interface OutputOptions {
  readonly kind: OutputKind;
  readonly path: string;
  /** Its state before any byte was read. */
  readonly info: FileStat;
  /** What may be asked for by {@link Output.holds}. */
  readonly texts: readonly string[];
  /** Whether it is hashed; or what it hashes to, where that is known. */
  readonly digest: boolean | BlobId;
}

interface Contents {
  readonly held: ReadonlySet<string>;
  readonly digest: BlobId | undefined;
  readonly checksum: Checksum | undefined;
  readonly bundlesNative: boolean | undefined;
}

/** An output of the compile. Its bytes are read when the first question about them is asked; a file that is gone throws. */
export class Output {
  readonly kind: OutputKind;
  readonly path: string;
  readonly info: FileStat;
  readonly #options: OutputOptions;
  #contents: Contents | undefined;

  constructor(options: OutputOptions) {
    this.kind = options.kind;
    this.path = options.path;
    this.info = options.info;
    this.#options = options;
  }

  /** Whether a text stands in it; true for one nobody said would be asked for. */
  holds(text: string): boolean {
    return !this.#options.texts.includes(text) || this.#read().held.has(text);
  }

  /** Whether a library holds native code beside rustc's own; undefined when it is no archive. */
  get bundlesNative(): boolean | undefined {
    return this.#read().bundlesNative;
  }

  /** What names it in the store. */
  get blob(): BlobId {
    const { digest } = this.#read();
    if (digest === undefined) throw new Error(`nobody said that ${this.path} is to be hashed`);
    return digest;
  }

  get checksum(): Checksum | undefined {
    return this.#read().checksum;
  }

  #read(): Contents {
    this.#contents ??= readContents(this.#options);
    return this.#contents;
  }
}

/** Of a longer text only the beginning is looked for: that it is there is enough to be careful. */
const MAX_TEXT_BYTES = 4096;

function readContents({ kind, path, texts, digest }: OutputOptions): Contents {
  const search = new TextSearch(texts);
  const [hasher, sum] =
    digest === false ? [] : [digest === true ? new Hasher() : undefined, new Checksummer()];
  const natives = kind === 'link' ? new NativeSearch() : undefined;
  const isThere = readOverlapping(path, search.overlap, (piece, withOverlap) => {
    search.see(withOverlap);
    hasher?.update(piece);
    sum?.update(piece);
    natives?.see(piece);
  });
  if (!isThere) throw new OsError('read', path, 'ENOENT');
  return {
    held: search.held,
    digest: typeof digest === 'string' ? digest : (hasher?.digest() as BlobId | undefined),
    checksum: sum?.digest(),
    bundlesNative: natives?.found,
  };
}

/** Which of some texts stand in bytes that come in overlapping pieces. */
class TextSearch {
  readonly held = new Set<string>();
  /** Bytes that each piece has in common with the one before it. */
  readonly overlap: number;
  /** Shortest first: where `/home/me` is not, `/home/me/work` need not be looked for. */
  readonly #texts: readonly (readonly [text: string, bytes: Buffer])[];

  constructor(texts: readonly string[]) {
    this.#texts = [...new Set(texts)]
      .map((text) => [text, Buffer.from(text).subarray(0, MAX_TEXT_BYTES)] as const)
      .sort(([, a], [, b]) => a.length - b.length);
    this.overlap = Math.max(0, (this.#texts.at(-1)?.[1].length ?? 0) - 1);
  }

  see(piece: Uint8Array): void {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    const absent: Buffer[] = [];
    for (const [text, sought] of this.#texts) {
      if (this.held.has(text) || absent.some((one) => one.equals(sought.subarray(0, one.length)))) continue;
      if (bytes.includes(sought)) this.held.add(text);
      else absent.push(sought);
    }
  }
}
