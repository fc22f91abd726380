import { expect, test } from 'bun:test';
import { type BlobId, parseDigest } from '../../src/core/ids.ts';
import { parseJson } from '../../src/core/json.ts';
import { sha256 } from '../../src/sys/hash.ts';

test('a digest is 64 digits of lower-case hexadecimal, nothing more', () => {
  const digest = sha256('some bytes');
  expect(parseDigest<BlobId>(digest)).toBe(digest as BlobId);
  for (const text of [
    '',
    digest.slice(1),
    `${digest}0`,
    digest.toUpperCase(),
    `${digest.slice(1)}g`,
    ` ${digest}`,
    `${digest}\n`,
    `../${digest.slice(3)}`,
    `${digest}.seal`,
  ])
    expect([text, parseDigest(text)]).toEqual([text, undefined]);
});

test('the digest is SHA-256, of bytes and of text alike', () => {
  expect(sha256('abc') as string).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  expect(sha256(new TextEncoder().encode('abc'))).toBe(sha256('abc'));
  expect(sha256(new Uint8Array()) as string).toBe(
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  );
  const large = new Uint8Array(100).subarray(10, 13);
  large.set([97, 98, 99]);
  expect(sha256(large)).toBe(sha256('abc'));
});

test('what is no JSON is undefined, also when it is torn', () => {
  expect(parseJson('{"a":[1,null]}')).toEqual({ a: [1, null] });
  for (const text of ['', '{', '{"a":1', 'undefined', '{}x']) expect(parseJson(text)).toBeUndefined();
});
