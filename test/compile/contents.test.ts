// An output that is read in pieces says what it would as a whole.
import { afterAll, expect, test } from 'bun:test';
import { rmSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { Output } from '../../src/compile/contents.ts';
import { stat } from '../../src/sys/files.ts';
import { checksum, sha256 } from '../../src/sys/hash.ts';
import { blobId } from '../store/stores.ts';
import { Lab } from '../support/lab.ts';

const lab = new Lab();
afterAll(() => lab[Symbol.dispose]());
const path = lab.path('output');

function outputOf(bytes: Uint8Array, texts: readonly string[], digest: boolean | 'known' = true): Output {
  writeFileSync(path, bytes);
  const info = stat(path);
  if (info === undefined) throw new Error('it has just been written');
  return new Output({
    kind: 'link',
    path,
    info,
    texts,
    digest: digest === 'known' ? blobId('known') : digest,
  });
}

/** The size of a piece, at which texts are cut in two. */
const PIECE = 256 * 1024;

test('texts are found wherever they stand, across pieces too, and the bytes are hashed as a whole', () => {
  const word = fc.stringMatching(/^[ab/]{1,9}$/);
  const place = fc.oneof(
    fc.nat(3 * PIECE),
    fc.integer({ min: -12, max: 12 }).map((by) => PIECE + by),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 3 * PIECE }),
      fc.array(fc.tuple(word, place), { maxLength: 6 }),
      fc.array(word, { maxLength: 6 }),
      (length, written, asked) => {
        const bytes = Buffer.alloc(length, '.');
        for (const [text, at] of written) bytes.write(text, Math.min(at, length));
        const texts = [...asked, ...written.map(([text]) => text)];
        const output = outputOf(bytes, texts);
        for (const text of texts) expect([text, output.holds(text)]).toEqual([text, bytes.includes(text)]);
        expect([output.blob, output.checksum]).toEqual([
          sha256(bytes) as typeof output.blob,
          checksum(bytes),
        ]);
      },
    ),
    { numRuns: 150 },
  );
});

test('what was not to be asked for is taken for held; of a long text its beginning counts', () => {
  const long = `${'long'.repeat(2000)}end`;
  const output = outputOf(Buffer.from(`..${long.slice(0, 5000)}..`), [long, 'short', 'long']);
  expect(['short', 'long', long, 'never asked for'].map((text) => output.holds(text))).toEqual([
    false,
    true,
    true,
    true,
  ]);
});

test('a digest that is known is not computed, and where none is wanted there is none', () => {
  expect(outputOf(Buffer.from('some bytes'), [], 'known').blob).toBe(blobId('known'));
  const unhashed = outputOf(Buffer.from('some bytes'), ['bytes'], false);
  expect([unhashed.holds('bytes'), unhashed.checksum]).toEqual([true, undefined]);
  expect(() => unhashed.blob).toThrow('is to be hashed');
});

test('a file that is gone when it is to be read is an error of the store, not an empty output', () => {
  const output = outputOf(Buffer.from('some bytes'), []);
  rmSync(path);
  expect(() => output.blob).toThrow('ENOENT');
});
