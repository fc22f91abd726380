// What is built: pinned applications from crates.io, fetched through cargo with their own lock files, and a workspace.
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface Application {
  readonly name: string;
  /** Undefined: the workspace beside this file. */
  readonly version: string | undefined;
  /** Crates of its repository, which crates.io has apart from it: they become members of its workspace again. */
  readonly members?: readonly string[];
  /** The file edited for the "one edited leaf" phase, and the line appended to it. */
  readonly leaf: string;
  /** A dependency in the middle of the graph, and another version of it that the others accept. */
  readonly bump: { readonly crate: string; readonly version: string };
  /** Further cold builds of plain cargo and of kache, in turns: a cold build differs more from the next than kache costs. */
  readonly coldTurns: number;
}

export const APPLICATIONS: readonly Application[] = [
  {
    name: 'workspace',
    version: undefined,
    leaf: 'crates/units/src/lib.rs',
    bump: { crate: 'aho-corasick', version: '1.1.4' },
    coldTurns: 3,
  },
  {
    name: 'fd-find',
    version: '10.5.0',
    leaf: 'src/main.rs',
    bump: { crate: 'regex-automata', version: '0.4.17' },
    coldTurns: 3,
  },
  {
    name: 'just',
    version: '1.59.0',
    leaf: 'src/lib.rs',
    bump: { crate: 'regex-automata', version: '0.4.17' },
    coldTurns: 2,
  },
  {
    name: 'mdbook',
    version: '0.5.4',
    leaf: 'src/main.rs',
    bump: { crate: 'regex-automata', version: '0.4.17' },
    coldTurns: 1,
  },
];

/** An application of many crates: `bench/ci.ts` measures what that changes. */
export const OF_MANY_CRATES: Application = {
  name: 'ripgrep',
  version: '15.1.0',
  members: [
    'globset',
    'grep',
    'grep-cli',
    'grep-matcher',
    'grep-printer',
    'grep-regex',
    'grep-searcher',
    'ignore',
  ],
  leaf: 'members/grep-searcher/src/lib.rs',
  bump: { crate: 'regex-automata', version: '0.4.17' },
  coldTurns: 1,
};

const run = (argv: readonly string[], cwd: string): void => {
  const done = Bun.spawnSync([...argv], { cwd, stdout: 'ignore', stderr: 'pipe' });
  if (done.exitCode !== 0)
    throw new Error(`Cannot run "${argv.join(' ')}": ${done.stderr.toString().slice(-800)}`);
};

/** The sources of an application with every dependency fetched, below `workDir`. */
export function fetchApplication(application: Application, workDir: string): string {
  const target = join(workDir, 'sources', application.name);
  if (existsSync(target)) return target;
  mkdirSync(join(workDir, 'sources'), { recursive: true });
  if (application.version === undefined)
    cpSync(join(import.meta.dir, 'workspace'), target, { recursive: true });
  else cpSync(unpacked(application.name, application.version, workDir), target, { recursive: true });
  assembleWorkspace(target, application, workDir);
  run(['cargo', 'fetch', '--locked'], target);
  return target;
}

/** The same sources with the other version of one dependency in the lock file, fetched. */
export function bumpedApplication(application: Application, workDir: string): string {
  const target = join(workDir, 'sources', `${application.name}-bumped`);
  if (existsSync(target)) return target;
  cpSync(fetchApplication(application, workDir), target, { recursive: true });
  const { crate, version } = application.bump;
  run(['cargo', 'update', '--package', crate, '--precise', version], target);
  run(['cargo', 'fetch', '--locked'], target);
  return target;
}

/**
 * Makes crates that the lock file names members of the workspace, in the versions it names. A lock file also has what members
 * need where features of theirs are on, so it is another one then: that of `lock-files`.
 */
function assembleWorkspace(
  target: string,
  { name: application, members = [] }: Application,
  workDir: string,
): void {
  if (members.length === 0) return;
  const lockPath = join(import.meta.dir, 'lock-files', `${application}.lock`);
  const lock = readFileSync(lockPath, 'utf8');
  writeFileSync(join(target, 'Cargo.lock'), lock);
  for (const name of members) {
    const version = new RegExp(`name = "${name}"\nversion = "([^"]+)"\n`).exec(lock)?.[1];
    if (version === undefined) throw new Error(`Cannot find "${name}" in ${lockPath}.`);
    const folder = join(target, 'members', name);
    cpSync(unpacked(name, version, workDir), folder, { recursive: true });
    const manifest = join(folder, 'Cargo.toml');
    const text = readFileSync(manifest, 'utf8').replaceAll(
      /^\[dev-dependencies[^\]]*\]\n(?:(?!\[).*\n?)*/gm,
      '',
    );
    writeFileSync(manifest, text);
  }
  const [paths, patches] = [
    members.map((name) => `"members/${name}"`),
    members.map((name) => `${name} = { path = "members/${name}" }\n`),
  ];
  appendFileSync(
    join(target, 'Cargo.toml'),
    `\n[workspace]\nmembers = [${paths.join(', ')}]\n\n[patch.crates-io]\n${patches.join('')}`,
  );
}

/** Cargo unpacks a crate it fetches as a dependency into its registry folder. */
function unpacked(name: string, version: string, workDir: string): string {
  const helper = join(workDir, 'fetch', name);
  mkdirSync(join(helper, 'src'), { recursive: true });
  writeFileSync(join(helper, 'src/lib.rs'), '');
  writeFileSync(
    join(helper, 'Cargo.toml'),
    `[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies.${name}]\nversion = "=${version}"\ndefault-features = false\n`,
  );
  run(['cargo', 'fetch'], helper);
  const registry = join(process.env['CARGO_HOME'] ?? join(homedir(), '.cargo'), 'registry/src');
  for (const index of readdirSync(registry)) {
    const path = join(registry, index, `${name}-${version}`);
    if (existsSync(path)) return path;
  }
  throw new Error(`Cannot find the sources of ${name} ${version} below ${registry}.`);
}
