// The rows of the Build tab: a heading for each build, and the calls of those that are unfolded. Pure.
import { reasonOfRun } from '../cli/script-runs.ts';
import { type CompileEvent, type EventResult, isScriptRun } from '../core/events.ts';
import { type Build, isTrial } from '../store/builds.ts';

export type BuildRow =
  | { readonly kind: 'build'; readonly id: string; readonly build: Build; readonly isOpen: boolean }
  | { readonly kind: 'event'; readonly id: CompileEvent; readonly event: CompileEvent };

/** What `f` goes through. */
export const FILTERS = ['all', 'hits', 'misses', 'not stored', 'failed', 'passed'] as const;
export type Filter = (typeof FILTERS)[number];

const SHOWN: Readonly<Record<Exclude<Filter, 'all'>, readonly EventResult[]>> = {
  hits: ['local_hit', 'prefetch_hit', 'remote_hit'],
  misses: ['miss', 'dup'],
  'not stored': ['skipped'],
  failed: ['error'],
  passed: ['passthrough'],
};

export interface Choice {
  readonly filter: Filter;
  readonly search: string;
  /** Builds that were folded or unfolded by hand, by their row's id. */
  readonly folds: ReadonlyMap<string, boolean>;
}

/** Questions such as `rustc -vV` are no compiles: they are counted nowhere and shown nowhere. */
const isCompile = (event: CompileEvent): boolean => event.out_dir !== undefined;

function isChosen(
  event: CompileEvent,
  { filter, search }: { filter: Filter; search: RegExp | undefined },
): boolean {
  if (!isCompile(event)) return false;
  if (filter === 'failed' && !isFailure(event)) return false;
  if (filter !== 'all' && !SHOWN[filter].includes(event.result)) return false;
  return search === undefined || matches(event, search);
}

/** Searches what a row shows: crate, version, outcome, reason. */
function matches(event: CompileEvent, wanted: RegExp): boolean {
  const { crate_name, crate_version = '', reason = '', passthrough_reason = '', result } = event;
  return (
    wanted.test(crate_name) ||
    wanted.test(crate_version) ||
    wanted.test(reason) ||
    wanted.test(passthrough_reason) ||
    wanted.test(result)
  );
}

/** The text itself, in either case; a quarter of the time that lower-casing every field would take. */
const literally = (text: string): RegExp => new RegExp(text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'i');

/** The same build has the same id while calls are added to it. */
const idOf = (build: Build): string => `${build.pid} ${build.events[0]?.ts}`;

/** Newest build first, and in each the newest call first. Only the newest is unfolded, or all when something is looked for. */
export function buildRows(builds: readonly Build[], choice: Choice): BuildRow[] {
  const rows: BuildRow[] = [];
  const wanted = {
    filter: choice.filter,
    search: choice.search === '' ? undefined : literally(choice.search),
  };
  const isNarrowed = choice.filter !== 'all' || choice.search !== '';
  for (const build of builds) {
    const id = idOf(build);
    const isOpen = choice.folds.get(id) ?? (isNarrowed || build === builds[0]);
    const heading = rows.length;
    rows.push({ kind: 'build', id, build, isOpen });
    if (!isOpen) {
      if (isNarrowed && !build.events.some((event) => isChosen(event, wanted))) rows.pop();
      continue;
    }
    for (let at = build.events.length - 1; at >= 0; at--) {
      const event = build.events[at];
      if (event !== undefined && isChosen(event, wanted)) rows.push({ kind: 'event', id: event, event });
    }
    if (isNarrowed && rows.length === heading + 1) rows.pop();
  }
  return rows;
}

const OUTCOMES: Readonly<Record<EventResult, string>> = {
  local_hit: '✓ hit',
  prefetch_hit: '✓ prefetch',
  remote_hit: '✓ remote',
  dup: '● dup',
  miss: '● miss',
  error: '✗ failed',
  skipped: '! unstored',
  passthrough: '– passed',
};

/** A failure of what a build script only tried is the answer to its question. */
export const isFailure = (event: CompileEvent): boolean => event.result === 'error' && !isTrial(event);

export const outcomeOf = (event: CompileEvent): string =>
  event.result === 'error' && !isFailure(event) ? '– refused' : (OUTCOMES[event.result] ?? event.result);

/** Why it ended so, in words; empty where there is nothing to say. */
export function reasonOf(event: CompileEvent): string {
  if (isScriptRun(event)) return reasonOfRun(event);
  const reason = event.passthrough_reason ?? event.reason ?? '';
  return reason.slice(reason.indexOf('|') + 1).replaceAll('-', ' ');
}

/** What a call compiled, as one calls it: build scripts all have the same crate name. */
export function titleOf(
  event: Pick<CompileEvent, 'crate_name' | 'root' | 'crate_types' | 'out_dir'>,
): string {
  const name = event.crate_name === '' ? '?' : event.crate_name;
  if (isScriptRun(event)) return `${name} (script run)`;
  if (isTrial(event)) return `${name} (a build script's try)`;
  if (name.startsWith('build_script_')) {
    const folder = /\/(?:registry\/src|git\/checkouts)\/.*?\/([^/]+?)(?:-\d[^/]*)?$/.exec(
      event.root ?? '',
    )?.[1];
    return folder === undefined ? 'build script' : `${folder} build script`;
  }
  const kind = event.crate_types;
  return kind === 'bin' || kind === 'test' || kind === 'proc-macro' ? `${name} (${kind})` : name;
}

/** What the hit saved, in milliseconds; undefined where nothing was saved. */
export const savedMs = (event: CompileEvent): number | undefined =>
  event.result.endsWith('_hit') ? Math.max(0, (event.compile_ms ?? 0) - event.elapsed_ms) : undefined;
