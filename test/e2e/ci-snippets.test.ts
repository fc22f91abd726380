// The snippets of docs/ci.md, run as the CI they are for would: two jobs that share nothing but the file they cache.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Env, Files } from '../support/lab.ts';
import { KACHE, Lab } from '../support/lab.ts';

const TIMEOUT_MS = 240_000;
const FENCE = '```';
const DOCUMENT = readFileSync(join(import.meta.dir, '..', '..', 'docs', 'ci.md'), 'utf8');

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

const PROJECT: Files = {
  'Cargo.toml': `${manifest('app', '[dependencies]\npart = { path = "part" }\n')}[workspace]\nmembers = ["part"]\n`,
  'Cargo.lock':
    'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\ndependencies = [\n "part",\n]\n\n[[package]]\nname = "part"\nversion = "0.1.0"\n',
  'src/main.rs': 'fn main() { println!("{}", part::number()); }\n',
  'part/Cargo.toml': manifest('part'),
  'part/src/lib.rs': 'pub fn number() -> u32 { 7 }\n',
};

interface Job {
  readonly commands: readonly string[];
  readonly env: Env;
  /** What the CI keeps. */
  readonly path: string;
}

/** The first block in this language behind a heading. */
function blockOf(heading: string, language: string): string {
  const section = DOCUMENT.slice(DOCUMENT.indexOf(`### ${heading}\n`));
  const block = section.split(`${FENCE}${language}\n`)[1]?.split(FENCE)[0];
  if (block === undefined) throw new Error(`docs/ci.md has no ${language} under ${heading}`);
  return block;
}

/** What the YAML under a heading holds, at the places that are asked for; a test that meets another shape fails. */
const yaml = <T>(heading: string): T => Bun.YAML.parse(blockOf(heading, 'yaml')) as T;

type Commands = readonly string[];

interface GitLab {
  readonly build: {
    readonly before_script: Commands;
    readonly script: Commands;
    readonly after_script: Commands;
    readonly variables: Env;
    readonly cache: { readonly paths: readonly [string] };
  };
}

interface Buildkite {
  readonly steps: readonly [
    {
      readonly commands: Commands;
      readonly env: Env;
      readonly plugins: readonly [Readonly<Record<string, { readonly path: string }>>];
    },
  ];
}

interface CircleStep {
  readonly run?: string | { readonly command: string };
  readonly save_cache?: { readonly paths: readonly [string] };
}

interface CircleCI {
  readonly jobs: {
    readonly build: { readonly environment: Env; readonly steps: readonly (string | CircleStep)[] };
  };
}

const JOBS: Readonly<Record<string, () => Job>> = {
  GitLab: () => {
    const { build } = yaml<GitLab>('GitLab');
    const commands = [...build.before_script, ...build.script, ...build.after_script];
    return { commands, env: build.variables, path: build.cache.paths[0] };
  },
  Buildkite: () => {
    const [step] = yaml<Buildkite>('Buildkite').steps;
    const [plugin] = Object.values(step.plugins[0]);
    return { commands: step.commands, env: step.env, path: plugin?.path ?? '' };
  },
  CircleCI: () => {
    const { build } = yaml<CircleCI>('CircleCI').jobs;
    const steps = build.steps.flatMap((step) => (typeof step === 'string' ? [] : step));
    const commands = steps.flatMap(({ run }) => (typeof run === 'object' ? run.command : (run ?? [])));
    const saved = steps.find(({ save_cache }) => save_cache !== undefined)?.save_cache;
    return { commands, env: build.environment, path: saved?.paths[0] ?? '' };
  },
};

let cache: string;
beforeAll(() => {
  cache = mkdtempSync(join(tmpdir(), 'kache-ci-'));
});
afterAll(() => rmSync(cache, { recursive: true, force: true }));

/** One job on a machine of its own: what is kept comes, the commands run, what is to be kept goes. */
function run({ commands, env, path }: Job, place: string): Map<string, string> {
  using lab = new Lab();
  const dir = lab.write(place, PROJECT);
  mkdirSync(lab.path('bin'), { recursive: true });
  Bun.spawnSync(['ln', '-s', KACHE, lab.path('bin', 'kache')]);
  const kept = join(cache, path);
  if (existsSync(kept)) copyFileSync(kept, join(dir, path));
  const started = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString().replace('.000Z', 'Z');
  const job: Env = {
    ...env,
    PATH: `${lab.path('bin')}:${process.env['PATH']}`,
    KACHE_CACHE_DIR: undefined,
    CARGO_NET_OFFLINE: 'true',
    CI_JOB_STARTED_AT: started,
  };
  for (const command of commands) {
    const done = lab.run(['bash', '-e', '-o', 'pipefail', '-c', command], { cwd: dir, env: job });
    expect([command, done.status, done.stderr]).toEqual([command, 0, expect.any(String)]);
  }
  copyFileSync(join(dir, path), kept);
  const store = lab.path('home', '.cache', 'kache', 'events', 'log');
  return new Map(
    readFileSync(store, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{"ts"'))
      .map((line) => JSON.parse(line))
      .filter(({ crate_types }) => crate_types !== undefined)
      .map(({ crate_name, result }) => [crate_name, result]),
  );
}

for (const [name, jobOf] of Object.entries(JOBS))
  test(
    `${name}: the second job has what the first one made`,
    () => {
      const job = jobOf();
      expect(job.path).toBe('kache.pack');
      rmSync(join(cache, job.path), { force: true });
      expect([...run(job, 'builds/one').values()].sort()).toEqual(['miss', 'miss']);
      const second = run(job, 'quite/another/place');
      expect([...second.values()]).toEqual(['prefetch_hit', 'prefetch_hit']);
      // And a third one has what the second one only used.
      expect([...run(job, 'third').values()]).toEqual(['prefetch_hit', 'prefetch_hit']);
    },
    TIMEOUT_MS,
  );

test(
  'small packs: the second holds what the first has not',
  () => {
    using lab = new Lab();
    const [dir, env] = [
      lab.write('project', PROJECT),
      { RUSTC_WRAPPER: KACHE, KACHE_CACHE_EXECUTABLES: '1' },
    ];
    const lines = blockOf('Small packs', 'sh').trim().split('\n');
    const path = `${dirname(KACHE)}:${process.env['PATH']}`;
    const sh = (command: string) =>
      lab.run(['bash', '-c', command], { cwd: dir, env: { ...env, PATH: path, CARGO_NET_OFFLINE: 'true' } });
    expect(sh('cargo build --locked --package part').status).toBe(0);
    expect(lines.map((line) => sh(line).status)).toEqual([0, 0, 0, 0]);
    const crates = JSON.parse(sh('kache pack show more.pack --json').stdout).entries;
    expect(crates.map(({ crate }: { crate: string }) => crate)).toEqual(['app']);
  },
  TIMEOUT_MS,
);
