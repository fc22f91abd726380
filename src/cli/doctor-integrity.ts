// The integrity part of `doctor`: does every entry have its blobs, and does every blob hold what its name says?
import type { BlobId } from '../core/ids.ts';
import { removeBlob } from '../store/blobs.ts';
import { removeEntry } from '../store/entries.ts';
import { type Inventory, takeInventory } from '../store/inventory.ts';
import { openStore, type Store } from '../store/store.ts';
import { readFile } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import type { Finding } from './doctor-checks.ts';
import { settingsHere } from './open.ts';

export interface IntegrityOptions {
  readonly checksums?: boolean;
  readonly repair?: boolean;
}

/** Checks every entry; with `checksums` every byte; with `repair` what is damaged is removed and becomes a miss. */
export function checkIntegrity(options: IntegrityOptions): Finding[] {
  const store = openStore(settingsHere().settings.cacheDir);
  if (store.kind === 'problem') return [];
  const inventory = takeInventory(store);
  const rotten = options.checksums === true ? rottenBlobs(store, inventory) : [];
  if (options.repair === true) for (const id of rotten) removeBlob(store, id);
  const damaged = damagedEntries(inventory, new Set(rotten));
  if (options.repair === true) for (const { key } of damaged) removeEntry(store, key);
  const remedy =
    'Run `kache doctor --checksums --repair`: what is damaged is removed and compiled again when needed.';
  const finding = (id: string, title: string, wrong: readonly string[]): Finding => ({
    id,
    title,
    state: wrong.length === 0 ? 'ok' : options.repair === true ? 'warn' : 'fail',
    detail:
      wrong.length === 0
        ? ''
        : `${wrong.length}${options.repair === true ? ' removed' : ''}: ${wrong.slice(0, 3).join(', ')}${wrong.length > 3 ? ', …' : ''}`,
    remedy,
  });
  const findings = [
    finding(
      'entries',
      `${inventory.entries.length} entries are whole and have their blobs`,
      damaged.map(({ name }) => name),
    ),
  ];
  if (options.checksums === true)
    findings.push(
      finding(
        'blobs',
        `${inventory.blobs.size} blobs hold what their names say`,
        rotten.map((id) => id.slice(0, 12)),
      ),
    );
  return findings;
}

function rottenBlobs(store: Store, { blobs }: Inventory): BlobId[] {
  return [...blobs.keys()].filter((id) => {
    const bytes = readFile(store.layout.blob(id));
    return bytes !== undefined && sha256(bytes) !== id;
  });
}

function damagedEntries(
  { entries, blobs }: Inventory,
  rotten: ReadonlySet<BlobId>,
): { key: (typeof entries)[number]['key']; name: string }[] {
  return entries.flatMap(({ key, entry, isForeign }) => {
    if (isForeign) return [];
    if (entry === undefined) return [{ key, name: `${key.slice(0, 12)} (unreadable)` }];
    const whole = entry.outputs.every(
      ({ blob, sizeBytes }) => blobs.get(blob)?.info.size === sizeBytes && !rotten.has(blob),
    );
    return whole ? [] : [{ key, name: entry.crateName }];
  });
}
