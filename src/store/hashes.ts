// Memo files: what a path held when kache last looked. Each is valid as long as the stat signature it was taken under,
// and losing one costs a hash, never a result.
import type { Digest } from '../core/ids.ts';
import { fileTimeNow, isSettled } from '../sys/clock.ts';
import { bestEffort, isRegular, readFile, realPath, signatureOf, stat, utf8 } from '../sys/files.ts';
import { hashFile, sha256 } from '../sys/hash.ts';
import { dirname } from '../sys/paths.ts';
import type { MemoKind } from './layout.ts';
import { encodeRecord, isForeignRecord, parseLine, readRecord } from './records.ts';
import type { Store } from './store.ts';

const KIND = 'kache-memo-1';

/** The memo called `name`; undefined when there is none, or it is damaged. */
export function readMemo<T>(store: Store, kind: MemoKind, name: string): T | undefined {
  const lines = readRecord(store.layout.memo(kind, name), KIND);
  return parseLine<string>(lines?.[0]) === name ? parseLine<T>(lines?.[1]) : undefined;
}

/** A memo by its path, with its name; undefined when it is damaged. */
export function memoAt<T>(path: string): { readonly name: string; readonly value: T } | undefined {
  const lines = readRecord(path, KIND);
  const [name, value] = [parseLine<string>(lines?.[0]), parseLine<T>(lines?.[1])];
  return name === undefined || value === undefined ? undefined : { name, value };
}

/** Whether a memo, given by its path, was written by another version of kache. */
export const isForeignMemo = (path: string): boolean => isForeignRecord(path, KIND);

/** Replaces a memo, if the store can take it. Two processes may do so at once: the later one stays, both are right. */
export const writeMemo = (store: Store, kind: MemoKind, name: string, value: unknown): boolean =>
  bestEffort(() => store.replaceFile(store.layout.memo(kind, name), utf8(encodeRecord(KIND, [name, value]))));

type Known = Record<string, readonly [signature: string, digest: Digest]>;

/** A power cut can leave the new stamps of a file with its old content: what was seen holds for one boot. */
interface SourcesMemo {
  readonly boot: string;
  readonly files: Known;
}

/**
 * What takes a millisecond to hash is looked up in a memo of the whole store: a C compiler and the libraries it loads are
 * 270 MB that each build script which calls one has looked at.
 */
export const LARGE_BYTES = 1024 * 1024;
const LARGE = 'large files';
/** Those that were hashed last. */
const MAX_LARGE = 1024;

/** The content hashes of one unit's inputs in one checkout, remembered in a single memo, but for large files. */
export class SourceHashes {
  readonly #store: Store;
  readonly #name: string;
  readonly #seen = new Map<string, Digest | undefined>();
  #known: Known | undefined;
  #changed = false;
  #large: SourceHashes | undefined;

  constructor(store: Store, name: string) {
    this.#store = store;
    this.#name = name;
  }

  /** SHA-256 of the file's present content, or undefined when it is no regular file. Looked at once per process. */
  hash(path: string): Digest | undefined {
    if (this.#seen.has(path)) return this.#seen.get(path);
    const digest = this.#look(path);
    this.#seen.set(path, digest);
    return digest;
  }

  /** Forgets what this process has seen, not what the signatures vouch for. */
  lookAgain(): void {
    this.#seen.clear();
    this.#large?.lookAgain();
  }

  #look(path: string): Digest | undefined {
    const info = stat(path);
    if (info === undefined || !isRegular(info)) return undefined;
    const isLarge = info.size >= LARGE_BYTES;
    if (isLarge && this.#name !== LARGE) {
      this.#large ??= new SourceHashes(this.#store, LARGE);
      // A library has several names.
      return this.#large.hash(realPath(path) ?? path);
    }
    this.#known ??= this.#remembered();
    const signature = signatureOf(info);
    const known = this.#known[path];
    if (known?.[0] === signature) return known[1];
    const now = fileTimeNow();
    const digest = isLarge ? hashFile(path) : sha256Of(readFile(path));
    if (digest === undefined) return undefined;
    const after = stat(path);
    if (after !== undefined && signatureOf(after) === signature && isSettled(info, now)) {
      delete this.#known[path];
      this.#known[path] = [signature, digest];
      this.#changed = true;
    }
    return digest;
  }

  #remembered(): Known {
    const memo = readMemo<SourcesMemo>(this.#store, 'sources', this.#name);
    return memo?.boot === this.#store.boot ? memo.files : {};
  }

  /** Writes what was learnt: of the files that were asked for, or of all that were ever known under this name. */
  remember(which: 'asked' | 'all' = 'asked'): void {
    this.#large?.remember('all');
    if (!this.#changed || this.#known === undefined) return;
    const kept: Known = {};
    const all = Object.keys(this.#known);
    if (this.#name === LARGE) all.splice(0, all.length - MAX_LARGE);
    for (const path of which === 'all' ? all : this.#seen.keys()) {
      const known = this.#known[path];
      if (known !== undefined) kept[path] = known;
    }
    const memo: SourcesMemo = { boot: this.#store.boot, files: kept };
    this.#changed = !writeMemo(this.#store, 'sources', this.#name, memo);
  }
}

const sha256Of = (bytes: Uint8Array | undefined): Digest | undefined =>
  bytes === undefined ? undefined : sha256(bytes);

export type OutputState = readonly [signature: string, identity: string, boot: string];

/** What is known of the files one compile wrote into a target folder. */
export interface OutputRecord {
  /**
   * By file name: the signature; the identity, a content hash, or `key:` and the cache key of a compile whose bytes may
   * differ; and the boot in which the file was seen to hold it.
   */
  readonly files: Readonly<Record<string, OutputState>>;
  /** Paths of the dynamic libraries (proc macros) that a user of these files can reach. */
  readonly macros: readonly string[];
  /** Paths of the externs this compile was given. */
  readonly externs: readonly string[];
  /** A digest of what those were, and of what was behind them; null where that of one is not known. */
  readonly behind: string | null;
  /** What stands in the outputs for places no other compile has as a root, and the paths it stands for. */
  readonly places: Readonly<Record<string, string>>;
  /** Whether all this was recorded by the compile itself; false for files found lying there. */
  readonly complete: boolean;
  /** Whether a user of these files may have the assembler read files, by a macro or an inline function. */
  readonly assembles: boolean;
}

/** The record covers all outputs of a unit: it is found by their path without the extension. */
const outputName = (path: string): string => path.replace(/\.[a-z]+$/, '');

export const readOutputs = (store: Store, path: string): OutputRecord | undefined =>
  readMemo<OutputRecord>(store, 'outputs', outputName(path));

export const writeOutputs = (store: Store, path: string, record: OutputRecord): boolean =>
  writeMemo(store, 'outputs', outputName(path), record);

/** Whether a memo of outputs, given by its own path, tells of a file that is still there. */
export function describesOutputs(memo: string): boolean {
  const lines = readRecord(memo, KIND);
  const name = parseLine<string>(lines?.[0]);
  const record = parseLine<OutputRecord>(lines?.[1]);
  if (name === undefined || record === undefined) return false;
  return Object.keys(record.files).some((file) => stat(`${dirname(name)}/${file}`) !== undefined);
}

/** A signature for a file kache itself has just put in place; undefined when it is gone. */
export function signatureNow(path: string): string | undefined {
  const info = stat(path);
  return info === undefined ? undefined : signatureOf(info);
}
