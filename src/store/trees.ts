// The names in a folder tree, remembered per folder: a folder's signature changes when a name in it comes or goes, so
// a second look costs one stat a folder and opens none (an open would look like a macro listing it).
import { isDirectory, listDirectory, signatureOf, stat } from '../sys/files.ts';
import { isSettled, readMemo, writeMemo } from './hashes.ts';
import type { Store } from './store.ts';

export interface TreeOptions {
  /** Whether to stay out of a folder. */
  readonly skip: (path: string, name: string) => boolean;
  /** More folders than this: the tree is not listed. */
  readonly maxFolders: number;
  /** Folders below the first that hold this file are left out: they are packages of their own. */
  readonly boundary: string | undefined;
  readonly recursive: boolean;
}

export interface Tree {
  /** Absolute paths, the root first. */
  readonly folders: readonly string[];
  /** Paths below the root of everything that is no Rust source; folders end in `/`. */
  readonly names: readonly string[];
}

type Folder = readonly [signature: string, files: readonly string[], folders: readonly string[]];

/** The tree below `root`; undefined when it is larger than allowed or `root` is no folder. */
export function listTree(store: Store, root: string, options: TreeOptions): Tree | undefined {
  const memo = `${options.recursive ? 'tree' : 'folder'} ${root}`;
  const known = readMemo<Record<string, Folder>>(store, 'trees', memo) ?? {};
  const seen: Record<string, Folder> = {};
  let changed = false;
  const folders: string[] = [];
  const names: string[] = [];
  const pending = [''];
  for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
    if (folders.length >= options.maxFolders) return undefined;
    const path = below === '' ? root : `${root}/${below.slice(0, -1)}`;
    const look = lookAt(path, known[below]);
    if (look === undefined) {
      if (below === '') return undefined;
      continue;
    }
    if (below !== '' && options.boundary !== undefined && look.folder[1].includes(options.boundary)) continue;
    if (look.settled) seen[below] = look.folder;
    changed ||= look.settled && look.folder !== known[below];
    folders.push(path);
    for (const name of look.folder[1]) if (!name.endsWith('.rs')) names.push(below + name);
    for (const name of look.folder[2]) {
      if (options.skip(`${path}/${name}`, name)) continue;
      names.push(`${below}${name}/`);
      if (options.recursive) pending.push(`${below}${name}/`);
    }
  }
  if (changed) writeMemo(store, 'trees', memo, seen);
  return { folders, names: names.sort() };
}

function lookAt(path: string, known: Folder | undefined): { folder: Folder; settled: boolean } | undefined {
  const info = stat(path);
  if (info === undefined || !isDirectory(info)) return undefined;
  const signature = signatureOf(info);
  if (known?.[0] === signature) return { folder: known, settled: true };
  const entries = listDirectory(path);
  if (entries === undefined) return undefined;
  const of = (kind: string): string[] =>
    entries.filter((entry) => entry.kind === kind).map((entry) => entry.name);
  const folder: Folder = [signature, [...of('file'), ...of('other')].sort(), of('directory').sort()];
  return { folder, settled: isSettled(info, Date.now()) };
}
