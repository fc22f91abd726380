import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { Checksummer, checksum, Hasher, hashFile, sha256 } from '../../src/sys/hash.ts';
import { Lab } from '../support/lab.ts';

const KIB = 1024;
/** Around the ends of blocks. */
const size = fc.constantFrom(0, 1, 100, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB, 200 * KIB);
const filled = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * seed + (index >> 16)) & 0xff);

test('bytes in pieces have the hash and the checksum of the whole, wherever they are cut', () => {
  fc.assert(
    fc.property(size, fc.nat(255), fc.array(fc.nat(200 * KIB), { maxLength: 4 }), (length, seed, cuts) => {
      const whole = filled(length, seed);
      const [hasher, sum] = [new Hasher(), new Checksummer()];
      let at = 0;
      for (const cut of [...cuts.toSorted((a, b) => a - b), length]) {
        const piece = whole.subarray(at, Math.min(cut, length));
        hasher.update(piece);
        sum.update(piece);
        at += piece.length;
      }
      expect(hasher.digest()).toBe(sha256(whole));
      expect(sum.digest()).toBe(checksum(whole));
    }),
    { numRuns: 60 },
  );
});

test('one bit, anywhere, is another checksum; so is a block in another place, or one more', () => {
  const sums = new Set([checksum(filled(200 * KIB, 7))]);
  const places = [0, 1, 64 * KIB - 1, 64 * KIB, 128 * KIB + 5, 200 * KIB - 1];
  for (const place of places) {
    const changed = filled(200 * KIB, 7);
    changed[place] = (changed[place] ?? 0) ^ 1;
    sums.add(checksum(changed));
  }
  const [a, b] = [filled(64 * KIB, 1), filled(64 * KIB, 2)];
  for (const blocks of [[a], [a, a], [a, b], [b, a]]) sums.add(checksum(Buffer.concat(blocks)));
  expect(sums.size).toBe(1 + places.length + 4);
});

test("what changes but one half of a block's hash changes the checksum, whatever follows the block", () => {
  const blocks = [28079, 63504].map((mark) => {
    const block = new Uint8Array(65 * KIB).fill(9);
    new DataView(block.buffer).setUint32(1000, mark, true);
    return block;
  });
  const low = (bytes: Uint8Array): bigint => Bun.hash.xxHash3(bytes.subarray(0, 64 * KIB)) & 0xffffffffn;
  expect(new Set(blocks.map(low)).size).toBe(1);
  expect(new Set(blocks.map(checksum)).size).toBe(2);
});

test('a file has the hash of its bytes, also when it is larger than what is read at a time; none has none', () => {
  using lab = new Lab();
  for (const length of [0, 5, 64 * KIB, 200 * KIB]) {
    writeFileSync(lab.path('file'), filled(length, 3));
    expect(hashFile(lab.path('file'))).toBe(sha256(filled(length, 3)));
  }
  expect(hashFile(lab.path('none'))).toBeUndefined();
});
