// What a CI job costs when what an earlier one built is kept in a file: an archive of the target folder against a pack.
//   bun bench/ci.ts [--write] [--rounds N] [--work-dir DIR] [--only NAME,…]
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  APPLICATIONS,
  type Application,
  bumpedApplication,
  fetchApplication,
  OF_MANY_CRATES,
} from './applications.ts';
import { baseEnv, build, checkout, cpuModel } from './phases.ts';
import { table } from './report.ts';
import { archive, keyOf, unpack } from './target-archive.ts';
import { forget, kacheBinary, stopDaemon } from './tools.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    write: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '1' },
    only: { type: 'string' },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-bench-ci-${process.pid}`) },
  },
});
const workDir = values['work-dir'];
mkdirSync(workDir, { recursive: true });

const BYTES_A_SECOND = 50e6;

/** One way to keep something. A job has a checkout at `dir`, and `state` is all that outlives it. */
interface Way {
  readonly name: string;
  readonly env: (home: string) => Record<string, string>;
  /** What the first job has to do before it builds. */
  readonly prepare?: (job: Job) => Promise<void>;
  /** Saves the first job's build. */
  readonly first: (job: Job) => void;
  /** Brings it back by a connection; returns the bytes that were moved. */
  readonly restore: (job: Job) => Promise<number>;
  /** Saves what is new; returns the bytes that are moved. */
  readonly save: (job: Job) => number;
}

interface Job {
  readonly dir: string;
  /** Of this job's machine alone. */
  readonly home: string;
  readonly state: string;
}

const kache = (job: Job, ...args: readonly string[]): string => {
  const done = Bun.spawnSync([kacheBinary, 'pack', ...args], {
    env: { ...baseEnv(), ...packEnv(job.home) },
  });
  if (done.exitCode !== 0) throw new Error(`Cannot ${args[0]} a pack: ${done.stderr.toString()}`);
  return done.stdout.toString();
};

const NOTHING: Way = {
  name: 'nothing kept',
  env: () => ({ CARGO_INCREMENTAL: '0' }),
  first: () => {},
  restore: async () => 0,
  save: () => 0,
};

/** Waits as long as a connection needs for a file. */
async function download(file: string): Promise<number> {
  const { size } = statSync(file);
  await Bun.sleep((1000 * size) / BYTES_A_SECOND);
  return size;
}

/** When each of several files is there that come by one connection at once, each as fast as the others, in seconds. */
function arrivals(bytes: readonly number[]): number[] {
  return bytes.map((own) => bytes.reduce((sum, other) => sum + Math.min(own, other), 0) / BYTES_A_SECOND);
}

const ARCHIVE: Way = {
  name: 'archive of target/',
  env: () => ({ CARGO_INCREMENTAL: '0' }),
  first: ({ dir, state }) => {
    copyFileSync(join(dir, 'Cargo.lock'), join(state, 'Cargo.lock'));
    archive(dir, join(state, 'target.tar.zst'));
  },
  restore: async ({ dir, state }) => {
    const bytes = await download(join(state, 'target.tar.zst'));
    unpack(join(state, 'target.tar.zst'), dir);
    return bytes;
  },
  save: ({ dir, state, home }) =>
    keyOf(dir) === keyOf(state) ? 0 : archive(dir, join(home, 'target.tar.zst')),
};

const packEnv = (home: string): Record<string, string> => ({
  KACHE_CACHE_DIR: join(home, 'store'),
  KACHE_CACHE_EXECUTABLES: '1',
  KACHE_CACHE_BUILD_SCRIPTS: 'dependencies',
  KACHE_CACHE_FINGERPRINTS: '1',
});

/** Where a machine's launcher is. */
const launcherOf = (home: string): string => join(home, 'kache-launcher');

/** Compiles it as the action does. */
async function compileLauncher(home: string): Promise<void> {
  await run([kacheBinary, 'launcher', '--dir', home], home);
}

async function run(argv: readonly string[], home: string): Promise<void> {
  const done = Bun.spawn([...argv], { env: { ...baseEnv(), ...packEnv(home) }, stdout: 'ignore' });
  if ((await done.exited) !== 0) throw new Error(`Cannot run "${argv.join(' ')}".`);
}

/** The parts of the pack that the first job has saved, the first one first. */
const partsOf = (state: string): string[] =>
  readdirSync(state)
    .filter((name) => name.startsWith('base.pack'))
    .sort()
    .map((name) => join(state, name));

const PACK: Way = {
  name: 'pack',
  env: (home) => ({ RUSTC_WRAPPER: launcherOf(home), ...packEnv(home) }),
  prepare: ({ home }) => compileLauncher(home),
  first: (job) => {
    kache(job, 'save', join(job.state, 'base.pack'), '--since', '1h', '--with-paths', '--parts');
  },
  // The first part tells of the others, which come together; each is restored when it is there.
  restore: async (job) => {
    const launcher = compileLauncher(job.home);
    const [first = '', ...others] = partsOf(job.state);
    const unpackOf = (part: string): Promise<void> => run([kacheBinary, 'pack', 'restore', part], job.home);
    const bytes = await download(first);
    const sizes = others.map((part) => statSync(part).size);
    await Promise.all([
      launcher,
      unpackOf(first),
      ...arrivals(sizes).map(async (seconds, index) => {
        await Bun.sleep(1000 * seconds);
        await unpackOf(others[index] ?? '');
      }),
    ]);
    return sizes.reduce((sum, size) => sum + size, bytes);
  },
  save: (job) => {
    const to = join(job.home, 'new.pack');
    const bases = partsOf(job.state).flatMap((part) => ['--base', part]);
    const said = kache(job, 'save', to, '--since', '1h', '--with-paths', '--parts', ...bases, '--json');
    return (JSON.parse(said) as { bytes: number }).bytes;
  },
};

interface Case {
  readonly name: string;
  readonly change: (application: Application, dir: string) => void;
}

const CASES: readonly Case[] = [
  { name: 'lock file unchanged', change: () => {} },
  {
    name: 'one dependency bumped',
    change: (application, dir) =>
      copyFileSync(join(bumpedApplication(application, workDir), 'Cargo.lock'), join(dir, 'Cargo.lock')),
  },
  {
    name: 'one source edited',
    change: ({ leaf }, dir) =>
      appendFileSync(join(dir, leaf), '\n#[allow(dead_code)]\nfn edited_by_the_benchmark() -> u32 { 1 }\n'),
  },
];

interface Sample {
  readonly application: string;
  readonly way: string;
  readonly case: string;
  readonly downBytes: number;
  readonly upBytes: number;
  readonly restoreSeconds: number;
  readonly buildSeconds: number;
  readonly saveSeconds: number;
}

async function timed<T>(work: () => T | Promise<T>): Promise<[value: T, seconds: number]> {
  const from = performance.now();
  const value = await work();
  return [value, (performance.now() - from) / 1000];
}

/** A machine nobody has used: the checkout at the same place, with the present time on every file, and nothing else. */
function freshJob(source: string, state: string): Job {
  forget(join(state, 'machine'));
  const home = join(state, 'machine', 'home');
  mkdirSync(home, { recursive: true });
  return { dir: checkout(source, join(state, 'machine', 'work', 'app')), home, state };
}

async function measure(application: Application, way: Way): Promise<Sample[]> {
  const source = fetchApplication(application, workDir);
  bumpedApplication(application, workDir);
  const state = join(workDir, 'state', application.name);
  forget(state);
  mkdirSync(state, { recursive: true });
  const first = freshJob(source, state);
  await way.prepare?.(first);
  build(first.dir, way.env(first.home));
  way.first(first);
  stopDaemon(join(first.home, 'store'));
  const samples: Sample[] = [];
  for (const one of CASES) {
    const job = freshJob(source, state);
    one.change(application, job.dir);
    const [downBytes, broughtSeconds] = await timed(() => way.restore(job));
    const restoreSeconds = broughtSeconds - downBytes / BYTES_A_SECOND;
    const { seconds: buildSeconds } = build(job.dir, way.env(job.home));
    const [upBytes, saveSeconds] = await timed(() => way.save(job));
    // The next machine has none.
    stopDaemon(join(job.home, 'store'));
    const cost = { downBytes, upBytes, restoreSeconds, buildSeconds, saveSeconds };
    samples.push({ application: application.name, way: way.name, case: one.name, ...cost });
  }
  forget(state);
  return samples;
}

const movedSeconds = ({ downBytes, upBytes }: Sample): number => (downBytes + upBytes) / BYTES_A_SECOND;
const totalSeconds = (sample: Sample): number =>
  movedSeconds(sample) + sample.restoreSeconds + sample.buildSeconds + sample.saveSeconds;

/** The round in the middle, by its total. */
function middle(samples: readonly Sample[]): Sample | undefined {
  return samples.toSorted((a, b) => totalSeconds(a) - totalSeconds(b))[Math.floor((samples.length - 1) / 2)];
}

const seconds = (value: number): string => value.toFixed(value < 10 ? 2 : 1);
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

function section(application: Application, samples: readonly Sample[]): string {
  const rows = CASES.flatMap((one) =>
    WAYS.flatMap((way) => {
      const found = samples.filter(
        (sample) =>
          sample.application === application.name && sample.way === way.name && sample.case === one.name,
      );
      const sample = middle(found);
      if (sample === undefined) return [];
      return [
        [
          one.name,
          way.name,
          megabytes(sample.downBytes),
          megabytes(sample.upBytes),
          seconds(movedSeconds(sample)),
          seconds(sample.restoreSeconds),
          seconds(sample.buildSeconds),
          seconds(sample.saveSeconds),
          seconds(totalSeconds(sample)),
        ],
      ];
    }),
  );
  const { name, version, bump } = application;
  return [
    `### ${name}${version === undefined ? ' of this repository' : ` ${version}`}`,
    '',
    `The dependency is ${bump.crate}, in version ${bump.version}.`,
    '',
    table([
      ['', 'kept', 'MB down', 'MB up', 'moving, s', 'restore, s', 'build, s', 'save, s', 'total, s'],
      ...rows,
    ]),
  ].join('\n');
}

