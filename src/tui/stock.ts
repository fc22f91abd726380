// The store as the Store tab shows it: entries in an order, use against the cap, and what eviction would take. Pure.
import { type StoreFigures, storeFigures } from '../cli/summary.ts';
import { candidateOf, otherBytesOf } from '../store/budget.ts';
import type { Entry } from '../store/entries.ts';
import { type Candidate, planEviction, worth } from '../store/eviction-plan.ts';
import type { Inventory } from '../store/inventory.ts';
import type { Totals } from './event-data.ts';

export interface EntryRow {
  /** The cache key. */
  readonly id: string;
  readonly entry: Entry;
  readonly sizeBytes: number;
  readonly usedMs: number;
  /** The next to be evicted is 1. */
  readonly evictionRank: number;
}

/** The store at one moment. */
export interface Stock {
  readonly rows: readonly EntryRow[];
  readonly figures: StoreFigures;
  readonly capBytes: number;
  /** Entries that another version of kache wrote, or that are damaged. */
  readonly unreadable: number;
  /** What an eviction now would take away; nothing while the store is within its cap. */
  readonly overdue: { readonly entries: number; readonly bytes: number };
}

export function stockOf(inventory: Inventory, capBytes: number): Stock {
  const candidates: { readonly candidate: Candidate; readonly entry: Entry; readonly worth: number }[] = [];
  for (const stored of inventory.entries) {
    const { entry } = stored;
    if (entry === undefined) continue;
    const candidate = candidateOf(stored, entry, inventory);
    candidates.push({ candidate, entry, worth: worth(candidate) });
  }
  candidates.sort((a, b) => a.worth - b.worth || compare(a.candidate.key, b.candidate.key));
  const rows = candidates.map(({ candidate, entry }, index) => ({
    id: candidate.key,
    entry,
    sizeBytes: entry.outputs.reduce((sum, output) => sum + output.sizeBytes, 0),
    usedMs: candidate.usedMs,
    evictionRank: index + 1,
  }));
  const plan = planEviction(
    candidates.map(({ candidate }) => candidate),
    { maxBytes: capBytes, otherBytes: otherBytesOf(inventory) },
  );
  return {
    rows,
    figures: storeFigures(inventory),
    capBytes,
    unreadable: inventory.entries.length - rows.length,
    overdue: { entries: plan.evict.length, bytes: plan.bytesBefore - plan.bytesAfter },
  };
}

export const SORTS = ['saved', 'name', 'size', 'hits', 'age', 'eviction'] as const;
export type Sort = (typeof SORTS)[number];

/** Entries whose crate contains `search`; the largest, most used, oldest or dearest first, names from the front. */
export function sortEntries(
  stock: Stock,
  totals: Totals,
  { sort, isReversed, search }: { sort: Sort; isReversed: boolean; search: string },
): EntryRow[] {
  const wanted = search.toLowerCase();
  const rows = stock.rows.filter(
    ({ entry, id }) =>
      wanted === '' || entry.crateName.toLowerCase().includes(wanted) || id.startsWith(wanted),
  );
  const byName = (a: EntryRow, b: EntryRow): number =>
    compare(a.entry.crateName, b.entry.crateName) || compare(a.entry.crateVersion, b.entry.crateVersion);
  const numbers: Readonly<Record<Exclude<Sort, 'name'>, (row: EntryRow) => number>> = {
    saved: ({ id }) => -totals.hitsOn(id).savedMs,
    size: ({ sizeBytes }) => -sizeBytes,
    hits: ({ id }) => -totals.hitsOn(id).hits,
    age: ({ usedMs }) => usedMs,
    eviction: ({ evictionRank }) => evictionRank,
  };
  if (sort === 'name') rows.sort((a, b) => byName(a, b) || compare(a.id, b.id));
  else {
    const of = numbers[sort];
    const values = new Map(rows.map((row) => [row, of(row)]));
    rows.sort((a, b) => (values.get(a) ?? 0) - (values.get(b) ?? 0) || byName(a, b) || compare(a.id, b.id));
  }
  return isReversed ? rows.reverse() : rows;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
