// What the externs of a call are: the content of each file, or the cache key of the compile that made it, and which
// proc macros can be reached through them.
import type { BlobId, CacheKey } from '../core/ids.ts';
import { someInList } from '../core/lists.ts';
import { CarrierSearch } from '../rustc/assembler.ts';
import { type Places, placesOf } from '../rustc/diagnostics.ts';
import { isDynamicLibrary, type OutputKind } from '../rustc/outputs.ts';
import { checkBlob } from '../store/blobs.ts';
import { type OutputRecord, type OutputState, readOutputs, writeOutputs } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import { fileTimeNow, isSettled } from '../sys/clock.ts';
import { type FileStat, isRegular, listDirectory, signatureOf, stat } from '../sys/files.ts';
import { hashFile, sha256 } from '../sys/hash.ts';
import { basename, resolve } from '../sys/paths.ts';
import type { Call } from './call.ts';

export interface ExternIdentity {
  readonly path: string;
  /** A content hash, or `key:` and the cache key of the compile that made it. */
  readonly identity: string;
  readonly record: OutputRecord | undefined;
  /** Whether a user of it may have the assembler read files. */
  readonly assembles: boolean;
}

/**
 * The identity of an output file: what was recorded when a compile through kache made it, as long as its signature
 * holds, else its content. Undefined when there is no such file, or something else, as a pipe that would be waited for.
 */
export function identityOf(store: Store, path: string): ExternIdentity | undefined {
  const info = stat(path);
  if (info === undefined || !isRegular(info)) return undefined;
  const record = readOutputs(store, path);
  const name = basename(path);
  const known = record?.files[name];
  if (known !== undefined && isAsRecorded(store, known, info))
    return { path, identity: known[1], record, assembles: record?.assembles === true };
  const now = fileTimeNow();
  const search = new CarrierSearch(path);
  const identity = hashFile(path, (piece) => search.see(piece));
  if (identity === undefined) return undefined;
  // Another compiler, or kache with another store, put this file here: what else was recorded is about something else.
  const valid = known?.[1] === identity ? record : undefined;
  const assembles = search.found || valid?.assembles === true;
  if (isSettled(info, now)) {
    const files = { ...valid?.files, [name]: [signatureOf(info), identity, store.boot] as const };
    writeOutputs(store, path, {
      files,
      macros: valid?.macros ?? [],
      externs: valid?.externs ?? [],
      behind: valid?.behind ?? null,
      places: valid?.places ?? {},
      complete: valid?.complete ?? false,
      assembles,
    });
  }
  return { path, identity, record: valid, assembles };
}

/**
 * Whether a file still is what was recorded: its signature holds, in the same boot. Only the ctime may differ, which
 * moves whenever a link comes or goes: Cargo links proc macros into the folder above, other checkouts link the blob this
 * file is; then the blob's own seal decides. What is known by the key of its compile is not known by its bytes, and
 * is what Cargo takes it for.
 */
function isAsRecorded(store: Store, [was, identity, boot]: OutputState, info: FileStat): boolean {
  const now = signatureOf(info);
  const withoutCtime = (signature: string): string => signature.slice(0, signature.lastIndexOf(':'));
  if (identity.startsWith('key:')) return withoutCtime(was) === withoutCtime(now);
  if (was === now) return boot === store.boot;
  if (withoutCtime(was) !== withoutCtime(now)) return false;
  const blob = identity as BlobId;
  return (
    stat(store.layout.blob(blob))?.ino === info.ino && checkBlob(store, blob, info.size).kind === 'sound'
  );
}

/**
 * What stands for an output in the keys of those that use it: its content, or, for a dynamic library, the key of its
 * compile: a linker's bytes may differ where what it linked does not.
 */
export const standsFor = (kind: OutputKind, blob: BlobId, identity: CacheKey): string =>
  kind === 'dylib' ? `key:${identity}` : blob;

/** Records what the outputs of a call are, by file name, with what a user of them has to know of the call. */
export function recordOutputs(
  call: Call,
  externs: ResolvedExterns,
  outputs: { readonly first: string; readonly files: OutputRecord['files']; readonly assembles: boolean },
): void {
  const { macros, paths } = externs;
  const assembles = externs.assembles || outputs.assembles;
  const places = placesOf(call.map);
  writeOutputs(call.store, outputs.first, {
    files: outputs.files,
    macros,
    externs: paths,
    behind: digestOf(externs.keyed),
    places,
    complete: true,
    assembles,
  });
}

