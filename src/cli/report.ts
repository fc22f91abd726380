// `stats` and `report`: what recent builds did, as one snapshot or in full.
import { writeFileSync } from 'node:fs';
import { KacheError } from '../core/errors.ts';
import type { CompileEvent } from '../core/events.ts';
import { readEvents } from '../store/event-log.ts';
import { type Inventory, storeBytes, takeInventory } from '../store/inventory.ts';
import type { Store } from '../store/store.ts';
import { isWithin, resolve } from '../sys/paths.ts';
import { version } from './binary.ts';
import { capBytes, durationMs, openHere, settingsHere } from './open.ts';
import { isHit, storageOf, summarize, timingOf } from './summary.ts';
import { formatBytes, formatMs, percent, print, printJson, style, table } from './terminal.ts';

const DEFAULT_SINCE = '24h';

export interface ReportOptions {
  readonly since?: string;
  readonly format?: string;
  readonly root?: string;
  readonly output?: string;
  readonly top?: string;
}

interface StoreFigures {
  readonly store_blobs: number;
  readonly store_entries: number;
  /** What all entries would occupy without sharing. */
  readonly logical_bytes: number;
  readonly blob_bytes: number;
  readonly dedup_saved_bytes: number;
}

function storeFigures(inventory: Inventory): StoreFigures {
  let logical = 0;
  for (const { entry } of inventory.entries)
    for (const { sizeBytes } of entry?.outputs ?? []) logical += sizeBytes;
  let blobBytes = 0;
  for (const { info } of inventory.blobs.values()) blobBytes += info.size;
  return {
    store_blobs: inventory.blobs.size,
    store_entries: inventory.entries.length,
    logical_bytes: logical,
    blob_bytes: blobBytes,
    dedup_saved_bytes: Math.max(0, logical - blobBytes),
  };
}

function eventsFor(store: Store, options: { since?: string; root?: string }): CompileEvent[] {
  const root = options.root === undefined ? undefined : resolve(process.cwd(), options.root);
  const since = Date.now() - durationMs(options.since ?? DEFAULT_SINCE);
  const inRoot = (event: CompileEvent): boolean =>
    root === undefined || isWithin(event.root ?? '', root) || isWithin(event.out_dir ?? '', root);
  return readEvents(store, since).filter(inRoot);
}

/** `kache stats [--since D] [--json]`. */
export function stats(options: { since?: string; json?: boolean }): void {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const events = eventsFor(store, options);
  const inventory = takeInventory(store);
  const figures = {
    ...storeFigures(inventory),
    size_bytes: storeBytes(inventory),
    cap_bytes: capBytes(loaded, store),
  };
  const summary = summarize(events);
  if (options.json === true) {
    printJson({
      since_hours: durationMs(options.since ?? DEFAULT_SINCE) / 3600e3,
      summary,
      store: figures,
      storage: storageOf(events),
    });
    return;
  }
  const restored = storageOf(events);
  print(style.bold(`The last ${options.since ?? DEFAULT_SINCE}`));
  print(
    table([
      ['  hit rate', `${summary.hit_rate_pct} %`, `${summary.local_hits} of ${summary.total_crates} crates`],
      [
        '  by compile time',
        `${summary.weighted_hit_rate_pct} %`,
        `${formatMs(summary.time_saved_ms)} of compiling saved`,
      ],
      ['  compiled', `${summary.misses + summary.dups}`, `${summary.dups} of them made nothing new`],
      [
        '  not stored',
        `${summary.skipped}`,
        `${summary.errors} failed, ${summary.passthroughs} passed through, ${summary.probes} probes`,
      ],
      ['  restored', formatBytes(restored.restored_bytes), `${restored.zero_copy_pct} % without copying`],
    ]),
  );
  print(style.bold('The store'));
  print(
    table([
      [
        '  size',
        formatBytes(figures.size_bytes),
        `${percent(figures.size_bytes, figures.cap_bytes)} % of ${formatBytes(figures.cap_bytes)}`,
      ],
      [
        '  entries',
        `${figures.store_entries}`,
        `${figures.store_blobs} blobs; ${formatBytes(figures.dedup_saved_bytes)} saved by sharing them`,
      ],
      ['  place', store.layout.root, ''],
    ]),
  );
}

const FORMATS = ['text', 'json'];

/** `kache report`: everything the event log says about a span of time. */
export function report(options: ReportOptions): void {
  const format = options.format ?? 'text';
  if (!FORMATS.includes(format)) {
    throw new KacheError(
      'usage',
      `Cannot write the format "${format}": expected one of ${FORMATS.join(', ')}.`,
    );
  }
  const top = Number(options.top ?? 10);
  if (!Number.isInteger(top) || top < 0)
    throw new KacheError('usage', `Cannot list "${options.top}" crates: expected a whole number.`);
  const store = openHere();
  const events = eventsFor(store, options);
  const text =
    format === 'json'
      ? `${JSON.stringify(jsonReport(store, events, options), null, 2)}\n`
      : textReport(events, top);
  if (options.output === undefined) print(text.trimEnd());
  else writeFileSync(options.output, text);
}

const byCompileTime = (events: readonly CompileEvent[]): CompileEvent[] =>
  events.toSorted((a, b) => (b.compile_ms ?? 0) - (a.compile_ms ?? 0));

