// Cargo's target directories: which folders certainly are one, what each occupies, and what of that is shared with
// the store or with other target directories. Cold; changes nothing.
import { parseDigest } from '../core/ids.ts';
import { sharedExtents } from '../sys/extents.ts';
import { fileSystemOf } from '../sys/file-system.ts';
import {
  type DirectoryEntry,
  type FileStat,
  isDirectory,
  isOsError,
  isRegular,
  listDirectory,
  lstat,
  readStart,
  realPath,
} from '../sys/files.ts';
import { Pace } from '../sys/pace.ts';
import { dirname, isWithin } from '../sys/paths.ts';
import { filesBelow, occupiedBytes } from './inventory.ts';

/** A file with more than one name. */
export interface LinkedFile {
  readonly bytes: number;
  /** Names it has in all. */
  readonly links: number;
  /** Names it has in this target directory. */
  readonly names: number;
}

export interface Target {
  /** Real, absolute path. */
  readonly path: string;
  /** Files, by name. */
  readonly files: number;
  /** Sizes of all files as `ls` shows them, each name counted. */
  readonly logicalBytes: number;
  /** Bytes on the disk, each file and each shared block counted once. */
  readonly occupiedBytes: number;
  /** Bytes no name and no block outside has a part in: what deleting this one frees, at least. */
  readonly exclusiveBytes: number;
  /** The rest of what it occupies. */
  readonly sharedBytes: number;
  /** Bytes it shares with each other place: the path of a target directory or of the store, or {@link ELSEWHERE}. */
  readonly sharedWith: ReadonlyMap<string, number>;
  /** When something in it was last written, milliseconds since the epoch. */
  readonly modifiedMs: number;
  /** Files with several names, by device and inode. */
  readonly linked: ReadonlyMap<string, LinkedFile>;
  /** Bytes of runs of blocks that several files share, by device and place. */
  readonly blocks: ReadonlyMap<string, number>;
}

/** Names or blocks outside every place that was looked at. */
export const ELSEWHERE = 'elsewhere';

export interface ScanProgress {
  /** Folders looked at so far. */
  readonly folders: number;
  /** Target directories found so far. */
  readonly found: number;
  /** Where the scan is. */
  readonly path: string;
}

export interface ScanOptions {
  /** The store's folder; what is shared with its blobs is told apart. */
  readonly storeRoot?: string | undefined;
  /** Called a few times a second. */
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
  /** Aborting ends the scan with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told of each folder that may not be read; what it holds is missing from the figures. */
  readonly onUnreadable?: ((path: string) => void) | undefined;
}

/** Where the contents of an interrupted removal wait for the next one. */
export const REMOVED = '.kache-removed';

/** What Cargo writes into a target directory it has made. */
const TAG =
  'Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by cargo.';
/** Whatever else it looks like, a folder that holds one of these is not Cargo's alone. */
const SOURCES = ['Cargo.toml', 'Cargo.lock', '.git', '.hg', '.jj', 'src'];
const LOCK = /^\.cargo(-build|-artifact)?-lock$/;

const isFile = (path: string): boolean => {
  const info = lstat(path);
  return info !== undefined && isRegular(info);
};

/**
 * Whether a folder certainly is a target directory of Cargo: it carries Cargo's own tag and a trace of a build, and no
 * sign of sources. One that was there before Cargo has no tag and is not taken for one.
 */
export function isTargetDirectory(path: string): boolean {
  const info = lstat(path);
  if (info === undefined || !isDirectory(info) || !isFile(`${path}/CACHEDIR.TAG`)) return false;
  const tag = new TextDecoder().decode(readStart(`${path}/CACHEDIR.TAG`, TAG.length));
  if (tag !== TAG) return false;
  const entries = namesIn(path);
  if (entries.some(({ name }) => SOURCES.includes(name))) return false;
  if (entries.some(({ name, kind }) => (name === '.rustc_info.json' && kind === 'file') || name === REMOVED))
    return true;
  return lockFiles(path).length > 0;
}

/**
 * The files Cargo locks while it builds: in each profile, or one level deeper below a target triple; also in a folder of
 * its own in which it builds (`build.build-dir`), as deep as `{workspace-path-hash}` leads.
 */
export function lockFiles(target: string): string[] {
  const inProfile = (folder: string, deeper: boolean): string[] => {
    const entries = namesIn(folder);
    if (entries.some(({ name }) => name === 'CACHEDIR.TAG')) return lockFiles(folder);
    return entries.flatMap(({ name, kind }) => {
      if (kind === 'file' && LOCK.test(name)) return [`${folder}/${name}`];
      return kind === 'directory' && deeper ? inProfile(`${folder}/${name}`, false) : [];
    });
  };
  return namesIn(target).flatMap(({ name, kind }) =>
    kind === 'directory' ? inProfile(`${target}/${name}`, true) : [],
  );
}

/** The target directory that `path` (an output folder, say) lies in; undefined when it lies in none. */
export function targetAbove(path: string): string | undefined {
  for (let at = path; at.startsWith('/') && at !== '/'; at = dirname(at))
    if (ask(() => isTargetDirectory(at)) === true) return at;
  return undefined;
}

