// `kache pack`: the entries that may leave this machine in one file, for any CI that keeps files between jobs.
import { KacheError } from '../core/errors.ts';
import type { CacheKey } from '../core/ids.ts';
import { parseDurationMs, parseSizeBytes } from '../core/quantities.ts';
import { exportEntry, hasEntry, importEntry } from '../daemon/exchange.ts';
import { type Refused, unpack } from '../remote/pack.ts';
import { type Frame, PackReader, PackWriter } from '../remote/pack-file.ts';
import { collect } from '../store/budget.ts';
import { readUnit, recordClosure } from '../store/closures.ts';
import { readEntry, readEntryClosure } from '../store/entries.ts';
import { isEvictionBehind, startEviction } from '../store/eviction-trigger.ts';
import type { Store } from '../store/store.ts';
import { isOsError, makeDirectory } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { Pace } from '../sys/pace.ts';
import { dirname } from '../sys/paths.ts';
import type { LoadedSettings } from '../sys/settings.ts';
import { version } from './binary.ts';
import { capBytes, openHere, settingsHere } from './open.ts';
import { chooseEntries } from './pack-choice.ts';
import { Progress } from './progress.ts';
import { count, formatBytes, formatMs, note, print, printJson, table } from './terminal.ts';

export interface PackSaveOptions {
  readonly since?: string;
  readonly base: readonly string[];
  readonly minCompileMs?: string;
  readonly bandwidth: string;
  readonly withPaths?: boolean;
  readonly json?: boolean;
}

/** `kache pack save FILE`. */
export async function packSave(file: string, options: PackSaveOptions): Promise<void> {
  const sinceMs = options.since === undefined ? undefined : timeOf(options.since);
  const loaded = settingsHere();
  const store = openHere(loaded);
  const bases = options.base.map(keysOfBase);
  const baseBytes = bases.flatMap((base) => [...base.values()]).reduce((sum, bytes) => sum + bytes, 0);
  const inBases = new Map(bases.flatMap((base) => [...base]));
  const chosen = chooseEntries(store, {
    sinceMs,
    minCompileMs: millisecondsOf(options.minCompileMs ?? '0'),
    bandwidth: bytesOf(options.bandwidth),
    withPaths: options.withPaths === true,
  });
  const set: CacheKey[] = chosen.keys.filter((key) => inBases.has(key));
  let usedBytes = set.reduce((sum, key) => sum + (inBases.get(key) ?? 0), 0);
  const wanted = chosen.keys.filter((key) => !inBases.has(key));
  const inBasesCount = set.length;
  makeDirectory(dirname(file));
  using writer = new PackWriter(file, { kache: version(), created: new Date().toISOString() });
  using progress = new Progress('packing', wanted.length);
  for (const key of wanted) {
    const packed = await exportEntry(store, key, loaded.settings.compressionLevel);
    if (packed !== undefined) {
      writer.add(key, packed);
      set.push(key);
      usedBytes += packed.length;
    }
    progress.step();
  }
  // Without a base, a pack of nothing would only take the place of one of something.
  const bytes = writer.entries === 0 ? 0 : writer.finish();
  const saved = {
    file: writer.entries === 0 ? null : file,
    set: sha256([...set].sort().join('\n')),
    entries: set.length,
    in_bases: inBasesCount,
    new: writer.entries,
    bytes,
    used_bytes: usedBytes,
    base_bytes: baseBytes,
    left_out: chosen.withheld + wanted.length - writer.entries,
    gone: chosen.gone,
  };
  if (options.json === true) print(JSON.stringify(saved));
  else printSaved(saved);
}

interface SavedPack {
  readonly file: string | null;
  readonly entries: number;
  readonly in_bases: number;
  readonly new: number;
  readonly bytes: number;
  readonly left_out: number;
  readonly gone: number;
}

function printSaved(saved: SavedPack): void {
  const rest = [
    ...(saved.in_bases > 0 ? [`${saved.in_bases} are in the bases`] : []),
    ...(saved.left_out > 0 ? [`${saved.left_out} stay on this machine`] : []),
    ...(saved.gone > 0 ? [`${saved.gone} were evicted`] : []),
  ].join(', ');
  const what =
    saved.file === null
      ? 'Nothing to pack'
      : `Packed ${count(saved.new, 'entry', 'entries')} into ${saved.file}, ${formatBytes(saved.bytes)}`;
  print(`${what}${rest === '' ? '' : `; ${rest}`}.`);
}

function millisecondsOf(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new KacheError('usage', `Cannot read the time "${text}": expected milliseconds as a whole number.`);
}

function bytesOf(text: string): number {
  const bytes = parseSizeBytes(text);
  if (bytes !== undefined) return bytes;
  throw new KacheError(
    'usage',
    `Cannot read the bandwidth "${text}": expected bytes a second, such as 50MB, or 0.`,
  );
}

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

