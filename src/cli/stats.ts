// `stats`: one snapshot of what kache is worth: rates, time saved, and the store.
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import { timeOf } from '../core/transfers.ts';
import { newestBuild } from '../store/builds.ts';
import { readEvents } from '../store/event-log.ts';
import { takeInventory } from '../store/inventory.ts';
import type { Store } from '../store/store.ts';
import { readTransfers } from '../store/transfer-log.ts';
import {
  type Background,
  backgroundNow,
  type RemoteNow,
  remoteNow,
  remoteType,
  sessionState,
} from './background.ts';
import { type Network, networkOf, type Prefetch, prefetchOf } from './network.ts';
import { capBytes, DEFAULT_SINCE, durationMs, openHere, settingsHere } from './open.ts';
import { describeRuns } from './script-runs.ts';
import { gapOf, type StoreFigures, type Summary, storageOf, storeFigures, summarize } from './summary.ts';
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
  /** Milliseconds since the epoch. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly title: string;
  readonly build: { readonly root: string; readonly started_at: string; readonly duration_ms: number } | null;
  readonly sinceHours: number | null;
}

function spanOf(store: Store, { since, lastBuild }: StatsOptions): Span {
  const span = since ?? (lastBuild === true ? undefined : DEFAULT_SINCE);
  const sinceMs = span === undefined ? undefined : durationMs(span);
  const toMs = Date.now();
  const fromMs = sinceMs === undefined ? 0 : toMs - sinceMs;
  const events = readEvents(store, fromMs);
  const sinceHours = sinceMs === undefined ? null : sinceMs / 3600e3;
  if (lastBuild !== true) return { events, fromMs, toMs, title: `The last ${span}`, build: null, sinceHours };
  const build = newestBuild(events);
  if (build === undefined)
    return { events: [], fromMs: toMs, toMs, title: 'No build is in the log', build: null, sinceHours };
  const { root, startedMs, endedMs } = build;
  return {
    events: build.events,
    fromMs: startedMs,
    toMs: endedMs,
    title: `The build of ${formatTime(startedMs)} in ${root}`,
    build: { root, started_at: new Date(startedMs).toISOString(), duration_ms: endedMs - startedMs },
    sinceHours,
  };
}

/** How long a daemon may take to say how it is. */
const DAEMON_MS = 500;

/** `kache stats [--since D] [--last-build] [--json]`. */
export async function stats(options: StatsOptions): Promise<void> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const span = spanOf(store, options);
  const figures = storeFigures(takeInventory(store));
  const cap = capBytes(loaded, store);
  const summary = summarize(span.events);
  const remote = remoteNow(loaded);
  const background = await backgroundNow(loaded, store, DAEMON_MS);
  const transfers = readTransfers(store, span.fromMs).filter((line) => timeOf(line) <= span.toMs);
  const network = networkOf(transfers, { remote: remoteType(remote), queued: background.queued });
  const prefetch = prefetchOf(transfers, span.events);
  if (options.json === true) {
    printJson({
      since_hours: span.sinceHours,
      build: span.build,
      summary,
      gap: gapOf(summary) ?? null,
      store: { ...figures, cap_bytes: cap, used_pct: percent(figures.size_bytes, cap) },
      storage: storageOf(span.events),
      network,
      prefetch,
      daemon: background.daemon.kind,
    });
    return;
  }
  print(style.bold(span.title));
  print(table(rateRows(summary, span.events)));
  print(style.bold('The remote'));
  print(table(remoteRows(remote, background, { network, prefetch })));
  print(style.bold('The store'));
  print(table(storeRows(store, figures, cap)));
}

function rateRows(summary: Summary, events: readonly CompileEvent[]): string[][] {
  const hits = summary.local_hits + summary.prefetch_hits + summary.remote_hits;
  const gap = gapOf(summary);
  const restored = storageOf(events);
  const runs = describeRuns(summary);
  const foreseen = events.filter((event) => event.foreseen === true && !isScriptRun(event)).length;
  return [
    [
      '  hit rate',
      `${summary.hit_rate_pct} %`,
      `${hits} of ${plural(summary.total_crates, 'crate')}${foreseen === 0 ? '' : `, ${foreseen} before Cargo asked`}`,
    ],
    ['  by compile time', `${summary.weighted_hit_rate_pct} %`, gap ?? ''],
    ['  time saved', formatMs(summary.time_saved_ms), 'of compiling, less what the hits took'],
    ['  compiled', `${summary.misses + summary.dups}`, `${summary.dups} of them made nothing new`],
    [
      '  not stored',
      `${summary.skipped}`,
      `${summary.errors - summary.trial_errors} failed, ${summary.passthroughs} passed through, ${plural(summary.probes, 'probe')}`,
    ],
    ...(runs === '' ? [] : [['  build scripts', `${summary.script_runs}`, runs]]),
    ['  restored', formatBytes(restored.restored_bytes), `${restored.zero_copy_pct} % without copying`],
  ];
}

function remoteRows(
  remote: RemoteNow,
  { daemon, queued }: Background,
  { network, prefetch }: { network: Network; prefetch: Prefetch },
): string[][] {
  const waits =
    queued === 0 ? [] : [['  queue', plural(queued, 'upload'), '`kache sync --push` takes them now']];
  const moved =
    network.requests === 0
      ? []
      : [
          [
            '  downloaded',
            formatBytes(network.downloaded_bytes),
            plural(network.downloaded_entries, 'entry', 'entries'),
          ],
          [
            '  uploaded',
            formatBytes(network.uploaded_bytes),
            plural(network.uploaded_entries, 'entry', 'entries'),
          ],
          [
            '  requests',
            `${network.requests}`,
            `${network.errors} failed, ${network.not_found} found nothing`,
          ],
          [
            '  prefetch',
            `${prefetch.fetched} of ${prefetch.requested}`,
            `${prefetch.used} used, ${prefetch.wasted} not yet`,
          ],
        ];
  if (remote.kind !== 'on') return [[`  ${remote.kind}`, '', remote.why], ...moved, ...waits];
  const runs = daemon.kind === 'runs' ? `process ${daemon.pid}` : DAEMON_WORDS[daemon.kind];
  const sees =
    daemon.kind === 'runs' ? daemon.sessions.find(({ place }) => place === remote.place) : undefined;
  return [
    ['  place', remote.place, remote.isReadonly ? 'read-only' : ''],
    [
      '  daemon',
      runs,
      sees === undefined ? '' : `the remote ${sees.outage === null ? '' : 'is '}${sessionState(sees)}`,
    ],
    ...moved,
    ...waits,
  ];
}

const DAEMON_WORDS = { none: 'not running', hangs: 'does not answer' } as const;

function storeRows(store: Store, figures: StoreFigures, cap: number): string[][] {
  const { size_bytes: size, dedup_saved_bytes: saved, logical_bytes: logical } = figures;
  return [
    ['  size', formatBytes(size), `${percent(size, cap)} % of the cap of ${formatBytes(cap)}`],
    ['  entries', `${figures.store_entries}`, plural(figures.store_blobs, 'blob')],
    ['  shared', formatBytes(saved), `of ${formatBytes(logical)} are held once for several entries`],
    ['  place', store.layout.root, ''],
  ];
}
