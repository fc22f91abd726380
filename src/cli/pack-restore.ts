// `kache pack restore`: the entries and plans of packs into the store, by several processes: what takes the time is
// unpacking, proving and writing, each of which keeps one processor busy.
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { KacheError } from '../core/errors.ts';
import { SCRIPT_RUN } from '../core/events.ts';
import type { CacheKey } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import { hasEntry, importEntry } from '../daemon/exchange.ts';
import { hashAhead } from '../fingerprints/learn.ts';
import { unpackPlan } from '../fingerprints/travel.ts';
import type { Refused } from '../remote/pack.ts';
import { type EntryFrame, type Frame, PackReader } from '../remote/pack-file.ts';
import { collect } from '../store/budget.ts';
import { readUnit, recordClosure } from '../store/closures.ts';
import { readEntry, readEntryClosure } from '../store/entries.ts';
import { isEvictionBehind, startEviction } from '../store/eviction-trigger.ts';
import type { Store } from '../store/store.ts';
import { isOsError } from '../sys/files.ts';
import { Pace } from '../sys/pace.ts';
import type { LoadedSettings } from '../sys/settings.ts';
import { isNative } from './binary.ts';
import { capBytes, openHere, settingsHere } from './open.ts';
import { count, formatBytes, note, print } from './terminal.ts';

/** More of them tell nothing more. */
const MAX_REASONS = 10;

/** What was done, as `--json` prints it. */
interface RestoredPacks {
  packs: number;
  entries: number;
  added: number;
  present: number;
  refused: number;
  bytes: number;
  readonly why: string[];
}

const NOTHING = { packs: 0, entries: 0, added: 0, present: 0, refused: 0, bytes: 0 };

/** One of the processes that restore the same packs together. The first one is the user's, and speaks for all. */
export interface Part {
  readonly nth: number;
  readonly of: number;
}

export interface PackRestoreOptions {
  readonly json?: boolean;
  /** Of a process that helps another one. */
  readonly part?: Part;
}

/** `kache pack restore FILE…`: returns the exit status, 1 when something was refused. */
export async function packRestore(files: readonly string[], options: PackRestoreOptions): Promise<number> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const processes = processesFor(files);
  const part = options.part ?? { nth: 0, of: processes };
  const helpers = options.part === undefined ? startHelpers(files, processes) : [];
  const place = { store, makeRoom: roomMaker(loaded, store) };
  const done = await restorePart(files, part, place);
  for (const [at, helper] of helpers.entries())
    addTo(done, (await helper) ?? (await restorePart(files, { ...part, nth: at + 1 }, place)));
  if (part.nth === 0) startEviction(store, process.execPath, loaded.settings.maxSizeBytes);
  if (options.json === true) print(JSON.stringify(done));
  else
    print(
      `Restored ${count(done.added, 'entry', 'entries')}, ${formatBytes(done.bytes)}; ${done.present} were here${done.refused > 0 ? `, ${done.refused} refused` : ''}.`,
    );
  if (part.nth === 0) for (const why of done.why) note(`Cannot restore all of ${why}.`);
  return done.refused > 0 ? 1 : 0;
}

/** More of them write to the same disk. */
const MAX_PROCESSES = 4;
/** With less to do a process has hardly begun. */
const MIN_BYTES_EACH = 4e6;

function processesFor(files: readonly string[]): number {
  const bytes = files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
  if (!isNative()) return 1;
  return Math.max(1, Math.min(availableParallelism(), MAX_PROCESSES, Math.floor(bytes / MIN_BYTES_EACH)));
}

/** All but the first of so many processes, and what each has done; undefined where it could not. */
function startHelpers(files: readonly string[], processes: number): Promise<RestoredPacks | undefined>[] {
  return Array.from({ length: processes - 1 }, async (_, index) => {
    const argv = [process.execPath, 'pack', 'restore', '--json', '--part', `${index + 1}/${processes}`, '--'];
    try {
      const child = Bun.spawn([...argv, ...files], { stdio: ['ignore', 'pipe', 'inherit'] });
      return parseJson(await new Response(child.stdout).text()) as RestoredPacks | undefined;
    } catch (error) {
      if (error instanceof Error && 'code' in error) return undefined;
      throw error;
    }
  });
}

export function parsePart(text: string): Part {
  const [, nth, of] = (/^(\d)\/(\d)$/.exec(text) ?? []).map(Number);
  if (nth !== undefined && of !== undefined && nth < of) return { nth, of };
  throw new KacheError('usage', `Cannot read the part "${text}": expected one of several, such as 1/2.`);
}

