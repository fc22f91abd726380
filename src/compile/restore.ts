// A hit: the outputs of an entry come into the output folder, and what the compiler printed is printed again. No
// compiler is started. What has to be done is planned first, so that another process can do it (see answer in
// wrapper.ts).
import type { RestoredBytes } from '../core/events.ts';
import type { CacheKey } from '../core/ids.ts';
import { findInList, mapList } from '../core/lists.ts';
import type { PlacedFile } from '../daemon/protocol.ts';
import { renderDepInfo } from '../rustc/dep-info.ts';
import { artifactLine, fromTemplate } from '../rustc/diagnostics.ts';
import { emitOf, type PlannedOutput } from '../rustc/outputs.ts';
import {
  checkBlob,
  isSealed,
  type LinkKind,
  mayBeLinked,
  type PlaceOptions,
  PRIVATE_PROGRAM,
  type Proof,
  placeBlob,
  placeCopy,
  sealAgain,
  strategies,
} from '../store/blobs.ts';
import { touchUnit } from '../store/closures.ts';
import { type Entry, removeEntry, type StoredOutput, touchEntry } from '../store/entries.ts';
import { type OutputState, signatureNow } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import { asideOf, makeAside } from '../sys/aside.ts';
import { bestEffort, createFile, isOsError, removeFile, rename, stat, utf8, writeAll } from '../sys/files.ts';
import type { OsError } from '../sys/libc.ts';
import type { Call } from './call.ts';
import { placesBehind, recordOutputs, standsFor } from './externs.ts';
import type { KeyBase } from './key.ts';
import type { LookUp } from './look-up.ts';
import { type StandIn, standInFor } from './stand-in.ts';

type Found = Extract<LookUp, { kind: 'found' }>;

export type Restored =
  | {
      readonly kind: 'restored';
      readonly bytes: RestoredBytes;
      /** Why what the compiler printed could not be printed. */
      readonly lost: OsError | undefined;
    }
  /** The entry is not whole; it has been dropped. */
  | { readonly kind: 'damaged'; readonly reason: 'blob-missing' | 'blob-damaged' | 'entry-incomplete' }
  /** A file system refused something. The entry stays; the output folder holds whole files, perhaps not all of them. */
  | { readonly kind: 'failed'; readonly reason: `restore-failed|${string}` };

/** A hit that can be had: every blob proven, every place known, nothing begun. */
export interface RestorePlan {
  readonly kind: 'planned';
  readonly placements: readonly Placement[];
  /** What the compiler printed, with the paths of this checkout. */
  readonly stdout: string;
  readonly stderr: string;
}

/** One file on its way: made aside, and renamed when all are there. */
export type Placement = { readonly aside: string; readonly target: string } & (
  | { readonly kind: 'blob'; readonly output: Proven; readonly options: PlaceOptions }
  | { readonly kind: 'text'; readonly text: string }
  | ({ readonly kind: 'stand-in' } & StandIn)
);

/** A placement as a launcher carries it out. */
export function placedFile(store: Store, file: Placement): PlacedFile {
  const { aside, target } = file;
  if (file.kind === 'text') return { kind: 'text', text: file.text, aside, target };
  const { source, sizeBytes, options } =
    file.kind === 'stand-in'
      ? { source: file.program, sizeBytes: file.sizeBytes, options: PRIVATE_PROGRAM }
      : {
          source: store.layout.blob(file.output.stored.blob),
          sizeBytes: file.output.stored.sizeBytes,
          options: file.options,
        };
  return {
    kind: 'blob',
    source,
    sizeBytes,
    ways: strategies(store, options),
    mode: options.mode,
    aside,
    target,
  };
}

type NotRestored = Exclude<Restored, { kind: 'restored' }>;

