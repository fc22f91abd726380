// Blobs: immutable output files named by their SHA-256, and the seals that show whether one was touched by anyone else.
import type { BlobId } from '../core/ids.ts';
import { asideOf, makeAside } from '../sys/aside.ts';
import { CANNOT_REFLINK, copy, reflink } from '../sys/clone.ts';
import {
  bestEffort,
  type FileStat,
  holdsTheSame,
  isOsError,
  isRegular,
  link,
  type OpenFile,
  openFile,
  readableText,
  readPieces,
  removeFile,
  rename,
  stat,
  utf8,
  writeAll,
} from '../sys/files.ts';
import { type Checksum, Checksummer, Hasher } from '../sys/hash.ts';
import { O, OsError } from '../sys/libc.ts';
import { type Store, withParent } from './store.ts';

/** How content came from one name to another. */
export type LinkKind = 'reflinked' | 'hardlinked' | 'copied';

/** A blob is hashed again when its last proof is older than this. */
const PROOF_LASTS_MS = 7 * 24 * 3600 * 1000;
/** Fixed width, so that a seal is replaced by one write(2) in place. */
const SEAL_BYTES = 192;

/** The blob's state after kache's own last operation, and what is known of its bytes. */
const sealText = (store: Store, { info, provenMs, checksum }: Proof): string =>
  `${stateOf(info)} ${store.boot} ${provenMs} ${checksum}`.padEnd(SEAL_BYTES - 1).concat('\n');

const KIND = 'kache-seal-1';

const stateOf = (info: FileStat): string => `${KIND} ${contentOf(info)} ${info.ctimeSec}.${info.ctimeNsec}`;

/** What a link leaves alone and a write does not. */
const contentOf = (info: FileStat): string => `${info.ino} ${info.size} ${info.mtimeSec}.${info.mtimeNsec}`;

/** A seal that cannot be written costs a hash at the next use; what stands in its way goes. */
function writeSeal(store: Store, id: BlobId, proof: Proof): void {
  const text = sealText(store, proof);
  const path = store.layout.seal(id);
  const written = bestEffort(() => {
    using file = openFile(path, O.WRONLY | O.CREAT, 0o600);
    writeAll(file.fd, utf8(text), path);
  });
  if (!written) bestEffort(() => store.discard(path));
}

/**
 * Seals a blob again after kache has linked it or renamed a link to it, which moves its ctime and nothing else. Where
 * more has moved, somebody has written to it since the proof: the seal stays broken, and the next use hashes.
 */
export function sealAgain(store: Store, id: BlobId, proof: Proof): void {
  bestEffort(() => {
    const info = stat(store.layout.blob(id));
    if (info !== undefined && contentOf(info) === contentOf(proof.info))
      writeSeal(store, id, { ...proof, info });
  });
}

/** No bytes have this checksum. */
const UNKNOWN = '-' as Checksum;

interface Seal {
  readonly state: string;
  readonly proof: Omit<Proof, 'info'>;
}

/** The seal of a blob, if its proof is of this boot and at most a week old. */
function readSeal(store: Store, id: BlobId): Seal | undefined {
  const words = readableText(store.layout.seal(id))?.trimEnd().split(' ') ?? [];
  const provenMs = Number(words[6]);
  const age = Date.now() - provenMs;
  if (words[5] !== store.boot || !(age >= 0 && age < PROOF_LASTS_MS)) return undefined;
  const checksum = (words[7] ?? UNKNOWN) as Checksum;
  return { state: words.slice(0, 5).join(' '), proof: { provenMs, checksum } };
}

/** That a blob held what its name says: when, and the state it was in (milliseconds since the epoch). */
export interface Proof {
  readonly provenMs: number;
  readonly info: FileStat;
  /** Of the bytes that were proven. */
  readonly checksum: Checksum;
}

export type BlobState =
  | { readonly kind: 'sound'; readonly proof: Proof }
  | { readonly kind: 'missing' }
  | { readonly kind: 'damaged' };

/**
 * Whether a blob holds what its name says: by its seal; where a link that came or went has broken it, by the checksum of
 * the bytes that were proven; by their SHA-256 when the seal is from another boot, a week old, or of another file. A
 * damaged blob is removed; one that may not be read (another user's) is as good as missing.
 */
export function checkBlob(store: Store, id: BlobId, sizeBytes: number): BlobState {
  try {
    return lookAtBlob(store, id, sizeBytes);
  } catch (error) {
    if (!isOsError(error, 'EACCES', 'EPERM')) throw error;
    return { kind: 'missing' };
  }
}

/** Whether the seal of a blob holds: {@link checkBlob} reads no byte of it then. */
export const isSealed = (store: Store, id: BlobId): boolean => {
  const info = stat(store.layout.blob(id));
  return info !== undefined && readSeal(store, id)?.state === stateOf(info);
};