function jsonReport(store: Store, events: readonly CompileEvent[], options: ReportOptions): unknown {
  const top = Number(options.top ?? 10);
  const misses = events.filter(({ result }) => result === 'miss' || result === 'dup');
  const brief = (event: CompileEvent) => ({
    crate_name: event.crate_name,
    compile_ms: event.compile_ms ?? 0,
    elapsed_ms: event.elapsed_ms,
    reason: event.reason ?? '',
  });
  return {
    schema_version: 1,
    meta: {
      kache_version: version(),
      generated_at: new Date().toISOString(),
      since_hours: durationMs(options.since ?? DEFAULT_SINCE) / 3600e3,
      root_filter: options.root ?? null,
    },
    summary: summarize(events),
    timeline: timeline(events),
    timing: timingOf(events),
    storage: { ...storageOf(events), ...storeFigures(takeInventory(store)) },
    network: { uploaded_bytes: 0, downloaded_bytes: 0, requests: 0, errors: 0 },
    prefetch: { requested: 0, used: 0, bytes: 0 },
    top_misses: byCompileTime(misses).slice(0, top).map(brief),
    top_hits: byCompileTime(events.filter(isHit)).slice(0, top).map(brief),
    bypass: countBy(events.flatMap((event) => event.passthrough_reason ?? [])),
    errors_detail: events.filter(({ result }) => result === 'error').map(brief),
    suggestions: suggestions(events),
    traceEvents: traceEvents(events),
    displayTimeUnit: 'ms',
    all_events: events.map((event) => ({
      ...event,
      preprocessor_runs: 0,
      probe_runs: event.passthrough_reason?.startsWith('not-a-compile|') === true ? 1 : 0,
    })),
  };
}

function countBy(names: readonly string[]): { reason: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
}

/** Hits and compiles by the minute. */
function timeline(
  events: readonly CompileEvent[],
): { minute: string; hits: number; misses: number; saved_ms: number }[] {
  const minutes = Map.groupBy(events, ({ ts }) => new Date(Math.floor(ts / 60e3) * 60e3).toISOString());
  return [...minutes].map(([minute, list]) => {
    const { local_hits, prefetch_hits, remote_hits, dups, misses, time_saved_ms } = summarize(list);
    return {
      minute,
      hits: local_hits + prefetch_hits + remote_hits,
      misses: misses + dups,
      saved_ms: time_saved_ms,
    };
  });
}

/** Calls as complete events of the Chrome trace format, each in the first lane that is free. Times in microseconds. */
function traceEvents(events: readonly CompileEvent[]): unknown[] {
  const freeAt: number[] = [];
  const started = events
    .map((event) => ({ event, from: event.ts - event.elapsed_ms }))
    .sort((a, b) => a.from - b.from);
  return started.map(({ event, from }) => {
    const free = freeAt.findIndex((until) => until <= from);
    const lane = free < 0 ? freeAt.length : free;
    freeAt[lane] = event.ts;
    return {
      name: event.crate_name,
      cat: event.result,
      ph: 'X',
      ts: from * 1000,
      dur: event.elapsed_ms * 1000,
      pid: event.build_pid ?? 0,
      tid: lane,
    };
  });
}

function suggestions(events: readonly CompileEvent[]): string[] {
  const { store_failures, skipped } = summarize(events);
  const result: string[] = [];
  if (store_failures > 0) result.push('Some compiles could not be stored: run `kache doctor`.');
  const moved = events.filter(({ reason }) => reason?.startsWith('input-changed-during-compile')).length;
  if (moved > 0) result.push(`${moved} compiles were not stored because an input changed while they ran.`);
  if (skipped > store_failures + moved)
    result.push('`kache report --format json` names why each skipped compile was not stored.');
  return result;
}

function textReport(events: readonly CompileEvent[], top: number): string {
  const summary = summarize(events);
  const timing = timingOf(events);
  const dearest = byCompileTime(events.filter(({ result }) => result === 'miss' || result === 'dup')).slice(
    0,
    top,
  );
  const lines = [
    `hit rate ${summary.hit_rate_pct} % (${summary.weighted_hit_rate_pct} % by compile time), ${formatMs(summary.time_saved_ms)} saved`,
    `${summary.total_crates} crates: ${summary.local_hits} hits, ${summary.misses} misses, ${summary.dups} made nothing new`,
    `${summary.skipped} compiled but not stored, ${summary.errors} failed, ${summary.passthroughs} passed through, ${summary.probes} probes`,
    `a hit takes ${timing.avg_hit_ms} ms, a miss ${timing.avg_miss_ms} ms of which storing ${timing.avg_store_ms} ms`,
  ];
  if (dearest.length > 0) {
    lines.push('', 'Dearest misses');
    const rows = dearest.map((event) => [
      `  ${event.crate_name}`,
      formatMs(event.compile_ms ?? 0),
      event.reason ?? '',
    ]);
    lines.push(table(rows, [1]));
  }
  const passed = countBy(events.flatMap((event) => event.passthrough_reason ?? []));
  if (passed.length > 0) {
    lines.push(
      '',
      'Passed through',
      table(
        passed.map(({ reason, count }) => [`  ${count}`, reason]),
        [0],
      ),
    );
  }
  lines.push(...suggestions(events).map((text) => `\n${text}`));
  return `${lines.join('\n')}\n`;
}
