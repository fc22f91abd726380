// From samples to the table of docs/benchmarks.md. Every sentence that holds a figure is made from the figures.
import { release } from 'node:os';
import type { Application } from './applications.ts';
import type { DiskUse } from './disk-use.ts';
import type { HitCost } from './hit-cost.ts';
import { cpuModel, type Phase, type Sample } from './phases.ts';
import type { Tool } from './tools.ts';

export interface Results {
  readonly date: string;
  readonly applications: readonly Application[];
  readonly tools: readonly Tool[];
  readonly missing: readonly string[];
  readonly samples: readonly Sample[];
  readonly hit: HitCost;
  readonly disk: readonly DiskUse[];
}

const median = (values: readonly number[]): number | undefined =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

type Measured = 'seconds' | 'cpuSeconds';

/** The median of one cell, in seconds. */
export function cell(
  results: Results,
  which: { application: string; tool: string; phase: Phase },
): number | undefined {
  const found = results.samples.filter(
    ({ application, tool, phase }) =>
      application === which.application && tool === which.tool && phase === which.phase,
  );
  return median(found.map((sample) => sample.seconds));
}

/** One tool beside another in a phase: the median of what each turn says, for a machine is another one some minutes later. */
export function compared(
  { samples }: Pick<Results, 'samples'>,
  which: { application: string; phase: Phase; tool: string; with: string },
  what: Measured = 'seconds',
): number | undefined {
  const of = (tool: string): Map<number, number> =>
    new Map(
      samples
        .filter(
          (one) => one.application === which.application && one.phase === which.phase && one.tool === tool,
        )
        .map((one) => [one.turn, one[what]]),
    );
  const [own, others] = [of(which.tool), of(which.with)];
  return median(
    [...own].flatMap(([turn, value]) => {
      const other = others.get(turn);
      return other === undefined ? [] : [value / other];
    }),
  );
}

const seconds = (value: number | undefined): string =>
  value === undefined ? '–' : value < 10 ? value.toFixed(2) : value.toFixed(1);
const times = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(2));
const ratio = (a: number | undefined, b: number | undefined): string =>
  a === undefined || b === undefined ? '–' : (a / b).toFixed(2);
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

export function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  return [head, head.map(() => '---'), ...body].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

const TITLES: readonly (readonly [Phase, string])[] = [
  ['cold', 'cold'],
  ['elsewhere', 'warm, second directory'],
  ['cleaned', 'warm, same directory after clean'],
  ['leaf', 'one edited leaf'],
];

function applicationSection(results: Results, application: Application): string {
  const of = (tool: string, phase: Phase) => cell(results, { application: application.name, tool, phase });
  const names = results.tools.map(({ name }) => name);
  const units = results.samples.find(
    (sample) => sample.application === application.name && sample.tool === 'plain' && sample.phase === 'cold',
  )?.units;
  const rows = TITLES.map(([phase, title]) => [title, ...names.map((name) => seconds(of(name, phase)))]);
  const again = names.map((name) => {
    const runs = results.samples.filter(
      ({ application: at, tool, phase }) => at === application.name && tool === name && phase === 'again',
    );
    return runs.length === 0 ? '–' : String(Math.max(...runs.map((run) => run.units)));
  });
  const beside = (phase: Phase, other: string, what?: Measured): string[] =>
    names.map((tool) =>
      times(compared(results, { application: application.name, phase, tool, with: other }, what)),
    );
  const ratios = [
    ['cold / plain', ...beside('cold', 'plain')],
    ['CPU of cold / plain', ...beside('cold', 'plain', 'cpuSeconds')],
    [
      'warm, second directory / plain cold',
      ...names.map((name) => ratio(of(name, 'elsewhere'), of('plain', 'cold'))),
    ],
    ['warm, second directory / floor', ...beside('elsewhere', 'floor')],
    ['warm, second directory / floor+exe', ...beside('elsewhere', 'floor+exe')],
    ['warm, second directory / rust-kache', ...beside('elsewhere', 'rust-kache')],
  ];
  const turnsOf = (phase: Phase, tool: string): number =>
    results.samples.filter(
      (one) => one.application === application.name && one.phase === phase && one.tool === tool,
    ).length;
  const title = `## ${application.name}${application.version === undefined ? ' of this repository' : ` ${application.version}`}`;
  return [
    title,
    '',
    `${units ?? '?'} units. Seconds, medians. Second directories in ${turnsOf('elsewhere', 'kache')} turns, cold builds of plain cargo and kache in ${turnsOf('cold', 'kache')}, each with another tool first; ratios are those of each turn, the median.`,
    '',
    table([['', ...names], ...rows, ['units of three further builds', ...again], ...ratios]),
  ].join('\n');
}

