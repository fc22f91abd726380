// Why a compile missed: found by comparing it with the nearest earlier one in what the store and the log still know,
// and by following changed dependencies down to the crate where the change began.
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import type { CacheKey, UnitId } from '../core/ids.ts';
import { crateOfFile } from '../rustc/outputs.ts';
import { isTrial, startOf } from '../store/builds.ts';
import { readUnit } from '../store/closures.ts';
import { type Entry, type EntryInputs, readEntry, readEntryInputs } from '../store/entries.ts';
import { takeInventory } from '../store/inventory.ts';
import type { Store } from '../store/store.ts';
import { readAttempt, readUnstoredInputs } from '../store/unstored.ts';
import {
  type CauseKind,
  type Difference,
  differences,
  type ExternDifference,
  isExtern,
} from './miss-causes.ts';
import { reasonOfRun } from './script-runs.ts';

export interface Cause {
  /** Whose input it is. */
  readonly crate: string;
  readonly difference: Difference;
}

export interface Explanation {
  readonly event: CompileEvent;
  /** The earlier compile it was held against; undefined when there is none. */
  readonly comparedWith: Compared | undefined;
  /** In what the crate itself differs, the most telling first. */
  readonly differences: readonly Difference[];
  /** The crates that lead from the crate to its first cause, itself first. */
  readonly chain: readonly string[];
  readonly cause: Cause;
}

export interface Compared {
  readonly key: CacheKey;
  /** When that compile ended, milliseconds since the epoch. */
  readonly ts: number;
  /** Whether only inputs differ, and neither flags nor compiler. */
  readonly sameUnit: boolean;
  readonly version: string;
}

/** Calls that were looked up and compiled. */
export const wasCompiled = (event: CompileEvent): boolean =>
  event.result === 'miss' ||
  event.result === 'dup' ||
  ((event.result === 'error' || event.result === 'skipped') && event.unit_id !== undefined);

interface Candidate extends Compared {
  readonly inputs: EntryInputs;
}

interface Found {
  readonly chain: readonly string[];
  readonly cause: Cause;
}

/** More earlier compiles than this of one unit, or of one crate, are not looked at. */
const MAX_CANDIDATES = 24;

/** Everything that is still known of earlier compiles. */
export class History {
  readonly #store: Store;
  readonly #entries: () => readonly Entry[];
  readonly #byCrate: ReadonlyMap<string, readonly CompileEvent[]>;
  readonly #inputs = new Map<CacheKey, EntryInputs | undefined>();
  readonly #outputs = new Map<CacheKey, readonly string[]>();
  readonly #explained = new Map<CompileEvent, Explanation>();
  #makers: ReadonlyMap<string, CacheKey> | undefined;

  /** `events`: the whole log, oldest first; `entries`: all that the store has, asked for when the log does not tell. */
  constructor(
    store: Store,
    events: readonly CompileEvent[],
    entries = (): readonly Entry[] => takeInventory(store).entries.flatMap(({ entry }) => entry ?? []),
  ) {
    this.#store = store;
    this.#entries = entries;
    this.#byCrate = Map.groupBy(events, ({ crate_name }) => crate_name);
  }

  /** Why `event`, a call for which {@link wasCompiled} holds, was no hit. */
  explain(event: CompileEvent): Explanation {
    const known = this.#explained.get(event);
    if (known !== undefined) return known;
    const explanation = this.#explain(event);
    this.#explained.set(event, explanation);
    return explanation;
  }

