// `why-miss`: which input made a crate miss, or what made the last build miss as a whole, with what each cause cost.
import { KacheError } from '../core/errors.ts';
import { type CompileEvent, isScriptRun } from '../core/events.ts';
import { type Build, buildsOf, newestBuild } from '../store/builds.ts';
import { readEvents } from '../store/event-log.ts';
import { type Cause, type Explanation, History, wasCompiled } from './explain.ts';
import { describeDifference } from './miss-causes.ts';
import { openHere } from './open.ts';
import { isHit } from './summary.ts';
import { formatMs, formatTime, plural, print, printJson, style, table } from './terminal.ts';

/** One cause with everything it made miss. */
export interface CauseTotal {
  readonly cause: string;
  readonly kind: string;
  readonly crates: readonly string[];
  readonly compile_ms: number;
}

/** Causes in which the crate says nothing: they are one however many crates have them. */
const COMMON = new Set([
  'first-compile',
  'evicted',
  'toolchain',
  'linker',
  'verified',
  'profile',
  'flag',
  'env',
  'processor',
  'setting',
  'kache',
  'not-kept',
]);

export const describeCause = ({ crate, difference }: Cause): string => {
  const text = describeDifference(difference, crate);
  return COMMON.has(difference.kind) || text.includes(crate) ? text : `${text} (${crate})`;
};

/** Causes with how many crates and how much compile time each cost, the dearest first. */
export function totalCauses(explanations: readonly Explanation[]): CauseTotal[] {
  const groups = Map.groupBy(explanations, ({ cause }) => describeCause(cause));
  return [...groups]
    .map(([cause, list]) => ({
      cause,
      kind: list[0]?.cause.difference.kind ?? '',
      crates: list.map(({ event }) => event.crate_name),
      compile_ms: Math.round(list.reduce((sum, { event }) => sum + (event.compile_ms ?? 0), 0)),
    }))
    .sort((a, b) => b.compile_ms - a.compile_ms);
}

/** `kache why-miss [crate] [--json]`. */
export function whyMiss(crate: string | undefined, options: { json?: boolean }): void {
  const store = openHere();
  const events = readEvents(store);
  const history = new History(store, events);
  if (crate === undefined) wholeBuild(history, newestBuild(events), options);
  else oneCrate(history, events, { ...options, crate: crate.replaceAll('-', '_') });
}

function wholeBuild(history: History, build: Build | undefined, options: { json?: boolean }): void {
  if (build === undefined)
    throw new KacheError('no-builds', 'Cannot explain the last build: no build is in the log.', {
      hint: 'Build something with `kache cargo build`, or see `kache doctor` if you did.',
    });
  const [runs, calls] = [build.events.filter(isScriptRun), build.events.filter((one) => !isScriptRun(one))];
  const [explanations, ofRuns] = [calls, runs].map((events) =>
    events.filter(wasCompiled).map((event) => history.explain(event)),
  ) as [Explanation[], Explanation[]];
  const causes = totalCauses(explanations);
  if (options.json === true) {
    const misses = explanations.map(toJson);
    printJson({ build: describeBuild(build), causes, misses, script_runs: ofRuns.map(toJson) });
    return;
  }
  const hits = calls.filter(isHit).length;
  print(style.bold(`The build of ${formatTime(build.startedMs)} in ${build.root}`));
  if (explanations.length === 0) {
    const passed = calls.length - hits;
    print(
      `Nothing missed: ${plural(hits, 'crate')} from the store, ${plural(passed, 'call')} not looked up.`,
    );
    showRuns(ofRuns);
    return;
  }
  const ms = causes.reduce((sum, { compile_ms }) => sum + compile_ms, 0);
  print(`${plural(explanations.length, 'crate')} compiled in ${formatMs(ms)}, ${hits} from the store\n`);
  const rows = causes.map(({ cause, crates, compile_ms }) => [
    `${crates.length}`,
    formatMs(compile_ms),
    cause,
    namesOf(crates),
  ]);
  print(table([['crates', 'compile', 'first cause', 'which'], ...rows], [0, 1]));
  showRuns(ofRuns);
  print('\n`kache why-miss <crate>` shows how each came about.');
}

/** Build scripts that were run, and why. */
function showRuns(explanations: readonly Explanation[]): void {
  if (explanations.length === 0) return;
  const rows = explanations.map(({ event, cause }) => [
    event.crate_name,
    formatMs(event.compile_ms ?? 0),
    describeCause(cause),
  ]);
  print('');
  print(table([['build script', 'run', 'first cause'], ...rows], [1]));
}

const namesOf = (crates: readonly string[]): string =>
  crates.length <= 4 ? crates.join(', ') : `${crates.slice(0, 3).join(', ')} and ${crates.length - 3} more`;

