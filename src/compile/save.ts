// After a compile: its closure, its key, its outputs into the store. Nothing is stored that one could not vouch for.
import type { BlobId, CacheKey } from '../core/ids.ts';
import { CarrierSearch } from '../rustc/assembler.ts';
import { isDynamicLibrary } from '../rustc/outputs.ts';
import { publishBlob } from '../store/blobs.ts';
import { type Closure, recordClosure } from '../store/closures.ts';
import { type Entry, removeEntry, type StoredOutput, writeEntry } from '../store/entries.ts';
import { isEvictionBehind } from '../store/eviction-trigger.ts';
import { type OutputState, signatureNow } from '../store/hashes.ts';
import { touchedSince, wasPutBack } from '../sys/clock.ts';
import {
  bestEffort,
  type FileStat,
  holdsTheSame,
  isOsError,
  isRegular,
  signatureOf,
  stat,
} from '../sys/files.ts';
import { hashFile } from '../sys/hash.ts';
import { basename } from '../sys/paths.ts';
import type { Call } from './call.ts';
import { closureOf, readDepInfo } from './closure.ts';
import { Output } from './contents.ts';
import { linkClosure, recordOutputs, resolveExterns, standsFor } from './externs.ts';
import { type ComputedKey, computeKey, type KeyBase } from './key.ts';
import { fromLinked } from './link.ts';
import type { Observation } from './observe.ts';
import type { Compiled } from './run.ts';
import { readNames, rememberRead, textsToWithhold, whyWithheld } from './share.ts';

export type Saved =
  | {
      readonly kind: 'stored';
      readonly key: CacheKey;
      readonly closure: Closure;
      readonly isDuplicate: boolean;
      readonly outputs: readonly StoredOutput[];
      readonly sizeBytes: number;
      readonly newBytes: number;
      /** Why the entry may not leave this machine; undefined when it may. */
      readonly withheld: string | undefined;
    }
  | { readonly kind: 'skipped'; readonly reason: string };

export interface Finished {
  readonly compiled: Compiled;
  readonly observation: Observation;
  /** Outputs hashed while the compiler went on: their record, by path. */
  readonly hashed?: RecordedOutputs | undefined;
  /** Where another process has started the compiler. */
  readonly left?: Left | undefined;
}

/** How the process that started the compiler saw its files: signatures by path; undefined for one that was not there. */
export type Left = ReadonlyMap<string, string | undefined>;

/** By the time one comes to it, a file may be another compile's. */
const isAsLeft = (left: Left): boolean =>
  [...left].every(([path, signature]) => signatureNow(path) === signature);

/** Signature and identity of output files, by path. */
export type RecordedOutputs = ReadonlyMap<string, readonly [signature: string, identity: string]>;

/** Stores a successful compile. A store that cannot take it is a reason to skip, never an error. */
export function save(call: Call, base: KeyBase, finished: Finished): Saved {
  const { left } = finished;
  const { stderr, stdout } = finished.compiled;
  if (stderr === undefined || stdout === undefined)
    return { kind: 'skipped', reason: 'output-not-repeatable' };
  try {
    const names = readNames(call, base);
    const texts = textsToWithhold(call, base, names);
    const keyed = keyOf(call, base, { ...finished, texts });
    if ('skip' in keyed) return skip(call, base, { reason: keyed.skip, left });
    const refusal = whyNotStored(call, keyed.outputs);
    if (refusal !== undefined) return skip(call, base, { reason: refusal, left });
    const published = publish(call, keyed);
    const entry: Entry = {
      key: keyed.key.key,
      unit: base.unit,
      crateName: call.invocation.crateName,
      crateVersion: call.invocation.env['CARGO_PKG_VERSION'] ?? '',
      crateTypes: call.invocation.crateTypes.join(','),
      createdMs: Date.now(),
      compileMs: Math.round(finished.compiled.compileMs),
      outputs: published.outputs,
      stderr,
      stdout,
    };
    const { closure, outputs } = keyed;
    const inputs = keyed.key.inputs();
    rememberRead(
      call,
      names,
      Object.values(published.identities).map(({ identity }) => identity),
    );
    const withheld = whyWithheld(call, base, { entry, closure, inputs, outputs, names });
    if (!writeEntry(call.store, entry, { ...inputs, closure, withheld: withheld ?? null }))
      return skip(call, base, { reason: 'entry-of-another-version', left });
    // An eviction may have taken a blob that was there before the entry named it.
    if (published.outputs.some(({ blob }) => stat(call.store.layout.blob(blob)) === undefined)) {
      removeEntry(call.store, entry.key);
      return skip(call, base, { reason: 'evicted-meanwhile', left });
    }
    recordClosure(call.store, base.unit, { closure, key: keyed.key.key });
    rememberInputs(base);
    bestEffort(() => call.store.noteWritten(published.newBytes));
    record(call, base, published.identities);
    const sizeBytes = published.outputs.reduce((sum, output) => sum + output.sizeBytes, 0);
    return {
      kind: 'stored',
      key: keyed.key.key,
      closure,
      isDuplicate: published.newBytes === 0,
      outputs: published.outputs,
      sizeBytes,
      newBytes: published.newBytes,
      withheld,
    };
  } catch (error) {
    if (!isOsError(error)) throw error;
    return { kind: 'skipped', reason: `store-failed|${error.code} ${error.operation}` };
  }
}

