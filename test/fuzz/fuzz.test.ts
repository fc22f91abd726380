// Saved cases and a bounded number of random ones; and that the judge sees what is wrong.
import { expect, test } from 'bun:test';
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../support/lab.ts';
import type { Case } from './case.ts';
import { check, fuzz } from './fuzz.ts';
import { generate } from './generate.ts';
import { shrink } from './shrink.ts';
import { Tally } from './tally.ts';

const TIMEOUT_MS = 900_000;
const SEEDS = [1, 2, 3, 4];
const ROUNDS = 6;
const SCRIPT_SEED = 51;
const SCRIPT_ROUNDS = 5;
const REGISTRY_SEED = 100;
const REGISTRY_ROUNDS = 7;
const CASES = join(import.meta.dir, 'cases');

test('a seed makes one case, and seeds make every part and every change', () => {
  const cases = Array.from({ length: 200 }, (_, seed) => generate({ seed, rounds: 12, executables: false }));
  expect(generate({ seed: 7, rounds: 12, executables: false })).toEqual(cases[7] as Case);
  const packages = cases.flatMap(({ project }) => project.packages);
  const rounds = cases.flatMap((made) => made.rounds);
  expect(new Set(packages.flatMap(({ parts }) => parts)).size).toBe(14);
  expect(new Set(packages.flatMap(({ native }) => native ?? [])).size).toBe(5);
  expect(new Set(packages.flatMap(({ linkMode }) => linkMode ?? [])).size).toBe(4);
  expect(new Set(rounds.flatMap(({ changes }) => changes.map(({ op }) => op))).size).toBe(15);
  expect(new Set(rounds.flatMap(({ builds }) => builds.map(({ command }) => command))).size).toBe(5);
});

test('a seed makes one case with build scripts, and seeds make every part of these', () => {
  const wanted = { rounds: 12, executables: true, buildScripts: true };
  const cases = Array.from({ length: 200 }, (_, seed) => generate({ seed, ...wanted }));
  expect(generate({ seed: 7, ...wanted })).toEqual(cases[7] as Case);
  const packages = cases.flatMap(({ project }) => project.packages);
  const changes = cases.flatMap(({ rounds }) => rounds.flatMap((round) => round.changes));
  const files = (op: string): string[] =>
    changes.flatMap((change) => (change.op === op && 'file' in change ? (change.file ?? []) : []));
  expect(new Set(packages.flatMap(({ scripts }) => scripts ?? [])).size).toBe(10);
  expect(new Set(cases.map(({ targets }) => targets)).size).toBe(3);
  for (const name of ['script/maybe.txt', 'headers/first/value.h', 'shared/extra.txt'])
    for (const op of ['write', 'remove']) expect(files(op).some((file) => file.endsWith(name))).toBe(true);
});

test('a seed makes one case with packages of a registry, and seeds make every sort of these', () => {
  const wanted = { rounds: 12, executables: true, fingerprints: true };
  const cases = Array.from({ length: 200 }, (_, seed) => generate({ seed, ...wanted }));
  expect(generate({ seed: 7, ...wanted })).toEqual(cases[7] as Case);
  const packages = cases.flatMap(({ project }) =>
    project.packages.filter(({ registry }) => registry !== undefined),
  );
  expect(new Set(packages.map(({ kind }) => kind)).size).toBe(4);
  expect(new Set(packages.flatMap(({ parts }) => parts)).size).toBe(12);
  expect(new Set(packages.flatMap(({ scripts }) => scripts ?? [])).size).toBe(10);
  expect(new Set(packages.map(({ registry }) => registry?.minor)).size).toBe(2);
  const changes = cases.flatMap(({ rounds }) => rounds.flatMap((round) => round.changes));
  expect(changes.some((change) => change.op === 'lock' && change.patch > 0)).toBe(true);
  for (const text of ['loud', 'configured', 'relative', 'rustflags', 'resolver = "1"', 'dev.package'])
    expect(changes.some((change) => change.op === 'replace' && change.to.includes(text))).toBe(true);
});

