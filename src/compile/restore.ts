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
import { removeEntry, type StoredOutput, touchEntry } from '../store/entries.ts';
import { signatureNow } from '../store/hashes.ts';
import { bestEffort, createFile, isOsError, removeFile, rename, utf8, writeAll } from '../sys/files.ts';
import type { Call } from './call.ts';
import { placesBehind, recordOutputs, standsFor } from './externs.ts';
import type { KeyBase } from './key.ts';
import type { LookUp } from './look-up.ts';

type Found = Extract<LookUp, { kind: 'found' }>;

export type Restored =
  | { readonly kind: 'restored'; readonly bytes: RestoredBytes; readonly sizeBytes: number }
  /** The entry is not whole; it has been dropped. */
  | { readonly kind: 'damaged'; readonly reason: 'blob-missing' | 'blob-damaged' | 'entry-incomplete' };

/**
 * Restores every output or none: all blobs are proven and placed aside before the first name changes. A failing file
 * system throws; the output folder then holds nothing half-written.
 */
export function restore(call: Call, base: KeyBase, found: Found): Restored {
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
  replay(call, found);
  touchEntry(store, found.entry.key);
  touchUnit(store, base.unit);
  let sizeBytes = 0;
  for (const { stored } of planned) sizeBytes += stored.sizeBytes;
  return {
    kind: 'restored',
    bytes,
    sizeBytes,
  };
}

function drop(call: Call, found: Found, reason: Extract<Restored, { kind: 'damaged' }>['reason']): Restored {
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
      const move = asideOf(invocation.outDir, planned.name);
      // The rmeta is a private file: Cargo takes the newest output of a unit as its time, and that must be now.
      const options = {
        shared: planned.kind === 'link' && mayBeLinked(proof),
        mode: stored.mode,
        linkMode: settings.linkMode,
      };
      moves.push(move);
      const kind = placeBlob(store, stored.blob, move.aside, options);
      bytes[kind] += stored.sizeBytes;
      if (kind === 'hardlinked') linked.push(output);
    }
    const depInfo = asideOf(invocation.outDir, invocation.outputs.depInfo ?? '');
    moves.push(depInfo);
    createFile(depInfo.aside, utf8(depInfoHere(call, found)));
  } catch (error) {
    for (const { aside } of moves) bestEffort(() => removeFile(aside));
    if (isOsError(error, 'ENOENT') && error.path.startsWith(store.layout.root)) return undefined;
    throw error;
  }
  for (const { aside, target } of moves) {
    rename(aside, target);
    // rename(2) does nothing when both names are one inode already.
    removeFile(aside);
  }
  // Only now: the rename of a link moves the ctime once more.
  for (const { stored, proof } of linked) sealAgain(store, stored.blob, proof);
  return bytes;
}

/** A hidden name that no `-L dependency` search takes for a library. */
const asideOf = (dir: string, name: string): { aside: string; target: string } => ({
  aside: `${dir}/.kache-${process.pid}-${name}`,
  target: `${dir}/${name}`,
});

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

/** Prints what the compiler printed, with the paths of this checkout. */
function replay(call: Call, { entry }: Found): void {
  const { map } = call;
  const real = (line: string): string => fromTemplate(line, map, () => placesBehind(call));
  print(1, mapList(entry.stdout, real));
  const lines: string[] = [];
  for (const line of entry.stderr) {
    const shown = line.startsWith('\0emit ') ? announcement(call, line.slice('\0emit '.length)) : real(line);
    if (shown !== undefined) lines.push(shown);
  }
  print(2, lines);
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
  const files: Record<string, readonly [string, string]> = {};
  for (const { planned, stored } of outputs) {
    const signature = signatureNow(`${invocation.outDir}/${planned.name}`);
    if (signature !== undefined)
      files[planned.name] = [signature, standsFor(planned.kind, stored.blob, identity)];
  }
  const [first] = outputs;
  if (first === undefined) return;
  recordOutputs(call, base.externs, { first: `${invocation.outDir}/${first.planned.name}`, files });
}
