// What a run of the fuzzer came to.
import type { Fuzzed } from './fuzz.ts';
import type { NewTargets } from './walk.ts';

export class Tally {
  mismatches = 0;
  #cases = 0;
  #cargos = 0;
  readonly #counts = { rounds: 0, builds: 0, cleanBuilds: 0, failing: 0, answered: 0 };
  readonly #newTargets = { builds: 0, units: 0, fresh: 0 };
  readonly #outcomes: Record<string, number> = {};
  readonly #scripts: Record<string, number> = {};

  add({ walked, isCargos, finding }: Fuzzed): void {
    this.#cases++;
    if (isCargos) this.#cargos++;
    if (finding !== undefined) this.mismatches++;
    for (const name of ['rounds', 'builds', 'cleanBuilds', 'failing', 'answered'] as const)
      this.#counts[name] += walked[name];
    for (const name of ['builds', 'units', 'fresh'] as const)
      this.#newTargets[name] += walked.newTargets[name];
    for (const [sums, counts] of [
      [this.#outcomes, walked.outcomes],
      [this.#scripts, walked.scripts],
    ] as const)
      for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
  }

  /** Runs of build scripts that came from the store. */
  get putBack(): number {
    return this.#scripts['put back'] ?? 0;
  }

  /** Units of packages of a registry that Cargo took for fresh in new target folders. */
  get filled(): number {
    return this.#newTargets.fresh;
  }

  text(): string {
    const { rounds, builds, cleanBuilds, failing, answered } = this.#counts;
    return [
      `${this.#cases} seeds, ${rounds} steps, ${builds} builds through kache, ${cleanBuilds} clean builds without it`,
      `${failing} of the compared builds fail to compile, in both`,
      `calls: ${listed(this.#outcomes)}`,
      ...(Object.keys(this.#scripts).length === 0 ? [] : [`runs of build scripts: ${listed(this.#scripts)}`]),
      ...(this.#newTargets.units === 0 ? [] : [filling(this.#newTargets)]),
      ...(answered === 0 ? [] : [`${answered} hits answered by the daemon, behind the launcher`]),
      `${this.mismatches} mismatches, ${this.#cargos} walks ended by limits of cargo itself`,
    ].join('\n');
  }
}

/** What Cargo took for fresh in new target folders. */
export const filling = ({ builds, units, fresh }: NewTargets): string =>
  `${fresh} of ${units} units of registry packages fresh in ${builds} new target folders`;

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