const describeBuild = ({ root, profile, startedMs, endedMs, pid }: Build) => ({
  root,
  profile,
  started_at: new Date(startedMs).toISOString(),
  duration_ms: endedMs - startedMs,
  pid,
});

interface CrateOptions {
  readonly crate: string;
  readonly json?: boolean;
}

function oneCrate(history: History, events: readonly CompileEvent[], options: CrateOptions): void {
  const { crate } = options;
  const calls = events.filter(({ crate_name }) => crate_name === crate);
  const newest = calls.findLast(wasCompiled);
  if (newest === undefined) throw neverMissed(crate, calls);
  // A build may compile a crate in several versions, and as a test.
  const build = buildsOf(events).findLast((one) => one.events.includes(newest));
  const misses = (build?.events ?? [newest]).filter((one) => one.crate_name === crate && wasCompiled(one));
  const explanations = misses.map((event) => history.explain(event));
  if (options.json === true) {
    const causes = totalCauses(explanations);
    const described = build === undefined ? null : describeBuild(build);
    printJson({ build: described, causes, misses: explanations.map(toJson) });
    return;
  }
  for (const explanation of explanations) show(explanation);
  const since = calls.filter((one) => isHit(one) && one.ts > newest.ts && one.unit_id === newest.unit_id);
  if (since.length > 0) print(`It has come from the store ${plural(since.length, 'time')} since.`);
}

function neverMissed(crate: string, calls: readonly CompileEvent[]): KacheError {
  const last = calls.at(-1);
  if (last === undefined)
    return new KacheError('unknown-crate', `Cannot explain "${crate}": no compile of it is in the log.`, {
      hint: 'The name is that of the crate, as `kache list` and `kache report` show it.',
    });
  if (isHit(last))
    return new KacheError(
      'no-miss',
      `Cannot explain "${crate}": it has not missed as far as the log goes back.`,
    );
  return new KacheError('not-looked-up', `Cannot explain "${crate}": ${passedText(last)}.`, {
    hint: '`kache report --format json` has the reason of every call.',
  });
}

const passedText = ({ passthrough_reason: reason = '' }: CompileEvent): string =>
  reason === 'policy|linked-output'
    ? 'it is linked, and linked outputs are compiled in place by default'
    : `it was not looked up (${reason})`;

/** No more differences than this are written out for one crate. */
const MAX_SHOWN = 6;

function show(explanation: Explanation): void {
  const { event, comparedWith, chain, cause } = explanation;
  const version = event.crate_version === undefined ? '' : ` ${event.crate_version}`;
  print(style.bold(`${event.crate_name}${version} (${event.crate_types ?? '?'})`));
  print(
    `  ${formatTime(event.ts)}: ${formatMs(event.compile_ms ?? 0)} of ${isScriptRun(event) ? 'running' : 'compiling'}, ${outcomeText(event)}`,
  );
  if (comparedWith !== undefined) {
    const how = comparedWith.sameUnit ? 'same flags and compiler' : 'other flags, version or compiler';
    print(`  compared with its state of ${formatTime(comparedWith.ts)} (${how})`);
  }
  const shown = explanation.differences.slice(0, MAX_SHOWN);
  for (const difference of shown) print(`    ${describeDifference(difference, event.crate_name)}`);
  const more = explanation.differences.length - shown.length;
  if (more > 0) print(`    and ${more} more`);
  if (chain.length > 1) print(`  by way of ${chain.join(' <- ')}`);
  print(`  ${style.yellow('first cause:')} ${describeCause(cause)}\n`);
}

function outcomeText(event: CompileEvent): string {
  const { result, reason } = event;
  if (isScriptRun(event) && result !== 'miss') return 'not stored';
  if (result === 'dup') return 'which made what the store had already';
  if (result === 'error') return 'which failed, so nothing was stored';
  return result === 'skipped' ? `not stored: ${reason}` : 'stored';
}

/** The form of `--json`, and of the misses in reports. */
export function toJson(explanation: Explanation) {
  const { event, comparedWith, chain, cause } = explanation;
  return {
    crate_name: event.crate_name,
    crate_version: event.crate_version ?? null,
    crate_types: event.crate_types ?? null,
    result: event.result,
    reason: event.reason ?? null,
    compile_ms: event.compile_ms ?? 0,
    compared_with:
      comparedWith === undefined
        ? null
        : {
            cache_key: comparedWith.key,
            crate_version: comparedWith.version,
            at: new Date(comparedWith.ts).toISOString(),
            same_unit: comparedWith.sameUnit,
          },
    differences: explanation.differences.map(({ kind, what, how }) => ({ kind, what, how })),
    chain,
    cause: {
      kind: cause.difference.kind,
      crate_name: cause.crate,
      what: cause.difference.what,
      how: cause.difference.how,
      text: describeCause(cause),
    },
  };
}
