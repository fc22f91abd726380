// Watching what macros read while a unit of a mutable package is compiled.
import { isWorkspaceMember, packageDir } from '../rustc/invocation.ts';
import { listTree } from '../store/trees.ts';
import { isRegular, stat } from '../sys/files.ts';
import { basename, isWithin } from '../sys/paths.ts';
import { type Opened, OpenWatch } from '../sys/watch.ts';
import type { Call } from './call.ts';
import { MAX_FOLDERS, needsWatching, skipFolder } from './macros.ts';

/** What macros may have read, as absolute paths. `unknown`: it could not be found out, and nothing may be stored. */
export type Observation = Opened | 'unknown';

/** More files than this in a package are not taken as inputs one and all. */
const MAX_FALLBACK_FILES = 5000;

/** Starts watching where that is needed; the returned function ends it and tells what was opened. */
export function observe(call: Call, macros: readonly string[]): () => Observation {
  if (!needsWatching(call, macros)) return () => ({ files: [], folders: [] });
  const { invocation, store } = call;
  const root = isWorkspaceMember(invocation) ? invocation.cwd : packageDir(invocation);
  const options = {
    skip: skipFolder(invocation.outDir),
    maxFolders: MAX_FOLDERS,
    boundary: undefined,
    recursive: true,
  };
  const tree = listTree(store, root, options);
  const watch = tree === undefined ? undefined : OpenWatch.start(tree.folders);
  if (watch === undefined) return () => wholePackage(call);
  let seen: Observation | undefined;
  return () => {
    if (seen === undefined) {
      const opened = watch.collect();
      watch[Symbol.dispose]();
      seen = opened === undefined ? wholePackage(call) : relevant(call, opened);
    }
    return seen;
  };
}

/** kache's own configuration is looked at by kache, not by macros. */
const OWN_FILES = new Set(['.kache.toml', 'kache.toml']);

/** Rust sources of other packages are what their own compiles read at the same time. */
function relevant(call: Call, opened: Opened): Opened {
  const home = packageDir(call.invocation);
  const counts = (path: string): boolean => {
    if (OWN_FILES.has(basename(path)) || (path.endsWith('.rs') && !isWithin(path, home))) return false;
    const info = stat(path);
    return info !== undefined && isRegular(info);
  };
  return { files: opened.files.filter(counts).sort(), folders: [...opened.folders].sort() };
}

/** Where opens cannot be seen: everything in the package counts as read. */
function wholePackage(call: Call): Observation {
  const home = packageDir(call.invocation);
  const skip = skipFolder(call.invocation.outDir);
  const tree = listTree(call.store, home, {
    skip,
    maxFolders: MAX_FOLDERS,
    boundary: 'Cargo.toml',
    recursive: true,
  });
  if (tree === undefined || tree.names.length > MAX_FALLBACK_FILES) return 'unknown';
  const files = tree.names.filter((name) => !name.endsWith('/')).map((name) => `${home}/${name}`);
  return relevant(call, { files, folders: tree.folders });
}
