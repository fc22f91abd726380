// From events to figures: the one place where rates and sums are defined. Field names are those of the JSON report.
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import { isTrial } from '../store/builds.ts';
import { type Inventory, storeBytes } from '../store/inventory.ts';
import { percent } from './terminal.ts';

export interface Summary {
  readonly hit_rate_pct: number;
  readonly weighted_hit_rate_pct: number;
  readonly time_saved_ms: number;
  readonly total_crates: number;
  readonly local_hits: number;
  readonly prefetch_hits: number;
  readonly remote_hits: number;
  readonly dups: number;
  readonly misses: number;
  readonly errors: number;
  /** Of the errors those in what build scripts only tried: a failure was their answer. */
  readonly trial_errors: number;
  readonly passthroughs: number;
  readonly probes: number;
  readonly skipped: number;
  readonly store_failures: number;
  readonly fallbacks: number;
  readonly total_duration_ms: number;
  readonly cache_efficiency_pct: number;
  /** Runs of build scripts: they are in no figure above. */
  readonly script_runs: number;
  /** Of them those put back from the store. */
  readonly script_hits: number;
  readonly script_saved_ms: number;
}

/** Compiled anew because nothing was found: what stands against hits in every rate. */
export const isMiss = ({ result }: CompileEvent): boolean => result === 'miss' || result === 'dup';
export const isHit = (event: CompileEvent): boolean => event.result.endsWith('_hit');
export const isProbe = (event: CompileEvent): boolean =>
  event.passthrough_reason?.startsWith('not-a-compile|') === true;

const sum = (events: readonly CompileEvent[], of: (event: CompileEvent) => number | undefined): number =>
  Math.round(events.reduce((total, event) => total + (of(event) ?? 0), 0));

/**
 * total_crates is hits, dups and misses; rates are over it, plain and weighted by what the compiler took. One pass: the
 * monitor asks again and again, and of a hundred thousand events.
 */
export function summarize(events: readonly CompileEvent[]): Summary {
  const counts = new Map<string, number>();
  let [probes, failures, fallbacks, trialErrors] = [0, 0, 0, 0];
  let [hitMs, missMs, savedMs, totalMs] = [0, 0, 0, 0];
  let [runs, runHits, runSavedMs] = [0, 0, 0];
  for (const event of events) {
    const { result, compile_ms: compileMs = 0, elapsed_ms: elapsedMs } = event;
    if (isScriptRun(event)) {
      runs++;
      if (!isHit(event)) continue;
      runHits++;
      runSavedMs += Math.max(0, compileMs - elapsedMs);
      continue;
    }
    counts.set(result, (counts.get(result) ?? 0) + 1);
    totalMs += elapsedMs;
    if (isHit(event)) {
      hitMs += compileMs;
      savedMs += Math.max(0, compileMs - elapsedMs);
    } else if (isMiss(event)) missMs += compileMs;
    else if (result === 'passthrough' && isProbe(event)) probes++;
    else if (result === 'skipped' && event.reason?.startsWith('store-failed') === true) failures++;
    else if (result === 'error' && isTrial(event)) trialErrors++;
    if (event.fallback === true) fallbacks++;
  }
  const count = (result: CompileEvent['result']): number => counts.get(result) ?? 0;
  const hits = count('local_hit') + count('prefetch_hit') + count('remote_hit');
  const total = hits + count('dup') + count('miss');
  const [hitCompileMs, missCompileMs] = [Math.round(hitMs), Math.round(missMs)];
  const [saved, duration] = [Math.round(savedMs), Math.round(totalMs)];
  return {
    hit_rate_pct: percent(hits, total),
    weighted_hit_rate_pct: percent(hitCompileMs, hitCompileMs + missCompileMs),
    time_saved_ms: saved,
    total_crates: total,
    local_hits: count('local_hit'),
    prefetch_hits: count('prefetch_hit'),
    remote_hits: count('remote_hit'),
    dups: count('dup'),
    misses: count('miss'),
    errors: count('error'),
    trial_errors: trialErrors,
    passthroughs: count('passthrough') - probes,
    probes,
    skipped: count('skipped'),
    store_failures: failures,
    fallbacks,
    total_duration_ms: duration,
    cache_efficiency_pct: percent(saved, saved + duration),
    script_runs: runs,
    script_hits: runHits,
    script_saved_ms: Math.round(runSavedMs),
  };
}

