// From a seed to a case: a random project, and a random walk over it.
import { dirname, join } from 'node:path/posix';
import type {
  Build,
  Case,
  Change,
  Command,
  LinkMode,
  NativeMode,
  PackageSpec,
  Part,
  ProjectSpec,
  Round,
  ScriptPart,
  TargetPlace,
} from './case.ts';
import { cargoNameOf, render } from './project.ts';
import { Random } from './random.ts';
import { registryPackages } from './registry.ts';
import { IS_OF_SCRIPT, MAY_APPEAR } from './scripts.ts';

export interface Wanted {
  readonly seed: number;
  readonly rounds: number;
  readonly executables: boolean;
  /** Whether runs of build scripts are to be kept: the scripts do more, and steps often begin with an empty target folder. */
  readonly buildScripts?: boolean;
  /** Whether new target folders are to be filled: projects have packages of a registry, and most steps begin with a new one. */
  readonly fingerprints?: boolean;
}

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
  'lint',
  'assembled',
];

export function generate(wanted: Wanted): Case {
  const { seed, rounds, executables, buildScripts = false, fingerprints = false } = wanted;
  const random = new Random(seed);
  // These are about what scripts read.
  const parts = buildScripts ? PARTS.filter((part) => part !== 'assembled') : PARTS;
  const plain = projectOf(random, fingerprints ? registryPackages(random) : [], parts);
  const project = buildScripts ? withScripts(random, plain) : plain;
  const checkouts = ['one', 'deeper/down/zwei é x', 'on'].slice(0, 2 + random.below(2));
  const places = fingerprints ? TARGETS.filter((place) => place !== 'outside') : TARGETS;
  const targets = buildScripts || fingerprints ? { targets: random.pick(places) } : {};
  const walk = new Walk(random, project, checkouts.length);
  return {
    seed,
    executables,
    ...(buildScripts ? { buildScripts } : {}),
    ...(fingerprints ? { fingerprints } : {}),
    ...targets,
    project,
    checkouts,
    rounds: Array.from({ length: rounds }, (_, index) => walk.round(index === 0)),
  };
}

const TARGETS: readonly TargetPlace[] = ['inside', 'inside', 'inside', 'outside', 'outside', 'linked'];

/** How often a script does what. What cannot be kept is rare: one such part, and nothing of the script is kept. */
const SCRIPTS: readonly (readonly [part: ScriptPart, probability: number])[] = [
  ['slow', 0.95],
  ['reads', 0.45],
  ['env', 0.35],
  ['tools', 0.25],
  ['headers', 0.35],
  ['tree', 0.35],
  ['gives', 0.8],
  ['takes', 0.7],
  ['beside', 0.12],
  ['place', 0.12],
];

function withScripts(random: Random, project: ProjectSpec): ProjectSpec {
  const packages = project.packages.map((spec) => {
    if (spec.kind === 'macro' || spec.registry !== undefined) return spec;
    return {
      ...spec,
      scripts: SCRIPTS.flatMap(([part, probability]) => (random.chance(probability) ? [part] : [])),
    };
  });
  return { ...project, packages };
}

