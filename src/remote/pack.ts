// An entry as one object: a first line, a header, and the outputs, each compressed for itself. Whoever unpacks believes
// nothing: not the lengths, not the names, not the bytes.
//
//   kache-pack-2 <sha256 of the packed header> <its length>\n
//   <header: JSON, zstd>
//   <each output in the order of the header: zstd>
//
// An output that lies in another, byte for byte, is not packed again: a library holds its metadata, which is a fifth of
// all bytes.
import { setImmediate as turnOfOthers } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { type BlobId, type CacheKey, parseDigest } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import type { Closure } from '../store/closures.ts';
import type { Entry, EntryInputs, StoredOutput } from '../store/entries.ts';
import { Hasher, sha256 } from '../sys/hash.ts';
import { inflated } from '../sys/zstd.ts';
import { isClosure, isEntry, isInputs } from './shapes.ts';

const KIND = 'kache-pack-2';

/** An object larger than this is neither made nor read; with it, what one transfer holds in memory is bounded. */
export const MAX_PACK_BYTES = 128 * 1024 * 1024;
/** One output, unpacked. */
export const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024 * 1024;
/** Nothing a compiler writes shrinks by more; zeros do, by ten thousand. */
const MAX_RATIO = 400;
/** Below this the ratio says nothing: a small file of zeros is harmless. */
const RATIO_COUNTS_FROM_BYTES = 1024 * 1024;

/** What is packed and unpacked. The bytes of outputs are read and handed out one at a time. */
export interface Packed {
  readonly entry: Entry;
  readonly inputs: EntryInputs;
  readonly closure: Closure;
}

interface Header extends Packed {
  readonly key: CacheKey;
  /** Packed length of each output; 0 of the one that is a part of another. */
  readonly lengths: readonly number[];
  readonly part: Part | null;
}

/** An output that lies in another one, from this byte on. Outputs are numbered from 0. */
interface Part {
  readonly output: number;
  readonly of: number;
  readonly offset: number;
}

/**
 * How much the library hands over at a time where everything is wanted at once. In its usual pieces of 16 KiB an output
 * goes to another thread and back ten thousand times.
 */
const chunkFor = (expectedBytes: number): number =>
  Math.min(Math.max(Math.ceil(expectedBytes), 1024), 8 * 1024 * 1024);

const compress = promisify(zstdCompress);

/** The object, or undefined when an output is gone or the whole would be too large. */
export async function pack(
  packed: Packed,
  options: { readonly level: number; readonly outputOf: (blob: BlobId) => Uint8Array | undefined },
): Promise<Uint8Array | undefined> {
  const params = { [constants.ZSTD_c_compressionLevel]: options.level };
  const shrink = (bytes: Uint8Array | string): Promise<Uint8Array> =>
    compress(bytes, { params, chunkSize: chunkFor(bytes.length / 2) });
  const outputs: Uint8Array[] = [];
  const { outputs: files } = packed.entry;
  const [library, metadata] = ['link', 'metadata'].map((kind) => files.findIndex((one) => one.kind === kind));
  let part: Part | null = null;
  let total = 0;
  for (const [index, { blob, sizeBytes }] of files.entries()) {
    if (sizeBytes > MAX_OUTPUT_BYTES) return undefined;
    const bytes = options.outputOf(blob);
    if (bytes?.length !== sizeBytes || sha256(bytes) !== blob) return undefined;
    const whole = index === metadata ? files[library ?? -1] : undefined;
    const offset = whole === undefined ? undefined : offsetIn(options.outputOf(whole.blob), bytes);
    if (offset !== undefined) part = { output: index, of: library ?? -1, offset };
    const small = offset === undefined ? await shrink(bytes) : NOTHING;
    total += small.length;
    if (total > MAX_PACK_BYTES) return undefined;
    outputs.push(small);
  }
  const header: Header = {
    key: packed.entry.key,
    ...packed,
    lengths: outputs.map(({ length }) => length),
    part,
  };
  const text = await shrink(JSON.stringify(header));
  const first = Buffer.from(`${KIND} ${sha256(text)} ${text.length}\n`);
  const whole = Buffer.concat([first, text, ...outputs]);
  return whole.length > MAX_PACK_BYTES ? undefined : whole;
}

const NOTHING = new Uint8Array();
/** A part that is shorter is not worth looking for. */
const MIN_PART_BYTES = 64;
/** Its first bytes may stand in other places too. */
const MAX_TRIES = 16;

/** Where `part` lies in `whole`; undefined when it does not, or is not found soon. */
function offsetIn(whole: Uint8Array | undefined, part: Uint8Array): number | undefined {
  if (whole === undefined || part.length < MIN_PART_BYTES) return undefined;
  const [text, start] = [Buffer.from(whole.buffer, whole.byteOffset, whole.length), part.subarray(0, 64)];
  let at = text.indexOf(start);
  for (let tries = 0; at >= 0 && tries < MAX_TRIES; tries++) {
    if (text.subarray(at, at + part.length).equals(part)) return at;
    at = text.indexOf(start, at + 1);
  }
  return undefined;
}

/** Why an object is not what was asked for. */
export interface Refused {
  readonly kind: 'refused';
  readonly why: string;
}

/** Takes the bytes of one output as they come. Whatever ends before {@link finish} was a lie, or was cut off. */
export interface OutputSink extends Disposable {
  write(piece: Uint8Array): void;
  /** All bytes have come, and are what the name of the output says. */
  finish(): void;
}

