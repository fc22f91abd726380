// Entries between a store and their packed form: what is exported is whole, what is imported is proven.
import type { CacheKey } from '../core/ids.ts';
import { MAX_PACK_BYTES, pack, type Refused, unpack } from '../remote/pack.ts';
import { BlobWriter, checkBlob } from '../store/blobs.ts';
import { recordClosure } from '../store/closures.ts';
import {
  type Entry,
  type EntryInputs,
  HOLDS_A_PATH,
  readEntry,
  readEntryClosure,
  readEntryInputs,
  removeEntry,
  writeEntry,
} from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import { readFile, stat } from '../sys/files.ts';

/** Undefined when the entry is not there, not whole, made without a record of its closure, or too large to travel. */
export async function exportEntry(
  store: Store,
  key: CacheKey,
  level: number,
): Promise<Uint8Array | undefined> {
  const entry = readEntry(store, key);
  const [inputs, closure] = [readEntryInputs(store, key), readEntryClosure(store, key)];
  if (entry === undefined || inputs === undefined || closure === undefined) return undefined;
  const { origin: _, ...own } = entry;
  return pack(
    { entry: own, inputs: withoutValues(inputs), closure },
    { level, outputOf: (blob) => readFile(store.layout.blob(blob)) },
  );
}

/**
 * The inputs without the short hashes of variables that are not Cargo's own: whoever can guess a value could confirm it
 * by its hash.
 */
function withoutValues(inputs: EntryInputs): EntryInputs {
  const told = (name: string): boolean => /^(env )?(CARGO_|OUT_DIR$)/.test(name);
  return {
    ...inputs,
    unit: inputs.unit.map(([name, hash]) =>
      (name.startsWith('env ') && !told(name)) || name === 'key salt' ? [name, 'set'] : [name, hash],
    ),
    env: inputs.env.map(([name, hash]) => (told(name) || hash === 'unset' ? [name, hash] : [name, 'set'])),
  };
}

/** Whether an entry and its blobs are in the store. */
export function hasEntry(store: Store, key: CacheKey): boolean {
  const entry = readEntry(store, key);
  return (
    entry?.outputs.every(({ blob, sizeBytes }) => checkBlob(store, blob, sizeBytes).kind === 'sound') ?? false
  );
}

export interface Imported {
  readonly kind: 'imported';
  readonly entry: Entry;
  readonly newBytes: number;
}

/**
 * Puts a packed entry into the store: blobs, then the entry, then its closure. Refused when anything in it is not what
 * it says; then nothing of it is used. A file system that cannot take it throws.
 */
export async function importEntry(
  store: Store,
  asked: { readonly key: CacheKey; readonly origin: 'remote' | 'prefetch' },
  object: Uint8Array,
): Promise<Imported | Refused> {
  if (object.length > MAX_PACK_BYTES) return { kind: 'refused', why: 'too large' };
  const unpacked = unpack(object, asked.key);
  if (unpacked.kind === 'refused') return unpacked;
  const { entry, inputs, closure } = unpacked;
  let newBytes = 0;
  const lie = await unpacked.outputs(({ blob: id, sizeBytes, mode }) => {
    const writer = new BlobWriter(store, { id, sizeBytes, mode });
    if (!writer.existed) newBytes += sizeBytes;
    return writer;
  });
  if (lie !== undefined) return lie;
  // What has travelled once may again; bound to a path, only to where it came from.
  const withheld = closure.bound.length > 0 ? HOLDS_A_PATH : null;
  if (!writeEntry(store, { ...entry, origin: asked.origin }, { ...inputs, closure, withheld }))
    return { kind: 'refused', why: 'another version of kache has an entry of this key' };
  // An eviction may have taken a blob that was there before the entry named it.
  if (entry.outputs.some(({ blob }) => stat(store.layout.blob(blob)) === undefined)) {
    removeEntry(store, asked.key);
    return { kind: 'refused', why: 'evicted meanwhile' };
  }
  recordClosure(store, entry.unit, { closure, key: asked.key });
  return { kind: 'imported', entry, newBytes };
}
