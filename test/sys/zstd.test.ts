// Zstandard in pieces: what comes out is what went in, or less of it, whatever is done to it.
import { expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import { inflated } from '../../src/sys/zstd.ts';

const PIECE_BYTES = 256 * 1024;
/** The pieces are views of one buffer: a copy of each. */
const copied = (packed: Uint8Array): Buffer => {
  const pieces: Buffer[] = [];
  for (const piece of inflated(packed)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
};

test('bytes come back, whatever their number', () => {
  for (const size of [0, 1, 100, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 1_000_003])
    for (const bytes of [randomBytes(size), Buffer.alloc(size, 'abcd')])
      expect([size, copied(Bun.zstdCompressSync(bytes)).equals(bytes)]).toEqual([size, true]);
});

test('what is cut off or damaged ends early, or with other bytes, and harms nobody behind it', () => {
  const bytes = Buffer.concat(Array(20).fill(randomBytes(50_000)));
  const packed = Bun.zstdCompressSync(bytes);
  for (let at = 0; at < packed.length; at += 997) {
    expect(copied(packed.subarray(0, at)).length).toBeLessThan(bytes.length);
    const damaged = Buffer.from(packed);
    damaged[at] = (damaged[at] ?? 0) ^ 16;
    copied(damaged);
  }
  expect(copied(randomBytes(1000))).toEqual(Buffer.alloc(0));
  expect(copied(Buffer.concat([packed, Buffer.from('no zstd')]))).toEqual(bytes);
  expect(copied(packed)).toEqual(bytes);
});

test('who stops in between leaves it to the next', () => {
  const packed = Bun.zstdCompressSync(randomBytes(2 * PIECE_BYTES));
  for (const piece of inflated(packed)) {
    expect(piece).toHaveLength(PIECE_BYTES);
    break;
  }
  expect(copied(Bun.zstdCompressSync(Buffer.from('short'))).toString()).toBe('short');
});
