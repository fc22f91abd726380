// SHA-256, the content hash of the store. Bun's native one-shot form is the fastest that costs no start-up time.
import type { Digest } from '../core/ids.ts';
import { readPieces } from './files.ts';

export const sha256 = (data: Uint8Array | string): Digest => Bun.SHA256.hash(data, 'hex') as Digest;

/** The same, of bytes that come in pieces. */
export class Hasher {
  readonly #hasher = new Bun.CryptoHasher('sha256');

  update(piece: Uint8Array): void {
    this.#hasher.update(piece);
  }

  digest(): Digest {
    return this.#hasher.digest('hex') as Digest;
  }
}

/** The SHA-256 of a file's content, or undefined when it does not exist. `see` is shown the same bytes. */
export function hashFile(path: string, see?: (piece: Uint8Array) => void): Digest | undefined {
  const hasher = new Hasher();
  const isThere = readPieces(path, (piece) => {
    hasher.update(piece);
    see?.(piece);
  });
  return isThere ? hasher.digest() : undefined;
}

/** 16 hex digits. It tells whether bytes are still those that were proven by their SHA-256, not whose they are. */
export type Checksum = string & { readonly checksum: true };

/** What files are read by: such a piece is hashed where it is. */
const BLOCK_BYTES = 64 * 1024;

/**
 * For bytes that come in pieces of any size: XXH3-64 of the XXH3-64 of each block. Blocks
 * are not chained by seeds, of which the runtime takes 32 bits only.
 */
export class Checksummer {
  readonly #hashes: bigint[] = [];
  /** A block that is not full yet. */
  #block: Uint8Array | undefined;
  #filled = 0;

  update(piece: Uint8Array): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#filled === 0 && piece.length - at >= BLOCK_BYTES) {
        this.#hashes.push(Bun.hash.xxHash3(piece.subarray(at, at + BLOCK_BYTES)));
        at += BLOCK_BYTES;
        continue;
      }
      this.#block ??= new Uint8Array(BLOCK_BYTES);
      const part = piece.subarray(at, at + BLOCK_BYTES - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === BLOCK_BYTES) this.#close(this.#block);
    }
  }

  digest(): Checksum {
    if (this.#block !== undefined && this.#filled > 0) this.#close(this.#block.subarray(0, this.#filled));
    const hash = Bun.hash.xxHash3(new BigUint64Array(this.#hashes));
    return hash.toString(16).padStart(16, '0') as Checksum;
  }

  #close(block: Uint8Array): void {
    this.#hashes.push(Bun.hash.xxHash3(block));
    this.#filled = 0;
  }
}

/** The checksum of bytes that are there as a whole. */
export function checksum(bytes: Uint8Array): Checksum {
  const checksummer = new Checksummer();
  checksummer.update(bytes);
  return checksummer.digest();
}
