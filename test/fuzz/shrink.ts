// Makes a failing case small: fewer rounds, changes, builds, packages and parts, as long as it fails in the same way.
import type { Build, Case, PackageSpec } from './case.ts';
import type { MismatchKind } from './walk.ts';

/** Whether a case still fails, and how. */
export type Fails = (candidate: Case) => Promise<MismatchKind | undefined>;

export interface Shrunk {
  readonly case: Case;
  readonly attempts: number;
}

export async function shrink(
  start: Case,
  options: { readonly kind: MismatchKind; readonly fails: Fails; readonly deadlineMs: number },
): Promise<Shrunk> {
  let best = start;
  let attempts = 0;
  for (let progress = true; progress; ) {
    progress = false;
    for (const candidate of simpler(best)) {
      if (Date.now() > options.deadlineMs) return { case: best, attempts };
      attempts++;
      if ((await options.fails(candidate)) !== options.kind) continue;
      best = candidate;
      progress = true;
      break;
    }
  }
  return { case: best, attempts };
}

/** Every case that is one step simpler, the boldest first. */
function* simpler(current: Case): Generator<Case> {
  yield* withoutRounds(current);
  yield* withoutPackages(current);
  yield* withoutSteps(current);
  yield* withoutParts(current);
  yield* withPlainBuilds(current);
}

const without = <T>(list: readonly T[], from: number, count = 1): T[] => [
  ...list.slice(0, from),
  ...list.slice(from + count),
];

function* withoutRounds(current: Case): Generator<Case> {
  const { rounds } = current;
  for (let size = Math.floor(rounds.length / 2); size >= 1; size = Math.floor(size / 2))
    for (let from = 0; from + size < rounds.length; from += size)
      yield { ...current, rounds: without(rounds, from, size) };
  // Changes without their build: what one round did may only matter together with the next.
  for (const [index, round] of rounds.slice(0, -1).entries()) {
    const next = rounds[index + 1];
    if (next === undefined || round.changes.length === 0) continue;
    const merged = { ...next, changes: [...round.changes, ...next.changes] };
    yield { ...current, rounds: [...rounds.slice(0, index), merged, ...rounds.slice(index + 2)] };
  }
}

function* withoutPackages(current: Case): Generator<Case> {
  const { project } = current;
  for (const { name, kind } of project.packages) {
    if (kind === 'app') continue;
    const packages = project.packages
      .filter((spec) => spec.name !== name)
      .map((spec) => ({ ...spec, deps: spec.deps.filter((dep) => dep !== name) }));
    yield { ...current, project: { ...project, packages } };
  }
}

function* withoutSteps(current: Case): Generator<Case> {
  for (const [index, round] of current.rounds.entries()) {
    const replaced = (changed: typeof round): Case => ({
      ...current,
      rounds: current.rounds.with(index, changed),
    });
    for (const which of round.changes.keys())
      yield replaced({ ...round, changes: without(round.changes, which) });
    if (round.builds.length > 1)
      for (const which of round.builds.keys())
        yield replaced({ ...round, builds: without(round.builds, which) });
  }
}

function* withoutParts(current: Case): Generator<Case> {
  const { project } = current;
  const replaced = (index: number, spec: PackageSpec): Case => ({
    ...current,
    project: { ...project, packages: project.packages.with(index, spec) },
  });
  for (const [index, spec] of project.packages.entries()) {
    if (spec.parts.length > 1) yield replaced(index, { ...spec, parts: [] });
    for (const which of spec.parts.keys())
      yield replaced(index, { ...spec, parts: without(spec.parts, which) });
    const { scripts = [] } = spec;
    for (const which of scripts.keys()) yield replaced(index, { ...spec, scripts: without(scripts, which) });
    for (const which of spec.deps.keys()) yield replaced(index, { ...spec, deps: without(spec.deps, which) });
    if (spec.linkMode !== undefined && spec.linkMode !== 'none')
      yield replaced(index, { ...spec, linkMode: 'none' });
    if (spec.crateTypes.length > 1) yield replaced(index, { ...spec, crateTypes: ['lib'] });
    if (spec.registry !== undefined && spec.registry.patches > 1)
      yield replaced(index, { ...spec, registry: { ...spec.registry, patches: 1 } });
    if (spec.outside && spec.registry === undefined) yield replaced(index, { ...spec, outside: false });
    if (spec.edition !== '2021') yield replaced(index, { ...spec, edition: '2021' });
  }
  if (current.targets !== undefined && current.targets !== 'inside') yield { ...current, targets: 'inside' };
  for (const which of project.profile.keys())
    yield { ...current, project: { ...project, profile: without(project.profile, which) } };
}

function* withPlainBuilds(current: Case): Generator<Case> {
  const plainer = (build: Build): Build[] => [
    ...(build.command === 'build' ? [] : [{ ...build, command: 'build' as const }]),
    ...(build.release ? [{ ...build, release: false }] : []),
    ...(build.loud ? [{ ...build, loud: false }] : []),
    ...(build.rustflags === '' ? [] : [{ ...build, rustflags: '' }]),
    ...(build.fresh ? [{ ...build, fresh: false }] : []),
  ];
  for (const [index, round] of current.rounds.entries())
    for (const [which, build] of round.builds.entries())
      for (const other of plainer(build)) {
        const changed = { ...round, builds: round.builds.with(which, other) };
        yield { ...current, rounds: current.rounds.with(index, changed) };
      }
}