test(
  'a wrapper that is wrong is found out',
  async () => {
    using lab = new Lab();
    const wrapper = join(lab.write('bin', { wrong: '#!/bin/sh\nexec "$@" --cfg fuzz_flag\n' }), 'wrong');
    chmodSync(wrapper, 0o755);
    const wrong: Case = {
      seed: 0,
      executables: false,
      project: {
        packages: [spec('base', 'lib', ['lint', 'features']), { ...spec('app', 'app', []), deps: ['base'] }],
        profile: ['debug = 0'],
      },
      checkouts: ['one'],
      rounds: [{ changes: [], builds: [{ at: 0, command: 'build', ...PLAIN }] }],
    };
    const { finding, isCargos } = await check(wrong, { shrinkMs: 0, wrapper });
    expect([finding?.mismatch.kind, isCargos]).toEqual(['program', false]);
    expect(finding?.mismatch.found).toContain('base.cfgs (false, true,');
  },
  TIMEOUT_MS,
);

test('a case is made as small as what makes it fail', async () => {
  const start = generate({ seed: 7, rounds: 12, executables: false });
  const needed = (made: Case): boolean =>
    made.project.packages.some(({ parts }) => parts.includes('includes')) &&
    made.rounds.some(({ changes }) => changes.some(({ op }) => op === 'value'));
  expect(needed(start)).toBe(true);
  const fails = async (made: Case) => (needed(made) ? ('program' as const) : undefined);
  const small = await shrink(start, { kind: 'program', fails, deadlineMs: Date.now() + 60_000 });
  expect(small.case.project.packages.flatMap(({ parts }) => parts)).toEqual(['includes']);
  expect(small.case.project.packages.length).toBeLessThanOrEqual(2);
  expect(small.case.rounds.map(({ changes }) => changes.map(({ op }) => op))).toEqual([['value']]);
});

const PLAIN = { release: false, loud: false, rustflags: '', fresh: false } as const;

function spec(name: string, kind: 'lib' | 'app', parts: readonly ('lint' | 'features')[]) {
  return { name, kind, outside: false, edition: '2021', crateTypes: ['lib'], parts, deps: [] } as const;
}

for (const name of readdirSync(CASES).sort()) {
  test(
    `saved case ${name}`,
    async () => {
      const saved = JSON.parse(readFileSync(join(CASES, name), 'utf8')) as Case;
      const { walked, isCargos } = await check(saved, { shrinkMs: 0 });
      expect([walked.mismatch, isCargos]).toEqual([undefined, false]);
      // Where nothing is filled nothing is judged.
      if (saved.fingerprints && process.platform === 'linux')
        expect(walked.newTargets.fresh).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
}

test(
  'random projects and walks are what clean builds without kache are',
  async () => {
    const tally = new Tally();
    const pending = [...SEEDS];
    const worker = async (): Promise<void> => {
      for (let seed = pending.shift(); seed !== undefined; seed = pending.shift()) {
        const wanted = { seed, rounds: ROUNDS, executables: seed % 2 === 0 };
        // Every other walk behind the launcher, of each kind some.
        const launcher = process.platform === 'linux' && seed % 4 < 2;
        const fuzzed = await fuzz(wanted, { shrinkMs: 60_000, launcher });
        tally.add(fuzzed);
        expect(fuzzed.finding).toBeUndefined();
      }
    };
    await Promise.all([worker(), worker()]);
    console.log(tally.text());
  },
  TIMEOUT_MS,
);

test.if(process.platform === 'linux')(
  'runs of build scripts that were put back are what they are in clean builds',
  async () => {
    const tally = new Tally();
    const wanted = { seed: SCRIPT_SEED, rounds: SCRIPT_ROUNDS, executables: true, buildScripts: true };
    const fuzzed = await fuzz(wanted, { shrinkMs: 60_000 });
    tally.add(fuzzed);
    console.log(tally.text());
    expect(fuzzed.finding).toBeUndefined();
    expect(fuzzed.isCargos).toBe(false);
    expect(tally.putBack).toBeGreaterThan(5);
  },
  TIMEOUT_MS,
);

test.if(process.platform === 'linux')(
  'what Cargo takes for fresh in new target folders is what it would build there',
  async () => {
    const tally = new Tally();
    const wanted = { seed: REGISTRY_SEED, rounds: REGISTRY_ROUNDS, executables: true, fingerprints: true };
    const fuzzed = await fuzz(wanted, { shrinkMs: 60_000, launcher: true });
    tally.add(fuzzed);
    console.log(tally.text());
    expect(fuzzed.finding).toBeUndefined();
    expect(fuzzed.isCargos).toBe(false);
    expect(tally.filled).toBeGreaterThan(5);
  },
  TIMEOUT_MS,
);
