// The benchmark: every tool on every application, side by side in one run.
//   bun bench/run.ts [--quick] [--write] [--peers DIR] [--install-peers] [--work-dir DIR] [--only NAME,…]
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { diskUse } from './disk-use.ts';
import { hitCost } from './hit-cost.ts';
import { measure, measureCold, type Sample, warmUp } from './phases.ts';
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
  rounds: values.quick ? 1 : application.rounds,
  coldRounds: values.quick ? 0 : application.coldRounds,
}));

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

for (const [index, application] of applications.entries()) {
  const source = fetchApplication(application, workDir);
  warmUp(source, workDir);
  for (let round = 0; round < application.rounds; round++) {
    // Each round starts with another tool, so that no one always runs first.
    for (const [place] of tools.entries()) {
      const tool = tools[(place + round) % tools.length];
      if (tool === undefined) continue;
      const measured = measure(application, tool, { source, workDir });
      samples.push(...measured);
      console.error(
        `${application.name} ${tool.name}: ${measured.map(({ phase, seconds }) => `${phase} ${seconds.toFixed(2)} s`).join(', ')}`,
      );
    }
  }
  const turns = tools.filter(({ name }) => ['plain', 'kache', 'kache+exe'].includes(name));
  for (let round = 0; round < application.coldRounds; round++) {
    for (const [place] of turns.entries()) {
      const tool = turns[(place + round) % turns.length];
      if (tool === undefined) continue;
      const cold = measureCold(application, tool, { source, workDir });
      samples.push(cold);
      console.error(`${application.name} ${tool.name}: cold ${cold.seconds.toFixed(2)} s`);
    }
  }
  written(applications.slice(0, index + 1));
}
console.log(written(applications));
rmSync(workDir, { recursive: true, force: true });
