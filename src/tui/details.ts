// What a detail page shows beside the event or the entry itself: read from the store when it is opened.
import { type Explanation, History, wasCompiled } from '../cli/explain.ts';
import type { CompileEvent } from '../core/events.ts';
import { type CacheKey, parseDigest } from '../core/ids.ts';
import { type Entry, type EntryInputs, readEntryInputs } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import { readUnstoredInputs } from '../store/unstored.ts';
import { lstat } from '../sys/files.ts';

export interface EventDetail {
  readonly event: CompileEvent;
  /** What went into the key; undefined when the call has none, or it was evicted. */
  readonly inputs: EntryInputs | undefined;
  /** Why it was no hit; undefined when it was one, or was not looked up. */
  readonly explanation: Explanation | undefined;
}

export interface Known {
  readonly store: Store;
  /** Oldest first. */
  readonly events: readonly CompileEvent[];
  /** The entries as they were when the stock was taken. */
  readonly entries: readonly Entry[];
}

export function readEventDetail(event: CompileEvent, { store, events, entries }: Known): EventDetail {
  const key = parseDigest<CacheKey>(event.cache_key ?? '');
  const inputs =
    key === undefined ? undefined : (readEntryInputs(store, key) ?? readUnstoredInputs(store, key));
  const explanation = wasCompiled(event)
    ? new History(store, events, () => entries).explain(event)
    : undefined;
  return { event, inputs, explanation };
}

export interface EntryDetail {
  readonly key: string;
  readonly inputs: EntryInputs | undefined;
  /** For each output, how many names its file has: the store's own and those in target folders. */
  readonly links: readonly number[];
}

export function readEntryDetail(store: Store, entry: Entry): EntryDetail {
  return {
    key: entry.key,
    inputs: readEntryInputs(store, entry.key),
    links: entry.outputs.map(({ blob }) => lstat(store.layout.blob(blob))?.nlink ?? 0),
  };
}