function addTo(done: RestoredPacks, more: RestoredPacks): void {
  done.entries += more.entries;
  done.added += more.added;
  done.present += more.present;
  done.refused += more.refused;
  done.bytes += more.bytes;
  done.why.push(...more.why.slice(0, MAX_REASONS - done.why.length));
}

async function restorePart(
  files: readonly string[],
  part: Part,
  { store, makeRoom }: Pick<Restoring, 'store' | 'makeRoom'>,
): Promise<RestoredPacks> {
  const done: RestoredPacks = { ...NOTHING, why: [] };
  const lookedAt = new Set<string>();
  for (const file of files) {
    const refuse = (why: string): void => {
      done.refused++;
      if (done.why.length < MAX_REASONS) done.why.push(`"${file}": ${why}`);
    };
    try {
      const opened = PackReader.open(file);
      if ('kind' in opened) {
        if (part.nth === 0) refuse(opened.why);
        continue;
      }
      using reader = opened;
      done.packs++;
      for (const frame of framesOf(reader.frames(), part))
        await restoreFrame(frame, { store, makeRoom, done, lookedAt, refuse });
    } catch (error) {
      // A full disk, or one that does not read: what was restored before is whole.
      if (!isOsError(error)) throw error;
      refuse(error.message);
    }
  }
  hashAhead(store, lookedAt);
  return done;
}

/** The frames of a part: each goes to who has the least so far, which all reckon alike. */
function* framesOf(frames: Iterable<Frame | Refused>, { nth, of }: Part): Iterable<Frame | Refused> {
  const loads = Array.from({ length: of }, () => 0);
  for (const frame of frames) {
    const least = loads.indexOf(Math.min(...loads));
    if (frame.kind === 'refused') {
      if (nth === 0) yield frame;
      continue;
    }
    loads[least] = (loads[least] ?? 0) + frame.sizeBytes;
    if (least === nth) yield frame;
  }
}

interface Restoring {
  readonly store: Store;
  readonly done: RestoredPacks;
  /** What restored runs of build scripts have looked at. */
  readonly lookedAt: Set<string>;
  readonly refuse: (why: string) => void;
  readonly makeRoom: () => Promise<void>;
}

/** Evicts where that does not keep up; while it does so everyone waits, or the store would outgrow it. */
function roomMaker(loaded: LoadedSettings, store: Store): () => Promise<void> {
  let underWay: Promise<unknown> | undefined;
  const evict = (): Promise<unknown> =>
    collect(store, {
      maxBytes: capBytes(loaded, store),
      isDoomed: () => false,
      nowMs: Date.now(),
      pace: new Pace(),
    }).finally(() => {
      underWay = undefined;
    });
  return async () => {
    if (underWay === undefined && isEvictionBehind(store, loaded.settings.maxSizeBytes)) underWay = evict();
    await underWay;
  };
}

async function restoreFrame(frame: Frame | Refused, restoring: Restoring): Promise<void> {
  if (frame.kind === 'refused') restoring.refuse(frame.why);
  else if (frame.kind === 'entry') await restoreEntry(frame, restoring);
  else {
    const why = unpackPlan(restoring.store, { digest: frame.digest, packed: frame.read() });
    if (why !== undefined) restoring.refuse(why);
  }
}

/** Puts one entry into the store as if a remote had been asked for it. */
async function restoreEntry(frame: EntryFrame, restoring: Restoring): Promise<void> {
  const { store, done, lookedAt, refuse, makeRoom } = restoring;
  const { key } = frame;
  done.entries++;
  if (hasEntry(store, key)) {
    recordAgain(store, key);
    done.present++;
    return;
  }
  await makeRoom();
  const imported = await importEntry(store, { key, origin: 'prefetch' }, frame.read());
  if (imported.kind === 'refused') {
    refuse(`${key.slice(0, 12)}: ${imported.why}`);
    return;
  }
  store.noteWritten(imported.newBytes);
  if (imported.entry.crateTypes === SCRIPT_RUN)
    for (const path of readEntryClosure(store, key)?.files ?? []) lookedAt.add(path);
  done.added++;
  done.bytes += imported.newBytes;
}

/** An entry that is here may have lost the closure that leads to it: its unit has had newer ones since. */
function recordAgain(store: Store, key: CacheKey): void {
  const [entry, closure] = [readEntry(store, key), readEntryClosure(store, key)];
  if (entry === undefined || closure === undefined) return;
  const text = JSON.stringify(closure);
  const isKnown = readUnit(store, entry.unit).closures.some((known) => JSON.stringify(known) === text);
  if (!isKnown) recordClosure(store, entry.unit, { closure, key });
}
