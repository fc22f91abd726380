// Files on their way into a folder that is not ours. They lie in a hidden folder beside their places, where no
// `-L dependency` search takes them for libraries and where what a killed process left is found without a long list.
import { bestEffort, isOsError, listDirectory, makeDirectory, removeFile } from './files.ts';
import { basename, dirname } from './paths.ts';
import { isRunning } from './process.ts';

const folderOf = (dir: string): string => `${dir}/.kache`;

/** Where the file that will be `target` is made, by the process `pid`. */
export const asideOf = (target: string, pid: number = process.pid): string =>
  `${folderOf(dirname(target))}/${pid}-${basename(target)}`;

/** Runs an operation that makes a file at {@link asideOf} some target, making its folder when there is none. */
export function makeAside<T>(aside: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    if (!isOsError(error, 'ENOENT')) throw error;
    makeDirectory(dirname(aside));
    return operation();
  }
}

/** Removes what processes that are no more have left beside the files in `dir`. */
export function sweepAsides(dir: string): void {
  bestEffort(() => {
    for (const { name } of listDirectory(folderOf(dir)) ?? []) {
      const pid = Number.parseInt(name, 10);
      if (!isRunning(pid)) removeFile(`${folderOf(dir)}/${name}`);
    }
  });
}
