// The names in a folder tree, remembered per folder: a folder's signature changes when a name in it comes or goes, so
// a second look costs one stat a folder and opens none (an open would look like a macro listing it).
import { fileTimeNow, isSettled } from '../sys/clock.ts';
import { isDirectory, listDirectory, signatureOf, stat } from '../sys/files.ts';
import { readMemo, writeMemo } from './hashes.ts';
import type { Store } from './store.ts';

export interface TreeOptions {
  /** Whether to stay out of a folder. */
  readonly skip: (path: string, name: string) => boolean;
  /** More folders than this: the tree is not listed. */
  readonly maxFolders: number;
  /** Whether to go on into packages below the first one: folders with a `Cargo.toml` of their own. */
  readonly nested: boolean;
}

export interface Tree {
  /** Absolute paths, the root first. */
  readonly folders: readonly string[];
  /** Paths below the root of everything that is no Rust source; folders end in `/`. */
  readonly names: readonly string[];
}

type Folder = readonly [
  signature: string,
  files: readonly string[],
  folders: readonly string[],
  /** Those of the files that are no regular files. Memos of earlier versions do not say. */
  others?: readonly string[],
];

/**
 * The tree below `root`; undefined when it is larger than allowed or `root` is no folder. What is remembered is
 * remembered by package, so whoever lists a workspace opens no folder that somebody has seen for one package.
 */
export function listTree(store: Store, root: string, options: TreeOptions): Tree | undefined {
  const folders: string[] = [];
  const names: string[] = [];
  const packages = [''];
  for (let prefix = packages.pop(); prefix !== undefined; prefix = packages.pop()) {
    const top = prefix === '' ? root : `${root}/${prefix.slice(0, -1)}`;
    const part = listPackage(store, top, { ...options, maxFolders: options.maxFolders - folders.length });
    if (part === undefined) return undefined;
    folders.push(...part.folders);
    for (const name of part.names) names.push(prefix + name);
    if (options.nested) for (const below of part.nested) packages.push(prefix + below);
  }
  return { folders, names: names.sort() };
}

/** The tree of one package, and the folders at which other packages begin. */
function listPackage(
  store: Store,
  root: string,
  options: TreeOptions,
): (Tree & { readonly nested: readonly string[] }) | undefined {
  const memo = `package ${root}`;
  const known = readMemo<Record<string, Folder>>(store, 'trees', memo) ?? {};
  const seen: Record<string, Folder> = {};
  let changed = false;
  const tree = { folders: [] as string[], names: [] as string[], nested: [] as string[] };
  const pending = [''];
  for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
    if (tree.folders.length >= options.maxFolders) return undefined;
    const path = below === '' ? root : `${root}/${below.slice(0, -1)}`;
    const look = lookAt(path, known[below]);
    if (look === undefined) {
      if (below === '') return undefined;
      continue;
    }
    if (look.settled) seen[below] = look.folder;
    changed ||= look.settled && look.folder !== known[below];
    if (below !== '' && look.folder[1].includes('Cargo.toml')) {
      tree.nested.push(below);
      continue;
    }
    tree.folders.push(path);
    for (const name of look.folder[1]) if (!name.endsWith('.rs')) tree.names.push(below + name);
    for (const name of look.folder[2]) {
      if (options.skip(`${path}/${name}`, name)) continue;
      tree.names.push(`${below}${name}/`);
      pending.push(`${below}${name}/`);
    }
  }
  if (changed) writeMemo(store, 'trees', memo, seen);
  return tree;
}

/** The names in one folder, those of folders ending in `/`, sorted; undefined when it is none. */
export function listFolder(store: Store, path: string): readonly string[] | undefined {
  const folder = lookAtFolder(store, path);
  return folder === undefined ? undefined : [...folder[1], ...folder[2].map((name) => `${name}/`)].sort();
}

/** The names in one folder by what they are (regular files, folders, others), each sorted; undefined when it is none. */
export function listKinds(store: Store, path: string): readonly (readonly string[])[] | undefined {
  const folder = lookAtFolder(store, path);
  return folder === undefined ? undefined : [folder[1], folder[2], folder[3] ?? []];
}

function lookAtFolder(store: Store, path: string): Folder | undefined {
  // The memo of a tree that begins here: nobody opens one folder for both.
  const memo = `package ${path}`;
  const known = readMemo<Record<string, Folder>>(store, 'trees', memo);
  const look = lookAt(path, known?.['']);
  if (look === undefined) return undefined;
  if (look.settled && look.folder !== known?.[''])
    writeMemo(store, 'trees', memo, { ...known, '': look.folder });
  return look.folder;
}

function lookAt(path: string, known: Folder | undefined): { folder: Folder; settled: boolean } | undefined {
  const info = stat(path);
  if (info === undefined || !isDirectory(info)) return undefined;
  const signature = signatureOf(info);
  if (known?.[0] === signature && known[3] !== undefined) return { folder: known, settled: true };
  const now = fileTimeNow();
  const entries = listDirectory(path);
  if (entries === undefined) return undefined;
  const of = (kind: string): string[] =>
    entries.filter((entry) => entry.kind === kind).map((entry) => entry.name);
  const others = of('other').sort();
  const folder: Folder = [signature, [...of('file'), ...others].sort(), of('directory').sort(), others];
  return { folder, settled: isSettled(info, now) };
}
