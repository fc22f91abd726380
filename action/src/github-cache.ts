// GitHub's cache by its own client. Archives hold files by their bare names, whatever folder a runner works in.
import * as cache from '@actions/cache';

/** Part of what GitHub finds an archive by: the same text when it is saved and when it is restored. */
const PATTERN = 'kache-*';

/** No segment of a download may hang longer. */
const DOWNLOAD = { timeoutInMs: 30_000, segmentTimeoutInMs: 2 * 60_000 };

/** Whether this job has a cache service. */
export const isAvailable = (): boolean => cache.isFeatureAvailable();

/**
 * The key of the newest archive whose key begins with `prefix`, of those this branch may see; undefined where there is
 * none, or where nobody could be asked, which the client has warned of.
 */
export const findNewest = (prefix: string): Promise<string | undefined> =>
  cache.restoreCache([PATTERN], prefix, [prefix], { lookupOnly: true });

/**
 * Unpacks the archives of these keys into `folder`, side by side, and calls `arrived` for each as soon as it is there.
 * Returns what that came to, in the order of the keys; the client warns of those that are in the cache and did not arrive.
 */
export async function restore<T>(
  folder: string,
  keys: readonly string[],
  arrived: (key: string) => Promise<T>,
): Promise<T[]> {
  const all = await inFolder(folder, () =>
    Promise.all(
      keys.map(async (key) => {
        const found = await cache.restoreCache([PATTERN], key, [], DOWNLOAD);
        return found === key ? [await arrived(key)] : [];
      }),
    ),
  );
  return all.flat();
}

/** Uploads the files `kache-*` of `folder` under a new key. False when the service did not take them. */
export const save = async (folder: string, key: string): Promise<boolean> =>
  (await inFolder(folder, () => cache.saveCache([PATTERN], key))) >= 0;

/** The client looks for files from the working directory, and writes them below what it takes for the workspace. */
async function inFolder<T>(folder: string, run: () => Promise<T>): Promise<T> {
  const [directory, workspace] = [process.cwd(), process.env['GITHUB_WORKSPACE']];
  process.chdir(folder);
  process.env['GITHUB_WORKSPACE'] = folder;
  try {
    return await run();
  } finally {
    process.chdir(directory);
    if (workspace === undefined) delete process.env['GITHUB_WORKSPACE'];
    else process.env['GITHUB_WORKSPACE'] = workspace;
  }
}