/** What each further setting does, in words that follow "the same, ". */
const MORE = new Map([
  ['kache+exe', 'executables cached'],
  ['kache+runs', 'runs of build scripts kept too'],
  ['kache+fresh', "Cargo's records kept too"],
]);

/** The words of a row: those of the first of its kind, or "the same". */
const titleOf = (tool: string, first?: string): string =>
  first !== undefined && (tool === 'kache' || first.includes(MORE.get(tool) ?? ''))
    ? first
    : `the same, ${MORE.get(tool)}`;

interface Target {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  readonly met: boolean | undefined;
}

function targets(results: Results): Target[] {
  const per = (tool: string, other: string, phase: Phase) =>
    results.applications.flatMap(({ name }) => {
      const value = compared(results, { application: name, phase, tool, with: other });
      return value === undefined ? [] : [{ name, value }];
    });
  const shown = (list: readonly { name: string; value: number }[]): string =>
    list.map(({ name, value }) => `${name} ${value.toFixed(2)}`).join(', ');
  const ratios = (what: string, pair: { a: string; b: string; phase: Phase; limit: number }): Target => {
    const found = per(pair.a, pair.b, pair.phase);
    const met = found.length === 0 ? undefined : found.every(({ value }) => value <= pair.limit);
    return {
      what,
      target: `≤ ${pair.limit}`,
      measured: found.length === 0 ? 'not run' : shown(found),
      met,
    };
  };
  const again = results.samples
    .filter(({ tool, phase }) => tool.startsWith('kache') && phase === 'again')
    .reduce((sum, { units }) => sum + units, 0);
  const { launched, alone, empty } = results.hit;
  const launchedMs = launched.medianCpuMs + launched.daemonCpuMs;
  const pct = (fileSystem: string): number | undefined =>
    results.disk.find((use) => use.fileSystem === fileSystem)?.figures?.libraryPct;
  const disk = (fileSystem: string, limit: number): Target => {
    const value = pct(fileSystem);
    return {
      what: `extra disk for a second worktree's libraries on ${fileSystem}`,
      target: `≤ ${limit} %`,
      measured: value === undefined ? 'not run' : `${value.toFixed(1)} %`,
      met: value === undefined ? undefined : value <= limit,
    };
  };
  return [
    ...['kache', ...MORE.keys()].map((tool) =>
      ratios(titleOf(tool, 'cold build / plain cargo without incremental'), {
        a: tool,
        b: 'plain',
        phase: 'cold',
        limit: 1.03,
      }),
    ),
    {
      what: 'CPU of one hit, launcher and daemon',
      target: '≤ 4 ms where an empty program takes 2',
      measured: `${launchedMs.toFixed(1)} ms where an empty program takes ${empty.medianCpuMs.toFixed(1)} (× ${(launchedMs / empty.medianCpuMs).toFixed(1)})`,
      met: launchedMs <= 4 || launchedMs / empty.medianCpuMs <= 2,
    },
    {
      what: 'CPU of one hit of the binary alone, median',
      target: '≤ 4 ms where an empty program takes 2',
      measured: `${alone.medianCpuMs.toFixed(1)} ms (× ${(alone.medianCpuMs / empty.medianCpuMs).toFixed(1)})`,
      met: alone.medianCpuMs <= 4 || alone.medianCpuMs / empty.medianCpuMs <= 2,
    },
    ratios('warm in a second directory / replay floor, libraries', {
      a: 'kache',
      b: 'floor',
      phase: 'elsewhere',
      limit: 2,
    }),
    ...[...MORE.keys()].map((tool) =>
      ratios(titleOf(tool), { a: tool, b: 'floor+exe', phase: 'elsewhere', limit: 2 }),
    ),
    ...[...MORE.keys()].map((tool) =>
      ratios(titleOf(tool, 'warm in a second directory, executables cached / the Rust tool'), {
        a: tool,
        b: 'rust-kache',
        phase: 'elsewhere',
        limit: 0.8,
      }),
    ),
    { what: 'units touched by further builds', target: '0', measured: String(again), met: again === 0 },
    disk('ext4', 30),
    disk('xfs', 2),
    disk('btrfs', 2),
    {
      what: 'resident memory of the wrapper, largest hit',
      target: '≤ 40 MB',
      measured: `${alone.maxRssMb.toFixed(0)} MB (an empty program ${empty.maxRssMb.toFixed(0)}, the launcher ${launched.maxRssMb.toFixed(0)})`,
      met: alone.maxRssMb <= 40,
    },
  ];
}