/** Restores every output or none: all blobs are proven and placed aside before the first name changes. */
export function restore(call: Call, base: KeyBase, found: Found): Restored {
  const plan = refused(() => planRestore(call, found));
  if (plan.kind !== 'planned') return plan;
  const ways = refused(() => carryOut(call, found, plan));
  if ('kind' in ways) return ways;
  // Before the outputs are announced: whoever depends on them may look at once.
  const bytes = settleRestored(call, base, { found, plan, ways });
  const lost = replay(plan);
  return { kind: 'restored', bytes, lost };
}

/** Runs a step that a file system may refuse. */
function refused<T>(step: () => T): T | Extract<Restored, { kind: 'failed' }> {
  try {
    return step();
  } catch (error) {
    if (!isOsError(error)) throw error;
    return { kind: 'failed', reason: `restore-failed|${error.code} ${error.operation}` };
  }
}

/** Proves the blobs of an entry and says what goes where. Drops an entry that is not whole. */
export function planRestore(call: Call, found: Found): RestorePlan | NotRestored {
  const { store, invocation, settings } = call;
  const pairs = matchOutputs(invocation.outputs.files, found.entry.outputs);
  if (pairs === undefined) return drop(call, found, 'entry-incomplete');
  const placements: Placement[] = [];
  for (const { planned, stored } of pairs) {
    const state = checkBlob(store, stored.blob, stored.sizeBytes);
    if (state.kind !== 'sound') return drop(call, found, `blob-${state.kind}`);
    const place = `${invocation.outDir}/${planned.name}`;
    const standIn = planned.kind === 'program' ? standInFor(call, stored.blob) : undefined;
    const target = standIn?.script ?? place;
    if (standIn !== undefined)
      placements.push({
        kind: 'stand-in',
        aside: asideOf(place, call.caller.pid),
        target: place,
        ...standIn,
      });
    const { proof } = state;
    // The rmeta is a private file: Cargo takes the newest output of a unit as its time, and that must be now.
    const shared = planned.kind === 'link' && mayBeLinked(proof);
    const options = { shared, mode: stored.mode, linkMode: settings.linkMode };
    const output = { planned, stored, proof };
    placements.push({ kind: 'blob', aside: asideOf(target, call.caller.pid), target, output, options });
  }
  const depInfo = `${invocation.outDir}/${invocation.outputs.depInfo ?? ''}`;
  const aside = asideOf(depInfo, call.caller.pid);
  placements.push({ kind: 'text', aside, target: depInfo, text: depInfoHere(call, found) });
  return { kind: 'planned', placements, ...printed(call, found) };
}

/** The bytes of an entry that a restore has to read to prove them: those of blobs whose seals do not hold. */
export function bytesToProve({ store }: Call, { outputs }: Entry): number {
  let bytes = 0;
  for (const { blob, sizeBytes } of outputs) if (!isSealed(store, blob)) bytes += sizeBytes;
  return bytes;
}

/** How each file of a plan was brought, in its order: a way for a blob, undefined for a text. */
export type Ways = readonly (LinkKind | undefined)[];

/** Puts every file in its place. */
function carryOut(call: Call, found: Found, { placements }: RestorePlan): Ways | NotRestored {
  const { store } = call;
  const ways: (LinkKind | undefined)[] = [];
  try {
    for (const file of placements) {
      const { aside } = file;
      if (file.kind === 'blob')
        ways.push(makeAside(aside, () => placeBlob(store, file.output.stored.blob, aside, file.options)));
      else if (file.kind === 'stand-in') {
        makeAside(aside, () => placeCopy(store, file.program, aside));
        ways.push(undefined);
      } else {
        makeAside(aside, () => createFile(aside, utf8(file.text)));
        ways.push(undefined);
      }
    }
    for (const { aside, target } of placements) {
      rename(aside, target);
      // rename(2) does nothing when both names are one inode already.
      removeFile(aside);
    }
    return ways;
  } catch (error) {
    for (const { aside } of placements) bestEffort(() => removeFile(aside));
    const isGone = (file: Placement): boolean =>
      file.kind === 'blob' && stat(store.layout.blob(file.output.stored.blob)) === undefined;
    // Evicted at this very moment.
    if (isOsError(error, 'ENOENT') && placements.some(isGone)) return drop(call, found, 'blob-missing');
    throw error;
  }
}

