// The integrity of the store: does every entry have its blobs, and does every blob hold what its name says?
import type { BlobId, CacheKey } from '../../core/ids.ts';
import { removeBlob } from '../../store/blobs.ts';
import { removeEntry } from '../../store/entries.ts';
import { type Inventory, takeInventoryPaced } from '../../store/inventory.ts';
import type { Store } from '../../store/store.ts';
import { isOsError } from '../../sys/files.ts';
import { hashFile } from '../../sys/hash.ts';
import type { Pace } from '../../sys/pace.ts';
import { count } from '../terminal.ts';
import { type Finding, fail, look, ok } from './check.ts';

export interface IntegrityOptions {
  readonly checksums?: boolean;
  readonly repair?: boolean;
}

export interface IntegrityFinding extends Finding {
  readonly id: string;
  readonly title: string;
}

const REMEDY =
  'Run `kache doctor --checksums --repair`: what is damaged is removed, and compiled again when needed.';

/**
 * Checks every entry; with `checksums` every byte; with `repair` what is damaged is removed and becomes a miss. Ended in
 * between, what was removed was damaged.
 */
export async function checkIntegrity(
  store: Store,
  options: IntegrityOptions,
  pace: Pace,
): Promise<IntegrityFinding[]> {
  const inventory = await takeInventoryPaced(store, pace);
  const rotten = options.checksums === true ? await rottenBlobs(store, inventory, pace) : [];
  if (options.repair === true) for (const id of rotten) removeBlob(store, id);
  const damaged = damagedEntries(inventory, new Set(rotten));
  if (options.repair === true) for (const { key } of damaged) removeEntry(store, key);
  const found = (wrong: readonly string[], more = ''): Finding => {
    if (wrong.length === 0) return ok();
    const named = `${wrong.slice(0, 3).join(', ')}${wrong.length > 3 ? ', …' : ''}`;
    if (options.repair !== true) return fail(`${wrong.length} are not: ${named}${more}`, REMEDY);
    return look(
      `${wrong.length} were not, and are removed: ${named}${more}`,
      'Nothing more to do for the store; if it happens again, look at the disk.',
    );
  };
  const findings: IntegrityFinding[] = [
    {
      id: 'entries',
      title: `${count(inventory.entries.length, 'entry is whole and has its', 'entries are whole and have their')} blobs`,
      ...found(damaged.map(({ name }) => name)),
    },
  ];
  if (options.checksums !== true) return findings;
  const linked = rotten.filter((id) => (inventory.blobs.get(id)?.info.nlink ?? 1) > 1).length;
  // A hardlinked blob is the very file builds link against.
  const more =
    linked === 0 ? '' : `; ${linked} of them are files of target directories too: \`cargo clean\` there`;
  return [
    ...findings,
    {
      id: 'blobs',
      title: `${count(inventory.blobs.size, 'blob holds what its name says', 'blobs hold what their names say')}`,
      ...found(
        rotten.map((id) => id.slice(0, 12)),
        more,
      ),
    },
  ];
}

async function rottenBlobs(store: Store, { blobs }: Inventory, pace: Pace): Promise<BlobId[]> {
  const rotten: BlobId[] = [];
  let hashed = 0;
  for (const id of blobs.keys()) {
    await pace.step(() => `Hashing blobs: ${hashed} of ${blobs.size}`);
    hashed++;
    if (!holdsItsName(store, id)) rotten.push(id);
  }
  return rotten;
}

/** A blob that was evicted meanwhile is nobody's fault; one that cannot be read is as good as damaged. */
function holdsItsName(store: Store, id: BlobId): boolean {
  try {
    return (hashFile(store.layout.blob(id)) ?? id) === id;
  } catch (error) {
    if (isOsError(error)) return false;
    throw error;
  }
}

function damagedEntries(
  { entries, blobs }: Inventory,
  rotten: ReadonlySet<BlobId>,
): { key: CacheKey; name: string }[] {
  return entries.flatMap(({ key, entry, isForeign }) => {
    if (isForeign) return [];
    if (entry === undefined) return [{ key, name: `${key.slice(0, 12)} (unreadable)` }];
    const whole = entry.outputs.every(
      ({ blob, sizeBytes }) => blobs.get(blob)?.info.size === sizeBytes && !rotten.has(blob),
    );
    return whole ? [] : [{ key, name: entry.crateName }];
  });
}
