// What brings news into the state: the logs as they grow, the clock, the daemon, the store's stock, target folders,
// details that are opened. Works in short turns, so that a key never waits.

import type { Background } from '../cli/background.ts';
import type { CompileEvent } from '../core/events.ts';
import { parseTransferLine } from '../core/transfers.ts';
import { takeInventoryPaced } from '../store/inventory.ts';
import { LogTail } from '../store/log-tail.ts';
import type { Store } from '../store/store.ts';
import { scanTargets, targetAbove } from '../store/targets.ts';
import { Pace } from '../sys/pace.ts';
import { stillRuns } from '../sys/process-table.ts';
import { readEntryDetail, readEventDetail } from './details.ts';
import type { Action, State } from './state.ts';
import { stockOf } from './stock.ts';

export interface FeedOptions {
  readonly store: Store;
  readonly capBytes: number;
  /** Where target folders are looked for, beside those the log names. */
  readonly projectRoots: readonly string[];
  readonly askBackground: () => Promise<Background>;
  readonly state: () => State;
  readonly dispatch: (action: Action) => void;
  /** Called when something fails that nobody waits for. */
  readonly onError: (error: unknown) => void;
}

/** How often the log is looked at. A look is one stat. */
const POLL_MS = 100;
/** How often what depends on the time alone is drawn again. */
const CLOCK_MS = 1000;
/** Taking stock may use a part of the time that is one in so many. */
const STOCK_SHARE = 20;
const STOCK_LEAST_MS = 2000;
/** Evictions and purges leave no event: the stock is taken again after this, whatever the log says. */
const STOCK_MOST_MS = 60_000;
/** How often the daemon is asked; one that hangs, or that nothing needs, less often. */
const BACKGROUND_MS = 1000;
const BACKGROUND_SELDOM_MS = 10_000;
/** Lines of the log that are parsed in one turn. */
const LINES_A_TURN = 1500;

