// Which build a call belongs to, in terms that hold on every machine: the lockfile, the members of the workspace, the
// target and profile of the output folder.
import { readFileSync, readlinkSync } from 'node:fs';
import type { BuildId } from '../remote/names.ts';
import { readText } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { dirname } from '../sys/paths.ts';

/** The lists of one build: of exactly this lockfile, and of whatever this workspace built last. */
export interface BuildIds {
  readonly exact: BuildId;
  readonly workspace: BuildId;
}

/** The folder that holds `Cargo.lock`, from any of some folders upward. */
export function workspaceRoot(folders: readonly (string | undefined)[]): string | undefined {
  for (const folder of folders) {
    for (let dir = folder; dir?.startsWith('/') && dir !== '/'; dir = dirname(dir))
      if (readText(`${dir}/Cargo.lock`) !== undefined) return dir;
  }
  return undefined;
}

/** Where a process works; undefined where that cannot be seen. */
export function folderOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/**
 * `debug`, `release`, `<target triple>/debug`…: the end of the output folder, which differs by what was asked for.
 * Undefined for a folder that is not Cargo's: a build script that tries the compiler out is no build.
 */
export function profileOf(outDir: string): string | undefined {
  const parts = outDir.split('/').filter((part) => part !== '');
  if (['deps', 'examples'].includes(parts.at(-1) ?? '')) parts.pop();
  // A build script's own folder: <profile>/build/<package>-<hash>
  else if (parts.at(-2) === 'build') parts.splice(-2);
  else return undefined;
  const profile = parts.at(-1) ?? '';
  const above = parts.at(-2) ?? '';
  return /^\w+-[\w.-]+-[\w.-]+$/.test(above) ? `${above}/${profile}` : profile;
}

/** The ids of a build in the workspace at `root`; with a `manifestKey`, apart from those without it or with another. */
export function buildIds(root: string, profile: string, manifestKey?: string): BuildIds {
  const lock = readFileSync(`${root}/Cargo.lock`, 'utf8');
  const version = manifestKey === undefined ? ['kache-build-1'] : ['kache-build-1-of', manifestKey];
  const of = (...parts: string[]): BuildId => sha256(JSON.stringify([...version, ...parts])) as BuildId;
  return { exact: of('exact', lock, profile), workspace: of('workspace', ...members(lock), profile) };
}

/** The packages of a lockfile that come from no registry: the workspace's own and its path dependencies. */
export function members(lock: string): string[] {
  return lock
    .split('[[package]]')
    .slice(1)
    .filter((section) => !/^source = /m.test(section))
    .flatMap((section) => /^name = "([^"]+)"/m.exec(section)?.[1] ?? [])
    .sort();
}
