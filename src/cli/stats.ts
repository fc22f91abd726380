// `stats`: one snapshot of what kache is worth: rates, time saved, and the store.
import type { CompileEvent } from '../core/events.ts';
import { newestBuild } from '../store/builds.ts';
import { readEvents } from '../store/event-log.ts';
import { takeInventory } from '../store/inventory.ts';
import type { Store } from '../store/store.ts';
import { capBytes, DEFAULT_SINCE, durationMs, openHere, settingsHere } from './open.ts';
import {
  gapOf,
  NETWORK,
  type StoreFigures,
  type Summary,
  storageOf,
  storeFigures,
  summarize,
} from './summary.ts';
import {
  formatBytes,
  formatMs,
  formatTime,
  percent,
  plural,
  print,
  printJson,
  style,
  table,
} from './terminal.ts';

export interface StatsOptions {
  readonly since?: string;
  readonly lastBuild?: boolean;
  readonly json?: boolean;
}

/** What the figures are about. */
interface Span {
  readonly events: readonly CompileEvent[];
  readonly title: string;
  readonly build: { readonly root: string; readonly started_at: string; readonly duration_ms: number } | null;
  readonly sinceHours: number | null;
}

function spanOf(store: Store, { since, lastBuild }: StatsOptions): Span {
  const span = since ?? (lastBuild === true ? undefined : DEFAULT_SINCE);
  const sinceMs = span === undefined ? undefined : durationMs(span);
  const events = readEvents(store, sinceMs === undefined ? 0 : Date.now() - sinceMs);
  const sinceHours = sinceMs === undefined ? null : sinceMs / 3600e3;
  if (lastBuild !== true) return { events, title: `The last ${span}`, build: null, sinceHours };
  const build = newestBuild(events);
  if (build === undefined) return { events: [], title: 'No build is in the log', build: null, sinceHours };
  const { root, startedMs, endedMs } = build;
  return {
    events: build.events,
    title: `The build of ${formatTime(startedMs)} in ${root}`,
    build: { root, started_at: new Date(startedMs).toISOString(), duration_ms: endedMs - startedMs },
    sinceHours,
  };
}

/** `kache stats [--since D] [--last-build] [--json]`. */
export function stats(options: StatsOptions): void {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const span = spanOf(store, options);
  const figures = storeFigures(takeInventory(store));
  const cap = capBytes(loaded, store);
  const summary = summarize(span.events);
  if (options.json === true) {
    printJson({
      since_hours: span.sinceHours,
      build: span.build,
      summary,
      gap: gapOf(summary) ?? null,
      store: { ...figures, cap_bytes: cap, used_pct: percent(figures.size_bytes, cap) },
      storage: storageOf(span.events),
      network: NETWORK,
    });
    return;
  }
  print(style.bold(span.title));
  print(table(rateRows(summary, span.events)));
  print(style.bold('The store'));
  print(table(storeRows(store, figures, cap)));
}

function rateRows(summary: Summary, events: readonly CompileEvent[]): string[][] {
  const hits = summary.local_hits + summary.prefetch_hits + summary.remote_hits;
  const gap = gapOf(summary);
  const restored = storageOf(events);
  return [
    ['  hit rate', `${summary.hit_rate_pct} %`, `${hits} of ${plural(summary.total_crates, 'crate')}`],
    ['  by compile time', `${summary.weighted_hit_rate_pct} %`, gap ?? ''],
    ['  time saved', formatMs(summary.time_saved_ms), 'of compiling, less what the hits took'],
    ['  compiled', `${summary.misses + summary.dups}`, `${summary.dups} of them made nothing new`],
    [
      '  not stored',
      `${summary.skipped}`,
      `${summary.errors - summary.trial_errors} failed, ${summary.passthroughs} passed through, ${plural(summary.probes, 'probe')}`,
    ],
    ['  restored', formatBytes(restored.restored_bytes), `${restored.zero_copy_pct} % without copying`],
    ['  transfers', 'none', 'the remote is off'],
  ];
}

function storeRows(store: Store, figures: StoreFigures, cap: number): string[][] {
  const { size_bytes: size, dedup_saved_bytes: saved, logical_bytes: logical } = figures;
  return [
    ['  size', formatBytes(size), `${percent(size, cap)} % of the cap of ${formatBytes(cap)}`],
    ['  entries', `${figures.store_entries}`, plural(figures.store_blobs, 'blob')],
    ['  shared', formatBytes(saved), `of ${formatBytes(logical)} are held once for several entries`],
    ['  place', store.layout.root, ''],
  ];
}
