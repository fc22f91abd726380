// A pack comes back as it went, and anything else in its place is refused.
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { BlobId } from '../../src/core/ids.ts';
import { decodeBuild, encodeBuild, mergeBuilds } from '../../src/remote/build-object.ts';
import { pack, unpack } from '../../src/remote/pack.ts';
import { decodeUnit, encodeUnit, mergeUnits } from '../../src/remote/unit-object.ts';
import type { UnitRecord } from '../../src/store/closures.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { cacheKey, closureOf, entryOf, NO_INPUTS, unitId } from '../store/stores.ts';
import { unpackedOutputs } from '../support/unpacked.ts';

const CONTENTS = ['first output', 'second output'.repeat(1000)];
const ENTRY = entryOf('a', ...CONTENTS);
const KEY = ENTRY.key;
const PACKED = { entry: ENTRY, inputs: NO_INPUTS, closure: closureOf('./lib.rs') };
const BYTES = new Map(CONTENTS.map((text) => [sha256(text) as string, new TextEncoder().encode(text)]));
const options = { level: 3, outputOf: (blob: string) => BYTES.get(blob) };

const made = async (changes: object = {}): Promise<Uint8Array> => {
  const object = await pack({ ...PACKED, ...changes }, options);
  if (object === undefined) throw new Error('could not be packed');
  return object;
};

/** How unpacking everything ends: the bytes, or why not. */
async function whole(object: Uint8Array, key = KEY): Promise<string[] | string> {
  const unpacked = unpack(object, key);
  if (unpacked.kind === 'refused') return unpacked.why;
  const { outputs, refused } = await unpackedOutputs(unpacked);
  return refused?.why ?? outputs.map(({ bytes }) => bytes.toString());
}

test('what was packed comes back', async () => {
  const unpacked = unpack(await made(), KEY);
  expect(unpacked).toMatchObject(PACKED);
  expect(await whole(await made())).toEqual(CONTENTS);
});

test('an entry under another key, and a header that names another one', async () => {
  expect(await whole(await made(), cacheKey('b'))).toBe('another key');
});

test('an output that is gone, or not what it is said to be, is not packed', async () => {
  expect(await pack(PACKED, { level: 3, outputOf: () => undefined })).toBeUndefined();
  expect(await pack(PACKED, { level: 3, outputOf: () => new Uint8Array(12) })).toBeUndefined();
});

test('no cut and no changed byte gets through', async () => {
  const object = await made();
  const at = fc.integer({ min: 0, max: object.length - 1 });
  await fc.assert(
    fc.asyncProperty(at, fc.integer({ min: 1, max: 255 }), async (index, change) => {
      const changed = new Uint8Array(object);
      changed[index] = (changed[index] ?? 0) ^ change;
      // Bits of a zstd frame may say nothing: then what comes out is the same.
      const result = await whole(changed);
      if (typeof result !== 'string') expect(result).toEqual(CONTENTS);
      expect(typeof (await whole(object.subarray(0, index)))).toBe('string');
    }),
    { numRuns: 300 },
  );
  expect(await whole(Buffer.concat([object, new Uint8Array(1)]))).toBe('wrong length');
});

