// `npm run fuzz`: random projects and random walks, as long as asked; or saved cases again.
//   npm run fuzz -- [--seeds N] [--seed S] [--steps K] [--minutes M] [--executables 0|1] [--jobs J]
//                   [--launcher] [--build-scripts] [--fingerprints] [--shrink-seconds T] [--save DIR] [case.json …]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Case } from './case.ts';
import { check, type Finding, type Fuzzed, fuzz } from './fuzz.ts';
import { filling, Tally } from './tally.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    steps: { type: 'string', default: '12' },
    minutes: { type: 'string' },
    executables: { type: 'string', default: '0' },
    jobs: { type: 'string', default: '2' },
    launcher: { type: 'boolean', default: false },
    'build-scripts': { type: 'boolean', default: false },
    fingerprints: { type: 'boolean', default: false },
    'shrink-seconds': { type: 'string', default: '300' },
    save: { type: 'string' },
  },
});

const shrinkMs = Number(values['shrink-seconds']) * 1000;
const untilMs = values.minutes === undefined ? undefined : Date.now() + Number(values.minutes) * 60_000;
const { fingerprints } = values;
const launcher = values.launcher || fingerprints;
// Only executables that are kept are asked whether a run of them is known.
const buildScripts = values['build-scripts'];
const executables = values.executables === '1' || buildScripts || fingerprints;
const tally = new Tally();

function show({ case: found, mismatch, attempts }: Finding): void {
  const { kind, expected, build } = mismatch;
  console.log(`\nMISMATCH (${kind}), seed ${found.seed}, shrunk in ${attempts} attempts to`);
  console.log(JSON.stringify(found));
  console.log(
    `build: ${JSON.stringify(build)}\n--- without kache\n${expected}\n--- through kache\n${mismatch.found}\n`,
  );
  if (values.save === undefined) return;
  mkdirSync(values.save, { recursive: true });
  const file = join(values.save, `seed-${found.seed}-${kind}.json`);
  writeFileSync(file, `${JSON.stringify(found, undefined, 1)}\n`);
  console.log(`Saved. Again: npm run fuzz -- "${file}"`);
}

function note(name: string, fuzzed: Fuzzed): void {
  tally.add(fuzzed);
  const { rounds, builds, newTargets } = fuzzed.walked;
  const verdict = fuzzed.finding !== undefined ? 'MISMATCH' : fuzzed.isCargos ? "cargo's own limit" : 'alike';
  const filled = newTargets.units === 0 ? '' : `, ${filling(newTargets)}`;
  console.log(`${name}: ${rounds} steps, ${builds} builds, ${verdict}${filled}`);
  if (fuzzed.finding !== undefined) show(fuzzed.finding);
}

async function replay(): Promise<void> {
  for (const file of positionals)
    note(file, await check(JSON.parse(readFileSync(file, 'utf8')) as Case, { shrinkMs: 0, launcher }));
}

async function explore(): Promise<void> {
  const first = Number(values.seed);
  const end = untilMs === undefined ? first + Number(values.seeds) : Number.POSITIVE_INFINITY;
  let next = first;
  const worker = async (): Promise<void> => {
    while (next < end && (untilMs === undefined || Date.now() < untilMs)) {
      const seed = next++;
      note(
        `seed ${seed}`,
        await fuzz(
          { seed, rounds: Number(values.steps), executables, buildScripts, fingerprints },
          { shrinkMs, launcher },
        ),
      );
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker));
}

await (positionals.length > 0 ? replay() : explore());
console.log(`\n${tally.text()}`);
process.exit(tally.mismatches === 0 ? 0 : 1);
