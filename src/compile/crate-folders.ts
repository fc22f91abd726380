// Crates that no flag names: `extern crate` finds them in a folder given by `-L`, and nobody says which one was taken.
import { someInList } from '../core/lists.ts';
import { PieceSearch } from '../rustc/assembler.ts';
import { isDynamicLibrary } from '../rustc/outputs.ts';
import { readMemo, writeMemo } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import { fileTimeNow, isSettled } from '../sys/clock.ts';
import { bestEffort, isRegular, listDirectory, readPieces, signatureOf, stat } from '../sys/files.ts';
import { resolve } from '../sys/paths.ts';
import type { Call } from './call.ts';

/** A folder, as it was given, in which the compiler may find a crate that is not named; undefined when there is none. */
export function folderOfCrates({
  invocation,
  store,
}: Pick<Call, 'invocation' | 'store'>): string | undefined {
  for (const { kind, dir } of invocation.searchPaths)
    if ((kind === 'all' || kind === 'crate') && holdsCrates(store, resolve(invocation.cwd, dir))) return dir;
  return undefined;
}

/** Remembered for as long as no name in the folder comes or goes: to tell a library from a crate it has to be read. */
function holdsCrates(store: Store, folder: string): boolean {
  const now = fileTimeNow();
  const info = stat(folder);
  if (info === undefined) return false;
  const signature = signatureOf(info);
  const [known, held] = readMemo<[string, boolean]>(store, 'crates', folder) ?? [];
  if (known === signature && held !== undefined) return held;
  // What cannot be looked at may hold one, and is looked at again the next time.
  let holds = true;
  const looked = bestEffort(() => {
    holds = someInList(
      listDirectory(folder) ?? [],
      ({ name }) => /\.(rlib|rmeta)$/.test(name) || (isDynamicLibrary(name) && isCrate(`${folder}/${name}`)),
    );
  });
  if (looked && isSettled(info, now)) writeMemo(store, 'crates', folder, [signature, holds]);
  return holds;
}

/** Whether a dynamic library has the section in which rustc keeps metadata. */
function isCrate(path: string): boolean {
  const info = stat(path);
  const search = new PieceSearch((bytes) => bytes.includes('.rustc\0'));
  if (info !== undefined && isRegular(info)) readPieces(path, (piece) => search.see(piece));
  return search.found;
}
