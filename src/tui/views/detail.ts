// What `enter` opens: one call, one entry, one target folder, in full. Pure.
import { describeDifference } from '../../cli/miss-causes.ts';
import { type CompileEvent, isScriptRun, SCRIPT_RUN } from '../../core/events.ts';
import { formatBytes, formatMs } from '../../core/quantities.ts';
import type { EntryInputs } from '../../store/entries.ts';
import type { Target } from '../../store/targets.ts';
import { outcomeOf, reasonOf, savedMs, titleOf } from '../build-rows.ts';
import type { EntryDetail, EventDetail } from '../details.ts';
import { widthOfScreen } from '../geometry.ts';
import { bold, dim, facts, fit, type Line, line, printable, span, wrap, yellow } from '../layout.ts';
import type { State } from '../state.ts';
import type { EntryRow } from '../stock.ts';
import { clock } from './build.ts';
import { placeName } from './projects.ts';
import { age } from './store.ts';

/** Local time to the second. */
const moment = (ms: number): string => `${new Date(ms).toLocaleDateString('sv')} ${clock(ms)}`;

/** The whole page of what is open in the current tab; empty when nothing is. */
export function detailLines(state: State): Line[] {
  const width = widthOfScreen(state);
  if (state.tab === 'build' && state.build.opened !== undefined) {
    const { event, detail } = state.build.opened;
    return eventLines(event, detail, width);
  }
  if (state.tab === 'store' && state.store.opened !== undefined) {
    const { row, detail } = state.store.opened;
    return entryLines(row, detail, state);
  }
  if (state.tab === 'projects' && state.projects.opened !== undefined)
    return targetLines(state.projects.opened.target, state);
  return [];
}

type Fact = readonly [name: string, value: string];

function eventLines(event: CompileEvent, detail: EventDetail | undefined, width: number): Line[] {
  const first: Fact[] = [
    ['outcome', `${outcomeOf(event)}${reasonOf(event) === '' ? '' : `: ${reasonOf(event)}`}`],
    ['ended', moment(event.ts)],
    ['took', `${formatMs(event.elapsed_ms)}${phasesOf(event)}`],
    ...optional('asked', event.foreseen, () => 'not yet: put in place before Cargo could'),
    ...optional(isScriptRun(event) ? 'run' : 'compile', event.compile_ms, (ms) => compileOf(event, ms)),
    ...optional('saved', savedMs(event), formatMs),
    ...optional('outputs', event.size_bytes, (bytes) => outputsOf(event, bytes)),
  ];
  const rest: Fact[] = [
    ...optional('types', event.crate_types, String),
    ...optional('in', event.root, String),
    ...optional('out', event.out_dir, String),
    ...optional('key', event.cache_key, String),
    ...optional('unit', event.unit_id, String),
  ];
  const [above, below] = [fitted(first, width), fitted(rest, width)];
  return [
    heading(`${titleOf(event)} ${event.crate_version ?? ''}`),
    ...above,
    ...explanationLines(event, detail, width),
    [],
    line(' Call', bold),
    ...below,
    ...inputLines(detail?.inputs, width),
  ];
}

const outputsOf = ({ stored_bytes: stored }: CompileEvent, bytes: number): string =>
  stored === undefined
    ? formatBytes(bytes)
    : `${formatBytes(bytes)}, ${formatBytes(stored)} of it new to the store`;

const heading = (text: string): Line => line(` ${printable(text.trim())}`, bold);

const optional = <T>(name: string, value: T | undefined, show: (value: T) => string): Fact[] =>
  value === undefined ? [] : [[name, show(value)]];

/** A fact a line; what is longer than the screen loses its front, where paths are least telling. */
function fitted(list: readonly Fact[], width: number): Line[] {
  const names = Math.max(...list.map(([name]) => name.length));
  const room = width - names - 4;
  return facts(
    list.map(([name, value]) => [
      name,
      printable(value).length > room ? fit(printable(value), room, { keep: 'end' }) : printable(value),
    ]),
  );
}

const PHASES = ['key', 'lookup', 'lock', 'restore', 'compile', 'store'] as const;

function phasesOf({ phases = {} }: CompileEvent): string {
  const parts = PHASES.flatMap((name) => {
    const ms = phases[name];
    return ms === undefined || ms < 0.5 ? [] : [`${name} ${formatMs(ms)}`];
  });
  return parts.length === 0 ? '' : `: ${parts.join(', ')}`;
}

const compileOf = ({ compiler_runs: runs, result }: CompileEvent, ms: number): string =>
  runs === 0 && result.endsWith('_hit') ? `${formatMs(ms)} when the entry was made` : formatMs(ms);