/** So long ago, or then: milliseconds since the epoch. */
function timeOf(text: string): number {
  const ago = parseDurationMs(text);
  if (ago !== undefined) return Date.now() - ago;
  const then = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(then)) return then;
  throw new KacheError(
    'usage',
    `Cannot read the time "${text}": expected how long ago (30m, 24h, 7d) or a time as 2026-11-25T13:24:40Z.`,
  );
}

/** The entries of a base and the size of each. */
function keysOfBase(path: string): Map<CacheKey, number> {
  const opened = PackReader.open(path);
  if ('kind' in opened) throw cannotRead(path, opened);
  using reader = opened;
  const sizes = new Map<CacheKey, number>();
  for (const frame of reader.frames()) {
    if ('kind' in frame) throw cannotRead(path, frame);
    sizes.set(frame.key, frame.sizeBytes);
  }
  return sizes;
}

const cannotRead = (path: string, { why }: Refused): KacheError =>
  new KacheError('pack', `Cannot read the pack "${path}": ${why}.`, {
    hint: 'Remove it and save a new one; nothing in it is needed for a build.',
  });

/** More of them tell nothing more. */
const MAX_REASONS = 10;

interface RestoredPacks {
  packs: number;
  entries: number;
  added: number;
  present: number;
  refused: number;
  bytes: number;
  readonly why: string[];
}

/** `kache pack restore FILE…`: returns the exit status, 1 when something was refused. */
export async function packRestore(
  files: readonly string[],
  options: { readonly json?: boolean },
): Promise<number> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const done: RestoredPacks = { packs: 0, entries: 0, added: 0, present: 0, refused: 0, bytes: 0, why: [] };
  const makeRoom = roomMaker(loaded, store);
  for (const file of files) {
    const refuse = (why: string): void => {
      done.refused++;
      if (done.why.length < MAX_REASONS) done.why.push(`"${file}": ${why}`);
    };
    try {
      const opened = PackReader.open(file);
      if ('kind' in opened) {
        refuse(opened.why);
        continue;
      }
      using reader = opened;
      done.packs++;
      const frames = reader.frames();
      const restoring: Restoring = { store, done, refuse, makeRoom };
      const workers = Array.from({ length: AT_ONCE }, () => restoreFrames(frames, restoring));
      const ends = await Promise.allSettled(workers);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    } catch (error) {
      // A full disk, or one that does not read: what was restored before is whole.
      if (!isOsError(error)) throw error;
      refuse(error.message);
    }
  }
  startEviction(store, process.execPath, loaded.settings.maxSizeBytes);
  if (options.json === true) print(JSON.stringify(done));
  else
    print(
      `Restored ${count(done.added, 'entry', 'entries')}, ${formatBytes(done.bytes)}; ${done.present} were here${done.refused > 0 ? `, ${done.refused} refused` : ''}.`,
    );
  for (const why of done.why) note(`Cannot restore all of ${why}.`);
  return done.refused > 0 ? 1 : 0;
}

interface Restoring {
  readonly store: Store;
  readonly done: RestoredPacks;
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

/** While one entry is written another is unpacked: that is all there is to gain. */
const AT_ONCE = 2;

async function restoreFrames(frames: Iterable<Frame | Refused>, restoring: Restoring): Promise<void> {
  for (const frame of frames)
    if ('kind' in frame) restoring.refuse(frame.why);
    else await restoreFrame(frame, restoring);
}

/** Puts one entry into the store as if a remote had been asked for it. */
async function restoreFrame(frame: Frame, { store, done, refuse, makeRoom }: Restoring): Promise<void> {
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

/** `kache pack show FILE`: what is in it. */
export async function packShow(file: string, options: { readonly json?: boolean }): Promise<void> {
  const opened = PackReader.open(file);
  if ('kind' in opened) throw cannotRead(file, opened);
  using reader = opened;
  const entries: { key: CacheKey; crate: string; bytes: number; compile_ms: number }[] = [];
  for (const frame of reader.frames()) {
    if ('kind' in frame) throw cannotRead(file, frame);
    const unpacked = await unpack(frame.read(), frame.key);
    if (unpacked.kind === 'refused') throw cannotRead(file, unpacked);
    const { crateName, compileMs } = unpacked.entry;
    entries.push({ key: frame.key, crate: crateName, bytes: frame.sizeBytes, compile_ms: compileMs });
  }
  const shown = { format: 1, ...reader.about, entries, bytes: reader.sizeBytes };
  if (options.json === true) {
    printJson(shown);
    return;
  }
  const rows = entries.map((entry) => [
    entry.crate,
    formatBytes(entry.bytes),
    formatMs(entry.compile_ms),
    entry.key.slice(0, 12),
  ]);
  print(table([['crate', 'size', 'compile', 'key'], ...rows], [1, 2]));
  print(
    `${count(entries.length, 'entry', 'entries')}, ${formatBytes(shown.bytes)}, written by kache ${shown.kache} at ${shown.created}.`,
  );
}