const START = '<!-- written by bench/ci.ts -->';
const END = '<!-- end of bench/ci.ts -->';

function report(measured: readonly Application[], samples: readonly Sample[]): string {
  return [
    START,
    '',
    `\`bun bench/ci.ts --write\` on ${new Date().toISOString().slice(0, 10)}, ${cpuModel()}, ${navigator.hardwareConcurrency} cores, ${values.rounds} round${values.rounds === '1' ? '' : 's'} (the one in the middle by its total). Debug builds. MB are 10^6 bytes, moved at 50 MB/s; while a pack comes the launcher is compiled, and parts that are there are restored.`,
    '',
    ...measured.flatMap((application) => [section(application, samples), '']),
    END,
  ].join('\n');
}

const WAYS: readonly Way[] = [NOTHING, ARCHIVE, PACK];
const only = values.only?.split(',');
const applications = [...APPLICATIONS, OF_MANY_CRATES].filter(({ name }) => only?.includes(name) ?? true);
const samples: Sample[] = [];
for (const [index, application] of applications.entries()) {
  for (let round = 0; round < Number(values.rounds); round++)
    for (const way of WAYS) {
      const measured = await measure(application, way);
      samples.push(...measured);
      const said = measured.map((sample) => `${sample.case} ${totalSeconds(sample).toFixed(1)} s`).join(', ');
      console.error(`${application.name}, ${way.name}: ${said}`);
    }
  // After each application: a run that is cut short is not lost.
  if (values.write) {
    const path = join(import.meta.dir, '..', 'docs', 'ci.md');
    const text = readFileSync(path, 'utf8');
    const [before = '', rest] = text.split(START);
    const after = rest?.split(END)[1];
    if (after === undefined)
      throw new Error(`Cannot write into ${path}: "${START}" or "${END}" is not there.`);
    writeFileSync(path, before + report(applications.slice(0, index + 1), samples) + after);
  }
}
console.log(report(applications, samples));
rmSync(workDir, { recursive: true, force: true });
