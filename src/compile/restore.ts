// A hit: the outputs of an entry come into the output folder, and what the compiler printed is printed again. No
// compiler is started.
import type { RestoredBytes } from '../core/events.ts';
import type { CacheKey } from '../core/ids.ts';
import { findInList, mapList } from '../core/lists.ts';
import { renderDepInfo } from '../rustc/dep-info.ts';
import { artifactLine, fromTemplate } from '../rustc/diagnostics.ts';
import { emitOf, type PlannedOutput } from '../rustc/outputs.ts';
import { checkBlob, mayBeLinked, type Proof, placeBlob, sealAgain } from '../store/blobs.ts';
import { touchUnit } from '../store/closures.ts';
import { type Entry, removeEntry, type StoredOutput, touchEntry } from '../store/entries.ts';
import { type OutputState, signatureNow } from '../store/hashes.ts';
import { asideOf, makeAside } from '../sys/aside.ts';
import { bestEffort, createFile, isOsError, removeFile, rename, stat, utf8, writeAll } from '../sys/files.ts';
import type { OsError } from '../sys/libc.ts';
import type { Call } from './call.ts';
import { placesBehind, recordOutputs, standsFor } from './externs.ts';
import type { KeyBase } from './key.ts';
import type { LookUp } from './look-up.ts';

type Found = Extract<LookUp, { kind: 'found' }>;

export type Restored =
  | {
      readonly kind: 'restored';
      readonly bytes: RestoredBytes;
      readonly sizeBytes: number;
      /** Why what the compiler printed could not be printed. */
      readonly lost: OsError | undefined;
    }
  /** The entry is not whole; it has been dropped. */
  | { readonly kind: 'damaged'; readonly reason: 'blob-missing' | 'blob-damaged' | 'entry-incomplete' }
  /** A file system refused something. The entry stays; the output folder holds whole files, perhaps not all of them. */
  | { readonly kind: 'failed'; readonly reason: `restore-failed|${string}` };

/** Restores every output or none: all blobs are proven and placed aside before the first name changes. */
export function restore(call: Call, base: KeyBase, found: Found): Restored {
  const { store } = call;
  const placed = placeOutputs(call, base, found);
  if (placed.kind !== 'placed') return placed;
  const lost = replay(call, found);
  touchEntry(store, found.entry.key);
  touchUnit(store, base.unit);
  let sizeBytes = 0;
  for (const { sizeBytes: size } of found.entry.outputs) sizeBytes += size;
  return { kind: 'restored', bytes: placed.bytes, sizeBytes, lost };
}

type NotRestored = Exclude<Restored, { kind: 'restored' }>;

function placeOutputs(
  call: Call,
  base: KeyBase,
  found: Found,
): { readonly kind: 'placed'; readonly bytes: RestoredBytes } | NotRestored {
  try {
    return proveAndPlace(call, base, found);
  } catch (error) {
    if (!isOsError(error)) throw error;
    return { kind: 'failed', reason: `restore-failed|${error.code} ${error.operation}` };
  }
}

function proveAndPlace(
  call: Call,
  base: KeyBase,
  found: Found,
): { readonly kind: 'placed'; readonly bytes: RestoredBytes } | NotRestored {
  const { store, invocation } = call;
  const planned = matchOutputs(invocation.outputs.files, found.entry.outputs);
  if (planned === undefined) return drop(call, found, 'entry-incomplete');
  const proven: Proven[] = [];
  for (const pair of planned) {
    const state = checkBlob(store, pair.stored.blob, pair.stored.sizeBytes);
    if (state.kind !== 'sound') return drop(call, found, `blob-${state.kind}`);
    proven.push({ ...pair, proof: state.proof });
  }
  const bytes = placeAll(call, proven, found);
  if (bytes === undefined) return drop(call, found, 'blob-missing');
  // Before the outputs are announced: whoever depends on them may look at once.
  rememberRestored(call, base, { outputs: planned, identity: found.key.identity });
  return { kind: 'placed', bytes };
}

function drop(
  call: Call,
  found: Found,
  reason: Extract<Restored, { kind: 'damaged' }>['reason'],
): NotRestored {
  removeEntry(call.store, found.entry.key);
  return { kind: 'damaged', reason };
}

function matchOutputs(
  planned: readonly PlannedOutput[],
  stored: readonly StoredOutput[],
): { planned: PlannedOutput; stored: StoredOutput }[] | undefined {
  const pairs: { planned: PlannedOutput; stored: StoredOutput }[] = [];
  for (const output of planned) {
    const found = findInList(stored, ({ kind }) => kind === output.kind);
    if (found === undefined) return undefined;
    pairs.push({ planned: output, stored: found });
  }
  return pairs;
}

type Proven = { planned: PlannedOutput; stored: StoredOutput; proof: Proof };