export class Feed implements AsyncDisposable {
  readonly #options: FeedOptions;
  readonly #tail: LogTail;
  readonly #transfers: LogTail;
  readonly #ended = new AbortController();
  readonly #work: Promise<void>[] = [];
  #timers: Timer[] = [];
  #stockTakenMs = Number.NEGATIVE_INFINITY;
  #stockTookMs = 0;
  /** Whether the log has told of something since that may have changed the stock. */
  #stockIsOld = true;
  #reading: CompileEvent | undefined;
  #isBusy = { stock: false, targets: false, background: false };
  #nextBackgroundMs = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#tail = new LogTail(options.store.layout.events);
    this.#transfers = new LogTail(options.store.layout.transfers);
  }

  /** Reads what the first screen needs, then goes on by itself. */
  start(): void {
    const history = this.#tail.history();
    const newest = history.next();
    if (newest.done !== true)
      this.#options.dispatch({ kind: 'lines', batch: { lines: newest.value, age: 'older' } });
    this.#dismissGone();
    this.#background(this.#readHistory(history));
    this.#background(this.#readTransfers());
    this.#timers = [this.#every(POLL_MS, () => this.#poll()), this.#every(CLOCK_MS, () => this.#clock())];
    this.#clock();
  }

  /** What a state that has just come about asks for. */
  serve(state: State): void {
    const { build, store, projects, tab } = state;
    const { dispatch } = this.#options;
    if (build.opened !== undefined && build.opened.detail === undefined)
      this.#readDetail(build.opened.event, state);
    if (store.opened !== undefined && store.opened.detail === undefined)
      dispatch({
        kind: 'entry-detail',
        detail: readEntryDetail(this.#options.store, store.opened.row.entry),
      });
    // The log names folders: all of it, once it is read.
    const mayLook = tab === 'projects' && state.events.isComplete;
    if (mayLook && projects.targets === undefined && !this.#isBusy.targets)
      this.#background(this.#findTargets());
  }

  /** After the page has come up: it may take some looking. */
  #readDetail(event: CompileEvent, state: State): void {
    if (this.#reading === event) return;
    this.#reading = event;
    const known = {
      store: this.#options.store,
      events: state.events.events,
      entries: state.store.stock?.rows.map(({ entry }) => entry) ?? [],
    };
    const read = (): void => {
      this.#reading = undefined;
      this.#options.dispatch({ kind: 'event-detail', detail: readEventDetail(event, known) });
    };
    setTimeout(() => this.#guarded(read), 0);
  }

  #every(ms: number, run: () => void): Timer {
    return setInterval(() => this.#guarded(run), ms);
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #background(work: Promise<void>): void {
    this.#work.push(
      work.catch((error: unknown) => {
        if (!this.#ended.signal.aborted) this.#options.onError(error);
      }),
    );
  }

  async #readHistory(history: Generator<string[]>): Promise<void> {
    for (const block of history) {
      // Newest lines first, in turns.
      for (let to = block.length; to > 0; to -= LINES_A_TURN) {
        const lines = block.slice(Math.max(0, to - LINES_A_TURN), to);
        this.#options.dispatch({ kind: 'lines', batch: { lines, age: 'older' } });
        await new Promise((resolve) => setTimeout(resolve, 0));
        this.#ended.signal.throwIfAborted();
      }
    }
    this.#options.dispatch({ kind: 'history-read' });
  }

  async #readTransfers(): Promise<void> {
    for (const block of this.#transfers.history()) {
      for (let to = block.length; to > 0; to -= LINES_A_TURN) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        this.#ended.signal.throwIfAborted();
        this.#tellTransfers(block.slice(Math.max(0, to - LINES_A_TURN), to), 'older');
      }
    }
  }

  #tellTransfers(text: readonly string[], age: 'older' | 'newer'): void {
    const lines = text.flatMap((line) => parseTransferLine(line) ?? []);
    if (lines.length > 0) this.#options.dispatch({ kind: 'transfers', lines, age });
  }

  /** Nobody waits for the answer: a daemon that hangs holds nothing up. */
  #askBackground(): void {
    if (this.#isBusy.background || performance.now() < this.#nextBackgroundMs) return;
    this.#isBusy.background = true;
    const told = (background: Background): void => {
      const isSeldom = background.daemon.kind === 'hangs' || this.#options.state().remote.kind !== 'on';
      this.#nextBackgroundMs = performance.now() + (isSeldom ? BACKGROUND_SELDOM_MS : BACKGROUND_MS);
      this.#isBusy.background = false;
      if (!this.#ended.signal.aborted) this.#options.dispatch({ kind: 'background', background });
    };
    this.#options.askBackground().then(told, (error: unknown) => {
      if (!this.#ended.signal.aborted) this.#options.onError(error);
    });
  }

  #poll(): void {
    this.#tellTransfers(this.#transfers.poll(), 'newer');
    this.#askBackground();
    const lines = this.#tail.poll();
    for (let from = 0; from < lines.length; from += LINES_A_TURN)
      this.#options.dispatch({
        kind: 'lines',
        batch: { lines: lines.slice(from, from + LINES_A_TURN), age: 'newer' },
      });
    if (lines.length > 0) {
      this.#stockIsOld = true;
      // A frame is drawn anyway: with the time as it is now.
      this.#clock();
    }
    this.#dismissGone();
    this.#mayTakeStock();
  }

  #clock(): void {
    this.#options.dispatch({ kind: 'time', nowMs: Date.now() });
  }

  #dismissGone(): void {
    const gone: number[] = [];
    for (const { pid, started } of this.#options.state().events.started.values())
      if (!stillRuns(pid, started)) gone.push(pid);
    if (gone.length > 0) this.#options.dispatch({ kind: 'compilers-gone', pids: gone });
  }

  #mayTakeStock(): void {
    const sinceMs = performance.now() - this.#stockTakenMs;
    const isDue =
      sinceMs > STOCK_MOST_MS ||
      (this.#stockIsOld && sinceMs > Math.max(STOCK_LEAST_MS, this.#stockTookMs * STOCK_SHARE));
    if (!this.#isBusy.stock && isDue) this.#background(this.#takeStock());
  }

  async #takeStock(): Promise<void> {
    this.#isBusy.stock = true;
    this.#stockIsOld = false;
    const from = performance.now();
    const pace = new Pace({ signal: this.#ended.signal });
    const inventory = await takeInventoryPaced(this.#options.store, pace);
    this.#options.dispatch({ kind: 'stock', stock: stockOf(inventory, this.#options.capBytes) });
    this.#stockTakenMs = performance.now();
    this.#stockTookMs = this.#stockTakenMs - from;
    this.#isBusy.stock = false;
  }

  async #findTargets(): Promise<void> {
    this.#isBusy.targets = true;
    const { store, projectRoots, dispatch, state } = this.#options;
    const folders = new Set(state().events.events.flatMap(({ out_dir: dir }) => dir ?? []));
    const known = [...folders].flatMap((dir) => targetAbove(dir) ?? []);
    const targets = await scanTargets([...new Set([...projectRoots, ...known])], {
      storeRoot: store.layout.root,
      onProgress: ({ path }) => dispatch({ kind: 'scanning', path }),
      signal: this.#ended.signal,
    });
    this.#isBusy.targets = false;
    dispatch({ kind: 'targets', targets });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#ended.abort();
    await Promise.allSettled(this.#work);
    this.#tail[Symbol.dispose]();
    this.#transfers[Symbol.dispose]();
  }
}
