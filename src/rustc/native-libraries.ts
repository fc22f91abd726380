// Static native libraries a library crate may swallow. rustc does not report them, so their content is keyed whenever
// one went in: every archive of every native search folder, in search order.
import { isRegular, listDirectory, readStart, stat } from '../sys/files.ts';
import { resolve } from '../sys/paths.ts';
import type { Invocation } from './invocation.ts';

/** Folders rustc searches for native libraries. */
export const nativeFolders = (invocation: Invocation): string[] =>
  invocation.searchPaths
    .filter(({ kind }) => kind === 'native' || kind === 'all')
    .map(({ dir }) => resolve(invocation.cwd, dir));

/** Archives of the usual names, and of any name (`+verbatim`): by folder in search order and by name. */
export function nativeArchives(invocation: Invocation): { folder: number; name: string; path: string }[] {
  return nativeFolders(invocation).flatMap((dir, folder) =>
    (listDirectory(dir) ?? [])
      .map(({ name }) => ({ folder, name, path: `${dir}/${name}` }))
      .filter(({ name, path }) => name.endsWith('.a') || name.endsWith('.lib') || isArchive(path))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
}

/** Whether a file is a static archive by its first bytes, thin ones included. */
function isArchive(path: string): boolean {
  const info = stat(path);
  if (info === undefined || !isRegular(info)) return false;
  const start = new TextDecoder('latin1').decode(readStart(path, 8));
  return start === '!<arch>\n' || start === '!<thin>\n';
}

/** Whether the call itself asks for a static library. */
export const asksForStatic = (invocation: Invocation): boolean =>
  invocation.parsed.flags.some((flag) => flag.name === '-l' && /^static\b/.test(flag.value ?? ''));
