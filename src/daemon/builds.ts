// Builds under way: what the last one like it used is downloaded ahead of it, and when it has ended, what it used
// becomes the list for the next.
import type { CompileEvent } from '../core/events.ts';
import { type CacheKey, parseDigest, type UnitId } from '../core/ids.ts';
import type { PrefetchPlan } from '../core/transfers.ts';
import { isOutage } from '../remote/backend.ts';
import {
  ANY_TOOLCHAIN,
  type BuildItem,
  decodeBuild,
  encodeBuild,
  MAX_BUILD_BYTES,
  mergeBuilds,
} from '../remote/build-object.ts';
import { type BuildId, buildName } from '../remote/names.ts';
import type { Remote } from '../remote/open.ts';
import { readEvents } from '../store/event-log.ts';
import type { Store } from '../store/store.ts';
import { type BuildIds, buildIds, folderOf, profileOf, workspaceRoot } from './build-identity.ts';
import { hasEntry } from './exchange.ts';
import type { BuildInfo } from './protocol.ts';
import type { Transfers } from './transfers.ts';

/** An entry that took less to compile is downloaded behind the others: it hardly matters whether it comes in time. */
const CHEAP_MS = 100;

export interface PrefetchLimits {
  readonly enabled: boolean;
  readonly maxKeys: number;
  readonly maxBytes: number;
}

export interface BuildOptions {
  readonly store: Store;
  readonly remote: Remote;
  readonly transfers: Transfers;
  readonly prefetch: PrefetchLimits;
  readonly manifestKey: string | undefined;
  readonly readonly: boolean;
  readonly log: (line: string) => void;
  /** Told what is about to be prefetched. */
  readonly onPlan: (plan: PrefetchPlan) => void;
}

/** What is to be downloaded, in this order: build order, what is cheap to compile last, within the budgets. */
export function planPrefetch(items: readonly BuildItem[], limits: PrefetchLimits): BuildItem[] {
  const dear = items.filter(({ compileMs }) => compileMs >= CHEAP_MS);
  const cheap = items.filter(({ compileMs }) => compileMs < CHEAP_MS);
  const chosen: BuildItem[] = [];
  let bytes = 0;
  for (const item of [...dear, ...cheap]) {
    if (chosen.length >= limits.maxKeys) break;
    if (bytes + item.sizeBytes > limits.maxBytes) continue;
    bytes += item.sizeBytes;
    chosen.push(item);
  }
  return chosen;
}

/** One build, from its first call that asked for something to the end of its Cargo. */
export class Build {
  readonly info: BuildInfo;
  readonly startedMs = Date.now();
  readonly #options: BuildOptions;
  readonly #ids: BuildIds | undefined;
  /** The units of the list; empty until it is there. */
  readonly #listed = new Map<UnitId, CacheKey[]>();
  /** Resolves when the list is there or is known not to be. */
  readonly ready: Promise<void>;
  readonly prefetch = { planned: 0, done: 0 };
  #ended = false;

  constructor(info: BuildInfo, options: BuildOptions) {
    this.info = info;
    this.#options = options;
    const root = workspaceRoot([folderOf(info.pid), info.cwd, info.outDir]);
    const profile = profileOf(info.outDir);
    this.#ids =
      root === undefined || profile === undefined ? undefined : buildIds(root, profile, options.manifestKey);
    this.ready =
      options.prefetch.enabled && this.#ids !== undefined ? this.#begin(this.#ids) : Promise.resolve();
  }

  get isRunning(): boolean {
    return isAlive(this.info.pid);
  }

  /** The entries the list has for a unit. */
  keysOf(unit: UnitId): readonly CacheKey[] {
    return this.#listed.get(unit) ?? [];
  }

  async #begin(ids: BuildIds): Promise<void> {
    const { transfers, prefetch, log, store } = this.#options;
    const [exact, latest] = await Promise.all([transfers.build(ids.exact), transfers.build(ids.workspace)]);
    const items = (exact ?? latest ?? []).filter(({ toolchain }) =>
      [this.info.toolchain, ANY_TOOLCHAIN].includes(toolchain),
    );
    const plan = planPrefetch(items, prefetch);
    for (const { unit, key } of plan) this.#listed.set(unit, [...(this.#listed.get(unit) ?? []), key]);
    const missing = plan.filter(({ key }) => !hasEntry(store, key));
    log(`build ${this.info.pid}: ${items.length} entries in the list, ${missing.length} to prefetch`);
    if (missing.length > 0)
      this.#options.onPlan({ ts: Date.now(), planned: missing.length, build_pid: this.info.pid });
    void this.#prefetch(missing);
  }

  async #prefetch(items: readonly BuildItem[]): Promise<void> {
    const { transfers, remote } = this.#options;
    this.prefetch.planned = items.length;
    await Promise.all(
      items.map(async ({ key }) => {
        if (this.#ended || remote.read.outage !== undefined) return;
        await transfers.entry(key, 'prefetch');
        this.prefetch.done++;
      }),
    );
  }

  /** Publishes the list of what this build used, when Cargo has ended. */
  async end(): Promise<void> {
    this.#ended = true;
    const { store, remote, readonly, log } = this.#options;
    if (readonly || this.#ids === undefined) return;
    // A call may have begun before the first one that asked for something.
    const items = itemsOf(readEvents(store, this.startedMs - 60_000), this.info);
    if (items.length === 0) return;
    for (const id of [this.#ids.exact, this.#ids.workspace]) await publishBuild(remote, id, items);
    log(`build ${this.info.pid}: ended with ${items.length} entries`);
  }
}

/** The entries a build used, in the order it asked for them. */
export function itemsOf(
  events: readonly CompileEvent[],
  info: Pick<BuildInfo, 'pid' | 'toolchain'>,
): BuildItem[] {
  const started = events
    .filter(({ build_pid, result }) => build_pid === info.pid && /^(miss|dup|.+_hit)$/.test(result))
    .sort((a, b) => a.ts - a.elapsed_ms - (b.ts - b.elapsed_ms));
  const items = new Map<string, BuildItem>();
  for (const { cache_key, unit_id, compile_ms, size_bytes, withheld } of started) {
    const [key, unit] = [parseDigest<CacheKey>(cache_key ?? ''), parseDigest<UnitId>(unit_id ?? '')];
    if (key === undefined || unit === undefined || withheld !== undefined || items.has(key)) continue;
    items.set(key, {
      key,
      unit,
      compileMs: compile_ms ?? 0,
      sizeBytes: size_bytes ?? 0,
      toolchain: info.toolchain,
    });
  }
  return [...items.values()];
}

/** Writes a list, with what earlier builds used besides behind it. Returns whether the remote took it. */
export async function publishBuild(
  remote: Remote,
  id: BuildId,
  items: readonly BuildItem[],
): Promise<boolean> {
  const name = buildName(id);
  const found = await remote.write.get(name, { maxBytes: MAX_BUILD_BYTES });
  if (isOutage(found)) return false;
  const before = found.kind === 'found' ? (decodeBuild(found.bytes) ?? []) : [];
  const merged = mergeBuilds(items, before);
  if (JSON.stringify(merged) === JSON.stringify(before)) return true;
  return (await remote.write.put(name, encodeBuild(merged), { ifAbsent: false })).kind === 'done';
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return error.code === 'EPERM';
    throw error;
  }
}
