// Where everything in the store is. The names on disk are read by every version of kache: never rename, add a version.
import type { BlobId, CacheKey, Digest, UnitId } from '../core/ids.ts';
import { sha256 } from '../sys/hash.ts';

export const STORE_VERSION = 1;

/** Paths below one cache directory. Building it touches nothing. */
export class StoreLayout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Version and abilities of the file system; its presence says that the folders exist. */
  get format(): string {
    return `${this.root}/format`;
  }
  blob(id: BlobId): string {
    return `${this.root}/blobs/${id.slice(0, 2)}/${id}`;
  }
  /** The state of a blob after kache's last operation on it. */
  seal(id: BlobId): string {
    return `${this.root}/blobs/${id.slice(0, 2)}/${id}.seal`;
  }
  entry(key: CacheKey): string {
    return `${this.root}/entries/${key.slice(0, 2)}/${key}`;
  }
  /** What went into a key, for explanations. No hit reads it, and an entry without it is whole. */
  inputs(key: CacheKey): string {
    return `${this.entry(key)}.inputs`;
  }
  unit(id: UnitId): string {
    return `${this.root}/units/${id.slice(0, 2)}/${id}`;
  }
  /** Memo files: what a path held when it was last looked at. Losing one costs time, nothing else. */
  memo(kind: MemoKind, name: string): string {
    return `${this.root}/hashes/${kind}/${sha256(name).slice(0, 32)}`;
  }
  /** What lies in the place of build scripts, by the hash of its source. */
  standIn(name: string): string {
    return `${this.root}/stand-ins/${name}`;
  }
  lock(name: Digest): string {
    return `${this.root}/locks/${name.slice(0, 32)}`;
  }
  temporary(name: string): string {
    return `${this.root}/tmp/${name}`;
  }
  get events(): string {
    return `${this.root}/events/log`;
  }
  /** One line for every request to a remote. */
  get transfers(): string {
    return `${this.root}/events/transfers`;
  }
  /** One byte for every 64 KiB written since the last eviction run: its size says whether one is due. */
  get written(): string {
    return `${this.root}/events/written`;
  }
}

/** toolchain: compilers · sources: inputs of one unit in one checkout · outputs: files compiles wrote · macros: names found in macro code · crates: whether a folder holds any · trees: names in folders · unstored: inputs of compiles without an entry · withheld: variables whose values outputs may hold · fingerprints: what a build asked for, and Cargo's records of it. */
export const MEMO_KINDS = [
  'toolchain',
  'sources',
  'outputs',
  'macros',
  'crates',
  'trees',
  'unstored',
  'withheld',
  'fingerprints',
] as const;
export type MemoKind = (typeof MEMO_KINDS)[number];
