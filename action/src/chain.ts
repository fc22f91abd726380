// How packs follow each other in GitHub's cache: the newest archive of a job names the ones it builds on. Pure.
import { createHash } from 'node:crypto';

/** Lies beside the pack in every archive. Fields are never renamed; another meaning gets another number. */
export interface Manifest {
  readonly format: 1;
  /** Keys of the archives with the packs below this one, the oldest first. */
  readonly below: readonly string[];
}

/** What `kache pack save --json` says of a pack. */
export interface Saved {
  /** The files it was written to; of nothing, none. */
  readonly parts: readonly Part[];
  readonly set: string;
  readonly entries: number;
  readonly in_bases: number;
  readonly new: number;
  readonly bytes: number;
  readonly used_bytes: number;
  readonly base_bytes: number;
}

export interface Part {
  readonly file: string;
  readonly set: string;
}

/** Packs that are restored at once, at most: a chain this long starts afresh. */
export const MAX_PACKS = 12;

/** Bytes of all packs of a chain to those of one fresh pack, from which on a fresh one costs less (docs/adr/0017). */
export const MAX_STALE_RATIO = 1.25;

export type Plan = 'nothing' | 'delta' | 'fresh';

export interface Situation {
  /** Packs of the chain that are in the store. */
  readonly packs: number;
  /** Something unreadable was found: the chain as it is would be met again and again. */
  readonly isDamaged: boolean;
  /** A job that was not may have used only a part of what the next one needs: it adds, and never starts afresh. */
  readonly succeeded: boolean;
}

/** What to upload after a job, given what a pack of only the new entries came to. */
export function plan(saved: Saved, { packs, isDamaged, succeeded }: Situation): Plan {
  if (isDamaged && succeeded && saved.entries > 0) return 'fresh';
  if (saved.new === 0) return 'nothing';
  const isTooLong = packs + saved.parts.length > MAX_PACKS;
  if (packs === 0 || !succeeded) return isTooLong ? 'nothing' : 'delta';
  // Nothing of what was restored was of use: another kache or other flags.
  if (saved.in_bases === 0 || isTooLong) return 'fresh';
  return saved.base_bytes + saved.bytes > MAX_STALE_RATIO * saved.used_bytes ? 'fresh' : 'delta';
}

export interface Place {
  readonly prefix: string;
  readonly os: string;
  readonly arch: string;
  readonly workflow: string;
  readonly job: string;
  readonly matrix: string;
  /** What `rustc -vV` prints. */
  readonly toolchain: string;
}

/** What the keys of one job's archives begin with. Each ends with a dash: no job's is the beginning of another's. */
export interface KeyPrefixes {
  /** Of those that name the others. */
  readonly newest: string;
  /** Of those that are only found by their names. */
  readonly part: string;
}

export function keyPrefixes({ prefix, os, arch, workflow, job, matrix, toolchain }: Place): KeyPrefixes {
  const scope = `${job}-${hash(workflow, matrix).slice(0, 8)}`;
  const of = (kind: string): string =>
    [prefix, kind, os, arch, scope, hash(toolchain).slice(0, 12), '']
      .join('-')
      .replaceAll(/[^\w.@/+-]/g, '_');
  return { newest: of('v1'), part: of('v1p') };
}

/**
 * The key of an archive: of what is in it, and of the archives its job met. An archive is written once and the newest is
 * what the next job takes, so that a job that goes back to what an older one holds needs a name of its own; two jobs
 * that met the same and did the same have one.
 */
export const archiveKey = (
  { newest }: KeyPrefixes,
  set: string,
  { below, met }: { readonly below: readonly string[]; readonly met: readonly string[] },
): string => `${newest}${hash(set, below.join(), met.join()).slice(0, 24)}`;

/** The key of an archive that another one names. Where one was damaged, what takes its place has another. */
export const partKey = (
  { part }: KeyPrefixes,
  { set }: Part,
  { met }: { readonly met: readonly string[] },
): string => `${part}${hash(set, met.join()).slice(0, 24)}`;

const hash = (...parts: string[]): string => createHash('sha256').update(JSON.stringify(parts)).digest('hex');

/** The manifest in `text`; undefined when it is none that this version reads. */
export function parseManifest(text: string): Manifest | undefined {
  const value = parsed(text);
  if (value?.format !== 1 || !Array.isArray(value.below)) return undefined;
  const below = value.below.filter((key) => typeof key === 'string');
  return below.length === value.below.length && below.length <= MAX_PACKS ? { format: 1, below } : undefined;
}

function parsed(text: string): { format?: unknown; below?: unknown } | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
