// Entries: one small file per cache key that says which blobs a compile made and what it printed.
import type { BlobId, CacheKey, UnitId } from '../core/ids.ts';
import { bestEffort, touch, utf8 } from '../sys/files.ts';
import type { Closure } from './closures.ts';
import { encodeRecord, isForeignRecord, parseLine, readRecord } from './records.ts';
import type { Store } from './store.ts';

const KIND = 'kache-entry-1';
const INPUTS_KIND = 'kache-inputs-2';

export interface StoredOutput {
  /** What the output is: `link` (the rlib), `metadata`, `program`, `dylib`, `staticlib`, `dwp`. */
  readonly kind: string;
  readonly blob: BlobId;
  readonly sizeBytes: number;
  readonly mode: number;
}

export interface Entry {
  readonly key: CacheKey;
  readonly unit: UnitId;
  readonly crateName: string;
  readonly crateVersion: string;
  readonly crateTypes: string;
  readonly createdMs: number;
  /** What the compiler took: what a hit saves. */
  readonly compileMs: number;
  readonly outputs: readonly StoredOutput[];
  /** stderr as templates: paths as tokens, announced outputs as `\0emit`. */
  readonly stderr: readonly string[];
  readonly stdout: readonly string[];
  /** Came from a remote, and how; absent once a hit has been counted by it. */
  readonly origin?: 'remote' | 'prefetch';
}

/** What went into the key, kept for explanations; values of env variables only as short hashes. */
export interface EntryInputs {
  /** What stands for a linked output in the keys of its dependents; empty when there is no key yet. */
  readonly identity: string;
  /** What of the UnitId is not a flag, by name. */
  readonly unit: readonly (readonly [name: string, value: string])[];
  readonly flags: readonly string[];
  readonly files: readonly (readonly [rooted: string, hash: string])[];
  readonly env: readonly (readonly [name: string, hash: string])[];
  /** `file` is the name of the library, empty for what comes from the sysroot. */
  readonly externs: readonly (readonly [name: string, identity: string, file: string])[];
  readonly other: readonly (readonly [name: string, hash: string])[];
}

/** The entry under `key`; missing, damaged and foreign ones are undefined. */
export function readEntry(store: Store, key: CacheKey): Entry | undefined {
  const entry = parseLine<Entry>(readRecord(store.layout.entry(key), KIND)?.[0]);
  return entry?.key === key ? entry : undefined;
}

/** Whether what stands under `key` was written by another version of kache, which can read it. */
export const isForeignEntry = (store: Store, key: CacheKey): boolean =>
  isForeignRecord(store.layout.entry(key), KIND);

/** The inputs recorded with an entry. */
export const readEntryInputs = (store: Store, key: CacheKey): EntryInputs | undefined =>
  parseLine<EntryInputs>(readRecord(store.layout.inputs(key), INPUTS_KIND)?.[0]);

/** The closure that led to an entry; undefined when it was written without. */
export const readEntryClosure = (store: Store, key: CacheKey): Closure | undefined =>
  parseLine<Closure>(readRecord(store.layout.inputs(key), INPUTS_KIND)?.[1]);

/** The verdict on an entry that a path of this machine alone keeps here. Recorded: never rename. */
export const HOLDS_A_PATH = 'holds-a-path';

/**
 * Whether an entry may leave this machine, by the verdict of its compile. It does not where none was recorded: nobody
 * can tell any more. With `withPaths` also where it is bound to paths of this machine, for machines that have the same.
 */
export function mayTravel(store: Store, key: CacheKey, { withPaths = false } = {}): boolean {
  const record = readRecord(store.layout.inputs(key), INPUTS_KIND);
  const withheld = parseLine<Verdict>(record?.[2])?.withheld;
  if (withheld !== HOLDS_A_PATH || !withPaths) return withheld === null;
  return (parseLine<Closure>(record?.[1])?.bound.length ?? 0) > 0;
}

interface Verdict {
  /** Null: it may leave the machine; else why not. */
  readonly withheld: string | null;
}

/** What is published beside an entry, for explanations and for sharing it: without all of it, it cannot be shared. */
export type EntryOrigins = EntryInputs & { readonly closure?: Closure } & Partial<Verdict>;

/**
 * Publishes an entry. Its blobs must be in place: whoever sees the entry may restore it at once. False when another
 * version of kache has an entry of its own under the key, which stays.
 */
export function writeEntry(
  store: Store,
  entry: Entry,
  { closure, withheld, ...inputs }: EntryOrigins,
): boolean {
  if (isForeignEntry(store, entry.key)) return false;
  const lines: unknown[] = closure === undefined ? [inputs] : [inputs, closure];
  if (closure !== undefined && withheld !== undefined) lines.push({ withheld });
  store.replaceFile(store.layout.inputs(entry.key), utf8(encodeRecord(INPUTS_KIND, lines)));
  store.replaceFile(store.layout.entry(entry.key), utf8(encodeRecord(KIND, [entry])));
  return true;
}

/** Takes the mark of a remote off an entry: from its first hit on it is as one of this machine. */
export const settleEntry = (store: Store, { origin: _, ...entry }: Entry): boolean =>
  bestEffort(() => store.replaceFile(store.layout.entry(entry.key), utf8(encodeRecord(KIND, [entry]))));

/** Marks an entry as used now: eviction goes by its mtime. */
export const touchEntry = (store: Store, key: CacheKey): boolean =>
  bestEffort(() => touch(store.layout.entry(key)));

/** Removes an entry; false when it was not there or may not be removed. */
export const removeEntry = (store: Store, key: CacheKey): boolean =>
  bestEffort(() => {
    store.discard(store.layout.entry(key));
    store.discard(store.layout.inputs(key));
  });
