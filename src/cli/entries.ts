// `list`, `gc` and `purge`: what is in the store, and taking it out again.
import { KacheError } from '../core/errors.ts';
import { type CompileEvent, SCRIPT_RUN } from '../core/events.ts';
import { type Collected, collect } from '../store/budget.ts';
import { readEvents } from '../store/event-log.ts';
import { isEvictionDue } from '../store/eviction-trigger.ts';
import { type StoredEntry, takeInventory } from '../store/inventory.ts';
import { Pace } from '../sys/pace.ts';
import { longWork } from './long-work.ts';
import { capBytes, durationMs, openHere, settingsHere } from './open.ts';
import { isHit } from './summary.ts';
import { count, formatAge, formatBytes, formatMs, print, printJson, table } from './terminal.ts';

interface Row {
  readonly crate: string;
  readonly version: string;
  readonly types: string;
  readonly key: string;
  readonly size_bytes: number;
  readonly hits: number;
  readonly compile_ms: number;
  readonly created_ms: number;
  readonly used_ms: number;
}

/** Orders of `list`, by name. */
export const SORTS: Readonly<Record<string, (a: Row, b: Row) => number>> = {
  name: (a, b) => a.crate.localeCompare(b.crate) || a.version.localeCompare(b.version),
  size: (a, b) => b.size_bytes - a.size_bytes,
  hits: (a, b) => b.hits - a.hits,
  age: (a, b) => a.used_ms - b.used_ms,
};

/** `kache list [crate] [--sort …] [--json]`. */
export function list(crate: string | undefined, options: { sort?: string; json?: boolean }): void {
  const sort = SORTS[options.sort ?? 'name'];
  const store = openHere();
  const hits = hitCounts(readEvents(store));
  const rows = takeInventory(store)
    .entries.flatMap((stored) => rowOf(stored, hits))
    .filter((row) => crate === undefined || row.crate === crate.replaceAll('-', '_'))
    .sort(sort);
  if (options.json === true) {
    printJson(rows);
    return;
  }
  if (rows.length === 0) {
    print(crate === undefined ? 'The store is empty.' : `No entry of "${crate}".`);
    return;
  }
  const now = Date.now();
  const lines = rows.map((row) => [
    row.types === SCRIPT_RUN ? `${row.crate} (run of its build script)` : row.crate,
    row.version,
    formatBytes(row.size_bytes),
    `${row.hits}`,
    formatMs(row.compile_ms),
    formatAge(now - row.used_ms),
    row.key.slice(0, 12),
  ]);
  print(table([['crate', 'version', 'size', 'hits', 'compile', 'last use', 'key'], ...lines], [2, 3, 4, 5]));
}

function hitCounts(events: readonly CompileEvent[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const event of events) {
    if (isHit(event) && event.cache_key !== undefined)
      counts.set(event.cache_key, (counts.get(event.cache_key) ?? 0) + 1);
  }
  return counts;
}

function rowOf({ key, entry, usedMs }: StoredEntry, hits: ReadonlyMap<string, number>): Row[] {
  if (entry === undefined) return [];
  return [
    {
      crate: entry.crateName,
      version: entry.crateVersion,
      types: entry.crateTypes,
      key,
      size_bytes: entry.outputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      hits: hits.get(key) ?? 0,
      compile_ms: entry.compileMs,
      created_ms: entry.createdMs,
      used_ms: usedMs,
    },
  ];
}

/** A store that takes no note of its eviction must not keep the helper at it for ever. */
const MAX_ROUNDS = 20;

/** `kache gc [--max-age D]`; with `background` as the wrapper starts it: silent. */
export async function gc(options: { maxAge?: string; background?: boolean }): Promise<void> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const maxAgeMs = options.maxAge === undefined ? Number.POSITIVE_INFINITY : durationMs(options.maxAge);
  const nowMs = Date.now();
  const isDoomed = ({ usedMs }: StoredEntry): boolean => nowMs - usedMs > maxAgeMs;
  const maxBytes = capBytes(loaded, store);
  const collectAt = (pace: Pace) => collect(store, { maxBytes, isDoomed, nowMs: Date.now(), pace });
  if (options.background === true) {
    const pace = new Pace();
    // Whoever stored while a run was at it has found it running, and started none.
    for (let round = 0; round < MAX_ROUNDS; round++)
      if ((await collectAt(pace)) === undefined || !isEvictionDue(store, loaded.settings.maxSizeBytes))
        return;
    return;
  }
  const collected = await longWork('the eviction', ({ pace }) => collectAt(pace));
  if (collected === undefined) {
    print('Another eviction is running.');
    return;
  }
  printCollected(collected);
  print(
    `The store occupies ${formatBytes(collected.bytesAfter)} of ${formatBytes(capBytes(loaded, store))}.`,
  );
}

/** `kache purge [--crate-name C]`: forgets everything, or one crate. Builds under way go on: a missing blob is a miss. */
export async function purge(options: { crateName?: string }): Promise<void> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const wanted = options.crateName?.replaceAll('-', '_');
  const isDoomed = ({ entry }: StoredEntry): boolean => wanted === undefined || entry?.crateName === wanted;
  const collected = await longWork('the purge', ({ pace }) =>
    collect(store, { maxBytes: capBytes(loaded, store), isDoomed, nowMs: Date.now(), pace }),
  );
  if (collected === undefined)
    throw new KacheError('busy', 'Cannot purge the store: an eviction is running.', { hint: 'Try again.' });
  printCollected(collected);
}

function printCollected(collected: Collected): void {
  const { entriesRemoved, blobsRemoved, freedBytes, linkedBytes, foreignEntries } = collected;
  const linked = linkedBytes === 0 ? '' : `, ${formatBytes(linkedBytes)} are still linked into checkouts`;
  print(
    `Removed ${count(entriesRemoved, 'entry', 'entries')} and ${count(blobsRemoved, 'blob')}; ${formatBytes(freedBytes)} freed${linked}.`,
  );
  if (foreignEntries > 0)
    print(`Left alone: ${count(foreignEntries, 'entry', 'entries')} of another version of kache.`);
}
