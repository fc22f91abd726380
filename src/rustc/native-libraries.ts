// Static native libraries a library crate may swallow. rustc does not report them, so their content is keyed whenever
// one went in: every archive of every native search folder, in search order.
import { listDirectory } from '../sys/files.ts';
import { resolve } from '../sys/paths.ts';
import type { Invocation } from './invocation.ts';

/** Folders rustc searches for native libraries. */
export const nativeFolders = (invocation: Invocation): string[] =>
  invocation.searchPaths
    .filter(({ kind }) => kind === 'native' || kind === 'all')
    .map(({ dir }) => resolve(invocation.cwd, dir));

/** Archives in those folders, by folder in search order and by name. */
export function nativeArchives(invocation: Invocation): { folder: number; name: string; path: string }[] {
  return nativeFolders(invocation).flatMap((dir, folder) =>
    (listDirectory(dir) ?? [])
      .filter(({ name }) => name.endsWith('.a') || name.endsWith('.lib'))
      .map(({ name }) => ({ folder, name, path: `${dir}/${name}` }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
}

/** Whether the call itself asks for a static library. */
export const asksForStatic = (invocation: Invocation): boolean =>
  invocation.parsed.flags.some((flag) => flag.name === '-l' && /^static\b/.test(flag.value ?? ''));
