// The chain of calls that bounded the length of a build: from the last one back to what each had to wait for.
import type { CompileEvent } from '../core/events.ts';
import type { CacheKey } from '../core/ids.ts';
import { crateOfFile } from '../rustc/outputs.ts';
import { type Build, startOf } from '../store/builds.ts';
import { type EntryInputs, readEntry, readEntryInputs } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import { readUnstoredInputs } from '../store/unstored.ts';
import { releasedMs } from './lanes.ts';

/** For each call the calls of the same build whose outputs it was given. */
export type Dependencies = ReadonlyMap<CompileEvent, readonly CompileEvent[]>;

/** Dependencies by what the store recorded of externs; for linked outputs by the names in the log. */
export function dependenciesOf(store: Store, build: Build): Dependencies {
  const libraries = build.events.filter((event) =>
    /\b(lib|rlib|dylib|proc-macro)\b/.test(event.crate_types ?? ''),
  );
  const byCrate = Map.groupBy(libraries, ({ crate_name }) => crate_name);
  const scripts = Map.groupBy(build.events.filter(isBuildScript), packageOfScript);
  const makes = (event: CompileEvent, identity: string): boolean => {
    const key = event.cache_key as CacheKey | undefined;
    if (key === undefined) return false;
    if (identity.startsWith('key:')) return inputsOf(store, key)?.identity === identity.slice('key:'.length);
    return readEntry(store, key)?.outputs.some(({ blob }) => blob === identity) === true;
  };
  const found = new Map<CompileEvent, readonly CompileEvent[]>();
  for (const event of build.events) {
    const given = externsOf(store, event).flatMap(({ crate, identity }) => {
      const named = byCrate.get(crate) ?? [];
      return named.length < 2 ? named : narrowed(named, (one) => makes(one, identity));
    });
    const script = isBuildScript(event) ? [] : (scripts.get(event.crate_name) ?? []);
    found.set(event, [...given, ...script.filter((one) => one.crate_version === event.crate_version)]);
  }
  return found;
}

/** Where a crate is there in several versions, the one meant; all of them when that is not known. */
function narrowed(
  named: readonly CompileEvent[],
  matches: (one: CompileEvent) => boolean,
): readonly CompileEvent[] {
  const meant = named.filter(matches);
  return meant.length > 0 ? meant : named;
}

const inputsOf = (store: Store, key: CacheKey): EntryInputs | undefined =>
  readEntryInputs(store, key) ?? readUnstoredInputs(store, key);

function externsOf(store: Store, event: CompileEvent): { crate: string; identity: string }[] {
  const key = event.cache_key as CacheKey | undefined;
  const inputs = key === undefined ? undefined : inputsOf(store, key);
  if (inputs === undefined) return (event.externs ?? []).map((crate) => ({ crate, identity: '' }));
  return inputs.externs.map(([, identity, file]) => ({ crate: crateOfFile(file), identity }));
}

const isBuildScript = ({ crate_name: name }: CompileEvent): boolean => name.startsWith('build_script_');

/** Cargo compiles the script of package `a-b` in `build/a-b-<hash>`. */
const packageOfScript = ({ out_dir = '' }: CompileEvent): string => crateOfFile(out_dir).replaceAll('-', '_');

export interface Link {
  readonly event: CompileEvent;
  /** What the call waited for last: the output of the link before it, a free job, or nothing of kache's knowing. */
  readonly after: 'extern' | 'job' | 'start';
  /** Between the moment it could have begun, by that, and its start. */
  readonly gapMs: number;
}

/** A start this soon after its externs were there was caused by them: Cargo takes some milliseconds for its own work. */
const SOON_MS = 30;
/** A build script that runs longer than this is taken for one that ended while its package waited for a job. */
const SCRIPT_MS = 2000;

/** The chain, first call first; empty for a build without calls. */
export function boundingChain(build: Build, dependencies: Dependencies): Link[] {
  const chain: Link[] = [];
  const seen = new Set<CompileEvent>();
  const calls = build.events.filter(({ out_dir }) => out_dir !== undefined);
  let at = calls.reduce<CompileEvent | undefined>(
    (last, event) => (last === undefined || event.ts > last.ts ? event : last),
    undefined,
  );
  while (at !== undefined && !seen.has(at)) {
    const event = at;
    seen.add(event);
    const before = waitedFor(event, calls, dependencies);
    const from = before === undefined ? build.startedMs : Math.min(startOf(event), before.untilMs);
    chain.unshift({ event, after: before?.after ?? 'start', gapMs: startOf(event) - from });
    at = before?.event;
  }
  return chain;
}

interface Before {
  readonly event: CompileEvent;
  readonly after: 'extern' | 'job';
  readonly untilMs: number;
}

/**
 * The last of its externs to be ready; when it began long after that, whoever ended last before it and freed a job. A
 * build script runs between its own compile and that of its package, unseen: it is given some time.
 */
function waitedFor(
  event: CompileEvent,
  calls: readonly CompileEvent[],
  dependencies: Dependencies,
): Before | undefined {
  const start = startOf(event);
  let before: Before | undefined;
  for (const one of dependencies.get(event) ?? []) {
    if (startOf(one) > start) continue;
    const untilMs = releasedMs(one, event);
    if (before === undefined || untilMs > before.untilMs) before = { event: one, after: 'extern', untilMs };
  }
  const patience = before !== undefined && isBuildScript(before.event) ? SCRIPT_MS : SOON_MS;
  if (before !== undefined && start - before.untilMs <= patience) return before;
  let freed: CompileEvent | undefined;
  for (const one of calls) if (one !== event && one.ts <= start && one.ts > (freed?.ts ?? 0)) freed = one;
  if (freed === undefined || freed.ts <= (before?.untilMs ?? 0)) return before;
  const after = dependencies.get(event)?.includes(freed) ? 'extern' : 'job';
  return { event: freed, after, untilMs: freed.ts };
}
