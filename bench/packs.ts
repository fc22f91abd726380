// When a chain of packs in a CI's cache is better replaced by a fresh one: bytes moved over a sequence of jobs, by each
// rule. Sizes are those of real packs, what a change replaces is what depends on it; the sequence has a written seed.
//   bun bench/packs.ts [--application NAME]... [--jobs N] [--work-dir DIR]
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { plan, type Saved } from '../action/src/chain.ts';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { baseEnv, build, checkout } from './phases.ts';
import { kacheBinary } from './tools.ts';

const { values } = parseArgs({
  options: {
    application: { type: 'string', multiple: true, default: ['workspace', 'just', 'mdbook'] },
    jobs: { type: 'string', default: '200' },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-packs-${process.pid}`) },
  },
});

interface Crate {
  readonly bytes: number;
  /** Names of the crates that are compiled anew when this one is, itself among them. */
  readonly above: readonly string[];
  readonly isMember: boolean;
}

/** A real build of an application, as what its pack holds. */
function measure(name: string): Map<string, Crate> {
  const application = APPLICATIONS.find((one) => one.name === name);
  if (application === undefined) throw new Error(`Cannot measure "${name}": no such application.`);
  const dir = checkout(
    fetchApplication(application, values['work-dir']),
    join(values['work-dir'], 'at', name),
  );
  const env = { ...baseEnv(), KACHE_CACHE_DIR: join(values['work-dir'], 'store', name) };
  build(dir, { ...env, RUSTC_WRAPPER: kacheBinary });
  const pack = join(values['work-dir'], `${name}.pack`);
  const kache = (...args: string[]): string =>
    Bun.spawnSync([kacheBinary, ...args], { cwd: dir, env }).stdout.toString();
  kache('pack', 'save', pack);
  const { entries } = JSON.parse(kache('pack', 'show', pack, '--json')) as {
    entries: { crate: string; bytes: number }[];
  };
  const metadata = Bun.spawnSync(['cargo', 'metadata', '--format-version=1', '--offline', '--locked'], {
    cwd: dir,
    env: baseEnv(),
  });
  return cratesOf(entries, JSON.parse(metadata.stdout.toString()) as Metadata);
}

interface Metadata {
  readonly workspace_members: readonly string[];
  readonly packages: readonly { readonly id: string; readonly name: string }[];
  readonly resolve: { readonly nodes: readonly { readonly id: string; readonly dependencies: string[] }[] };
}

function cratesOf(
  entries: readonly { crate: string; bytes: number }[],
  metadata: Metadata,
): Map<string, Crate> {
  const nameOf = new Map(metadata.packages.map(({ id, name }) => [id, name.replaceAll('-', '_')]));
  const users = new Map<string, string[]>();
  for (const { id, dependencies } of metadata.resolve.nodes)
    for (const below of dependencies) users.set(below, [...(users.get(below) ?? []), id]);
  const aboveOf = (id: string, seen = new Set<string>()): Set<string> => {
    if (!seen.has(id)) {
      seen.add(id);
      for (const user of users.get(id) ?? []) aboveOf(user, seen);
    }
    return seen;
  };
  const crates = new Map<string, Crate>();
  for (const { id } of metadata.packages) {
    const name = nameOf.get(id) ?? '';
    const bytes = entries.filter(({ crate }) => crate === name).reduce((sum, one) => sum + one.bytes, 0);
    const above = [...aboveOf(id)].map((user) => nameOf.get(user) ?? '');
    if (bytes > 0) crates.set(name, { bytes, above, isMember: metadata.workspace_members.includes(id) });
  }
  return crates;
}

/** Numerical Recipes' LCG: the same sequence at every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

type Rule = (saved: Saved, packs: number) => boolean;

/** Bytes moved by a sequence of jobs: six of ten edit a member, one bumps a dependency, the others change nothing. */
function play(crates: ReadonlyMap<string, Crate>, startsAfresh: Rule, readers: number): number {
  const random = generator(20260301);
  const pick = (names: readonly string[]): string => names[Math.floor(random() * names.length)] ?? '';
  const names = [...crates.keys()];
  const members = names.filter((name) => crates.get(name)?.isMember === true);
  const used = [...crates.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  let [chain, packs, moved] = [used, 1, used];
  for (let job = 0; job < Number(values.jobs); job++) {
    moved += chain * readers;
    const die = random();
    if (die >= 0.7) continue;
    const changed = crates.get(pick(die < 0.6 && members.length > 0 ? members : names));
    const bytes = (changed?.above ?? []).reduce((sum, name) => sum + (crates.get(name)?.bytes ?? 0), 0);
    const saved = { parts: [{ file: '', set: '' }], set: '', entries: 2, in_bases: 1, new: 1 };
    if (startsAfresh({ ...saved, bytes, used_bytes: used, base_bytes: chain }, packs)) {
      [chain, packs, moved] = [used, 1, moved + used];
    } else [chain, packs, moved] = [chain + bytes, packs + 1, moved + bytes];
  }
  return moved / Number(values.jobs);
}

const ratio =
  (limit: number, most = 8): Rule =>
  ({ bytes, used_bytes, base_bytes }, packs) =>
    packs >= most || base_bytes + bytes > limit * used_bytes;

const RULES: Readonly<Record<string, Rule>> = {
  'always fresh': () => true,
  'never fresh, 8 packs': ratio(Number.POSITIVE_INFINITY),
  ...Object.fromEntries([1.1, 1.25, 1.5, 2, 3].map((limit) => [`from ${limit} on, 8 packs`, ratio(limit)])),
  'from 1.25 on, 4 packs': ratio(1.25, 4),
  'from 1.25 on, 16 packs': ratio(1.25, 16),
  'as it is': (saved, packs) => plan(saved, { packs, isDamaged: false, succeeded: true }) === 'fresh',
};
const READERS = [1, 3, 10];

mkdirSync(values['work-dir'], { recursive: true });
for (const name of values.application) {
  const crates = measure(name);
  const whole = [...crates.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  console.log(`\n${name}: ${crates.size} crates, ${megabytes(whole)} MB in one pack; MB moved a job\n`);
  console.log(`| rule | ${READERS.map((readers) => `${readers} a save`).join(' | ')} |`);
  console.log(`|---|${READERS.map(() => '--:').join('|')}|`);
  for (const [rule, startsAfresh] of Object.entries(RULES))
    console.log(
      `| ${rule} | ${READERS.map((readers) => megabytes(play(crates, startsAfresh, readers))).join(' | ')} |`,
    );
}
rmSync(values['work-dir'], { recursive: true, force: true });