  #explain(event: CompileEvent): Explanation {
    const given = this.#without(event);
    if (given !== undefined) return given;
    const recorded = this.#inputsOf(event);
    if (recorded === undefined) return settled(event, 'not-recorded', goneText(event));
    const { nearest, wereThere } = this.#nearest(event, recorded.inputs);
    if (nearest === undefined)
      return wereThere
        ? settled(event, 'not-recorded', 'the entries of its earlier compiles are gone')
        : settled(event, 'first-compile', `${isScriptRun(event) ? 'run' : 'compiled'} for the first time`);
    const before = recorded.complete ? nearest.inputs : withoutSources(nearest.inputs);
    const found = versioned(differences(before, recorded.inputs), nearest.version, event.crate_version);
    const { key, ts, sameUnit, version } = nearest;
    const comparedWith = { key, ts, sameUnit, version };
    if (found.length === 0) return { ...settled(event, 'not-recorded', nothingText(recorded)), comparedWith };
    return {
      event,
      comparedWith,
      differences: found,
      ...this.#follow(event.crate_name, found, { at: event, seen: new Set() }),
    };
  }

  /** What needs no comparison. */
  #without(event: CompileEvent): Explanation | undefined {
    const { reason = '', cache_key: key } = event;
    if (isScriptRun(event) && event.result !== 'miss') return settled(event, 'not-kept', reasonOfRun(event));
    if (reason === 'verified')
      return settled(event, 'verified', 'compiled again to verify a hit: no difference');
    if (reason.startsWith('verify'))
      return settled(event, 'verified', `compiled again to verify a hit (${reason})`);
    if (/^(blob|entry)-/.test(reason))
      return settled(event, 'damaged', `the stored entry was not whole (${reason})`);
    // What is not stored can come round again without having been evicted.
    const isStored = key !== undefined && event.result !== 'passthrough';
    const wasThere = (other: CompileEvent): boolean =>
      other.cache_key === key && other !== event && other.ts <= startOf(event);
    return isStored && this.#byCrate.get(event.crate_name)?.some(wasThere) === true
      ? settled(event, 'evicted', 'stored before, and evicted or purged since')
      : undefined;
  }

  #inputsOf(event: CompileEvent): { inputs: EntryInputs; complete: boolean } | undefined {
    if (event.cache_key !== undefined) {
      const inputs = this.#inputsBehind(event.cache_key as CacheKey);
      return inputs === undefined ? undefined : { inputs, complete: true };
    }
    const { unit_id: unit, out_dir: outDir } = event;
    if (unit === undefined || outDir === undefined) return undefined;
    const attempt = readAttempt(this.#store, unit as UnitId, outDir);
    return attempt?.startedMs === startOf(event) ? attempt : undefined;
  }

  #inputsBehind(key: CacheKey): EntryInputs | undefined {
    if (!this.#inputs.has(key))
      this.#inputs.set(key, readEntryInputs(this.#store, key) ?? readUnstoredInputs(this.#store, key));
    return this.#inputs.get(key);
  }

  /** The earlier compile that differs least: of the same unit, else of the same version, else of the same crate. */
  #nearest(event: CompileEvent, inputs: EntryInputs): { nearest: Candidate | undefined; wereThere: boolean } {
    const earlier = this.#earlier(event);
    let nearest: (Candidate & { rank: number }) | undefined;
    for (const one of earlier) {
      const recorded = this.#inputsBehind(one.key);
      if (recorded === undefined) continue;
      const rank = kinship(one, event.crate_version ?? '') * 1e6 + differences(recorded, inputs).length;
      if (nearest === undefined || rank < nearest.rank) nearest = { ...one, inputs: recorded, rank };
    }
    return { nearest, wereThere: earlier.length > 0 };
  }

  /** Earlier compiles of the crate, newest first: by the log, and for the unit by what the store recorded itself. */
  #earlier(event: CompileEvent): Compared[] {
    const found = new Map<CacheKey, Compared>();
    let [same, others] = [0, 0];
    const calls = this.#byCrate.get(event.crate_name) ?? [];
    // Several versions of a crate in one build live side by side: none has come in the place of another.
    const beside = new Set(
      calls.flatMap(({ build_pid, crate_version }) =>
        build_pid === event.build_pid ? (crate_version ?? []) : [],
      ),
    );
    for (const other of calls.toReversed()) {
      const key = other.cache_key as CacheKey | undefined;
      if (key === undefined || key === event.cache_key || found.has(key)) continue;
      if (other.ts > startOf(event) || other.crate_types !== event.crate_types) continue;
      const sameUnit = other.unit_id === event.unit_id;
      // Of another unit in the same build nothing can be learnt: both are needed.
      if (!sameUnit && other.build_pid === event.build_pid) continue;
      if (!sameUnit && (isTrial(other) || isTrial(event))) continue;
      if (other.crate_version !== event.crate_version && beside.has(other.crate_version ?? '')) continue;
      if ((sameUnit ? same++ : others++) >= MAX_CANDIDATES) continue;
      found.set(key, { key, ts: other.ts, sameUnit, version: other.crate_version ?? '' });
    }
    const unit = event.unit_id as UnitId | undefined;
    for (const key of unit === undefined ? [] : readUnit(this.#store, unit).keys) {
      const entry = key === event.cache_key || found.has(key) ? undefined : readEntry(this.#store, key);
      if (entry !== undefined && entry.createdMs <= startOf(event))
        found.set(key, { key, ts: entry.createdMs, sameUnit: true, version: entry.crateVersion });
    }
    return [...found.values()];
  }

  /** From a crate's differences to where the change began. */
  #follow(
    crate: string,
    found: readonly Difference[],
    way: { at: CompileEvent; seen: ReadonlySet<string> },
  ): Found {
    const [first] = found;
    if (first === undefined) throw new Error('nothing to follow');
    let last: Found = { chain: [crate], cause: { crate, difference: first } };
    if (!isExtern(first)) return last;
    for (const extern of found.filter(isExtern)) {
      const deeper = this.#behind(extern, way);
      if (deeper === undefined) continue;
      last = { chain: [crate, ...deeper.chain], cause: deeper.cause };
      if (deeper.cause.difference.kind !== 'not-recorded') return last;
    }
    return last;
  }

  /** Why an extern is another than before; undefined when it is new, gone, or was looked at on the way here. */
  #behind(extern: ExternDifference, way: { at: CompileEvent; seen: ReadonlySet<string> }): Found | undefined {
    const { before, now, file } = extern;
    if (before === undefined || now === undefined || way.seen.has(now)) return undefined;
    const crate = crateOfFile(file) || extern.what;
    const end = (kind: CauseKind, what: string): Found => ({
      chain: [crate],
      cause: { crate, difference: { kind, what, how: '' } },
    });
    const key = this.#maker(crate, now, way.at);
    const oldKey = this.#maker(crate, before, way.at);
    if (key === undefined)
      return end('not-recorded', `${crate} changed; what it was made from is not recorded`);
    if (key === oldKey) return end('not-reproducible', `${crate} came out different from the same inputs`);
    const event = this.#byCrate.get(crate)?.findLast(({ cache_key }) => cache_key === key);
    const [inputs, old] = [
      this.#inputsBehind(key),
      oldKey === undefined ? undefined : this.#inputsBehind(oldKey),
    ];
    const next = { at: event ?? way.at, seen: new Set([...way.seen, now]) };
    if (inputs !== undefined && old !== undefined) {
      const versionOf = (one: CacheKey | undefined): string | undefined =>
        this.#byCrate.get(crate)?.find(({ cache_key }) => cache_key === one)?.crate_version;
      const found = versioned(differences(old, inputs), versionOf(oldKey), versionOf(key));
      if (found.length > 0) return this.#follow(crate, found, next);
    }
    if (event === undefined || !(wasCompiled(event) || event.result === 'passthrough'))
      return end('not-recorded', `${crate} changed; what it was made from before is gone`);
    const { chain, cause } = this.explain(event);
    return { chain, cause };
  }

  /** The key of the compile that made a library of this identity. */
  #maker(crate: string, identity: string, at: CompileEvent): CacheKey | undefined {
    const near = (this.#byCrate.get(crate) ?? [])
      .filter(({ cache_key }) => cache_key !== undefined)
      .sort((a, b) => Math.abs(a.ts - at.ts) - Math.abs(b.ts - at.ts))
      .map(({ cache_key }) => cache_key as CacheKey);
    const linked = identityKey(identity);
    if (linked !== undefined)
      return near.find((key) => this.#inputsBehind(key)?.identity === linked) ?? linked;
    const known = near.find((key) => this.#outputsOf(key).includes(identity));
    if (known !== undefined) return known;
    this.#makers ??= new Map(
      this.#entries().flatMap(({ key, outputs }) =>
        outputs.map(({ blob }): [string, CacheKey] => [blob, key]),
      ),
    );
    return this.#makers.get(identity);
  }

  #outputsOf(key: CacheKey): readonly string[] {
    const known = this.#outputs.get(key);
    if (known !== undefined) return known;
    const blobs = (readEntry(this.#store, key)?.outputs ?? []).map(({ blob }): string => blob);
    this.#outputs.set(key, blobs);
    return blobs;
  }
}

