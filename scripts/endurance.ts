// A long day in ten worktrees on one store: `npm run endurance`. Exit status 1 when something is wrong, left over or grows.
//   bun scripts/endurance.ts [--steps N] [--seed N] [--cap-mb N]
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Day } from '../test/support/endurance.ts';
import { KACHE, Lab } from '../test/support/lab.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    steps: { type: 'string', default: '400' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
    'cap-mb': { type: 'string', default: '30' },
  },
});
if (!existsSync(KACHE)) {
  console.error(`Cannot test "${KACHE}": it is not there. Run \`npm run build\` first.`);
  process.exit(1);
}
console.error(`seed ${values.seed}`);
using lab = new Lab();
const capBytes = Number(values['cap-mb']) * 1e6;
const day = new Day(lab, {
  steps: Number(values.steps),
  worktrees: 10,
  capBytes,
  seed: Number(values.seed),
  note: (text) => console.error(text),
});
const figures = await day.run();
console.log(JSON.stringify(figures, null, 2));
const wrong = [
  ...day.leftovers().map((path) => `left over: ${path}`),
  ...(figures.at_the_end_mb > figures.cap_mb ? ['the store is above its cap'] : []),
  ...(figures.rss_last_mb > 1.2 * figures.rss_first_mb ? ['the memory of a hit has grown'] : []),
];
for (const line of wrong) console.error(line);
process.exitCode = wrong.length === 0 ? 0 : 1;