/** What is not stored is remembered all the same, so that dependents need not hash it. */
function skip(
  call: Call,
  base: KeyBase,
  { reason, left }: Pick<Finished, 'left'> & { reason: string },
): Saved {
  rememberContents(call, base, left);
  return { kind: 'skipped', reason };
}

/** A store that has no room for these outputs, or where eviction does not keep up. */
function whyNotStored({ store, settings }: Call, outputs: readonly Output[]): string | undefined {
  let sizeBytes = 0;
  for (const { info } of outputs) sizeBytes += info.size;
  if (sizeBytes > (settings.maxSizeBytes ?? Number.POSITIVE_INFINITY) / 2) return 'larger-than-half-the-cap';
  return isEvictionBehind(store, settings.maxSizeBytes) ? 'store-failed|eviction-behind' : undefined;
}

interface Keyed {
  readonly key: ComputedKey;
  readonly closure: Closure;
  readonly outputs: readonly Output[];
}

interface Ended extends Finished {
  /** Where the outputs are to be stored: what is looked for in them besides paths. */
  readonly texts?: readonly string[];
}

/** The key of a compile that has just ended, if its inputs stood still. */
export function keyOf(call: Call, base: KeyBase, finished: Ended): Keyed | { readonly skip: string } {
  const { invocation, map } = call;
  const depInfo = readDepInfo(call);
  if (depInfo === undefined) return { skip: 'no-dep-info' };
  const texts = [...map.roots.map(({ path }) => path), ...(finished.texts ?? [])];
  const outputs: Output[] = [];
  for (const { kind, name } of invocation.outputs.files) {
    const path = `${invocation.outDir}/${name}`;
    const info = stat(path);
    // Whoever reads a pipe waits for its writer, and with a daemon everybody does.
    if (info === undefined || !isRegular(info)) return { skip: `output-missing ${kind}` };
    const known = finished.hashed?.get(path);
    const digest =
      known !== undefined && known[0] === signatureOf(info)
        ? (known[1] as BlobId)
        : finished.texts !== undefined;
    outputs.push(new Output({ kind, path, info, texts, digest }));
  }
  const closure = closureOf(call, base, { depInfo, outputs, observation: finished.observation });
  // Asked when they have been read.
  if (finished.left !== undefined && !isAsLeft(finished.left)) return { skip: 'outputs-changed' };
  if ('skip' in closure) return closure;
  base.sources.lookAgain();
  const key = computeKey(call, base, closure);
  if ('why' in key) return { skip: `inputs-changed|${key.why}` };
  const { startedAt, compileMs } = finished.compiled;
  if (wasPutBack(startedAt, compileMs)) return { skip: 'clock-put-back' };
  const moved = firstTouched(call, closure, finished) ?? changedLibrary(call, base);
  return moved === undefined ? { key, closure, outputs } : { skip: `input-changed-during-compile|${moved}` };
}

/** The first input with a stamp from after the compiler's start: nobody knows which of its contents was read. */
function firstTouched(call: Call, closure: Closure, finished: Finished): string | undefined {
  const { startedAt } = finished.compiled;
  for (const rooted of [
    ...closure.files,
    ...closure.observed,
    ...closure.listed,
    ...(closure.linked ?? []),
  ]) {
    const path = fromLinked(call, rooted);
    const info = path === undefined ? undefined : stat(path);
    if (info === undefined || touchedSince(info, startedAt)) return rooted;
  }
  return undefined;
}

