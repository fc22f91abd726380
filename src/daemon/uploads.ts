// Uploads: a queue of keys on disk, one empty file each, made by the wrapper when it has stored something. A file goes
// when its entry is in the remote, so whatever ends the daemon loses nothing.
import { type CacheKey, parseDigest, type UnitId } from '../core/ids.ts';
import { describeFailure, type Failure, isOutage, type Outage } from '../remote/backend.ts';
import { entryName, unitName } from '../remote/names.ts';
import type { Remote } from '../remote/open.ts';
import { decodeUnit, encodeUnit, MAX_UNIT_BYTES, mergeUnits } from '../remote/unit-object.ts';
import type { Closure } from '../store/closures.ts';
import { readEntry, readEntryClosure } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import { bestEffort, listDirectory, removeFile } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { tryLock } from '../sys/lock.ts';
import { exportEntry } from './exchange.ts';
import { Gate } from './limits.ts';

export interface UploadOptions {
  readonly store: Store;
  readonly remote: Remote;
  readonly folder: string;
  readonly compressionLevel: number;
  readonly log: (line: string) => void;
}

export interface UploadCounts {
  uploaded: number;
  present: number;
  dropped: number;
  bytes: number;
}

/** At once: each holds one entry in memory, packed and one output unpacked. */
const UPLOADS_AT_ONCE = 4;

export type Drained =
  | { readonly kind: 'empty' }
  /** The remote does not take it: what is left stays queued. */
  | { readonly kind: 'stopped'; readonly why: Outage };

export class Uploads {
  readonly counts: UploadCounts = { uploaded: 0, present: 0, dropped: 0, bytes: 0 };
  readonly #options: UploadOptions;
  readonly #gate = new Gate(UPLOADS_AT_ONCE);

  constructor(options: UploadOptions) {
    this.#options = options;
  }

  /** Keys in the queue, in the order of the file system. */
  queued(): CacheKey[] {
    return (listDirectory(this.#options.folder) ?? []).flatMap(
      ({ name }) => parseDigest<CacheKey>(name) ?? [],
    );
  }

  /** Uploads what is queued now; ends early when the remote is out. `isDone` is asked before each. */
  async drain(isDone: () => boolean = () => false, onStep: () => void = () => {}): Promise<Drained> {
    let stopped: Outage | undefined;
    const one = async (key: CacheKey): Promise<void> => {
      using _place = await this.#gate.enter(false);
      if (stopped !== undefined || isDone()) return;
      // Another process may be at it: then it is its.
      using lock = tryLock(this.#options.store.layout.lock(sha256(`upload ${key}`)));
      if (lock === undefined) return;
      const failure = await this.upload(key);
      if (failure !== undefined) stopped ??= failure;
      else bestEffort(() => removeFile(`${this.#options.folder}/${key}`));
      onStep();
    };
    await Promise.all(this.queued().map(one));
    return stopped === undefined ? { kind: 'empty' } : { kind: 'stopped', why: stopped };
  }

  /** Undefined when the entry is in the remote, or can never be. */
  async upload(key: CacheKey): Promise<Outage | undefined> {
    const { store, remote, compressionLevel } = this.#options;
    const name = entryName(key);
    const [entry, closure] = [readEntry(store, key), readEntryClosure(store, key)];
    if (entry === undefined || closure === undefined) {
      this.counts.dropped++;
      return undefined;
    }
    const known = await remote.write.has(name);
    if (isOutage(known)) return known;
    if (known.kind === 'done') this.counts.present++;
    else {
      const exported = await exportEntry(store, key, compressionLevel);
      if (exported === undefined) {
        this.counts.dropped++;
        return undefined;
      }
      const put = await remote.write.put(name, exported, { ifAbsent: true });
      if (isOutage(put)) return this.#failed(name, put);
      if (put.kind === 'corrupt') return this.#failed(name, { ...put, kind: 'denied' });
      if (put.kind === 'done') {
        this.counts.uploaded++;
        this.counts.bytes += exported.length;
      } else this.counts.present++;
    }
    // The entry first: whoever reads the closure may ask for it at once.
    return this.#addToUnit(entry.unit, { closure, key });
  }

  /**
   * Reads, merges, writes. Of two machines that do so at the same moment one closure may be lost: its entry is then not
   * found by those who have never compiled the unit, which costs a compile and nothing else.
   */
  async #addToUnit(
    unit: UnitId,
    added: { readonly closure: Closure; readonly key: CacheKey },
  ): Promise<Outage | undefined> {
    const { write } = this.#options.remote;
    const name = unitName(unit);
    const found = await write.get(name, { maxBytes: MAX_UNIT_BYTES });
    if (isOutage(found)) return this.#failed(name, found);
    const before = found.kind === 'found' ? decodeUnit(found.bytes) : undefined;
    const merged = mergeUnits(before ?? { closures: [], keys: [] }, added);
    if (merged === undefined) return undefined;
    const put = await write.put(name, encodeUnit(merged), { ifAbsent: found.kind === 'not-found' });
    // Somebody else was first: once more, on top of theirs.
    if (put.kind === 'exists') return this.#addToUnit(unit, added);
    if (isOutage(put)) return this.#failed(name, put);
    return put.kind === 'corrupt' ? this.#failed(name, { ...put, kind: 'denied' }) : undefined;
  }

  #failed<F extends Failure>(name: string, failure: F): F {
    this.#options.log(`cannot put ${name}: ${failure.kind}, ${describeFailure(failure)}`);
    return failure;
  }
}
