// The key of a run: the script, its arguments and its environment, and what is now at every path that a run of it was seen
// to look at.
import type { CacheKey } from '../core/ids.ts';
import type { Closure } from '../store/closures.ts';
import { listKinds } from '../store/trees.ts';
import { isDirectory, isOsError, isRegular, isSymlink, linkTarget, lstat, stat } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import type { Run } from './prepare.ts';

/** What is at a path: `absent`, `folder`, mode and hash of a file; undefined for what is none of these. */
export function stateOf(run: Run, path: string): string | undefined {
  try {
    const own = lstat(path);
    if (own === undefined) return 'absent';
    const way = isSymlink(own) ? `-> ${linkTarget(path)} ` : '';
    const info = way === '' ? own : stat(path);
    if (info === undefined) return `${way}absent`;
    if (isDirectory(info)) return `${way}folder`;
    const digest = isRegular(info) ? run.hashes.hash(path) : undefined;
    return digest === undefined ? undefined : `${way}${(info.mode & 0o7777).toString(8)} ${digest}`;
  } catch (error) {
    if (!isOsError(error, 'EACCES', 'ELOOP', 'ENAMETOOLONG')) throw error;
    return `absent ${error.code}`;
  }
}

/** The machine's name, where a run has put it into what it made. Recorded: never rename. */
export const HOST_NAME = 'host-name';

/** A key, and what is in it: at each path, and as the names of each folder. */
export interface RunKey {
  readonly key: CacheKey;
  readonly states: readonly (readonly [path: string, state: string])[];
  readonly names: readonly (readonly [folder: string, kinds: readonly (readonly string[])[]])[];
}

/** The key of a run by one of its closures; or what is not as any run has seen it. */
export function keyOf(run: Run, closure: Closure): RunKey | { readonly why: string } {
  const states: [string, string][] = [];
  for (const rooted of closure.files) {
    const path = run.map.fromRooted(rooted);
    const state = path === undefined ? undefined : stateOf(run, path);
    if (state === undefined) return { why: rooted };
    states.push([rooted, state]);
  }
  const names: [string, readonly (readonly string[])[]][] = [];
  for (const rooted of closure.listed) {
    const path = run.map.fromRooted(rooted);
    const listed = path === undefined ? undefined : listKinds(run.store, path);
    // Two names that are no UTF-8 may look the same.
    if (listed === undefined || listed.flat().some((name) => name.includes('\uFFFD'))) return { why: rooted };
    names.push([rooted, listed]);
  }
  const host = closure.bound.includes(HOST_NAME) ? run.hostName : null;
  const key = sha256(JSON.stringify([run.unit, states, names, host])) as CacheKey;
  return { key, states, names };
}