/** How near an earlier compile is: the unit itself, the version, a version Cargo takes for compatible, the crate. */
function kinship({ sameUnit, version }: Compared, now: string): number {
  if (sameUnit) return 0;
  if (version === now) return 1;
  const compatible = (one: string): string => /^(0\.(?:0\.)?\d+|\d+)/.exec(one)?.[1] ?? one;
  return compatible(version) === compatible(now) ? 2 : 3;
}

/** For a linked output, which stands in keys by what it was made from and not by its bytes. */
const identityKey = (identity: string): CacheKey | undefined =>
  identity.startsWith('key:') ? (identity.slice('key:'.length) as CacheKey) : undefined;

/** A cause that is no difference between two records. */
function settled(event: CompileEvent, kind: CauseKind, what: string): Explanation {
  const cause = { crate: event.crate_name, difference: { kind, what, how: '' } };
  return { event, comparedWith: undefined, differences: [], chain: [event.crate_name], cause };
}

const goneText = (event: CompileEvent): string =>
  event.cache_key === undefined
    ? 'a later attempt has taken the place of its record'
    : 'its entry is gone, and with it what it was made from';

const nothingText = ({ complete }: { complete: boolean }): string =>
  complete
    ? 'nothing that is recorded differs'
    : 'a file or a variable: none of the recorded sets of sources applied any more';

const withoutSources = (inputs: EntryInputs): EntryInputs => ({ ...inputs, files: [], env: [], other: [] });

/** Versions are not in the records of inputs, but in the log. */
const versioned = (found: readonly Difference[], before = '', now = ''): Difference[] =>
  found.map((one) =>
    one.kind === 'version' && before !== '' && now !== '' ? { ...one, how: `${before} -> ${now}` } : one,
  );
