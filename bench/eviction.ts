// Eviction policies side by side on a recorded trace: what each would have served, at several caps.
//   bun bench/eviction.ts [--trace FILE] [--record [--minutes N] [--work-dir DIR]] [--write]
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { recordTrace, type Trace, writeTrace } from './eviction-record.ts';
import { footprint, policies, type Rates, replay } from './eviction-replay.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    trace: { type: 'string', default: join(import.meta.dir, 'eviction-trace.json') },
    record: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '240' },
    write: { type: 'boolean', default: false },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-eviction-${process.pid}`) },
  },
});

if (values.record) {
  mkdirSync(values['work-dir'], { recursive: true });
  writeTrace(
    values.trace,
    recordTrace(values['work-dir'], Number(values.minutes), (text) => console.error(text)),
  );
  rmSync(values['work-dir'], { recursive: true, force: true });
}

const CAPS = [0.1, 0.2, 0.4, 0.6, 0.8];
const trace = JSON.parse(readFileSync(values.trace, 'utf8')) as Trace;
const wholeBytes = footprint(trace);
const percent = (part: number): string => (100 * part).toFixed(1);

/** One table for one figure: a line a policy, a column a cap. */
function tableOf(title: string, figure: (rates: Rates) => number): string {
  const lines = policies(trace).map(({ name }, index) => {
    const rates = CAPS.map((cap) => {
      // State is a policy's own: each replay gets a fresh one.
      const policy = policies(trace)[index];
      if (policy === undefined) throw new Error('the list of policies is always the same');
      return replay(trace, policy, cap * wholeBytes);
    });
    return `| ${name} | ${rates.map((rate) => percent(figure(rate))).join(' | ')} |`;
  });
  const caps = CAPS.map((cap) => `${cap * 100} %`).join(' | ');
  return `**${title}**\n\n| cap | ${caps} |\n|---|${CAPS.map(() => '--:').join('|')}|\n${lines.join('\n')}\n`;
}

const seconds = trace.entries.reduce((sum, { compileMs }) => sum + compileMs, 0) / 1000;
const [last] = trace.uses.at(-1) ?? [0];
const unlimited = replay(trace, { name: 'everything', worthOf: () => 0 }, Number.POSITIVE_INFINITY);
const text = [
  `Recorded ${trace.recorded} with ${trace.rustc}: ${trace.uses.length} uses of ${trace.entries.length} entries on ${Math.floor(last / 86400) + 1} days, ` +
    `${(wholeBytes / 1e6).toFixed(0)} MB and ${seconds.toFixed(0)} s of compile time. A store that keeps everything: ` +
    `${percent(unlimited.saved)} % of the compile time saved, ${percent(unlimited.hits)} % hits, ${percent(unlimited.bytes)} % of the bytes. ` +
    'Caps are parts of what everything occupies; figures are in percent.\n',
  tableOf('Compile time saved', ({ saved }) => saved),
  tableOf('Hits', ({ hits }) => hits),
  tableOf('Bytes served', ({ bytes }) => bytes),
].join('\n');
console.log(text);

if (values.write) {
  const path = join(import.meta.dir, '..', 'docs', 'eviction.md');
  const [before, rest] = readFileSync(path, 'utf8').split('<!-- replay -->\n');
  const after = rest?.split('<!-- /replay -->\n')[1];
  if (after === undefined) throw new Error(`Cannot write "${path}": it has no place marked for the replay.`);
  writeFileSync(path, `${before}<!-- replay -->\n${text}<!-- /replay -->\n${after}`);
}