interface CarriedOut {
  readonly found: Found;
  readonly plan: RestorePlan;
  readonly ways: Ways;
  /** The state of each file when another process had put it there: by now it may be another one. */
  readonly states?: readonly string[];
}

/** What the store has to know of files that are in their places now; returns how many bytes came in which way. */
export function settleRestored(call: Call, base: KeyBase, carriedOut: CarriedOut): RestoredBytes {
  const { store } = call;
  const { found, plan, ways, states } = carriedOut;
  const bytes: RestoredBytes = { reflinked: 0, hardlinked: 0, copied: 0 };
  const outputs: InPlace[] = [];
  for (let at = 0; at < plan.placements.length; at++) {
    const [file, way] = [plan.placements[at], ways[at]];
    if (file?.kind !== 'blob' || way === undefined) continue;
    const { output } = file;
    bytes[way] += output.stored.sizeBytes;
    // Only now: the rename of a link moves the ctime once more.
    if (way === 'hardlinked') sealAgain(store, output.stored.blob, output.proof);
    const state = states === undefined ? signatureNow(file.target) : states[at];
    if (state !== undefined) outputs.push({ ...output, state });
  }
  rememberRestored(call, base, { outputs, identity: found.key.identity });
  touchEntry(store, found.entry.key);
  touchUnit(store, base.unit);
  return bytes;
}

/** The bytes of all outputs of an entry. */
export function sizeOf({ outputs }: Entry): number {
  let sizeBytes = 0;
  for (const { sizeBytes: size } of outputs) sizeBytes += size;
  return sizeBytes;
}

function drop(
  call: Call,
  found: Found,
  reason: Extract<Restored, { kind: 'damaged' }>['reason'],
): NotRestored {
  removeEntry(call.store, found.entry.key);
  return { kind: 'damaged', reason };
}

type InPlace = Proven & { readonly state: string };
type Proven = { readonly planned: PlannedOutput; readonly stored: StoredOutput; readonly proof: Proof };

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

/** What the compiler printed, with the paths of this checkout. */
function printed(call: Call, { entry }: Found): { readonly stdout: string; readonly stderr: string } {
  const real = (line: string): string => fromTemplate(line, call.map, () => placesBehind(call));
  return { stdout: asText(mapList(entry.stdout, real)), stderr: asText(messages(call, entry, real)) };
}

const asText = (lines: readonly string[]): string => (lines.length === 0 ? '' : `${lines.join('\n')}\n`);

/** Prints; returns why that could not be done. */
function replay({ stdout, stderr }: RestorePlan): OsError | undefined {
  try {
    if (stdout !== '') writeAll(1, utf8(stdout));
    if (stderr !== '') writeAll(2, utf8(stderr));
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

/** The line by which rustc announces an output of this call; undefined for one that was not asked for. */
function announcement({ invocation }: Call, emit: string): string | undefined {
  const { depInfo, files } = invocation.outputs;
  const name = emit === 'dep-info' ? depInfo : findInList(files, ({ kind }) => emitOf(kind) === emit)?.name;
  return name === undefined ? undefined : artifactLine(`${invocation.outDir}/${name}`, emit);
}

function rememberRestored(
  call: Call,
  base: KeyBase,
  restored: { outputs: readonly InPlace[]; identity: CacheKey },
): void {
  const { invocation } = call;
  const { outputs, identity } = restored;
  const files: Record<string, OutputState> = {};
  for (const { planned, stored, state } of outputs)
    files[planned.name] = [state, standsFor(planned.kind, stored.blob, identity), call.store.boot];
  const [first] = outputs;
  if (first === undefined) return;
  recordOutputs(call, base.externs, {
    first: `${invocation.outDir}/${first.planned.name}`,
    files,
    assembles: false,
  });
}
