// Packages of a registry for a generated project: a Cargo home of its own that holds them where Cargo unpacks crates, the
// lockfile that names them, and which there are.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { NativeMode, PackageSpec, Part, ProjectSpec, ScriptPart } from './case.ts';
import type { Source, Sources } from './parts.ts';
import { renderRegistry } from './project.ts';
import type { Random } from './random.ts';

export const hasRegistry = ({ packages }: ProjectSpec): boolean =>
  packages.some(({ registry }) => registry !== undefined);

/** Nothing of a registry package lies beside it, and no linker is told of one by its manifest. */
const PARTS: readonly Part[] = [
  'modules',
  'path-module',
  'includes',
  'env',
  'place',
  'generated',
  'build-dep',
  'macro-files',
  'macro-env',
  'macro-out',
  'features',
  'links',
];

/** How often a script does what; one that is not slow is not worth keeping, and nothing behind it is filled. */
const SCRIPTS: readonly (readonly [part: ScriptPart, probability: number])[] = [
  ['slow', 0.95],
  ['reads', 0.3],
  ['env', 0.5],
  ['tools', 0.15],
  ['headers', 0.15],
  ['tree', 0.3],
  ['gives', 0.8],
  ['prints', 0.6],
  ['takes', 0.6],
  ['place', 0.12],
];

/** Random packages of a registry, every one after those it depends on. */
export function registryPackages(random: Random): PackageSpec[] {
  const packages: PackageSpec[] = [];
  const add = (name: string, rest: Partial<PackageSpec> = {}): void => {
    const earlier = packages.filter(
      ({ cargoName }) => cargoName !== rest.cargoName || cargoName === undefined,
    );
    const isScripted = rest.kind !== 'macro' && random.chance(0.85);
    packages.push({
      name,
      kind: 'lib',
      outside: true,
      edition: random.pick(['2018', '2021', '2024']),
      crateTypes: random.chance(0.06) ? ['lib', 'cdylib'] : ['lib'],
      parts: random.some(PARTS, 0.3),
      deps: random.some(
        earlier.map((spec) => spec.name),
        0.5,
      ),
      registry: { minor: 1, patches: 1 + random.below(3) },
      ...(isScripted
        ? { scripts: SCRIPTS.flatMap(([part, often]) => (random.chance(often) ? [part] : [])) }
        : {}),
      ...rest,
    });
  };
  add('stone');
  if (random.chance(0.6)) {
    const native: NativeMode = random.pick(['bundled', 'verbatim', 'whole', 'not-bundled', 'debug-info']);
    add('ore_sys', { cargoName: 'ore-sys', kind: 'native', native, crateTypes: ['lib'] });
  }
  if (random.chance(0.7)) {
    add('mortar', { kind: 'macro', crateTypes: ['proc-macro'], parts: [] });
    if (random.chance(0.3)) add('trowel', { kind: 'facade', deps: ['mortar'] });
  }
  add('fine_sand', { cargoName: 'fine-sand' });
  // A second one of the same name: its files have the same names but for Cargo's hash.
  if (random.chance(0.4))
    add('stone_two', {
      cargoName: 'stone',
      crateTypes: ['lib'],
      registry: { minor: 2, patches: 1 + random.below(2) },
    });
  if (random.chance(0.6)) add('wall');
  return packages;
}

function writeBelow(folder: string, sources: Sources): void {
  for (const [name, source] of Object.entries(sources)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    if (typeof source === 'string') writeFileSync(path, source);
    else symlinkSync((source as Exclude<Source, string>).link, path);
  }
}

/** Writes a Cargo home that has the packages of a project, and nothing else. */
export function writeCargoHome(home: string, project: ProjectSpec): void {
  const packages = join(home, 'registry', 'src', 'crates');
  writeBelow(packages, renderRegistry(project));
  writeFileSync(
    join(home, 'config.toml'),
    `[source.crates-io]\nreplace-with = "given"\n[source.given]\ndirectory = "${packages}"\n`,
  );
}

/** The lockfile Cargo makes for a project; undefined where it makes none. */
export function lockfileOf(sources: Sources, env: Record<string, string>): string | undefined {
  const folder = mkdtempSync(join(env['HOME'] ?? '/', 'lock-'));
  writeBelow(folder, sources);
  const ws = join(folder, 'ws');
  Bun.spawnSync(['cargo', 'generate-lockfile', '--offline'], { cwd: ws, env, stdin: 'ignore' });
  try {
    return readFileSync(join(ws, 'Cargo.lock'), 'utf8');
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
