// One remote as one configuration sees it, with everything that goes on between it and the store.
import type { CacheKey, UnitId } from '../core/ids.ts';
import { describeFailure } from '../remote/backend.ts';
import { openRemote, type Remote } from '../remote/open.ts';
import { startEviction } from '../store/eviction-trigger.ts';
import type { Store } from '../store/store.ts';
import { logTransfer } from '../store/transfer-log.ts';
import { Build } from './builds.ts';
import { Patience } from './limits.ts';
import { type Availability, type BuildInfo, placeId, queueFolder, type RemoteConfig } from './protocol.ts';
import { Transfers } from './transfers.ts';
import { Uploads } from './uploads.ts';

/** Below what a compile waits, so that it has an answer when its own time is over. */
const ANSWER_MARGIN_MS = 200;

export interface SessionOptions {
  readonly store: Store;
  /** This program, for the helper that evicts. */
  readonly self: string;
  readonly log: (line: string) => void;
}

export class Session {
  readonly config: RemoteConfig;
  readonly place: string;
  readonly remote: Remote;
  readonly transfers: Transfers;
  readonly uploads: Uploads;
  usedMs = Date.now();
  readonly #options: SessionOptions;
  readonly #builds = new Map<number, Build>();
  readonly #patience = new Patience();
  #uploading: Promise<void> | undefined;
  #nextUploadMs = 0;
  #uploadPauseMs = 0;
  #entriesSeen = 0;

  constructor(config: RemoteConfig, options: SessionOptions) {
    const { store, log } = options;
    this.config = config;
    this.#options = options;
    this.place = placeId(config.remote);
    this.remote = openRemote(config.remote, config.env, (record) =>
      logTransfer(store, record, config.maxSizeBytes),
    );
    this.transfers = new Transfers({
      store,
      log,
      remote: this.remote,
      concurrency: config.concurrency,
      maxSizeBytes: config.maxSizeBytes,
    });
    this.uploads = new Uploads({
      store,
      log,
      remote: this.remote,
      folder: queueFolder(store.layout.root, this.place),
      compressionLevel: config.compressionLevel,
    });
  }

