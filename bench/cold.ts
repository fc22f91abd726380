// Cold builds of plain cargo and of kache in turns, each time with another one first: what a miss costs a build is less than
// one cold build differs from the next.
//   bun bench/cold.ts [--only NAME,…] [--tools NAME,…] [--turns N] [--work-dir DIR]
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { median } from './hit-cost.ts';
import { measureCold, type Sample, warmUp } from './phases.ts';
import { findTools } from './tools.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    only: { type: 'string', default: 'workspace,fd-find' },
    tools: { type: 'string', default: 'plain,kache,kache+exe,kache+runs,kache+fresh' },
    turns: { type: 'string', default: '5' },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-cold-${process.pid}`) },
  },
});
const workDir = values['work-dir'];
mkdirSync(workDir, { recursive: true });
const wanted = values.tools.split(',');
const tools = findTools(workDir, workDir).tools.filter(({ name }) => wanted.includes(name));

for (const application of APPLICATIONS.filter(({ name }) => values.only.split(',').includes(name))) {
  const source = fetchApplication(application, workDir);
  warmUp(source, workDir);
  const samples: Sample[] = [];
  for (let turn = 0; turn < Number(values.turns); turn++)
    for (const [place] of tools.entries()) {
      const tool = tools[(place + turn) % tools.length];
      if (tool !== undefined) samples.push(measureCold(application, tool, { source, workDir, turn }));
    }
  const of = (tool: string, what: 'seconds' | 'cpuSeconds'): number[] =>
    samples.filter((sample) => sample.tool === tool).map((sample) => sample[what]);
  for (const { name } of tools) {
    const [wall, cpu] = [of(name, 'seconds'), of(name, 'cpuSeconds')];
    const ratio = (what: 'seconds' | 'cpuSeconds'): string =>
      (median(of(name, what)) / median(of('plain', what))).toFixed(3);
    console.log(
      `${application.name.padEnd(10)} ${name.padEnd(11)} ${median(wall).toFixed(2).padStart(6)} s (${Math.min(...wall).toFixed(2)} to ${Math.max(...wall).toFixed(2)}), × ${ratio('seconds')}; CPU ${median(cpu).toFixed(2).padStart(6)} s (${Math.min(...cpu).toFixed(2)} to ${Math.max(...cpu).toFixed(2)}), × ${ratio('cpuSeconds')}`,
    );
  }
}
rmSync(workDir, { recursive: true, force: true });