/** Why it was compiled: the first cause, the way to it, and what else differs from the nearest earlier compile. */
function explanationLines(
  { crate_name: crate }: CompileEvent,
  detail: EventDetail | undefined,
  width: number,
): Line[] {
  const explanation = detail?.explanation;
  if (explanation === undefined) return [];
  const { cause, chain, comparedWith, differences } = explanation;
  const first = wrap(printable(describeDifference(cause.difference, cause.crate)), width - 16);
  const lines: Line[] = [
    [],
    ...first.map(
      (text, index): Line => [
        span(index === 0 ? ' First cause  ' : '              ', bold),
        span(text, yellow),
      ],
    ),
  ];
  if (chain.length > 1)
    lines.push(
      ...wrap(`by way of ${chain.join(' ← ')}`, width - 16).map((text) => line(`              ${text}`)),
    );
  if (comparedWith === undefined) return lines;
  const how = comparedWith.sameUnit ? 'same flags and compiler' : 'other flags, version or compiler';
  lines.push(
    [],
    [span(' Nearest earlier compile', bold), span(`, ${moment(comparedWith.ts)}, ${how}`, dim)],
    ...differences.flatMap((difference) =>
      wrap(printable(describeDifference(difference, crate)), width - 4).map((text) => line(`   ${text}`)),
    ),
  );
  return lines;
}

/** More of a kind than this are counted, not listed. */
const MAX_LISTED = 200;

/** What went into the key. Values of variables are in no record, and so not here. */
function inputLines(inputs: EntryInputs | undefined, width: number): Line[] {
  if (inputs === undefined) return [];
  const section = (title: string, items: readonly string[]): Line[] =>
    items.length === 0
      ? []
      : [
          [],
          [span(` ${title}`, bold), span(`, ${items.length}`, dim)],
          ...items.slice(0, MAX_LISTED).map((item) => line(`   ${fit(printable(item), width - 4)}`)),
          ...(items.length > MAX_LISTED ? [line(`   and ${items.length - MAX_LISTED} more`, dim)] : []),
        ];
  const hashed = (pairs: readonly (readonly string[])[]): string[] =>
    pairs.map(
      ([name = '', hash = '']) =>
        `${hash.slice(0, 12).padEnd(12)}  ${fit(printable(name), Math.max(10, width - 18), { keep: 'end' }).trimEnd()}`,
    );
  return [
    ...section('Files', hashed(inputs.files)),
    ...section('Dependencies', hashed(inputs.externs)),
    ...section(
      'Unit',
      inputs.unit.map(([name, value]) => `${name}: ${value}`),
    ),
    ...section('Variables', hashed(inputs.env)),
    ...section('Other', hashed(inputs.other)),
    ...section('Flags', inputs.flags),
  ];
}

function entryLines(
  { entry, id, usedMs, evictionRank }: EntryRow,
  detail: EntryDetail | undefined,
  state: State,
): Line[] {
  const width = widthOfScreen(state);
  const { hits, savedMs: saved } = state.events.totals.hitsOn(id);
  const list: Fact[] = [
    ['key', id],
    ['unit', entry.unit],
    ['types', entry.crateTypes],
    [
      'made',
      `${moment(entry.createdMs)}, ${entry.crateTypes === SCRIPT_RUN ? 'run' : 'compiled'} in ${formatMs(entry.compileMs)}`,
    ],
    ['last use', age(state.nowMs - usedMs)],
    ['hits', `${hits}, ${formatMs(saved)} saved`],
    ['eviction', `${evictionRank}. of ${state.store.stock?.rows.length ?? 0} to go`],
    [
      'messages',
      entry.stderr.filter((text) => !text.startsWith('\0')).length === 0 ? 'none' : 'replayed on a hit',
    ],
  ];
  const outputs = entry.outputs.map(({ kind, blob, sizeBytes }, index): Line => {
    const links = detail?.links[index];
    return [
      span(`   ${kind.padEnd(9)} ${fit(formatBytes(sizeBytes), 9, { align: 'right' })}  `),
      span(blob.slice(0, 12), dim),
      span(
        links === undefined
          ? ''
          : links === 0
            ? '  missing: the next look-up is a miss'
            : `  ${namesOf(links)}`,
      ),
    ];
  });
  return [
    heading(`${entry.crateName} ${entry.crateVersion}`),
    ...fitted(list, width),
    [],
    line(' Outputs', bold),
    ...outputs,
    ...inputLines(detail?.inputs, width),
  ];
}

/** One name is the store's own, the others are in target folders. */
const namesOf = (links: number): string =>
  links === 1
    ? 'in the store only, as far as hardlinks go'
    : `hardlinked into ${links - 1} target folder${links === 2 ? '' : 's'}`;

function targetLines(target: Target, { storeRoot, nowMs, columns }: State): Line[] {
  const list: Fact[] = [
    ['files', `${target.files}, ${formatBytes(target.logicalBytes)} by their sizes`],
    ['occupies', formatBytes(target.occupiedBytes)],
    ['shared', formatBytes(target.sharedBytes)],
    ['deleting it frees', formatBytes(target.exclusiveBytes)],
    ['last written', age(nowMs - target.modifiedMs)],
  ];
  const shares = [...target.sharedWith].sort((a, b) => b[1] - a[1]);
  return [
    heading(target.path),
    ...fitted(list, columns),
    [],
    line(' One physical copy, shared with', bold),
    ...(shares.length === 0 ? [line('   nothing')] : []),
    ...shares.map(([path, bytes]): Line => {
      const name = placeName(path, storeRoot);
      const where = name === 'store' || name === 'elsewhere' ? name : path;
      return [
        span(`   ${fit(formatBytes(bytes), 10, { align: 'right' })}  `),
        span(fit(printable(where), Math.max(10, columns - 16), { keep: 'end' }).trimEnd()),
      ];
    }),
  ];
}
