// `kache pack`: the entries that may leave this machine in one file, for any CI that keeps files between jobs.
import { KacheError } from '../core/errors.ts';
import type { CacheKey, Digest } from '../core/ids.ts';
import { parseDurationMs, parseSizeBytes } from '../core/quantities.ts';
import { exportEntry } from '../daemon/exchange.ts';
import { packPlans } from '../fingerprints/travel.ts';
import { type Refused, unpack } from '../remote/pack.ts';
import { PackReader } from '../remote/pack-file.ts';
import { PartsWriter, setOf } from '../remote/pack-parts.ts';
import type { Store } from '../store/store.ts';
import { makeDirectory } from '../sys/files.ts';
import { dirname } from '../sys/paths.ts';
import type { LoadedSettings } from '../sys/settings.ts';
import { version } from './binary.ts';
import { openHere, settingsHere } from './open.ts';
import { chooseEntries } from './pack-choice.ts';
import { Progress } from './progress.ts';
import { daemonStatus } from './remote-here.ts';
import { count, formatBytes, formatMs, print, printJson, table } from './terminal.ts';

export interface PackSaveOptions {
  readonly since?: string;
  readonly base: readonly string[];
  readonly minCompileMs?: string;
  readonly bandwidth: string;
  readonly withPaths?: boolean;
  /** Into several files where one would be large. */
  readonly parts?: boolean;
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
  if (options.withPaths === true) await keepPlans(loaded, store);
  const plans = options.withPaths === true ? packPlans(store, sinceMs) : [];
  const set: Digest[] = [...chosen.keys, ...plans.map(({ digest }) => digest)].filter((id) =>
    inBases.has(id),
  );
  let usedBytes = set.reduce((sum, id) => sum + (inBases.get(id) ?? 0), 0);
  const wanted = chosen.keys.filter((key) => !inBases.has(key));
  const inBasesCount = chosen.keys.length - wanted.length;
  const newPlans = plans.filter(({ digest }) => !inBases.has(digest));
  makeDirectory(dirname(file));
  const about = { kache: version(), created: new Date().toISOString() };
  using writer = new PartsWriter(file, about, { isWhole: options.parts !== true });
  let entries = 0;
  using progress = new Progress('packing', wanted.length);
  const exported = inOrder(wanted, (key) => exportEntry(store, key, loaded.settings.compressionLevel));
  for await (const [key, packed] of exported) {
    if (packed !== undefined) {
      writer.add(key, packed);
      set.push(key);
      usedBytes += packed.length;
      entries++;
    }
    progress.step();
  }
  for (const { digest, packed } of newPlans) {
    writer.addPlan(digest, packed);
    set.push(digest);
    usedBytes += packed.length;
  }
  const parts = writer.finish();
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const saved = {
    file: parts[0]?.file ?? null,
    parts,
    set: setOf(set),
    entries: inBasesCount + entries,
    in_bases: inBasesCount,
    new: entries,
    plans: newPlans.length,
    bytes,
    used_bytes: usedBytes,
    base_bytes: baseBytes,
    left_out: chosen.withheld + wanted.length - entries,
    gone: chosen.gone,
  };
  if (options.json === true) print(JSON.stringify(saved));
  else printSaved(saved);
}

/** Each is compressed in a thread of its own: as many as there is work for one that reads, proves and writes. */
const AT_ONCE = 2;

/** What becomes of each, in their order. */
async function* inOrder<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): AsyncGenerator<[item: T, result: R]> {
  const begun: Promise<R>[] = [];
  const left = [...items];
  try {
    for (const item of items) {
      begun.push(...left.splice(0, AT_ONCE - begun.length).map(work));
      yield [item, (await begun.shift()) as R];
    }
  } finally {
    await Promise.allSettled(begun);
  }
}

/** Has the daemon keep what it has seen of builds that have ended: it does so before it says how it is. */
async function keepPlans(loaded: LoadedSettings, store: Store): Promise<void> {
  try {
    await daemonStatus(loaded, store);
  } catch (error) {
    // One that does not answer has nothing to add.
    if (!(error instanceof KacheError)) throw error;
  }
}

interface SavedPack {
  readonly file: string | null;
  readonly parts: readonly unknown[];
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
  const into =
    saved.parts.length > 1 ? `${saved.parts.length} files, ${saved.file} the first of them` : saved.file;
  const what =
    saved.file === null
      ? 'Nothing to pack'
      : `Packed ${count(saved.new, 'entry', 'entries')} into ${into}, ${formatBytes(saved.bytes)}`;
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

/** The entries and plans of a base, and the size of each. */
function keysOfBase(path: string): Map<Digest, number> {
  const opened = PackReader.open(path);
  if ('kind' in opened) throw cannotRead(path, opened);
  using reader = opened;
  const sizes = new Map<Digest, number>();
  for (const frame of reader.frames()) {
    if (frame.kind === 'refused') throw cannotRead(path, frame);
    sizes.set(frame.kind === 'plan' ? frame.digest : frame.key, frame.sizeBytes);
  }
  return sizes;
}

const cannotRead = (path: string, { why }: Refused): KacheError =>
  new KacheError('pack', `Cannot read the pack "${path}": ${why}.`, {
    hint: 'Remove it and save a new one; nothing in it is needed for a build.',
  });

/** `kache pack show FILE`: what is in it. */
export async function packShow(file: string, options: { readonly json?: boolean }): Promise<void> {
  const opened = PackReader.open(file);
  if ('kind' in opened) throw cannotRead(file, opened);
  using reader = opened;
  const entries: { key: CacheKey; crate: string; bytes: number; compile_ms: number }[] = [];
  let plans = 0;
  for (const frame of reader.frames()) {
    if (frame.kind === 'refused') throw cannotRead(file, frame);
    if (frame.kind === 'plan') {
      plans++;
      continue;
    }
    const unpacked = unpack(frame.read(), frame.key);
    if (unpacked.kind === 'refused') throw cannotRead(file, unpacked);
    const { crateName, compileMs } = unpacked.entry;
    entries.push({ key: frame.key, crate: crateName, bytes: frame.sizeBytes, compile_ms: compileMs });
  }
  const shown = { format: 1, ...reader.about, entries, plans, bytes: reader.sizeBytes };
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
  const andPlans = plans === 0 ? '' : ` and ${count(plans, 'plan', 'plans')}`;
  print(
    `${count(entries.length, 'entry', 'entries')}${andPlans}, ${formatBytes(shown.bytes)}, written by kache ${shown.kache} at ${shown.created}.`,
  );
}
