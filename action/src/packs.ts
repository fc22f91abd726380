// A job's packs: brought from GitHub's cache before it, added to after it.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as core from '@actions/core';
import { attempt } from './attempt.ts';
import {
  archiveKey,
  type KeyPrefixes,
  type Manifest,
  parseManifest,
  partKey,
  plan,
  type Saved,
} from './chain.ts';
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

/**
 * Puts everything the newest archive of this job stands for into the store: each pack as soon as it is here, while others
 * are still on their way. They are kept in `folder`.
 */
export async function restorePacks(kache: Kache, folder: string, prefixes: KeyPrefixes): Promise<Restored> {
  mkdirSync(folder, { recursive: true });
  const cwd = process.cwd();
  const unpackOf = async (key: string): Promise<Unpacked> => ({
    key,
    ...(await unpack(kache, packOf(folder, key), cwd)),
  });
  const newest = await attempt('ask the cache', () => findNewest(prefixes.newest), ASKING_MS);
  if (newest === undefined) {
    core.info('Nothing of this job is in the cache yet.');
    return NOTHING_RESTORED;
  }
  await restore(folder, [newest], async () => {});
  const manifest = readManifest(folder, newest);
  if (manifest === undefined) {
    core.warning(`kache: Cannot use "${newest}": it did not arrive, is damaged, or of another version.`);
    return { ...NOTHING_RESTORED, damaged: [newest] };
  }
  const [first, below] = await Promise.all([unpackOf(newest), restore(folder, manifest.below, unpackOf)]);
  const unpacked = [...below, first];
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
  readonly key: string;
  readonly isWhole: boolean;
  readonly entries: number;
  readonly bytes: number;
}

async function unpack(kache: Kache, file: string, cwd: string): Promise<Omit<Unpacked, 'key'>> {
  const bytes = existsSync(file) ? statSync(file).size : 0;
  try {
    const { added, present, refused, why } = await kache.json<{
      added: number;
      present: number;
      refused: number;
      why: string[];
    }>(['pack', 'restore', file, '--json'], { allowed: [0, 1], cwd });
    if (refused > 0) core.warning(`kache: ${refused} entries of a pack were refused: ${why.join('; ')}.`);
    return { isWhole: refused === 0, entries: added + present, bytes };
  } catch (error) {
    core.warning(`kache: Cannot use a pack: ${error instanceof Error ? error.message : error}.`);
    return { isWhole: false, entries: 0, bytes };
  }
}

export interface SaveOptions {
  readonly folder: string;
  readonly prefixes: KeyPrefixes;
  readonly restored: Restored;
  /** RFC 3339. */
  readonly since: string;
  readonly minCompileMs: number;
  readonly succeeded: boolean;
}

/** Uploads what this job used and the cache does not have: as one more pack, or as one fresh pack of all. */
export async function savePacks(kache: Kache, options: SaveOptions): Promise<Uploaded> {
  const { folder, prefixes, restored } = options;
  const staging = join(folder, 'new');
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const pack = join(staging, 'kache.pack');
  const write = (bases: readonly string[]): Promise<Saved> =>
    kache.json([
      // Jobs of one kind have the same paths: what is bound to them is of use there, and nowhere else.
      ...['pack', 'save', pack, '--json', '--parts', '--with-paths', '--since', options.since],
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
  const [first, ...rest] = saved.parts;
  if (first === undefined) throw new Error('`kache pack save` wrote nothing of what it said is new');
  const met = [...restored.packs, ...restored.damaged];
  const others = rest.map((part) => ({ ...part, key: partKey(prefixes, part, { met }) }));
  const below = [...(kind === 'fresh' ? [] : restored.packs), ...others.map(({ key }) => key)];
  const key = archiveKey(prefixes, saved.set, { below, met });
  // The one that names the others comes last: whoever finds it finds them.
  for (const other of others) await upload(folder, other);
  const isTaken = await upload(folder, { file: first.file, key }, { format: 1, below });
  if (!isTaken)
    core.info('The cache took nothing: it has the same already, or this job may not write to it.');
  return { kind: isTaken ? kind : 'not-taken', entries: saved.new, bytes: saved.bytes };
}

/** Uploads a pack, with the manifest where it has one, as one archive: it lies in a folder of its own for that. */
async function upload(
  folder: string,
  pack: { readonly file: string; readonly key: string },
  manifest?: Manifest,
): Promise<boolean> {
  const staging = join(folder, 'archive');
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging);
  renameSync(pack.file, packOf(staging, pack.key));
  if (manifest !== undefined) writeFileSync(manifestOf(staging, pack.key), JSON.stringify(manifest));
  return save(staging, pack.key);
}