function lookAtBlob(store: Store, id: BlobId, sizeBytes: number): BlobState {
  const info = stat(store.layout.blob(id));
  if (info === undefined) return { kind: 'missing' };
  if (isRegular(info) && info.size === sizeBytes) {
    const seal = readSeal(store, id);
    if (seal?.state === stateOf(info)) return { kind: 'sound', proof: { ...seal.proof, info } };
    const proof = prove(store, id, info, seal);
    if (proof === 'missing') return { kind: 'missing' };
    if (proof !== 'damaged') {
      writeSeal(store, id, proof);
      return { kind: 'sound', proof };
    }
  }
  removeBlob(store, id);
  return { kind: 'damaged' };
}

/** Reads a blob that is in the state `info`, which is not that of its seal. */
function prove(
  store: Store,
  id: BlobId,
  info: FileStat,
  seal: Seal | undefined,
): Proof | 'missing' | 'damaged' {
  const path = store.layout.blob(id);
  try {
    if (seal?.state.startsWith(`${KIND} ${contentOf(info)} `)) {
      const sum = new Checksummer();
      if (!readPieces(path, (piece) => sum.update(piece))) return 'missing';
      if (sum.digest() === seal.proof.checksum) return { ...seal.proof, info };
    }
    const [hasher, sum] = [new Hasher(), new Checksummer()];
    const isThere = readPieces(path, (piece) => {
      hasher.update(piece);
      sum.update(piece);
    });
    if (!isThere) return 'missing';
    return hasher.digest() === id ? { info, provenMs: Date.now(), checksum: sum.digest() } : 'damaged';
  } catch (error) {
    // We are short of something, the blob is not.
    if (!isOsError(error) || ['EMFILE', 'ENFILE', 'ENOMEM', 'EINTR'].includes(error.code)) throw error;
    return 'damaged';
  }
}

export function removeBlob(store: Store, id: BlobId): void {
  for (const path of [store.layout.seal(id), store.layout.blob(id)]) bestEffort(() => store.discard(path));
}

/** What a caller wants of the target file. */
export interface PlaceOptions {
  /** Whether the target may be one inode with the blob: true only for files nobody writes to in place. */
  readonly shared: boolean;
  readonly mode: number;
  readonly linkMode: 'auto' | 'hardlink' | 'copy';
}

/** Strategies in the order they are tried. A reflink is always private, so it serves both kinds of target. */
export function strategies(store: Store, options: PlaceOptions): LinkKind[] {
  const { linkMode, shared } = options;
  const kinds: LinkKind[] = [];
  if (linkMode === 'auto' && store.canReflink) kinds.push('reflinked');
  if (linkMode !== 'copy' && shared) kinds.push('hardlinked');
  return [...kinds, 'copied'];
}

/** Errors after which the next strategy is tried: another file system, no such ability, too many links, protected links. */
const NEXT_STRATEGY = [...CANNOT_REFLINK, 'EMLINK', 'EACCES'];

/** Makes the new file `target` of `source` by the first of some ways that can be had here. */
export function bring(source: string, target: string, order: readonly LinkKind[], mode: number): LinkKind {
  for (const kind of order) {
    try {
      if (kind === 'hardlinked') link(source, target);
      else if (kind === 'reflinked') reflink(source, target, mode);
      else copy(source, target, mode);
      return kind;
    } catch (error) {
      if (kind === order[order.length - 1] || !isOsError(error, ...NEXT_STRATEGY)) throw error;
    }
  }
  throw new Error('no strategy given');
}

/**
 * Makes `target` (a name that does not exist) hold the bytes of a sound blob. A private target is a new file and carries
 * the kernel's current time. A hardlink breaks the seal: who is done with moving it calls {@link sealAgain}.
 */
export const placeBlob = (store: Store, id: BlobId, target: string, options: PlaceOptions): LinkKind =>
  bring(store.layout.blob(id), target, strategies(store, options), options.mode);

/** Brings a private copy of a program that is no blob to `target`, which must not exist. */
export const placeCopy = (store: Store, program: string, target: string): LinkKind =>
  bring(program, target, strategies(store, PRIVATE_PROGRAM), PRIVATE_PROGRAM.mode);

export const PRIVATE_PROGRAM: PlaceOptions = { shared: false, mode: 0o755, linkMode: 'auto' };

/**
 * Publishes the file `source`, whose bytes the caller has hashed to `id` when it was in the state `info` (by default the
 * present one); returns whether the store had them already, and the state `source` is in now. Throws ESTALE when the file
 * has changed since. Without their checksum the first look at a broken seal takes as long as in a new boot. With `shared`,
 * source and blob become one inode: by linking the source in, or by replacing it with a link to the blob that is there.
 * Safe against another process publishing the same bytes.
 */
