// `kache clean`: finds Cargo's target directories, says what each really occupies, and deletes the chosen ones.
import { statSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { KacheError } from '../core/errors.ts';
import { type Removal, removeTarget } from '../store/target-removal.ts';
import { freedBytes, occupiedTogether, scanTargets, type Target } from '../store/targets.ts';
import { fileSystemOf } from '../sys/file-system.ts';
import { isWithin } from '../sys/paths.ts';
import { askWhich, askYesNo, canAsk } from './ask.ts';
import { buildDirNamed, type CargoConfig, configsFor } from './cargo-config.ts';
import { longWork } from './long-work.ts';
import { settingsHere } from './open.ts';
import { count, formatAge, formatBytes, print, printJson, style, table } from './terminal.ts';

export interface CleanOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

interface Found {
  readonly dir: string;
  /** What frees most comes first. */
  readonly targets: readonly Target[];
  readonly unreadable: readonly string[];
}

/** Returns the exit status: 1 when something chosen could not be deleted. */
export async function clean(folder: string | undefined, options: CleanOptions): Promise<number> {
  checkUsage(options);
  const found = await search(folderOf(folder));
  if (options.json !== true) showFound(found);
  const chosen = options.dryRun === true || found.targets.length === 0 ? [] : await choose(found, options);
  const done = await removeAll(chosen);
  if (options.json === true) printJson(jsonOf(found, done));
  else showDone(done, options);
  return done.removals.every(({ kind }) => kind === 'removed') ? 0 : 1;
}

function checkUsage(options: CleanOptions): void {
  if (options.dryRun === true && options.yes === true)
    throw new KacheError('usage', 'Cannot combine "-n" and "-y": one deletes nothing, the other everything.');
  const asks = options.dryRun !== true && options.yes !== true;
  if (asks && (options.json === true || !canAsk()))
    throw new KacheError('usage', 'Cannot ask which directories to delete: there is no terminal to ask on.', {
      hint: 'Look with `kache clean -n`, or delete all with `kache clean -y`.',
    });
}

function folderOf(folder = '.'): string {
  const path = resolve(folder);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return path;
  throw new KacheError('no-folder', `Cannot search "${path}": there is no such folder.`);
}

async function search(dir: string): Promise<Found> {
  const storeRoot = settingsHere().settings.cacheDir;
  const unreadable: string[] = [];
  const targets = await longWork('the search', ({ signal, onProgress }) =>
    scanTargets([dir], {
      storeRoot,
      signal,
      onProgress: ({ folders, found, path }) =>
        onProgress(
          `${count(found, 'target directory', 'target directories')} in ${folders} folders  ${path}`,
        ),
      onUnreadable: (path) => unreadable.push(path),
    }),
  );
  return {
    dir,
    unreadable,
    targets: targets.toSorted((a, b) => b.exclusiveBytes - a.exclusiveBytes || (a.path < b.path ? -1 : 1)),
  };
}

/** As short as it can be said from where one searches. */
const shortPath = (dir: string, path: string): string => relative(dir, path) || '.';

function showFound({ dir, targets, unreadable }: Found): void {
  for (const path of unreadable)
    print(`${style.yellow('note')}  ${path} may not be read; what it holds is missing here.`);
  if (targets.length === 0) {
    print(`No target directory below ${dir}.`);
    showElsewhere(dir);
    return;
  }
  const now = Date.now();
  const rows = targets.map((target) => [
    formatBytes(target.exclusiveBytes),
    formatBytes(target.occupiedBytes),
    formatBytes(target.logicalBytes),
    formatAge(now - target.modifiedMs),
    shortPath(dir, target.path),
  ]);
  print(table([['frees', 'occupies', 'sizes say', 'last write', ''], ...rows], [0, 1, 2, 3]));
  const [occupied, freed] = [occupiedTogether(targets), freedBytes(targets)];
  const shared =
    freed === occupied
      ? ''
      : `; ${formatBytes(occupied - freed)} of that others share, as the store does, and stays`;
  print(
    `${count(targets.length, 'target directory occupies', 'target directories occupy')} ${formatBytes(occupied)}${shared}. Deleting all frees ${formatBytes(freed)}.`,
  );
  showElsewhere(dir);
}

/** Where Cargo builds for this folder, when one would have to search there. */
function showElsewhere(dir: string): void {
  const configs = configsOrNone(dir);
  const build = buildDirNamed({ configs, env: process.env, cwd: process.cwd() }, dir);
  if (build === undefined || isWithin(build.path, dir)) return;
  print(
    `${style.yellow('note')}  ${build.from} has Cargo build in ${build.value}: \`kache clean ${build.path}\` looks there.`,
  );
}

/** A configuration that cannot be read is in nobody's way here. */
function configsOrNone(dir: string): readonly CargoConfig[] {
  try {
    return configsFor(dir);
  } catch (error) {
    if (error instanceof KacheError) return [];
    throw error;
  }
}

/** The ones to delete: all with `-y`, else what is picked on the terminal. */
async function choose({ dir, targets }: Found, options: CleanOptions): Promise<readonly Target[]> {
  if (options.yes === true) return targets;
  const picked = await askWhich(
    'Which ones are to be deleted? (space picks, a picks all, enter goes on)',
    targets.map((target) => ({
      value: target.path,
      label: shortPath(dir, target.path),
      hint: `frees ${formatBytes(target.exclusiveBytes)}`,
    })),
  );
  const chosen = targets.filter(({ path }) => picked.includes(path));
  if (chosen.length === 0) return [];
  const what = count(chosen.length, 'directory', 'directories');
  const isSure = await askYesNo(`Delete ${what} and free ${formatBytes(freedBytes(chosen))}?`, true);
  return isSure ? chosen : [];
}

interface Done {
  readonly removals: readonly (Removal & { readonly path: string })[];
  readonly freedBytes: number;
  /** What the disks have more room by afterwards, whoever else writes to them; undefined when nothing was deleted. */
  readonly gainedBytes: number | undefined;
}

async function removeAll(chosen: readonly Target[]): Promise<Done> {
  if (chosen.length === 0) return { removals: [], freedBytes: 0, gainedBytes: undefined };
  // A folder on each disk that outlives the deletion.
  const disks = new Map(chosen.map(({ path }) => [statSync(path).dev, resolve(path, '..')]));
  const before = room([...disks.values()]);
  const removals: (Removal & { path: string })[] = [];
  await longWork('the deletion', async ({ pace }) => {
    for (const { path } of chosen) removals.push({ path, ...(await removeTarget(path, pace)) });
  });
  return {
    removals,
    freedBytes: removals.reduce((sum, removal) => sum + removal.freedBytes, 0),
    gainedBytes: room([...disks.values()]) - before,
  };
}

/** Bytes free on the disks of these folders. */
function room(folders: readonly string[]): number {
  return folders.reduce((sum, folder) => {
    // It counts what is free at its last commit.
    if (fileSystemOf(folder).name === 'btrfs') Bun.spawnSync(['sync', '-f', folder]);
    return sum + fileSystemOf(folder).freeBytes;
  }, 0);
}

const WHY: Readonly<Record<Removal['kind'], string>> = {
  removed: '',
  busy: 'a build is running in it',
  changed: 'it is no longer certainly a target directory',
  partly: '',
};

function showDone({ removals, freedBytes: freed, gainedBytes }: Done, { dryRun }: CleanOptions): void {
  if (gainedBytes === undefined) {
    if (dryRun !== true) print('Nothing was deleted.');
    return;
  }
  for (const { kind, path, problem } of removals) {
    if (kind !== 'removed') print(`${style.yellow('left')}  ${path}: ${problem ?? WHY[kind]}`);
  }
  const removed = removals.filter(({ kind }) => kind === 'removed').length;
  print(
    `Deleted ${count(removed, 'directory', 'directories')}; ${formatBytes(freed)} freed. The disk has ${formatBytes(Math.max(0, gainedBytes))} more room than before.`,
  );
}

function jsonOf({ dir, targets, unreadable }: Found, done: Done): unknown {
  const outcomes = new Map(done.removals.map((removal) => [removal.path, removal]));
  return {
    schema_version: 1,
    dir,
    targets: targets.map((target) => ({
      path: target.path,
      files: target.files,
      logical_bytes: target.logicalBytes,
      occupied_bytes: target.occupiedBytes,
      exclusive_bytes: target.exclusiveBytes,
      shared_bytes: target.sharedBytes,
      shared_with: [...target.sharedWith].map(([place, bytes]) => ({ place, bytes })),
      modified_ms: Math.round(target.modifiedMs),
      outcome: outcomes.get(target.path)?.kind ?? 'kept',
      freed_bytes: outcomes.get(target.path)?.freedBytes ?? 0,
    })),
    freeable_bytes: freedBytes(targets),
    freed_bytes: done.freedBytes,
    gained_bytes: done.gainedBytes ?? null,
    unreadable,
  };
}