/** What is freed, at least, when all of these are deleted: files whose every name goes, without shared blocks. */
export function freedBytes(targets: readonly Target[]): number {
  const gone = new Map<string, number>();
  let bytes = 0;
  for (const target of targets) {
    bytes += target.exclusiveBytes;
    for (const [id, file] of target.linked) {
      if (file.names === file.links) continue;
      const names = (gone.get(id) ?? 0) + file.names;
      gone.set(id, names);
      if (names === file.links) bytes += file.bytes;
    }
  }
  return bytes;
}

/** What these occupy, files and blocks that several of them share counted once. */
export function occupiedTogether(targets: readonly Target[]): number {
  const seen = new Set<string>();
  let bytes = 0;
  for (const target of targets) {
    bytes += target.occupiedBytes;
    const { linked, blocks } = target;
    for (const [id, size] of [...linked].map(([id, file]) => [id, file.bytes] as const).concat([...blocks])) {
      if (seen.has(id)) bytes -= size;
      seen.add(id);
    }
  }
  return bytes;
}

/**
 * Every target directory at or below `roots`, in the order of their paths, with what each occupies. Symbolic links are
 * not followed; a target directory that holds the store is left out. Gives way to other work every few milliseconds.
 */
export async function scanTargets(roots: readonly string[], options: ScanOptions = {}): Promise<Target[]> {
  const walk = new Walk(options);
  const { storeRoot: storeFolder } = options;
  const storeRoot = storeFolder === undefined ? undefined : (ask(() => realPath(storeFolder)) ?? storeFolder);
  const paths = new Set<string>();
  for (const root of roots) {
    const real = ask(() => realPath(root));
    if (real !== undefined) await find(real, { walk, storeRoot, paths });
  }
  const store = storeRoot === undefined || paths.size === 0 ? undefined : await measureStore(storeRoot, walk);
  const measured: Measured[] = [];
  // Where one builds in the other, that is part of it, however it was found.
  const isPart = (path: string): boolean =>
    [...paths].some((other) => other !== path && isWithin(path, other));
  for (const path of [...paths].sort()) if (!isPart(path)) measured.push(await measure(path, walk));
  const holders = holdersOf(store === undefined ? measured : [...measured, store]);
  return measured.map((one) => summary(one, holders));
}

/** What the walks of one scan share: its pace, its figures, what is known of file systems. */
class Walk {
  readonly #options: ScanOptions;
  readonly #pace: Pace;
  readonly #sharing = new Map<number, boolean>();
  #path = '';
  folders = 0;
  found = 0;

