// Downloads: each object is asked for once however many want it, proven, and put into the store.
import type { CacheKey, UnitId } from '../core/ids.ts';
import { describeFailure, type Failure, isOutage } from '../remote/backend.ts';
import type { BuildItem } from '../remote/build-object.ts';
import { decodeBuild, MAX_BUILD_BYTES } from '../remote/build-object.ts';
import { type BuildId, buildName, entryName, unitName } from '../remote/names.ts';
import type { Remote } from '../remote/open.ts';
import { MAX_PACK_BYTES } from '../remote/pack.ts';
import { decodeUnit, MAX_UNIT_BYTES } from '../remote/unit-object.ts';
import { recordForeignClosures, type UnitRecord } from '../store/closures.ts';
import { isEvictionBehind } from '../store/eviction-trigger.ts';
import type { Store } from '../store/store.ts';
import { isOsError } from '../sys/files.ts';
import { hasEntry, importEntry } from './exchange.ts';
import { ByteBudget, Gate, NegativeMemory } from './limits.ts';
import type { Availability } from './protocol.ts';

/** What downloads hold in memory, packed and unpacked, is below this; more wait. */
const MEMORY_BYTES = 256 * 1024 * 1024;
/** An object unpacks to some four times its size; its largest output is in memory beside it. */
const UNPACKED_FACTOR = 6;

/** A definite 404 is remembered for so long: another machine may be storing it now. */
const ABSENT_LASTS_MS = 30_000;

export interface TransferOptions {
  readonly store: Store;
  readonly remote: Remote;
  readonly concurrency: number;
  /** The cap of the store, when one is set. */
  readonly maxSizeBytes: number | undefined;
  readonly log: (line: string) => void;
}

export interface TransferCounts {
  entries: number;
  prefetched: number;
  absent: number;
  refused: number;
  newBytes: number;
}

export class Transfers {
  readonly counts: TransferCounts = { entries: 0, prefetched: 0, absent: 0, refused: 0, newBytes: 0 };
  readonly #options: TransferOptions;
  readonly #gate: Gate;
  /** One thread unpacks: others at the same time would only make everybody wait, also who asks for a hit. */
  readonly #unpacking = new Gate(1);
  readonly #memory = new ByteBudget(MEMORY_BYTES);
  readonly #entries = new Map<CacheKey, Promise<Availability>>();
  readonly #units = new Map<UnitId, Promise<Availability>>();
  readonly absent = new NegativeMemory(ABSENT_LASTS_MS, 20_000);

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#gate = new Gate(options.concurrency);
  }

  /** Whether the remote has failed to answer. */
  get isOut(): boolean {
    return this.#out || this.#options.remote.read.outage !== undefined;
  }
  #out = false;

  /** Brings an entry into the store. `origin` says who wanted it first. */
  entry(key: CacheKey, origin: 'remote' | 'prefetch'): Promise<Availability> {
    return shared(this.#entries, key, () => this.#fetchEntry(key, origin));
  }

  /** Brings the closures of a unit into the store. */
  unit(unit: UnitId): Promise<Availability> {
    return shared(this.#units, unit, () => this.#fetchUnit(unit));
  }

  /** The entries a build used, or undefined when there is no such list. */
  async build(build: BuildId): Promise<BuildItem[] | undefined> {
    using _place = await this.#gate.enter(true);
    const found = await this.#options.remote.read.get(buildName(build), { maxBytes: MAX_BUILD_BYTES });
    if (found.kind === 'found') return decodeBuild(found.bytes);
    this.#note(buildName(build), found);
    return undefined;
  }

  async #fetchEntry(key: CacheKey, origin: 'remote' | 'prefetch'): Promise<Availability> {
    const { store, remote } = this.#options;
    const name = entryName(key);
    if (hasEntry(store, key)) return 'found';
    if (this.absent.has(name)) return 'absent';
    // Nothing more comes in until eviction has kept up.
    if (isEvictionBehind(store, this.#options.maxSizeBytes)) return 'later';
    using _place = await this.#gate.enter(origin === 'remote');
    using room = new Reservation(this.#memory);
    const found = await remote.read.get(name, {
      maxBytes: MAX_PACK_BYTES,
      ahead: origin === 'prefetch',
      admit: (sizeBytes) => room.reserve(sizeBytes * UNPACKED_FACTOR),
    });
    if (found.kind !== 'found') return this.#note(name, found);
    using _turn = await this.#unpacking.enter(origin === 'remote');
    try {
      const imported = await importEntry(store, { key, origin }, found.bytes);
      if (imported.kind === 'refused') {
        this.#options.log(`refused ${name}: ${imported.why}`);
        this.counts.refused++;
        this.absent.add(name);
        return 'absent';
      }
      this.counts.entries++;
      if (origin === 'prefetch') this.counts.prefetched++;
      this.counts.newBytes += imported.newBytes;
      store.noteWritten(imported.newBytes);
      return 'found';
    } catch (error) {
      // A full disk: the compile goes on without, and so do the others.
      if (!isOsError(error)) throw error;
      this.#options.log(`cannot store ${name}: ${error.message}`);
      return 'later';
    }
  }

  async #fetchUnit(unit: UnitId): Promise<Availability> {
    const { store } = this.#options;
    const record = await this.readUnit(unit, true);
    if (typeof record === 'string') return record;
    if (record.closures.length === 0) return 'absent';
    try {
      recordForeignClosures(store, unit, record.closures.slice(0, 8));
    } catch (error) {
      if (!isOsError(error)) throw error;
      return 'later';
    }
    const [only] = record.keys;
    // One key is the one that will be asked for next: it is on its way while the caller computes it.
    if (only !== undefined && record.keys.length === 1) void this.entry(only, 'remote');
    return 'found';
  }

  /** What the remote has recorded for a unit. */
  async readUnit(unit: UnitId, urgent: boolean): Promise<UnitRecord | 'absent' | 'later'> {
    const name = unitName(unit);
    if (this.absent.has(name)) return 'absent';
    using _place = await this.#gate.enter(urgent);
    const found = await this.#options.remote.read.get(name, { maxBytes: MAX_UNIT_BYTES });
    if (found.kind !== 'found') return this.#note(name, found);
    const record = decodeUnit(found.bytes);
    if (record === undefined) {
      this.counts.refused++;
      this.#options.log(`refused ${name}: not understood`);
      return 'absent';
    }
    return record;
  }

  #note(name: string, failure: Failure): 'absent' | 'later' {
    if (failure.kind === 'not-found') {
      this.counts.absent++;
      this.absent.add(name);
      return 'absent';
    }
    this.#options.log(`cannot get ${name}: ${failure.kind}, ${describeFailure(failure)}`);
    if (isOutage(failure)) {
      this.#out = true;
      return 'later';
    }
    this.absent.add(name);
    return 'absent';
  }
}

/** One run for all who want the same at the same time. */
function shared<K, V>(running: Map<K, Promise<V>>, name: K, run: () => Promise<V>): Promise<V> {
  const known = running.get(name);
  if (known !== undefined) return known;
  const started = run().finally(() => running.delete(name));
  running.set(name, started);
  return started;
}

/** Memory that is taken when the size is known, and given back at the end of the scope. */
class Reservation implements Disposable {
  readonly #budget: ByteBudget;
  #taken: Disposable | undefined;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  async reserve(bytes: number): Promise<void> {
    this.#taken ??= await this.#budget.take(bytes);
  }

  [Symbol.dispose](): void {
    this.#taken?.[Symbol.dispose]();
  }
}