test('metadata that lies in the library is not packed again, and comes back', async () => {
  const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  const meta = random(50_000);
  const parts = (library: Uint8Array) => {
    const kinds = [
      ['link', library],
      ['metadata', meta],
    ] as const;
    const outputs = kinds.map(([kind, bytes]) => ({
      kind,
      blob: sha256(bytes) as BlobId,
      sizeBytes: bytes.length,
      mode: 0o644,
    }));
    const bytesOf = new Map(kinds.map(([, bytes]) => [sha256(bytes) as string, bytes]));
    return { entry: { ...ENTRY, outputs }, bytesOf };
  };
  // What begins like it and is not it comes first; in the second library it is cut off, in the third it is not.
  const begin = meta.subarray(0, 100);
  const libraries = [
    Buffer.concat([random(100), begin, begin, meta, random(1000)]),
    Buffer.concat([begin, meta.subarray(0, -1)]),
    random(60_000),
    Buffer.concat([...Array(40).fill(begin), meta]),
  ];
  const sizes: number[] = [];
  for (const library of libraries) {
    for (const reversed of [false, true]) {
      const { entry, bytesOf } = parts(library);
      const changed = reversed ? { ...entry, outputs: entry.outputs.toReversed() } : entry;
      const object = await pack(
        { ...PACKED, entry: changed },
        { level: 3, outputOf: (blob) => bytesOf.get(blob) },
      );
      if (object === undefined) throw new Error('could not be packed');
      const unpacked = unpack(object, KEY);
      if (unpacked.kind === 'refused') throw new Error(unpacked.why);
      const { outputs, refused } = await unpackedOutputs(unpacked);
      expect(refused).toBeUndefined();
      for (const { output, bytes } of outputs) expect(sha256(bytes)).toBe(output.blob);
      expect(outputs.map(({ output }): string => output.blob).sort()).toEqual([...bytesOf.keys()].sort());
      if (!reversed) sizes.push(object.length);
    }
  }
  expect(sizes.map((size, index) => size < (libraries[index]?.length ?? 0) + 10_000)).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

test('a part that is not what its name says, or reaches over the end, is refused', async () => {
  const text = 'first output';
  const small = Bun.zstdCompressSync(text);
  const [first] = ENTRY.outputs;
  for (const [inside, offset] of [
    ['output', 6],
    ['output', 5],
    ['output', 7],
    ['output', 1e15],
    ['first', 0],
  ] as const) {
    const output = { kind: 'metadata', blob: sha256(inside), sizeBytes: inside.length, mode: 0o644 };
    const entry = { ...ENTRY, outputs: [first, output] };
    const part = { output: 1, of: 0, offset };
    const result = await whole(
      forged({ key: KEY, ...PACKED, entry, lengths: [small.length, 0], part }, small),
    );
    const isRight = text.slice(offset, offset + inside.length) === inside;
    expect(result).toEqual(isRight ? [text, inside] : 'an output is not what its name says');
  }
});

/** What is unpacked at a time. */
const PIECE = 256 * 1024;
const RANDOM = crypto.getRandomValues(new Uint8Array(64 * 1024));
/** A little more than four pieces; no two places in it look alike. */
const LARGE = Uint8Array.from(
  { length: 4 * PIECE + 100 },
  (_, index) => (RANDOM[index & 0xffff] ?? 0) ^ (index >> 16),
);

test('a part comes back wherever it lies in pieces', async () => {
  const small = Bun.zstdCompressSync(LARGE);
  const stored = (kind: string, bytes: Uint8Array): object => ({
    kind,
    blob: sha256(bytes),
    sizeBytes: bytes.length,
    mode: 0o644,
  });
  for (const [from, to] of [
    [0, PIECE],
    [PIECE - 1, PIECE],
    [PIECE, PIECE + 1],
    [PIECE - 1, 3 * PIECE + 1],
    [PIECE, 3 * PIECE],
    [4 * PIECE, LARGE.length],
    [7, 7],
    [LARGE.length, LARGE.length],
    [0, LARGE.length],
  ] as const) {
    const inside = LARGE.slice(from, to);
    const entry = { ...ENTRY, outputs: [stored('link', LARGE), stored('metadata', inside)] };
    const header = { key: KEY, ...PACKED, entry, lengths: [small.length, 0] };
    const unpacked = unpack(forged({ ...header, part: { output: 1, of: 0, offset: from } }, small), KEY);
    if (unpacked.kind === 'refused') throw new Error(unpacked.why);
    const { outputs, refused } = await unpackedOutputs(unpacked);
    expect([refused, ...outputs.map(({ bytes }) => sha256(bytes))]).toEqual([
      undefined,
      sha256(LARGE),
      sha256(inside),
    ]);
  }
});

test('whatever ends an output between its pieces, every sink is ended, and what it threw is thrown', async () => {
  const small = Bun.zstdCompressSync(LARGE);
  const ends = async (packed: Uint8Array, sizeBytes: number, failAt: number): Promise<unknown[]> => {
    const inside = LARGE.slice(0, 2 * PIECE + 5);
    const outputs = [
      { kind: 'link', blob: sha256(LARGE), sizeBytes, mode: 0o644 },
      { kind: 'metadata', blob: sha256(inside), sizeBytes: inside.length, mode: 0o644 },
    ];
    const part = { output: 1, of: 0, offset: 0 };
    const header = { key: KEY, ...PACKED, entry: { ...ENTRY, outputs }, lengths: [packed.length, 0], part };
    const unpacked = unpack(forged(header, packed), KEY);
    if (unpacked.kind === 'refused') throw new Error(unpacked.why);
    const open = new Set<object>();
    let [finished, calls] = [0, 0];
    const step = (): void => {
      if (calls++ === failAt) throw new Error('no space');
    };
    const ended = await unpacked
      .outputs(() => {
        step();
        const sink = {
          write: step,
          finish: () => {
            step();
            finished++;
          },
          [Symbol.dispose]: () => open.delete(sink),
        };
        open.add(sink);
        return sink;
      })
      .then(
        (refused) => refused?.why ?? 'unpacked',
        (error: Error) => error.message,
      );
    return [ended, open.size, finished];
  };
  const never = -1;
  expect(await ends(small, LARGE.length, never)).toEqual(['unpacked', 0, 2]);
  // Two are opened, eight pieces written, two finished.
  for (let failAt = 0; failAt < 12; failAt++)
    expect(await ends(small, LARGE.length, failAt)).toEqual(['no space', 0, failAt === 11 ? 1 : 0]);
  const lie = 'an output is not what its name says';
  for (const sizeBytes of [1, 3 * PIECE, LARGE.length - 1, LARGE.length + 1])
    expect(await ends(small, sizeBytes, never)).toEqual([lie, 0, 0]);
  const damaged = Uint8Array.from(small, (byte, index) => (index > small.length / 2 ? 0xff : byte));
  for (const packed of [damaged, small.subarray(0, small.length / 2), small.subarray(0, -1)])
    expect(await ends(packed, LARGE.length, never)).toEqual([lie, 0, 0]);
});

/** An object with a header of one's own making. */
function forged(header: object, ...outputs: Uint8Array[]): Uint8Array {
  const text = Bun.zstdCompressSync(JSON.stringify(header));
  return Buffer.concat([Buffer.from(`kache-pack-2 ${sha256(text)} ${text.length}\n`), text, ...outputs]);
}

test('a bomb is not unpacked', async () => {
  const zeros = Bun.zstdCompressSync(new Uint8Array(64 * 1024 * 1024));
  const output = { kind: 'link', blob: sha256('x'), sizeBytes: 64 * 1024 * 1024, mode: 0o644 };
  const header = {
    ...PACKED,
    key: KEY,
    entry: { ...ENTRY, outputs: [output] },
    lengths: [zeros.length],
    part: null,
  };
  expect(await whole(forged(header, zeros))).toBe('unpacks to too much');
  const small = { ...header, entry: { ...ENTRY, outputs: [{ ...output, sizeBytes: 10 }] } };
  expect(await whole(forged(small, zeros))).toBe('an output is not what its name says');
  const huge = { ...header, entry: { ...ENTRY, outputs: [{ ...output, sizeBytes: 2 ** 40 }] } };
  expect(await whole(forged(huge, zeros))).toBe('header not understood');
});

test('headers that are not exactly one are refused, whatever they hold', async () => {
  const header = { key: KEY, ...PACKED, lengths: [1, 1], part: null };
  const [output] = ENTRY.outputs;
  const wrong: object[] = [
    { ...header, key: '../../etc/passwd' },
    { ...header, lengths: [1] },
    { ...header, lengths: [1, -1] },
    { ...header, entry: { ...ENTRY, outputs: [{ ...output, blob: '../x' }] } },
    { ...header, entry: { ...ENTRY, outputs: [{ ...output, kind: '../../evil' }] } },
    { ...header, entry: { ...ENTRY, outputs: [{ ...output, mode: 0o4755 }] } },
    { ...header, entry: { ...ENTRY, outputs: Array(100).fill(output) } },
    { ...header, entry: { ...ENTRY, stderr: ['two\nlines'] } },
    { ...header, entry: { ...ENTRY, origin: 'remote' } },
    { ...header, entry: { ...ENTRY, crateName: 7 } },
    { ...header, closure: { ...PACKED.closure, files: ['a\0b'] } },
    { ...header, closure: { ...PACKED.closure, more: 1 } },
    { ...header, inputs: {} },
    { ...header, part: undefined },
    { ...header, part: { output: 1, of: 1, offset: 0 } },
    { ...header, part: { output: 2, of: 1, offset: 0 } },
    { ...header, part: { output: 1, of: 2, offset: 0 } },
    { ...header, part: { output: 1, of: 0, offset: -1 } },
    { ...header, part: [1, 0, 0] },
    [],
  ];
  for (const value of wrong)
    expect([value, await whole(forged(value))]).toEqual([value, 'header not understood']);
  expect(await whole(new TextEncoder().encode('<html>'))).toBe('not a pack');
  expect(await whole(new Uint8Array())).toBe('not a pack');
});

test('closures of several machines are kept together, newest first, and bounded', () => {
  let record: UnitRecord = { closures: [closureOf('./a.rs')], keys: [cacheKey('a')] };
  expect(mergeUnits(record, { closure: closureOf('./a.rs'), key: cacheKey('a') })).toBeUndefined();
  for (let index = 0; index < 100; index++)
    record = mergeUnits(record, { closure: closureOf(`./${index}.rs`), key: cacheKey(`${index}`) }) ?? record;
  expect(record.closures.length).toBe(16);
  expect(record.closures[0]).toEqual(closureOf('./99.rs'));
  expect(record.keys.length).toBe(64);
  expect(decodeUnit(encodeUnit(record))).toEqual(record);
  const bytes = encodeUnit(record);
  expect(decodeUnit(bytes.subarray(0, -2))).toBeUndefined();
  expect(decodeUnit(new TextEncoder().encode('{}'))).toBeUndefined();
});

test('the list of a build keeps its order, and of a unit the key it had last', () => {
  const item = (name: string, key = name) => ({
    key: cacheKey(key),
    unit: unitId(name),
    compileMs: 5,
    sizeBytes: 6,
    toolchain: '01234567',
  });
  const list = [item('b'), item('a')];
  expect(decodeBuild(encodeBuild(list))).toEqual(list);
  expect(mergeBuilds(list, [item('c'), item('a', 'old')])).toEqual([...list, item('c')]);
  expect(decodeBuild(new Uint8Array(10))).toBeUndefined();
  expect(decodeBuild(Bun.zstdCompressSync(new Uint8Array(200 * 1024 * 1024)))).toBeUndefined();
});