function projectOf(random: Random, given: readonly PackageSpec[], all: readonly Part[]): ProjectSpec {
  const packages = [...given];
  // Where there are packages of a registry the rest is small: it is those that walks are about.
  const isSmall = given.length > 0;
  const add = (name: string, rest: Partial<PackageSpec>, mayDepend = true): void => {
    // A macro has no report: another one would have nothing of it.
    const earlier = packages
      .filter(({ kind, registry }) => rest.kind !== 'macro' || kind !== 'macro' || registry === undefined)
      .map((spec) => spec.name);
    packages.push({
      name,
      kind: 'lib',
      outside: false,
      edition: random.pick(['2018', '2021', '2024']),
      crateTypes: ['lib'],
      parts: random.some(all, 0.4),
      deps: mayDepend ? random.some(earlier, 0.5) : [],
      ...rest,
    });
  };
  add('base', {}, isSmall);
  if (!isSmall && random.chance(0.6)) {
    const native: NativeMode = random.pick([
      'bundled',
      'bundled',
      'verbatim',
      'whole',
      'not-bundled',
      'debug-info',
    ]);
    add('sys', { kind: 'native', native, parts: random.some(['env', 'features', 'lint', 'modules'], 0.3) });
  }
  if (!isSmall && random.chance(0.25)) add('ext', { outside: true });
  if (random.chance(isSmall ? 0.3 : 0.75)) {
    add('mac', { kind: 'macro', crateTypes: ['proc-macro'], parts: [] });
    if (!isSmall && random.chance(0.4))
      add('facade', { kind: 'facade', deps: ['mac'], parts: random.some(all, 0.2) });
  }
  for (const name of isSmall ? [] : ['mid', 'top'].slice(0, 1 + random.below(2)))
    add(name, {
      crateTypes: random.pick([['lib'], ['lib'], ['rlib', 'cdylib'], ['lib', 'dylib'], ['lib', 'staticlib']]),
    });
  if (!isSmall && random.chance(0.15)) add('twin', { cargoName: 'base', outside: true });
  const linkMode: LinkMode = random.pick(['none', 'response-file', 'linker-script', 'included-script']);
  const last = packages.at(-1)?.name ?? 'base';
  const deps = packages.map(({ name }) => name).filter((name) => name === last || random.chance(0.4));
  add('app', {
    kind: 'app',
    edition: random.pick(['2021', '2024']),
    linkMode,
    deps,
    parts: random.some(all, 0.25),
  });
  const profile = profileOf(random).filter((line) => !(hasOneVariant(packages) && line.startsWith('panic')));
  return { packages, profile };
}

/** Cargo itself keeps one file for all variants of a library whose name has no hash: none may be made side by side. */
const hasOneVariant = (packages: readonly PackageSpec[]): boolean =>
  packages.some(({ crateTypes }) => crateTypes.length > 1);

/** What the packages of a registry see of a workspace beside its features. */
const REPLACED_FOR_REGISTRY: typeof REPLACED = [
  [/^ws\/\w+\/Cargo\.toml$/, 'package = "stone" }', 'package = "stone", features = ["loud"] }'],
  [/^ws\/\w+\/Cargo\.toml$/, 'package = "fine-sand" }', 'package = "fine-sand", features = ["loud"] }'],
  [/^ws\/Cargo\.toml$/, 'resolver = "2"', 'resolver = "1"'],
  [/^ws\/Cargo\.toml$/, '[profile.dev]', '[profile.dev.package."*"]\nopt-level = 1\n\n[profile.dev]'],
  [/^ws\/Cargo\.toml$/, '[profile.dev]', '[profile.dev.build-override]\nopt-level = 1\n\n[profile.dev]'],
  [/config\.toml$/, '[env]\n', '[build]\nrustflags = ["--cfg", "fuzz_flag"]\n[env]\n'],
  [/config\.toml$/, '[env]\n', '[env]\nFUZZ_OPTION = "configured"\n'],
  [/config\.toml$/, '[env]\n', '[env]\nFUZZ_BUILD = { value = "configured", force = true }\n'],
  [/config\.toml$/, '[env]\n', '[env]\nFUZZ_NAMED = { value = "shared", relative = true }\n'],
];

const profileOf = (random: Random): string[] => [
  `debug = ${random.pick(['0', '0', '1', '2'])}`,
  'opt-level = 0',
  ...random.some(['overflow-checks = false', 'panic = "abort"', 'codegen-units = 1', 'strip = true'], 0.1),
];

