// A job's packs: brought from GitHub's cache before it, added to after it.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as core from '@actions/core';
import { attempt } from './attempt.ts';
import { archiveKey, type Manifest, parseManifest, plan, type Saved } from './chain.ts';
import { findNewest, restore, save } from './github-cache.ts';
import type { Kache } from './kache.ts';

/** What was brought, for the post step. */
export interface Restored {
  /** Keys of the archives whose packs are in the store, whole; the oldest first. */
  readonly packs: readonly string[];
  /** Keys of archives that could not be read, or whose packs could not. */
  readonly damaged: readonly string[];
  readonly entries: number;
  readonly bytes: number;
}

export interface Uploaded {
  readonly kind: 'nothing' | 'delta' | 'fresh' | 'not-taken';
  readonly entries: number;
  readonly bytes: number;
}

/** The client tries for half a minute where it is refused, and much longer where nobody answers. */
const ASKING_MS = 60_000;

export const NOTHING_RESTORED: Restored = { packs: [], damaged: [], entries: 0, bytes: 0 };

/** `kache-<last part of the key>.pack` and `.json`: the two files of an archive. */
const nameOf = (key: string): string => `kache-${key.slice(key.lastIndexOf('-') + 1)}`;
const packOf = (folder: string, key: string): string => join(folder, `${nameOf(key)}.pack`);
const manifestOf = (folder: string, key: string): string => join(folder, `${nameOf(key)}.json`);

/** Puts everything the newest archive of this job stands for into the store. Packs are kept in `folder`. */
export async function restorePacks(kache: Kache, folder: string, prefix: string): Promise<Restored> {
  mkdirSync(folder, { recursive: true });
  const newest = await attempt('ask the cache', () => findNewest(prefix), ASKING_MS);
  if (newest === undefined) {
    core.info('Nothing of this job is in the cache yet.');
    return NOTHING_RESTORED;
  }
  await restore(folder, [newest]);
  const manifest = readManifest(folder, newest);
  if (manifest === undefined) {
    core.warning(`kache: Cannot use "${newest}": it did not arrive, is damaged, or of another version.`);
    return { ...NOTHING_RESTORED, damaged: [newest] };
  }
  const arrived = await restore(folder, manifest.below);
  const unpacked = await Promise.all(
    [...arrived, newest].map(async (key) => ({ key, ...(await unpack(kache, packOf(folder, key))) })),
  );
  return {
    packs: unpacked.filter(({ isWhole }) => isWhole).map(({ key }) => key),
    damaged: unpacked.filter(({ isWhole }) => !isWhole).map(({ key }) => key),
    entries: unpacked.reduce((sum, { entries }) => sum + entries, 0),
    bytes: unpacked.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function readManifest(folder: string, key: string): Manifest | undefined {
  const file = manifestOf(folder, key);
  return existsSync(file) ? parseManifest(readFileSync(file, 'utf8')) : undefined;
}

interface Unpacked {
  readonly isWhole: boolean;
  readonly entries: number;
  readonly bytes: number;
}

async function unpack(kache: Kache, file: string): Promise<Unpacked> {
  const bytes = existsSync(file) ? statSync(file).size : 0;
  try {
    const { added, present, refused, why } = await kache.json<{
      added: number;
      present: number;
      refused: number;
      why: string[];
    }>(['pack', 'restore', file, '--json'], [0, 1]);
    if (refused > 0) core.warning(`kache: ${refused} entries of a pack were refused: ${why.join('; ')}.`);
    return { isWhole: refused === 0, entries: added + present, bytes };
  } catch (error) {
    core.warning(`kache: Cannot use a pack: ${error instanceof Error ? error.message : error}.`);
    return { isWhole: false, entries: 0, bytes };
  }
}

export interface SaveOptions {
  readonly folder: string;
  readonly prefix: string;
  readonly restored: Restored;
  /** RFC 3339. */
  readonly since: string;
  readonly minCompileMs: number;
  readonly succeeded: boolean;
}

/** Uploads what this job used and the cache does not have: as one more pack, or as one fresh pack of all. */
export async function savePacks(kache: Kache, options: SaveOptions): Promise<Uploaded> {
  const { folder, prefix, restored } = options;
  // With nothing but the new files in it: all of it is one archive.
  const staging = join(folder, 'new');
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const pack = join(staging, 'kache.pack');
  const write = (bases: readonly string[]): Promise<Saved> =>
    kache.json([
      // Jobs of one kind have the same paths: what is bound to them is of use there, and nowhere else.
      ...['pack', 'save', pack, '--json', '--with-paths', '--since', options.since],
      ...(options.minCompileMs > 0 ? ['--min-compile-ms', `${options.minCompileMs}`] : []),
      ...bases.flatMap((key) => ['--base', packOf(folder, key)]),
    ]);

  const added = await write(restored.packs);
  const kind = plan(added, {
    packs: restored.packs.length,
    isDamaged: restored.damaged.length > 0,
    succeeded: options.succeeded,
  });
  if (kind === 'nothing') {
    core.info('Everything this job used is in the cache: nothing is uploaded.');
    return { kind, entries: 0, bytes: 0 };
  }
  const saved = kind === 'fresh' ? await write([]) : added;
  const below = kind === 'fresh' ? [] : restored.packs;
  const key = archiveKey(prefix, saved.set, { below, met: [...restored.packs, ...restored.damaged] });
  renameSync(pack, packOf(staging, key));
  const manifest: Manifest = { format: 1, below };
  writeFileSync(manifestOf(staging, key), JSON.stringify(manifest));
  const isTaken = await save(staging, key);
  if (!isTaken)
    core.info('The cache took nothing: it has the same already, or this job may not write to it.');
  return { kind: isTaken ? kind : 'not-taken', entries: saved.new, bytes: saved.bytes };
}