export function markdown(results: Results): string {
  const { hit } = results;
  const rustc = Bun.spawnSync(['rustc', '--version']).stdout.toString().trim();
  const state = (met: boolean | undefined): string =>
    met === undefined ? 'not run' : met ? 'met' : '**missed**';
  return `# Benchmarks

<!-- Written by bench/run.ts: \`npm run bench -- --write\`. -->

${results.date}, in one run on ${cpuModel()}, ${navigator.hardwareConcurrency} cores, Linux ${release()}; ${rustc}, Bun ${Bun.version}. Debug builds.
Tools: ${results.tools.map(({ name, version }) => `${name} (${version})`).join(', ')}.${results.missing.length === 0 ? '' : ` Not installed, not run: ${results.missing.join(', ')}.`}

*plain* is cargo with CARGO_INCREMENTAL=0; *kache* has its default settings: libraries are cached, linked outputs
(binaries, build scripts, proc macros) are compiled each time; *kache+exe* caches those too, and *kache+runs* keeps what build scripts of dependencies made,
*kache+fresh* also Cargo's own records of units of dependencies, which it puts into an empty target folder when it has looked each of them up. *rust-kache* is the public tool of that name, which caches
linked outputs, and brings Cargo's own records back too: Cargo then takes nearly all units for fresh, starts a
compiler or a wrapper for a few, and runs no build script. *floor* is a wrapper that links recorded libraries and checks nothing, *floor+exe* one that copies recorded
linked outputs too: the same work with no question asked. Build scripts run under all of them but kache+runs, kache+fresh and rust-kache. kache runs behind its launcher, as
\`kache init\` sets it up on Linux; its daemon is started by the build and stays for the next ones. CPU is that of the whole machine during a build, servers and daemons included.
"Again" is \`cargo build\` in the second directory, in the first, and in the second: nothing may be compiled.

## Targets

${table([['', 'target', 'measured', ''], ...targets(results).map(({ what, target, measured, met }) => [what, target, measured, state(met)])])}

${results.applications.map((application) => applicationSection(results, application)).join('\n\n')}

## One hit

${hit.crates} library calls of a warm build of fd-find, each played 7 times into an empty folder, in turns. Milliseconds.

${table([
  ['', 'CPU, median', 'CPU, 90th percentile', 'wall, median', 'resident, MB'],
  ...(
    [
      ['launcher', hit.launched],
      ['binary alone', hit.alone],
      ['a program of the same runtime that does nothing', hit.empty],
    ] as const
  ).map(([name, costs]) => [
    name,
    costs.medianCpuMs.toFixed(2),
    costs.p90CpuMs.toFixed(2),
    costs.medianWallMs.toFixed(2),
    costs.maxRssMb.toFixed(0),
  ]),
])}

The daemon takes ${hit.launched.daemonCpuMs.toFixed(2)} ms of CPU more for each call of a launcher, on average, and has ${hit.launched.daemonRssMb.toFixed(0)} MB resident; it had answered as many before.

## Disk

A second worktree of fd-find on a file system of its own: what \`df\` shows more, in MB.

${table([
  ['file system', 'added', 'size of its libraries', 'everything else in target', 'libraries added'],
  ...results.disk.map(({ fileSystem, figures }) =>
    figures === undefined
      ? [fileSystem, 'not run: needs root and its mkfs', '', '', '']
      : [
          fileSystem,
          megabytes(figures.addedBytes),
          megabytes(figures.libraryBytes),
          megabytes(figures.otherBytes),
          `${figures.libraryPct.toFixed(1)} %`,
        ],
  ),
])}
`;
}