/** Undefined when a blob was evicted at this very moment. */
function placeAll(call: Call, outputs: readonly Proven[], found: Found): RestoredBytes | undefined {
  const { store, invocation, settings } = call;
  const bytes: RestoredBytes = { reflinked: 0, hardlinked: 0, copied: 0 };
  const moves: { aside: string; target: string }[] = [];
  const linked: Proven[] = [];
  try {
    for (const output of outputs) {
      const { planned, stored, proof } = output;
      const move = moveTo(`${invocation.outDir}/${planned.name}`);
      // The rmeta is a private file: Cargo takes the newest output of a unit as its time, and that must be now.
      const options = {
        shared: planned.kind === 'link' && mayBeLinked(proof),
        mode: stored.mode,
        linkMode: settings.linkMode,
      };
      moves.push(move);
      const kind = makeAside(move.aside, () => placeBlob(store, stored.blob, move.aside, options));
      bytes[kind] += stored.sizeBytes;
      if (kind === 'hardlinked') linked.push(output);
    }
    const depInfo = moveTo(`${invocation.outDir}/${invocation.outputs.depInfo ?? ''}`);
    moves.push(depInfo);
    makeAside(depInfo.aside, () => createFile(depInfo.aside, utf8(depInfoHere(call, found))));
    for (const { aside, target } of moves) {
      rename(aside, target);
      // rename(2) does nothing when both names are one inode already.
      removeFile(aside);
    }
    // Only now: the rename of a link moves the ctime once more.
    for (const { stored, proof } of linked) sealAgain(store, stored.blob, proof);
    return bytes;
  } catch (error) {
    for (const { aside } of moves) bestEffort(() => removeFile(aside));
    const isGone = ({ stored }: Proven): boolean => stat(store.layout.blob(stored.blob)) === undefined;
    if (isOsError(error, 'ENOENT') && outputs.some(isGone)) return undefined;
    throw error;
  }
}

const moveTo = (target: string): { aside: string; target: string } => ({ aside: asideOf(target), target });

/** The dep-info of this checkout: its paths, its present env values. */
function depInfoHere(call: Call, { closure }: Found): string {
  const { invocation, map } = call;
  const { files, depInfo } = invocation.outputs;
  return renderDepInfo({
    targets: mapList(
      [depInfo ?? '', ...mapList(files, ({ name }) => name)],
      (name) => `${invocation.outDir}/${name}`,
    ),
    files: mapList(closure.files, (rooted) => map.fromRooted(rooted) ?? rooted),
    env: mapList(closure.env, (name) => ({ name, value: invocation.env[name] })),
  });
}

/** Prints what the compiler printed, with the paths of this checkout; returns why that could not be done. */
function replay(call: Call, { entry }: Found): OsError | undefined {
  const real = (line: string): string => fromTemplate(line, call.map, () => placesBehind(call));
  try {
    print(1, mapList(entry.stdout, real));
    print(2, messages(call, entry, real));
    return undefined;
  } catch (error) {
    if (!isOsError(error)) throw error;
    return error;
  }
}

function messages(call: Call, { stderr }: Entry, real: (line: string) => string): string[] {
  const lines: string[] = [];
  for (const line of stderr) {
    const shown = line.startsWith('\0emit ') ? announcement(call, line.slice('\0emit '.length)) : real(line);
    if (shown !== undefined) lines.push(shown);
  }
  return lines;
}

const print = (fd: 1 | 2, lines: readonly string[]): void => {
  if (lines.length > 0) writeAll(fd, utf8(`${lines.join('\n')}\n`));
};

/** The line by which rustc announces an output of this call; undefined for one that was not asked for. */
function announcement({ invocation }: Call, emit: string): string | undefined {
  const { depInfo, files } = invocation.outputs;
  const name = emit === 'dep-info' ? depInfo : findInList(files, ({ kind }) => emitOf(kind) === emit)?.name;
  return name === undefined ? undefined : artifactLine(`${invocation.outDir}/${name}`, emit);
}

function rememberRestored(
  call: Call,
  base: KeyBase,
  restored: { outputs: readonly { planned: PlannedOutput; stored: StoredOutput }[]; identity: CacheKey },
): void {
  const { invocation } = call;
  const { outputs, identity } = restored;
  const files: Record<string, OutputState> = {};
  for (const { planned, stored } of outputs) {
    const signature = signatureNow(`${invocation.outDir}/${planned.name}`);
    if (signature !== undefined)
      files[planned.name] = [signature, standsFor(planned.kind, stored.blob, identity), call.store.boot];
  }
  const [first] = outputs;
  if (first === undefined) return;
  recordOutputs(call, base.externs, { first: `${invocation.outDir}/${first.planned.name}`, files });
}
