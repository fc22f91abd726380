// Watching what macros read while a unit that can reach one is compiled.
import { type Invocation, isWorkspaceMember, packageDir, targetDir } from '../rustc/invocation.ts';
import { listTree, type Tree } from '../store/trees.ts';
import { bestEffort, isRegular, isSymlink, lstat, realPath, stat } from '../sys/files.ts';
import { basename, dirname, isWithin } from '../sys/paths.ts';
import { type Opened, OpenWatch } from '../sys/watch.ts';
import { type Call, isMutable } from './call.ts';
import { MAX_FOLDERS, skipFolder } from './macros.ts';

/** What macros may have read, as absolute paths. `unknown`: it could not be found out, and nothing may be stored. */
export type Observation = Opened | 'unknown';

/** More files than this in a package are not taken as inputs one and all. */
const MAX_FALLBACK_FILES = 5000;

/** A watch on where macros may read. */
export interface MacroWatch extends Disposable {
  /** Ends it, if it has not ended yet, and tells what was opened. */
  end(): Observation;
}

/** Starts watching where the macros of a call may read. */
export function observe(call: Call, macros: readonly string[]): MacroWatch {
  const roots = macros.length === 0 ? [] : watchedRoots(call);
  if (roots.length === 0) return blind(() => ({ files: [], folders: [] }));
  const trees = treesBelow(call, roots);
  const watch = trees === undefined ? undefined : OpenWatch.start(trees.flatMap(({ folders }) => folders));
  if (trees === undefined || watch === undefined) return blind(() => everything(call));
  let seen: Observation | undefined;
  return {
    end: () => {
      if (seen === undefined) {
        const opened = watch.collect();
        watch[Symbol.dispose]();
        seen = opened === undefined ? everything(call) : relevant(call, alsoByLinks(opened, trees));
      }
      return seen;
    },
    [Symbol.dispose]: () => {
      if (seen === undefined) watch[Symbol.dispose]();
    },
  };
}

const blind = (end: () => Observation): MacroWatch => ({ end, [Symbol.dispose]: () => {} });

/** The workspace of a package that may change, and what its build script has written, whoever's package it is. */
function watchedRoots(call: Call): string[] {
  const { invocation } = call;
  const roots = isMutable(call) ? workspaceOf(invocation) : [];
  const outDir = invocation.env['OUT_DIR'];
  return outDir === undefined ? roots : [...roots, outDir];
}

/** The workspace; for a path package beside it, that package and the workspace that is built, by its target folder. */
function workspaceOf(invocation: Invocation): string[] {
  if (isWorkspaceMember(invocation)) return [invocation.cwd];
  const home = packageDir(invocation);
  const built = dirname(targetDir(invocation));
  const isApart = !isWithin(built, home) && !isWithin(home, built);
  return isApart && stat(`${built}/Cargo.toml`) !== undefined ? [home, built] : [home];
}

type WatchedTree = Tree & { readonly root: string };

function treesBelow(call: Call, roots: readonly string[]): WatchedTree[] | undefined {
  const skip = skipFolder(call.invocation.outDir);
  const trees: WatchedTree[] = [];
  for (const root of roots) {
    const tree = listTree(call.store, root, { skip, maxFolders: MAX_FOLDERS, nested: true });
    if (tree === undefined) return undefined;
    trees.push({ ...tree, root });
  }
  return trees;
}

/**
 * An open shows where a file lies, not the symbolic link it was reached by, and a link may come to lead elsewhere: what
 * was opened counts under every path that leads to it through a link of the watched trees.
 */
function alsoByLinks(opened: Opened, trees: readonly WatchedTree[]): Opened {
  if (opened.files.length === 0 && opened.folders.length === 0) return opened;
  const links: (readonly [link: string, real: string])[] = [];
  for (const { root, names } of trees)
    for (const name of names) if (!name.endsWith('/')) addLink(`${root}/${name}`, links);
  const [files, folders] = [new Set(opened.files), new Set(opened.folders)];
  // Twice, for links reached through links. A link to a folder around itself would have no end.
  for (const [link, real] of [...links, ...links])
    for (const paths of [files, folders])
      for (const path of paths)
        if (isWithin(path, real) && !isWithin(link, real)) paths.add(link + path.slice(real.length));
  return { files: [...files], folders: [...folders] };
}

/** Adds a path that is a symbolic link. One that cannot be followed (a loop, no permission) led nobody anywhere. */
function addLink(path: string, links: (readonly [link: string, real: string])[]): void {
  bestEffort(() => {
    const info = lstat(path);
    const real = info !== undefined && isSymlink(info) ? realPath(path) : undefined;
    if (real !== undefined) links.push([path, real]);
  });
}

/** kache's own configuration is looked at by kache, not by macros. */
const OWN_FILES = new Set(['.kache.toml', 'kache.toml']);

/** Rust sources of other packages are what their own compiles read at the same time. */
function relevant(call: Call, opened: Opened): Opened {
  const own = [packageDir(call.invocation), call.invocation.env['OUT_DIR'] ?? packageDir(call.invocation)];
  const counts = (path: string): boolean => {
    if (OWN_FILES.has(basename(path))) return false;
    if (path.endsWith('.rs') && !own.some((root) => isWithin(path, root))) return false;
    const info = stat(path);
    return info !== undefined && isRegular(info);
  };
  return { files: opened.files.filter(counts).sort(), folders: [...opened.folders].sort() };
}

/** Where opens cannot be seen: everything in the package and of its build script counts as read. */
function everything(call: Call): Observation {
  const home = packageDir(call.invocation);
  const skip = skipFolder(call.invocation.outDir);
  const all: { files: string[]; folders: string[] } = { files: [], folders: [] };
  const roots = [...(isMutable(call) ? [home] : []), call.invocation.env['OUT_DIR']];
  for (const root of roots) {
    if (root === undefined) continue;
    const tree = listTree(call.store, root, { skip, maxFolders: MAX_FOLDERS, nested: root !== home });
    if (tree === undefined || tree.names.length > MAX_FALLBACK_FILES) return 'unknown';
    for (const name of tree.names) if (!name.endsWith('/')) all.files.push(`${root}/${name}`);
    all.folders.push(...tree.folders);
  }
  return relevant(call, all);
}