export interface Unpacked extends Packed {
  readonly kind: 'unpacked';
  /** Unpacks every output into what `open` gives for it; a lie ends this as a refusal. What a sink throws is thrown. */
  outputs(open: (output: StoredOutput) => OutputSink): Promise<Refused | undefined>;
}

const refused = (why: string): Refused => ({ kind: 'refused', why });

/** Reads an object that is said to be the entry under `key`. */
export function unpack(object: Uint8Array, key: CacheKey): Unpacked | Refused {
  const first = Buffer.from(object.subarray(0, 128)).toString('latin1');
  const match = /^kache-pack-2 ([0-9a-f]{64}) (\d{1,8})\n/.exec(first);
  if (match === null) return refused('not a pack');
  const from = match[0].length;
  const text = object.subarray(from, from + Number(match[2]));
  if (text.length !== Number(match[2]) || sha256(text) !== match[1]) return refused('header damaged');
  const header = readHeader(parseJson(headerText(text)));
  if (header === undefined) return refused('header not understood');
  if (header.key !== key || header.entry.key !== key) return refused('another key');
  const lengths = header.lengths.reduce((sum, length) => sum + length, from + text.length);
  if (lengths !== object.length) return refused('wrong length');
  const { entry, inputs, closure } = header;
  return {
    kind: 'unpacked',
    entry,
    inputs,
    closure,
    outputs: (open) => unpackOutputs(header, object.subarray(from + text.length), open),
  };
}

/** As much of it as a header may have: of a longer one no JSON. */
function headerText(packed: Uint8Array): string {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (const piece of inflated(packed)) {
    pieces.push(Buffer.from(piece));
    bytes += piece.length;
    if (bytes > MAX_HEADER_BYTES) break;
  }
  return Buffer.concat(pieces).toString();
}

async function unpackOutputs(
  { entry, lengths, part }: Header,
  object: Uint8Array,
  open: (output: StoredOutput) => OutputSink,
): Promise<Refused | undefined> {
  let at = 0;
  for (const [index, output] of entry.outputs.entries()) {
    const length = lengths[index] ?? 0;
    const small = object.subarray(at, at + length);
    at += length;
    // It comes with what it is a part of.
    if (part?.output === index) continue;
    if (output.sizeBytes > RATIO_COUNTS_FROM_BYTES && output.sizeBytes > length * MAX_RATIO)
      return refused('unpacks to too much');
    const inside = part?.of === index ? entry.outputs[part.output] : undefined;
    using whole = new Proof(output, 0, open(output));
    using within = inside && part && new Proof(inside, part.offset, open(inside));
    let bytes = 0;
    for (const piece of inflated(small)) {
      whole.take(piece);
      within?.take(piece);
      bytes += piece.length;
      if (bytes > output.sizeBytes) break;
      // A daemon has others to answer.
      await turnOfOthers();
    }
    if (bytes !== output.sizeBytes || !whole.holds() || within?.holds() === false)
      return refused('an output is not what its name says');
  }
  return undefined;
}

/** Proves an output that begins at `from` in a row of pieces, on its way into a sink. */
class Proof implements Disposable {
  readonly #output: StoredOutput;
  readonly #from: number;
  readonly #sink: OutputSink;
  readonly #hasher = new Hasher();
  /** Bytes seen, and those of them that were its own. */
  #seen = 0;
  #taken = 0;

  constructor(output: StoredOutput, from: number, sink: OutputSink) {
    this.#output = output;
    this.#from = from;
    this.#sink = sink;
  }

  take(piece: Uint8Array): void {
    const start = Math.max(this.#from - this.#seen, 0);
    const end = this.#from + this.#output.sizeBytes - this.#seen;
    this.#seen += piece.length;
    if (start >= piece.length || end <= 0) return;
    const own = piece.subarray(start, end);
    this.#taken += own.length;
    this.#hasher.update(own);
    this.#sink.write(own);
  }

  /** Whether everything has come and is what its name says; then it is the sink's. */
  holds(): boolean {
    const { sizeBytes, blob } = this.#output;
    if (this.#taken !== sizeBytes || this.#hasher.digest() !== blob) return false;
    this.#sink.finish();
    return true;
  }

  [Symbol.dispose](): void {
    this.#sink[Symbol.dispose]();
  }
}

function readHeader(value: unknown): Header | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { key, entry, inputs, closure, lengths, part } = value as Partial<Record<keyof Header, unknown>>;
  if (typeof key !== 'string' || parseDigest<CacheKey>(key) === undefined) return undefined;
  if (!isEntry(entry) || !isInputs(inputs) || !isClosure(closure)) return undefined;
  if (!Array.isArray(lengths) || lengths.length !== entry.outputs.length) return undefined;
  if (!lengths.every((length) => Number.isSafeInteger(length) && length >= 0)) return undefined;
  if (entry.outputs.some(({ sizeBytes }) => sizeBytes > MAX_OUTPUT_BYTES)) return undefined;
  if (part !== null && !isPart(part, lengths.length)) return undefined;
  return { key: key as CacheKey, entry, inputs, closure, lengths: lengths as number[], part };
}

/** One part at most, of something that is packed itself: what unpacks is bounded by the ratio of that. */
function isPart(value: unknown, outputs: number): value is Part {
  if (typeof value !== 'object' || value === null) return false;
  const { output, of, offset } = value as Partial<Record<keyof Part, unknown>>;
  if (![output, of, offset].every((place) => Number.isSafeInteger(place) && (place as number) >= 0))
    return false;
  return output !== of && (output as number) < outputs && (of as number) < outputs;
}