  /** Notes that a build is under way; the first call of one starts the prefetch. */
  build(info: BuildInfo): Build {
    const known = this.#builds.get(info.pid);
    if (known !== undefined) return known;
    const { prefetch: enabled, prefetchMaxKeys: maxKeys, prefetchMaxBytes: maxBytes, readonly } = this.config;
    const build = new Build(info, {
      store: this.#options.store,
      log: this.#options.log,
      remote: this.remote,
      transfers: this.transfers,
      onPlan: (plan) => logTransfer(this.#options.store, plan, this.config.maxSizeBytes),
      prefetch: { enabled, maxKeys, maxBytes },
      manifestKey: this.config.remote.manifestKey,
      readonly,
    });
    this.#builds.set(info.pid, build);
    return build;
  }

  buildOf(pid: number): Build | undefined {
    return this.#builds.get(pid);
  }

  /** The entries the build's list has for the unit, or else the unit's closures. */
  unit(unit: UnitId, build: Build | undefined, waitMs: number): Promise<Availability> {
    return this.#within(waitMs, async () => {
      await build?.ready;
      const answers = (build?.keysOf(unit) ?? []).map((key) => this.transfers.entry(key, 'prefetch'));
      if ((await Promise.all(answers)).includes('found')) return 'listed';
      return this.transfers.unit(unit);
    });
  }

  closures(unit: UnitId, waitMs: number): Promise<Availability> {
    return this.#within(waitMs, () => this.transfers.unit(unit));
  }

  /** The first of some entries that is there. */
  entry(keys: readonly CacheKey[], waitMs: number): Promise<Availability> {
    return this.#within(waitMs, async () => {
      const answers = await Promise.all(keys.map((key) => this.transfers.entry(key, 'remote')));
      if (answers.includes('found')) return 'found';
      return answers.includes('later') ? 'later' : 'absent';
    });
  }

  /** The answer, or `later` when it takes longer than a compile may wait; the transfer itself goes on. */
  async #within(waitMs: number, ask: () => Promise<Availability>): Promise<Availability> {
    this.usedMs = Date.now();
    if (this.remote.read.outage !== undefined) return 'later';
    const allowedMs = this.#patience.allowance(waitMs - ANSWER_MARGIN_MS);
    if (allowedMs <= 0) return 'later';
    const fromMs = performance.now();
    const { promise, resolve } = Promise.withResolvers<Availability>();
    const timer = setTimeout(() => resolve('later'), allowedMs);
    ask().then(resolve, (error: unknown) => {
      this.#options.log(`failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
      resolve('later');
    });
    const answer = await promise;
    clearTimeout(timer);
    if (answer === 'later') this.#patience.lost(performance.now() - fromMs);
    return answer;
  }

  /** What is due: ended builds, uploads. Called once or twice a second. */
  tick(mayUpload: boolean): void {
    const { entries } = this.transfers.counts;
    if (entries > this.#entriesSeen) {
      this.#entriesSeen = entries;
      startEviction(this.#options.store, this.#options.self, this.config.maxSizeBytes);
    }
    for (const [pid, build] of this.#builds) {
      if (build.isRunning) continue;
      this.#builds.delete(pid);
      this.#inBackground(build.end());
    }
    if (!mayUpload || this.config.readonly || this.#uploading !== undefined) return;
    if (Date.now() < this.#nextUploadMs || this.uploads.queued().length === 0) return;
    this.#uploading = this.#upload().finally(() => {
      this.#uploading = undefined;
    });
  }

  async #upload(): Promise<void> {
    const drained = await this.uploads.drain(() => this.#stopped);
    if (drained.kind === 'stopped') {
      this.#uploadPauseMs = Math.min(Math.max(2_000, this.#uploadPauseMs * 2), 60_000);
      this.#nextUploadMs = Date.now() + this.#uploadPauseMs;
      this.#options.log(`uploads wait: ${drained.why.kind}, ${describeFailure(drained.why)}`);
    } else this.#uploadPauseMs = 0;
  }

  #stopped = false;

  /** No upload is begun from here on. */
  stop(): void {
    this.#stopped = true;
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#options.log(`failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    });
  }

  get isBusy(): boolean {
    return this.#builds.size > 0 || this.#uploading !== undefined;
  }

  status(): SessionStatus {
    const { rest } = this.remote.read;
    const builds = [...this.#builds.values()];
    return {
      place: this.remote.read.place,
      readonly: this.config.readonly,
      queued: this.uploads.queued().length,
      outage: rest === undefined ? null : describeFailure(rest.why),
      restsForMs: rest?.untilMs === undefined ? null : Math.max(0, rest.untilMs - Date.now()),
      builds: this.#builds.size,
      prefetching: {
        planned: builds.reduce((sum, { prefetch }) => sum + prefetch.planned, 0),
        done: builds.reduce((sum, { prefetch }) => sum + prefetch.done, 0),
      },
      ...this.remote.traffic,
      downloads: this.transfers.counts,
      uploads: this.uploads.counts,
    };
  }
}

export interface SessionStatus {
  readonly place: string;
  readonly readonly: boolean;
  readonly queued: number;
  readonly outage: string | null;
  /** Until the next request asks the remote again; null when it is not out, or is being asked. */
  readonly restsForMs: number | null;
  readonly builds: number;
  /** Of the builds under way. */
  readonly prefetching: { readonly planned: number; readonly done: number };
  readonly requests: number;
  readonly failures: number;
  readonly downloadedBytes: number;
  readonly uploadedBytes: number;
  readonly inFlight: number;
  readonly lastFailure: { readonly atMs: number; readonly why: string } | null;
  readonly downloads: Transfers['counts'];
  readonly uploads: Uploads['counts'];
}