const TEXTS = ['\n// a comment\n', '\npub fn fresh() { let idle = 1; }\n', '\npub fn broken( {\n'] as const;
const NAMED_VARIABLES = ['FUZZ_OPTION', 'FUZZ_BUILD', 'FUZZ_MACRO', 'FUZZ_NAMED', 'fuzz.odd-name'] as const;
const RUSTFLAGS = [
  '--cfg fuzz_flag',
  '-D warnings',
  '-C debuginfo=1',
  '-C opt-level=1',
  '--cap-lints allow',
] as const;
const REPLACED: readonly (readonly [pattern: RegExp, from: string, to: string])[] = [
  [/^ws\/Cargo\.toml$/, 'opt-level = 0', 'opt-level = 1'],
  [/^ws\/Cargo\.toml$/, 'debug = 0', 'debug = 1'],
  [/^ws\/Cargo\.toml$/, 'opt-level = 0', 'opt-level = 0\ndebug-assertions = false'],
  [/^ws\/Cargo\.toml$/, 'opt-level = 0', 'opt-level = 0\npanic = "abort"'],
  [/\/Cargo\.toml$/, 'unused_variables = "warn"', 'unused_variables = "deny"'],
  [/\/Cargo\.toml$/, 'unused_variables = "warn"', 'unused_variables = "allow"'],
  [/\/Cargo\.toml$/, 'edition = "2018"', 'edition = "2021"'],
  [/\/Cargo\.toml$/, '[features]\n', '[features]\ndefault = ["loud"]\n'],
  [/\/lib\.rs$/, 'pub mod left;\npub mod right;', 'pub use self::one as left; pub mod right;'],
];

type Op = Change['op'] | 'appear';

const WEIGHTS: Readonly<Record<Exclude<Op, 'write'>, number>> = {
  value: 45,
  append: 4,
  replace: 5,
  appear: 6,
  swap: 4,
  move: 3,
  copy: 3,
  link: 4,
  remove: 2,
  restore: 8,
  sync: 7,
  relocate: 2,
  clean: 2,
  lose: 4,
  env: 12,
  lock: 0,
};
/** What packages of a registry are built by, more than what is in the workspace; and places that are new. */
const REGISTRY_WEIGHTS: typeof WEIGHTS = {
  value: 12,
  append: 1,
  replace: 14,
  appear: 1,
  swap: 0,
  move: 0,
  copy: 0,
  link: 0,
  remove: 0,
  restore: 10,
  sync: 6,
  relocate: 6,
  clean: 4,
  lose: 3,
  env: 24,
  lock: 18,
};

const COMMANDS: Readonly<Record<Command, number>> = {
  build: 50,
  'build-all': 15,
  check: 12,
  clippy: 6,
  test: 15,
};
/** For scripts, and for packages of a registry, they are all one. */
const SCRIPT_COMMANDS: typeof COMMANDS = { ...COMMANDS, 'build-all': 3, check: 4, clippy: 2, test: 4 };

class Walk {
  readonly #random: Random;
  readonly #files: readonly string[];
  readonly #numbered: readonly string[];
  readonly #checkouts: number;
  readonly #oneVariant: boolean;
  /** Files of build scripts whose runs are kept; none where they are not. */
  readonly #ofScripts: readonly string[];
  readonly #ofRegistry: readonly PackageSpec[];
  readonly #last = new Map<number, string>();
  readonly #upset = new Set<number>();

  constructor(random: Random, project: ProjectSpec, checkouts: number) {
    const sources = Object.entries(render(project));
    this.#random = random;
    this.#files = sources.filter(([, source]) => typeof source === 'string').map(([name]) => name);
    this.#numbered = sources
      .filter(([, source]) => typeof source === 'string' && /\b9\d{3}\b/.test(source))
      .map(([name]) => name);
    this.#checkouts = checkouts;
    this.#oneVariant = hasOneVariant(project.packages);
    const isRich = project.packages.some(
      ({ scripts, registry }) => scripts !== undefined && registry === undefined,
    );
    this.#ofRegistry = project.packages.filter(({ registry }) => registry !== undefined);
    this.#ofScripts = isRich ? this.#files.filter((name) => IS_OF_SCRIPT.test(name)) : [];
  }

