// One cargo call on a checkout, and what can be seen of its result: status, messages, what every program it made prints.
// Paths that are this checkout's own are named, so that results from different places can be compared.
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Env } from '../support/lab.ts';
import type { Build, Command } from './case.ts';
import type { Checkout } from './checkout.ts';
import { spawn } from './spawn.ts';

/** What is compared. */
export interface Observed {
  readonly status: number;
  readonly diagnostics: readonly string[];
  /** What each program printed, by kind and name. */
  readonly programs: Readonly<Record<string, string>>;
}

export interface CargoRun extends Observed {
  /** Units cargo did not find up to date. */
  readonly rebuilt: readonly string[];
  /** Units of packages of the registry: those it did find up to date, and all. */
  readonly registry: { readonly fresh: number; readonly all: number };
  readonly stderr: string;
}

export interface BuildSetting {
  readonly env: Record<string, string>;
  readonly target: string;
  /** Cargo builds there if it is told nothing. */
  readonly isDefault: boolean;
  /** The folder for programs that are made only to look at a library. */
  readonly scratch: string;
  /** False: what the programs print is known already. */
  readonly run: boolean;
}

const ARGUMENTS: Readonly<Record<Command, readonly string[]>> = {
  build: ['build', '--keep-going'],
  'build-all': ['build', '--all-targets', '--keep-going'],
  check: ['check', '--all-targets', '--keep-going'],
  clippy: ['clippy', '--keep-going'],
  test: ['test', '--no-run'],
};

export async function cargo(checkout: Checkout, build: Build, setting: BuildSetting): Promise<CargoRun> {
  const args = [
    ...ARGUMENTS[build.command],
    '--offline',
    '--workspace',
    '--message-format=json-render-diagnostics',
    ...(build.release ? ['--release'] : []),
    ...(build.loud ? ['--features', 'app/loud'] : []),
  ];
  const env: Env = {
    ...setting.env,
    ...(setting.isDefault ? {} : { CARGO_TARGET_DIR: setting.target }),
    ...(build.rustflags === '' ? {} : { RUSTFLAGS: build.rustflags }),
  };
  const done = await spawn(['cargo', ...args], { cwd: checkout.workspace, env });
  const artifacts = done.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Artifact)
    .filter(({ reason }) => reason === 'compiler-artifact');
  const ofRegistry = artifacts.filter((artifact) => artifact.package_id.startsWith('registry+'));
  const names = namesOf(checkout, setting);
  return {
    status: done.status,
    stderr: done.stderr,
    diagnostics: diagnosticsOf(done.stderr, names),
    programs: done.status === 0 && setting.run ? await runAll(artifacts, { checkout, setting, names }) : {},
    rebuilt: artifacts.filter(({ fresh }) => !fresh).map(({ target }) => `${target.name} ${target.kind}`),
    registry: { fresh: ofRegistry.filter(({ fresh }) => fresh).length, all: ofRegistry.length },
  };
}

interface Artifact {
  readonly reason: string;
  readonly fresh: boolean;
  readonly executable: string | null;
  readonly filenames: readonly string[];
  readonly manifest_path: string;
  readonly package_id: string;
  readonly profile: { readonly test: boolean };
  readonly target: { readonly name: string; readonly kind: readonly string[] };
}

type Names = (text: string) => string;

/** Replaces the paths of one checkout, and Cargo's hashes, by names. */
function namesOf(checkout: Checkout, { target, env }: BuildSetting): Names {
  const escaped = (path: string): string => path.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const whole = (path: string): RegExp => new RegExp(`${escaped(path)}(?![\\w-])`, 'g');
  const [isTarget, isReal, isCheckout, isHome] = [
    target,
    existsSync(target) ? realpathSync(target) : target,
    checkout.path,
    env['CARGO_HOME'] ?? target,
  ].map(whole) as [RegExp, RegExp, RegExp, RegExp];
  return (text) =>
    text
      .replaceAll(isTarget, '<target>')
      .replaceAll(isReal, '<target>')
      .replaceAll(isCheckout, '<checkout>')
      .replaceAll(isHome, '<cargo-home>')
      // Where kache says that a package of a registry is: it says the same on every machine.
      .replaceAll(/\/kache\/cargo(?=\/registry)/g, '<cargo-home>')
      .replaceAll(/-[0-9a-f]{16}\b/g, '-<hash>');
}

function diagnosticsOf(stderr: string, names: Names): string[] {
  const lines = names(stderr)
    .split('\n')
    .filter((line) => /^(error|warning)|^ *-->/.test(line))
    .filter((line) => !/generated \d+ warning|could not compile|build failed|previous error/.test(line));
  return [...new Set(lines.map((line) => line.trim()))].sort();
}

interface Running {
  readonly checkout: Checkout;
  readonly setting: BuildSetting;
  readonly names: Names;
}

async function runAll(artifacts: readonly Artifact[], running: Running): Promise<Record<string, string>> {
  const printed: Record<string, string> = {};
  for (const artifact of artifacts) {
    const { target, profile, executable } = artifact;
    const label = `${target.kind.join()} ${target.name}${profile.test ? ' test' : ''}`;
    if (executable !== null) printed[label] = await show([executable], artifact, running);
    const archive = artifact.filenames.find((name) => name.endsWith('.a'));
    if (archive !== undefined) printed[`${label} in C`] = await fromC(archive, artifact, running);
  }
  return printed;
}

async function show(argv: readonly string[], artifact: Artifact, running: Running): Promise<string> {
  const { checkout, setting } = running;
  const folder = dirname(argv[0] ?? '');
  const done = await spawn([...argv, ...(artifact.profile.test ? ['--nocapture', '--test-threads=1'] : [])], {
    cwd: checkout.workspace,
    env: { ...setting.env, FUZZ_CHECKOUT: checkout.path, LD_LIBRARY_PATH: `${folder}:${folder}/deps` },
  });
  const text = done.stdout.replaceAll(/finished in [\d.]+s/g, '').replaceAll(/measured; \d+/g, '');
  return running.names(`${text}exit ${done.status}${done.status === 0 ? '' : `\n${done.stderr}`}`);
}

/** A program in C around a static library: what the library reports. */
async function fromC(archive: string, artifact: Artifact, running: Running): Promise<string> {
  const { setting } = running;
  mkdirSync(setting.scratch, { recursive: true });
  const code = join(setting.scratch, 'main.c');
  const { name } = artifact.target;
  await Bun.write(
    code,
    `#include <stdio.h>\nvoid ${name}_c(void (*)(const char *, size_t));\nstatic void sink(const char *text, size_t length) { fwrite(text, 1, length, stdout); puts(""); }\nint main(void) { ${name}_c(sink); }\n`,
  );
  const program = join(setting.scratch, 'main');
  const libraries = ['-lgcc_s', '-lutil', '-lrt', '-lpthread', '-lm', '-ldl', '-lc'];
  const built = await spawn(['cc', code, archive, ...libraries, '-o', program], {
    cwd: setting.scratch,
    env: setting.env,
  });
  return built.status === 0 ? await show([program], artifact, running) : 'does not link';
}