  constructor(options: ScanOptions) {
    this.#options = options;
    const onProgress = (): void =>
      options.onProgress?.({ folders: this.folders, found: this.found, path: this.#path });
    this.#pace = new Pace({ onProgress, signal: options.signal });
  }

  /** The names in a folder; a folder that is closed to us counts as empty. */
  async enter(path: string): Promise<readonly DirectoryEntry[]> {
    this.folders++;
    this.#path = path;
    await this.step();
    try {
      return listDirectory(path) ?? [];
    } catch (error) {
      if (!isOsError(error)) throw error;
      this.unreadable(path);
      return [];
    }
  }

  unreadable(path: string): void {
    this.#options.onUnreadable?.(path);
  }

  /** Whether files on the file system of `path` may share blocks; asked once for each. */
  mayShareBlocks(path: string, { dev }: FileStat): boolean {
    const known = this.#sharing.get(dev);
    if (known !== undefined) return known;
    const may = !fileSystemOf(path).neverShares;
    this.#sharing.set(dev, may);
    return may;
  }

  /** Lets others work; ends the scan when that is wished. */
  step(): Promise<void> {
    return this.#pace.step(() => this.#path);
  }
}

/** An answer of the file system; undefined where it is closed to us. */
function ask<T>(question: () => T): T | undefined {
  try {
    return question();
  } catch (error) {
    if (isOsError(error)) return undefined;
    throw error;
  }
}

const namesIn = (path: string): readonly DirectoryEntry[] => ask(() => listDirectory(path)) ?? [];

/** Folders in which nobody builds, and which would take long. */
const NOT_SEARCHED = ['.git', 'node_modules'];
const NOT_SEARCHED_ROOTS = ['/proc', '/sys', '/dev'];

interface Search {
  readonly walk: Walk;
  readonly storeRoot: string | undefined;
  readonly paths: Set<string>;
}

async function find(folder: string, search: Search): Promise<void> {
  const pending = [folder];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (path === search.storeRoot || NOT_SEARCHED_ROOTS.includes(path) || search.paths.has(path)) continue;
    const entries = await search.walk.enter(path);
    const holdsStore = search.storeRoot !== undefined && isWithin(search.storeRoot, path);
    const tagged = entries.some(({ name }) => name === 'CACHEDIR.TAG');
    const at = path;
    if (tagged && !holdsStore && ask(() => isTargetDirectory(at)) === true) {
      search.paths.add(path);
      search.walk.found++;
      continue;
    }
    for (const { name, kind } of entries) {
      if (kind === 'directory' && !NOT_SEARCHED.includes(name))
        pending.push(path === '/' ? `/${name}` : `${path}/${name}`);
    }
  }
}

/** The files of one place, as far as others may share them. */
interface Shares {
  readonly path: string;
  readonly linked: Map<string, LinkedFile>;
  /** Shared blocks, by device and place. */
  readonly extents: Map<string, number>;
}

interface Measured extends Shares {
  files: number;
  logicalBytes: number;
  occupiedBytes: number;
  modifiedMs: number;
}

const newShares = (path: string): Shares => ({ path, linked: new Map(), extents: new Map() });

interface Found {
  readonly path: string;
  readonly info: FileStat;
  readonly mayShareBlocks: boolean;
}

/** Notes how a file may be shared; returns the bytes it adds to what its place occupies. */
function note(shares: Shares, { path, info, mayShareBlocks }: Found): number {
  const bytes = occupiedBytes(info);
  if (info.nlink > 1) {
    const id = `${info.dev}:${info.ino}`;
    const known = shares.linked.get(id);
    shares.linked.set(id, { bytes, links: info.nlink, names: (known?.names ?? 0) + 1 });
    if (known !== undefined) return 0;
  }
  if (!mayShareBlocks) return bytes;
  let again = 0;
  for (const extent of sharedExtents(path)) {
    const id = `${info.dev}@${extent.physical}`;
    if (shares.extents.has(id)) again += extent.bytes;
    else shares.extents.set(id, extent.bytes);
  }
  return Math.max(0, bytes - again);
}

/** A store that is closed to us shares with nobody as far as can be seen. */
async function measureStore(root: string, walk: Walk): Promise<Shares> {
  const shares = newShares(root);
  try {
    for (const { path, name, info } of filesBelow(`${root}/blobs`)) {
      await walk.step();
      if (parseDigest(name) !== undefined && isRegular(info))
        note(shares, { path, info, mayShareBlocks: walk.mayShareBlocks(root, info) });
    }
  } catch (error) {
    if (!isOsError(error)) throw error;
    walk.unreadable(root);
  }
  return shares;
}

async function measure(path: string, walk: Walk): Promise<Measured> {
  const total: Measured = { ...newShares(path), files: 0, logicalBytes: 0, occupiedBytes: 0, modifiedMs: 0 };
  const pending = [path];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    const at = folder;
    const own = ask(() => lstat(at));
    if (own !== undefined) total.occupiedBytes += occupiedBytes(own);
    for (const { name, kind } of await walk.enter(at)) {
      const file = `${at}/${name}`;
      if (kind === 'directory') {
        pending.push(file);
        continue;
      }
      const info = ask(() => lstat(file));
      if (info === undefined) continue;
      if (++total.files % 256 === 0) await walk.step();
      total.logicalBytes += info.size;
      const mayShareBlocks = walk.mayShareBlocks(path, info);
      total.occupiedBytes += isRegular(info)
        ? note(total, { path: file, info, mayShareBlocks })
        : occupiedBytes(info);
      total.modifiedMs = Math.max(total.modifiedMs, info.mtimeSec * 1000 + Math.floor(info.mtimeNsec / 1e6));
    }
  }
  return total;
}

/** The places that have a part in a file or a run of blocks, by its id. */
type Holders = ReadonlyMap<string, readonly Shares[]>;

function holdersOf(places: readonly Shares[]): Holders {
  const holders = new Map<string, Shares[]>();
  for (const place of places) {
    for (const ids of [place.linked, place.extents]) {
      for (const id of ids.keys()) {
        const known = holders.get(id);
        if (known === undefined) holders.set(id, [place]);
        else known.push(place);
      }
    }
  }
  return holders;
}

function summary(target: Measured, holders: Holders): Target {
  const sharedWith = new Map<string, number>();
  const share = (place: string, bytes: number): void => {
    sharedWith.set(place, (sharedWith.get(place) ?? 0) + bytes);
  };
  let sharedBytes = 0;
  for (const [id, { bytes, links, names }] of target.linked) {
    if (names === links) continue;
    sharedBytes += bytes;
    let known = 0;
    for (const place of holders.get(id) ?? []) {
      known += place.linked.get(id)?.names ?? 0;
      if (place !== target) share(place.path, bytes);
    }
    if (known < links) share(ELSEWHERE, bytes);
  }
  for (const [id, bytes] of target.extents) {
    sharedBytes += bytes;
    const others = (holders.get(id) ?? []).filter((place) => place !== target);
    for (const { path } of others) share(path, bytes);
    if (others.length === 0) share(ELSEWHERE, bytes);
  }
  sharedBytes = Math.min(sharedBytes, target.occupiedBytes);
  const { path, files, logicalBytes, modifiedMs, linked } = target;
  return {
    path,
    files,
    logicalBytes,
    occupiedBytes: target.occupiedBytes,
    exclusiveBytes: target.occupiedBytes - sharedBytes,
    sharedBytes,
    sharedWith,
    modifiedMs,
    linked,
    blocks: target.extents,
  };
}