  round(first: boolean): Round {
    const random = this.#random;
    const changes: Change[] = [];
    if (!first) {
      for (const at of this.#upset) if (random.chance(0.7)) changes.push({ op: 'restore', at });
      for (const { at } of changes as { at: number }[]) this.#upset.delete(at);
      const count = this.#ofRegistry.length > 0 ? random.below(3) : 1 + random.below(5);
      for (let left = count; left > 0; left--) changes.push(this.#change());
    }
    const at = random.below(this.#checkouts);
    const builds = [this.#build(at)];
    if (random.chance(0.15)) builds.push(this.#build((at + 1) % this.#checkouts));
    return { changes, builds };
  }

  #change(): Change {
    const random = this.#random;
    const at = random.below(this.#checkouts);
    const file = this.#file(this.#files);
    const weights = this.#ofRegistry.length > 0 ? REGISTRY_WEIGHTS : WEIGHTS;
    const change = this.#made(random.weighted(weights), at, file);
    const breaks =
      ['move', 'remove', 'copy', 'swap', 'link', 'write'].includes(change.op) ||
      (change.op === 'append' && change.text === TEXTS[2]);
    if (breaks) this.#upset.add(at);
    return change;
  }

  #made(op: keyof typeof WEIGHTS, at: number, file: string): Change {
    const random = this.#random;
    switch (op) {
      case 'value':
        return {
          op: 'value',
          at,
          file: this.#file(this.#numbered),
          value: random.below(100),
          ...(random.chance(0.15) ? { keepTime: true } : {}),
        };
      case 'append':
        return { op, at, file: random.pick(this.#code()), text: random.pick(TEXTS) };
      case 'replace': {
        const [pattern, from, to] = random.pick(
          [...REPLACED, ...(this.#ofRegistry.length > 0 ? REPLACED_FOR_REGISTRY : [])].filter(
            ([, , text]) => !(this.#oneVariant && text.includes('panic')),
          ),
        );
        const files = this.#files.filter((name) => pattern.test(name));
        return { op, at, file: random.pick(files.length === 0 ? this.#files : files), from, to };
      }
      case 'appear':
        return this.#appears(at);
      case 'swap':
        return { op, at, file, other: random.pick(this.#alike(file)) };
      case 'link':
        return this.#link(at, file);
      case 'copy':
        return { op, at, file, to: random.pick(this.#alike(file)) };
      case 'move':
        return { op, at, file, to: elsewhere(file) };
      case 'remove':
        return this.#scriptsTurn(0.5) ? { op, at, file: this.#mayAppear().file } : { op, at, file };
      case 'restore':
        return random.chance(0.5) ? { op, at } : { op, at, file };
      case 'sync':
        return { op, at, from: random.below(this.#checkouts) };
      case 'relocate':
        return { op, at, to: `moved/${random.pick(['a', 'b/c', 'one'])}` };
      case 'clean':
        return { op, at };
      case 'lose':
        return { op, at, pick: random.below(1000), what: random.pick(['output', 'fingerprint']) };
      case 'lock': {
        const spec = random.pick(this.#ofRegistry);
        const { minor, patches } = spec.registry ?? { minor: 0, patches: 1 };
        return { op, at, name: cargoNameOf(spec), minor, patch: random.below(patches) };
      }
      case 'env':
        return {
          op,
          name: random.pick(NAMED_VARIABLES),
          value: random.pick([null, '', 'first', 'second é']),
        };
    }
  }

  /** A link to a file of the same sort, often where a macro reads. */
  #link(at: number, file: string): Change {
    const random = this.#random;
    const read = this.#files.filter((name) => name.endsWith('read by macro.txt'));
    const from = read.length > 0 && random.chance(0.6) ? random.pick(read) : file;
    return { op: 'link', at, file: from, to: random.pick(this.#alike(from)) };
  }

  /** A file where there was none: what macros look for or list, or a module's other spelling. */
  #appears(at: number): Change {
    const random = this.#random;
    if (this.#scriptsTurn(0.6)) return { op: 'write', at, ...this.#mayAppear() };
    const places = this.#files.flatMap((name) => {
      if (/\/items\/a\.txt$/.test(name)) return [name.replace('a.txt', 'c.txt')];
      if (name.endsWith('read by macro.txt')) return [name.replace('data/read by macro.txt', 'optional.txt')];
      if (/\/src\/(one|left)\.rs$/.test(name)) return [name.replace('.rs', '/mod.rs')];
      return /\/Cargo\.toml$/.test(name) ? [name.replace('Cargo.toml', 'README.md')] : [];
    });
    const file = random.pick(places);
    if (file.endsWith('.rs')) this.#upset.add(at);
    return { op: 'write', at, file, text: 'appeared 9000' };
  }

  /** Whether it is the turn of what build scripts do: never where their runs are not kept. */
  #scriptsTurn(probability: number): boolean {
    return this.#ofScripts.length > 0 && this.#random.chance(probability);
  }

  #file(files: readonly string[]): string {
    return this.#random.pick(
      this.#scriptsTurn(0.5) ? this.#ofScripts.filter((name) => files.includes(name)) : files,
    );
  }

  /** What a script looks for. */
  #mayAppear(): { readonly file: string; readonly text: string } {
    return this.#random.pick(
      MAY_APPEAR.flatMap(([beside, name, text]) =>
        this.#files
          .filter((file) => beside.test(file))
          .map((file) => ({ file: join(dirname(file), name), text })),
      ),
    );
  }

  #code(): readonly string[] {
    return this.#files.filter((name) => name.endsWith('.rs') && !name.endsWith('by_link.rs'));
  }

  /** Files of the same sort: their contents can stand for each other. */
  #alike(file: string): readonly string[] {
    const sort = (name: string): string => /(?:lib|main|build)\.rs$|[^/]*\.\w+$/.exec(name)?.[0] ?? name;
    const ending = (name: string): string => /\.\w+$/.exec(name)?.[0] ?? '';
    const alike = this.#files.filter((name) => name !== file && sort(name) === sort(file));
    const ended = this.#files.filter((name) => name !== file && ending(name) === ending(file));
    const near = ended.filter((name) => name.split('/')[1] === file.split('/')[1]);
    return [near, alike, ended, this.#files].find((list) => list.length > 0) ?? this.#files;
  }

  /** How often a step begins with a new target folder: what is put back there is put back nowhere else. */
  #newFolders(): number {
    if (this.#ofRegistry.length > 0) return 0.75;
    return this.#ofScripts.length > 0 ? 0.6 : 0.3;
  }

  #build(at: number): Build {
    const random = this.#random;
    const isPlain = this.#ofScripts.length > 0 || this.#ofRegistry.length > 0;
    const command: Command = random.weighted(isPlain ? SCRIPT_COMMANDS : COMMANDS);
    const variant = {
      release: random.chance(0.08),
      loud: random.chance(0.15),
      rustflags: random.chance(this.#ofRegistry.length > 0 ? 0.07 : 0.15) ? random.pick(RUSTFLAGS) : '',
    };
    const changed = JSON.stringify(variant) !== this.#last.get(at);
    this.#last.set(at, JSON.stringify(variant));
    return {
      at,
      command,
      ...variant,
      fresh: random.chance(this.#newFolders()) || (changed && this.#oneVariant),
    };
  }
}

/** Where a file may move to: for a module its other spelling, which means the same. */
function elsewhere(file: string): string {
  if (/\/src\/(one|left|right)\.rs$/.test(file)) return file.replace(/\.rs$/, '/mod.rs');
  return file.replace(/([^/]+)$/, 'moved_$1');
}
