// The benchmark: every tool on every application, side by side in one run.
//   bun bench/run.ts [--quick] [--write] [--peers DIR] [--install-peers] [--work-dir DIR] [--only NAME,…]
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { diskUse } from './disk-use.ts';
import { hitCost } from './hit-cost.ts';
import { Course, measureCold, type Sample, warmUp } from './phases.ts';
import { markdown, type Results } from './report.ts';
import { findTools, installPeers } from './tools.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    only: { type: 'string' },
    peers: { type: 'string', default: join(homedir(), '.cache/kache-bench/peers') },
    'install-peers': { type: 'boolean', default: false },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-bench-${process.pid}`) },
  },
});

const workDir = values['work-dir'];
mkdirSync(workDir, { recursive: true });
if (values['install-peers']) installPeers(values.peers);
const { tools, missing } = findTools(workDir, values.peers);
const only = values.quick ? ['workspace', 'fd-find'] : values.only?.split(',');
const applications = APPLICATIONS.filter(({ name }) => only?.includes(name) ?? true).map((application) => ({
  ...application,
  coldTurns: values.quick ? 1 : application.coldTurns,
}));
const WARM_TURNS = values.quick ? 2 : 5;
/** How long a tool may take to settle what it has learnt when a build has ended. */
const SETTLE_MS = 1_500;

const fd = APPLICATIONS.find(({ name }) => name === 'fd-find');
if (fd === undefined) throw new Error('fd-find is what hits and disk use are measured on');
const fdSource = fetchApplication(fd, workDir);
console.error('the cost of one hit');
const hit = hitCost(fdSource, workDir);
console.error('disk use');
const disk = diskUse(fdSource, workDir);

const samples: Sample[] = [];

/** The document of what has been measured so far; written after each application, so that a run cut short is not lost. */
function written(measured: typeof applications): string {
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    applications: measured,
    tools,
    missing,
    samples,
    hit,
    disk,
  };
  const text = markdown(results);
  if (!values.write) return text;
  const docs = join(import.meta.dir, '..', 'docs');
  writeFileSync(join(docs, 'benchmarks.md'), text);
  const json = JSON.stringify({ date: results.date, samples, hit, disk }, null, 1);
  writeFileSync(join(docs, 'benchmarks.json'), `${json}\n`);
  return text;
}

/** Every one of them, each time with another one first. */
const inTurn = <T>(all: readonly T[], turn: number): T[] => [
  ...all.slice(turn % all.length),
  ...all.slice(0, turn % all.length),
];

function take(sample: Sample): void {
  samples.push(sample);
  const { application, tool, phase, seconds } = sample;
  console.error(`${application} ${tool}: ${phase} ${seconds.toFixed(2)} s`);
}

for (const [index, application] of applications.entries()) {
  const source = fetchApplication(application, workDir);
  warmUp(source, workDir);
  const courses = tools.map((tool) => new Course(application, tool, { source, workDir }));
  const warm = courses.filter(({ tool }) => tool.name !== 'plain');
  for (const course of courses) take(course.cold());
  for (let turn = 0; turn < WARM_TURNS; turn++)
    for (const course of inTurn(warm, turn)) {
      await Bun.sleep(SETTLE_MS);
      take(course.elsewhere());
    }
  for (const course of warm) take(course.again());
  for (const course of warm) take(course.cleaned());
  for (const course of courses) {
    if (!course.tool.name.startsWith('floor')) take(course.leaf());
    course.end();
  }
  const compared = tools.filter(({ name }) => name === 'plain' || name.startsWith('kache'));
  for (let turn = 1; turn <= application.coldTurns; turn++)
    for (const tool of inTurn(compared, turn))
      take(measureCold(application, tool, { source, workDir, turn }));
  written(applications.slice(0, index + 1));
}
console.log(written(applications));
rmSync(workDir, { recursive: true, force: true });
