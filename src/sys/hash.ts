// SHA-256, the content hash of the store. Bun's native one-shot form is the fastest that costs no start-up time.
import type { Digest } from '../core/ids.ts';

export const sha256 = (data: Uint8Array | string): Digest => Bun.SHA256.hash(data, 'hex') as Digest;

/** The same of bytes that come in pieces. */
export class Hasher {
  readonly #hasher = new Bun.CryptoHasher('sha256');

  update(piece: Uint8Array): void {
    this.#hasher.update(piece);
  }

  digest(): Digest {
    return this.#hasher.digest('hex') as Digest;
  }
}