export function publishBlob(
  store: Store,
  id: BlobId,
  source: string,
  options: PlaceOptions & { info?: FileStat; checksum?: () => Checksum | undefined },
): { existed: boolean; info: FileStat } {
  const path = store.layout.blob(id);
  const { info: hashed = stat(source) } = options;
  const state =
    stat(path) === undefined ? { kind: 'missing' as const } : checkBlob(store, id, hashed?.size ?? -1);
  const existed = state.kind === 'sound';
  const aside = store.temporaryPath();
  let isReplaced = false;
  if (!existed) withParent(aside, () => bring(source, aside, strategies(store, options), options.mode));
  // Two files instead of one are right, too.
  else if (options.shared && hashed !== undefined)
    bestEffort(() => {
      isReplaced = replaceWithLink(store, id, source, { ...options, hashed, proof: state.proof });
    });
  const info = stat(source);
  if (info === undefined || hashed === undefined || !(isReplaced || holdsTheSame(info, hashed))) {
    bestEffort(() => removeFile(aside));
    throw new OsError('publish', source, 'ESTALE');
  }
  if (!existed) settle(store, id, aside, options.checksum?.() ?? UNKNOWN);
  return { existed, info };
}

/**
 * Bytes on their way into the store as the blob `id`, a file of `mode`. Nothing is there before {@link finish}, which
 * the caller calls when they have hashed to `id`; whole or not at all, also after a crash and beside another process.
 */
export class BlobWriter implements Disposable {
  readonly #store: Store;
  readonly #id: BlobId;
  /** Undefined when the store has the blob. */
  readonly #file: OpenFile | undefined;
  readonly #checksummer = new Checksummer();
  #isFinished = false;

  constructor(store: Store, { id, sizeBytes, mode }: { id: BlobId; sizeBytes: number; mode: number }) {
    this.#store = store;
    this.#id = id;
    // The size is only said so far: a look for another than its own would take a sound blob away.
    const isThere = stat(store.layout.blob(id))?.size === sizeBytes;
    if (isThere && checkBlob(store, id, sizeBytes).kind === 'sound') return;
    const aside = store.temporaryPath();
    let file: OpenFile | undefined;
    withParent(aside, () => {
      file = openFile(aside, O.WRONLY | O.CREAT | O.EXCL, mode);
    });
    this.#file = file;
  }

  get existed(): boolean {
    return this.#file === undefined;
  }

  write(piece: Uint8Array): void {
    if (this.#file === undefined) return;
    this.#checksummer.update(piece);
    writeAll(this.#file.fd, piece, this.#file.path);
  }

  finish(): void {
    if (this.#file === undefined) return;
    this.#file.finish();
    this.#isFinished = true;
    settle(this.#store, this.#id, this.#file.path, this.#checksummer.digest());
  }

  [Symbol.dispose](): void {
    const file = this.#file;
    if (file === undefined || this.#isFinished) return;
    file[Symbol.dispose]();
    bestEffort(() => removeFile(file.path));
  }
}

/** Makes a finished temporary file the blob, and seals it as the last that moves its ctime. */
function settle(store: Store, id: BlobId, aside: string, checksum: Checksum): void {
  const path = store.layout.blob(id);
  store.moveIntoPlace(aside, path);
  // rename(2) of two names of one inode leaves both: the temporary one must not stay.
  removeFile(aside);
  const info = stat(path);
  if (info !== undefined) writeSeal(store, id, { info, provenMs: Date.now(), checksum });
}

/**
 * Whether a blob may become one inode with a file of a target folder. Not when it is stamped in the future (the clock was
 * put back since): there, Cargo takes everything built on it for outdated until that time has come.
 */
export const mayBeLinked = ({ info }: Proof): boolean => info.mtimeSec * 1000 <= Date.now();

/**
 * One physical file for equal bytes: `source`, while it is in the state `hashed`, gives way to a link to the blob where
 * links or reflinks can be had. Whether it did.
 */
function replaceWithLink(
  store: Store,
  id: BlobId,
  source: string,
  options: PlaceOptions & { hashed: FileStat; proof: Proof },
): boolean {
  if (!mayBeLinked(options.proof) || options.hashed.ino === options.proof.info.ino) return false;
  const order = strategies(store, options).filter((kind) => kind !== 'copied');
  const aside = asideOf(source);
  for (const kind of order) {
    try {
      makeAside(aside, () => bring(store.layout.blob(id), aside, [kind], options.mode));
    } catch (error) {
      if (!isOsError(error, ...NEXT_STRATEGY)) throw error;
      continue;
    }
    const now = stat(source);
    const isThere = now !== undefined && holdsTheSame(now, options.hashed);
    try {
      if (isThere) rename(aside, source);
      else removeFile(aside);
    } catch (error) {
      bestEffort(() => removeFile(aside));
      throw error;
    }
    if (kind === 'hardlinked') sealAgain(store, id, options.proof);
    return isThere;
  }
  return false;
}