function changedLibrary(call: Call, base: KeyBase): string | undefined {
  const now = resolveExterns(call);
  if (JSON.stringify(now?.keyed) !== JSON.stringify(base.externs.keyed)) return 'extern';
  if (base.linked === undefined) return undefined;
  const linked = linkClosure(call.store, base.externs.paths);
  return [...base.linked].some(([path, identity]) => linked?.get(path) !== identity) ? 'library' : undefined;
}

/** Notes the hashes of everything the key was made of. */
export function rememberInputs(base: KeyBase): void {
  base.sources.remember();
  base.link?.system.remember('all');
}

interface Published {
  readonly outputs: readonly StoredOutput[];
  readonly identities: Identities;
  /** Bytes the store did not have. */
  readonly newBytes: number;
}

function publish(call: Call, { key, outputs }: Keyed): Published {
  let newBytes = 0;
  const identities: Record<string, Identity> = {};
  const stored = outputs.map((output) => {
    const { kind, path, info, blob } = output;
    const mode = (info.mode & 0o111) === 0 ? 0o644 : 0o755;
    const { existed, info: published } = publishBlob(call.store, blob, path, {
      shared: kind === 'link',
      mode,
      linkMode: call.settings.linkMode,
      info,
      checksum: () => output.checksum,
    });
    if (!existed) newBytes += info.size;
    identities[path] = { identity: standsFor(kind, blob, key.identity), info: published };
    return { kind, blob, sizeBytes: info.size, mode };
  });
  return { outputs: stored, identities, newBytes };
}

/** Notes what outputs hold that were not stored. */
export const rememberContents = (call: Call, base: KeyBase, left: Left | undefined): RecordedOutputs =>
  rememberIdentities(call, base, {
    paths: call.invocation.outputs.files.map(({ name }) => `${call.invocation.outDir}/${name}`),
    left,
  });

/** What a file is, and the state it was in when that was found out. */
interface Identity {
  readonly identity: string;
  readonly info: FileStat;
}
type Identities = Readonly<Record<string, Identity>>;

export interface Remembered {
  readonly paths: readonly string[];
  /** What they are known by; by default their content. */
  readonly identity?: string;
  /** Files that are not as they were left are somebody else's by now. */
  readonly left: Left | undefined;
}

/** Whether an output is one that other crates are given. */
const isForUsers = ({ invocation }: Call, path: string): boolean =>
  /\.(rmeta|rlib)$/.test(path) || (invocation.crateTypes.includes('dylib') && isDynamicLibrary(path));

/** Records what output files are. Their signatures are taken now. */
export function rememberIdentities(
  call: Call,
  base: KeyBase,
  { paths, identity, left }: Remembered,
): RecordedOutputs {
  const known: Record<string, Identity> = {};
  let assembles = false;
  for (const path of paths) {
    const info = stat(path);
    if (info === undefined || !isRegular(info)) continue;
    if (left !== undefined && left.get(path) !== signatureOf(info)) continue;
    const search = isForUsers(call, path) ? new CarrierSearch(path) : undefined;
    const found = identity ?? hashFile(path, search === undefined ? undefined : (piece) => search.see(piece));
    assembles ||= search?.found === true;
    if (found !== undefined) known[path] = { identity: found, info };
  }
  return record(call, base, known, assembles);
}

/** Records identities by path, of those files that are still in their state; only links may have come or gone. */
function record(call: Call, base: KeyBase, identities: Identities, assembles = false): RecordedOutputs {
  const recorded = new Map<string, readonly [string, string]>();
  const files: Record<string, OutputState> = {};
  for (const [path, { identity, info }] of Object.entries(identities)) {
    const now = stat(path);
    if (now === undefined || !holdsTheSame(now, info)) continue;
    const signature = signatureOf(now);
    recorded.set(path, [signature, identity]);
    files[basename(path)] = [signature, identity, call.store.boot];
  }
  const [first] = recorded.keys();
  if (first !== undefined) recordOutputs(call, base.externs, { first, files, assembles });
  return recorded;
}