/** What stands for everything that users do not name: the compiler reads the metadata of indirect dependencies, too. */
function digestOf(keyed: ResolvedExterns['keyed']): string | null {
  return someInList(keyed, ([, , behind]) => behind === null) ? null : sha256(JSON.stringify(keyed));
}

/** The places behind every placeholder in what this call is given, as far as their compiles were recorded. */
export function placesBehind({ invocation, store }: Pick<Call, 'invocation' | 'store'>): Places {
  const places: Record<string, string> = {};
  const seen = new Set<string>();
  const pending = invocation.externs.flatMap(({ path }) =>
    path === undefined ? [] : resolve(invocation.cwd, path),
  );
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const record = readOutputs(store, path);
    Object.assign(places, record?.places);
    pending.push(...(record?.externs ?? []));
  }
  return places;
}

export interface ResolvedExterns {
  /**
   * In command-line order: options and name as given; identity of the file, `sysroot` for those without a path; and what is
   * behind it (see {@link OutputRecord}).
   */
  readonly keyed: readonly (readonly [name: string, identity: string, behind: string | null])[];
  /** Absolute paths of the extern files. */
  readonly paths: readonly string[];
  /** Dynamic libraries whose macros the unit can use. */
  readonly macros: readonly string[];
  /** Whether one of them may have the assembler read files. */
  readonly assembles: boolean;
}

/** Every extern of a call; undefined when a file is missing. */
export function resolveExterns(call: Pick<Call, 'invocation' | 'store'>): ResolvedExterns | undefined {
  const { invocation, store } = call;
  const keyed: [string, string, string | null][] = [];
  const paths: string[] = [];
  const macros: string[] = [];
  const reach = (macro: string): void => {
    if (!macros.includes(macro)) macros.push(macro);
  };
  let [unknown, assembles] = [false, false];
  for (const { options, name, path } of invocation.externs) {
    const label = options === '' ? name : `${options}:${name}`;
    if (path === undefined) {
      keyed.push([label, 'sysroot', '']);
      continue;
    }
    const absolute = resolve(invocation.cwd, path);
    const found = identityOf(store, absolute);
    if (found === undefined) return undefined;
    keyed.push([label, found.identity, found.record?.behind ?? null]);
    paths.push(absolute);
    assembles ||= found.assembles;
    if (isDynamicLibrary(absolute)) reach(absolute);
    else if (found.record?.complete) for (const macro of found.record.macros) reach(macro);
    else unknown = true;
  }
  if (unknown) for (const macro of allDynamicLibraries(call)) reach(macro);
  return { keyed, paths, macros: macros.sort(), assembles };
}

/** Every dynamic library a compile could load: what is assumed of externs whose history is unknown. */
function allDynamicLibraries({ invocation }: Pick<Call, 'invocation'>): string[] {
  return invocation.searchPaths
    .filter(({ kind }) => kind !== 'native' && kind !== 'framework')
    .map(({ dir }) => resolve(invocation.cwd, dir))
    .flatMap((dir) =>
      (listDirectory(dir) ?? [])
        .filter(({ name }) => isDynamicLibrary(name))
        .map(({ name }) => `${dir}/${name}`),
    );
}

/** Every library a link takes in, by path, with its identity. */
export type LinkedLibraries = ReadonlyMap<string, string>;

/**
 * Every file a link of these externs takes in, also the indirect ones: C code can change in a `-sys` crate while the
 * metadata its users see stays the same. Undefined when the history of one of them is unknown.
 */
export function linkClosure(store: Store, externs: readonly string[]): LinkedLibraries | undefined {
  const seen = new Map<string, string>();
  const pending = [...externs];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    // What is linked is the library, whatever file the metadata was taken from.
    const linked = path.endsWith('.rmeta') ? `${path.slice(0, -'.rmeta'.length)}.rlib` : path;
    if (seen.has(linked)) continue;
    const found = identityOf(store, linked);
    if (found === undefined || !found.record?.complete) return undefined;
    seen.set(linked, found.identity);
    // A proc macro is linked already: its own externs are in its key.
    if (!isDynamicLibrary(linked)) pending.push(...found.record.externs);
  }
  return seen;
}