/** Percentage points from which on the two rates tell different stories. */
const LARGE_GAP_PCT = 10;

/** In a word, why the plain and the weighted hit rate are far apart; undefined when they are not. */
export function gapOf(summary: Summary): string | undefined {
  const gap = summary.hit_rate_pct - summary.weighted_hit_rate_pct;
  if (Math.abs(gap) < LARGE_GAP_PCT) return undefined;
  return gap > 0 ? 'many small hits, few dear misses' : 'few dear hits, many small misses';
}

export interface Timing {
  readonly avg_hit_ms: number;
  readonly avg_miss_ms: number;
  readonly avg_key_ms: number;
  readonly avg_lookup_ms: number;
  readonly avg_restore_ms: number;
  readonly avg_store_ms: number;
  readonly total_hit_ms: number;
  readonly total_miss_ms: number;
  readonly total_key_ms: number;
  readonly total_lookup_ms: number;
  readonly total_restore_ms: number;
  readonly total_store_ms: number;
}

/** Where the time of compiler calls went, in milliseconds; averages are over the calls that had the phase. */
export function timingOf(all: readonly CompileEvent[]): Timing {
  const events = all.filter((event) => !isScriptRun(event));
  const values = (of: (event: CompileEvent) => number | undefined): number[] =>
    events.flatMap((event) => of(event) ?? []);
  const total = (list: readonly number[]): number => Math.round(list.reduce((a, b) => a + b, 0) * 100) / 100;
  const average = (list: readonly number[]): number =>
    list.length === 0 ? 0 : Math.round((total(list) / list.length) * 100) / 100;
  const hit = values((event) => (isHit(event) ? event.elapsed_ms : undefined));
  const miss = values((event) => (isMiss(event) ? event.elapsed_ms : undefined));
  const key = values((event) => event.phases?.key);
  const lookup = values((event) => event.phases?.lookup);
  const restore = values((event) => event.phases?.restore);
  const store = values((event) => event.phases?.store);
  return {
    avg_hit_ms: average(hit),
    avg_miss_ms: average(miss),
    avg_key_ms: average(key),
    avg_lookup_ms: average(lookup),
    avg_restore_ms: average(restore),
    avg_store_ms: average(store),
    total_hit_ms: total(hit),
    total_miss_ms: total(miss),
    total_key_ms: total(key),
    total_lookup_ms: total(lookup),
    total_restore_ms: total(restore),
    total_store_ms: total(store),
  };
}

export interface Storage {
  readonly reflinked_bytes: number;
  readonly hardlinked_bytes: number;
  readonly copied_bytes: number;
  readonly restored_bytes: number;
  readonly zero_copy_pct: number;
}

/** How the bytes of hits came into target folders. */
export function storageOf(events: readonly CompileEvent[]): Storage {
  const reflinked = sum(events, (event) => event.restored?.reflinked);
  const hardlinked = sum(events, (event) => event.restored?.hardlinked);
  const copied = sum(events, (event) => event.restored?.copied);
  const restored = reflinked + hardlinked + copied;
  return {
    reflinked_bytes: reflinked,
    hardlinked_bytes: hardlinked,
    copied_bytes: copied,
    restored_bytes: restored,
    zero_copy_pct: percent(reflinked + hardlinked, restored),
  };
}

export interface StoreFigures {
  readonly store_blobs: number;
  readonly store_entries: number;
  /** What all entries would occupy without sharing. */
  readonly logical_bytes: number;
  readonly blob_bytes: number;
  readonly dedup_saved_bytes: number;
  /** What the store occupies on the disk. */
  readonly size_bytes: number;
}

export function storeFigures(inventory: Inventory): StoreFigures {
  let [logical, blobBytes] = [0, 0];
  for (const { entry } of inventory.entries)
    for (const { sizeBytes } of entry?.outputs ?? []) logical += sizeBytes;
  for (const { info } of inventory.blobs.values()) blobBytes += info.size;
  return {
    store_blobs: inventory.blobs.size,
    store_entries: inventory.entries.length,
    logical_bytes: logical,
    blob_bytes: blobBytes,
    dedup_saved_bytes: Math.max(0, logical - blobBytes),
    size_bytes: storeBytes(inventory),
  };
}
