// First builds of checkouts that were never built, in turns, each time with another tool first: what takes half a second
// differs more from one minute of a machine to the next than from one tool to another.
//   bun bench/warm.ts [--only NAME,…] [--tools NAME,…] [--turns N] [--peers DIR] [--work-dir DIR]
import { mkdirSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { median } from './hit-cost.ts';
import { type Build, build, checkout, warmUp } from './phases.ts';
import { findTools } from './tools.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    only: { type: 'string', default: 'workspace,fd-find' },
    // Those that bring linked outputs back, too.
    tools: { type: 'string', default: 'kache+exe,kache+runs,kache+fresh,floor+exe,rust-kache' },
    turns: { type: 'string', default: '9' },
    peers: { type: 'string', default: join(homedir(), '.cache/kache-bench/peers') },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-warm-${process.pid}`) },
  },
});
const workDir = values['work-dir'];
mkdirSync(workDir, { recursive: true });
const wanted = values.tools.split(',');
const tools = findTools(workDir, values.peers).tools.filter(({ name }) => wanted.includes(name));

/** How long a tool may take to settle what it has learnt when a build has ended. */
const SETTLE_MS = 1_500;

for (const application of APPLICATIONS.filter(({ name }) => values.only.split(',').includes(name))) {
  const source = fetchApplication(application, workDir);
  warmUp(source, workDir);
  const stateOf = (tool: string): string => join(workDir, 'state', `${application.name}-${tool}`);
  const placeOf = (tool: string, place: string): string => join(stateOf(tool), place);
  for (const { name, env } of tools) {
    const first = checkout(source, placeOf(name, 'first'));
    build(first, env(stateOf(name), { from: first, to: first }));
  }
  await Bun.sleep(SETTLE_MS);
  const builds = new Map<string, Build[]>(tools.map(({ name }) => [name, []]));
  for (let turn = 0; turn < Number(values.turns); turn++)
    for (const [place] of tools.entries()) {
      const tool = tools[(place + turn) % tools.length];
      if (tool === undefined) continue;
      const dir = checkout(source, placeOf(tool.name, `elsewhere/${turn}`));
      const places = { from: placeOf(tool.name, 'first'), to: dir };
      builds.get(tool.name)?.push(build(dir, tool.env(stateOf(tool.name), places)));
      await Bun.sleep(SETTLE_MS);
    }
  const of = (tool: string, what: 'seconds' | 'cpuSeconds'): number[] =>
    (builds.get(tool) ?? []).map((one) => one[what]);
  for (const { name, stop } of tools) {
    const [wall, cpu] = [of(name, 'seconds'), of(name, 'cpuSeconds')];
    const peers = ['floor+exe', 'rust-kache'].filter((peer) => builds.has(peer));
    const ratios = peers.map(
      (peer) => `× ${(median(wall) / median(of(peer, 'seconds'))).toFixed(2)} ${peer}`,
    );
    console.log(
      `${application.name.padEnd(10)} ${name.padEnd(11)} ${median(wall).toFixed(2)} s (${Math.min(...wall).toFixed(2)} to ${Math.max(...wall).toFixed(2)}), ${ratios.join(', ')}; CPU ${median(cpu).toFixed(2)} s; ${(builds.get(name) ?? []).at(-1)?.units} units asked for`,
    );
    stop?.(stateOf(name));
  }
}
rmSync(workDir, { recursive: true, force: true });
