// Checks of what surrounds a build: the toolchain, the settings, and variables that get in the way.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Table } from '../../core/config.ts';
import { laterProblems, unknownKeys, unknownVariables } from '../../core/later-settings.ts';
import { findProgram, inspectToolchain, isVouchedFor, throughProxy } from '../../rustc/toolchain.ts';
import type { LoadedSettings } from '../../sys/settings.ts';
import { lineOfKey, tomlProblem } from '../toml.ts';
import { type Check, type Context, capture, type Finding, fail, look, ok } from './check.ts';

const TOOLCHAIN_FILES = ['rust-toolchain.toml', 'rust-toolchain'];

/** What decides which toolchain a rustup proxy starts here. */
function chosenBy({ env, cwd }: Context): string {
  if (env['RUSTUP_TOOLCHAIN'] !== undefined) return `RUSTUP_TOOLCHAIN=${env['RUSTUP_TOOLCHAIN']}`;
  for (let dir = cwd; ; dir = dirname(dir)) {
    const file = TOOLCHAIN_FILES.map((name) => join(dir, name)).find(existsSync);
    if (file !== undefined) return file;
    if (dirname(dir) === dir) return "rustup's default";
  }
}

/** The compiler behind a program that is none itself, and that the user does not vouch for. */
function programInFront(rustc: string, { env, loaded }: Context): string | undefined {
  const behind = throughProxy(rustc, env) ?? `${capture([rustc, '--print', 'sysroot'])?.trim()}/bin/rustc`;
  const record = inspectToolchain(behind, capture);
  if (record === undefined || record.isCompiler) return undefined;
  const isTrusted = isVouchedFor([rustc, behind], loaded.settings.trustedCompilers);
  return isTrusted ? undefined : `${record.sysroot}/bin/rustc`;
}

const toolchain: Check = {
  id: 'toolchain',
  title: 'rustc runs',
  run: (context) => {
    const { env, cwd } = context;
    const rustc = findProgram(env['RUSTC'] ?? 'rustc', env, cwd);
    const said = rustc === undefined ? undefined : capture([rustc, '-vV']);
    const release = /^release: (.*)$/m.exec(said ?? '')?.[1];
    if (rustc === undefined || release === undefined)
      return [
        fail(
          rustc === undefined
            ? 'it is not on PATH'
            : `${rustc} does not say its version (${chosenBy(context)})`,
          'Install Rust from https://rustup.rs, or mend PATH, RUSTC and the toolchain file.',
        ),
      ];
    const isProxy = throughProxy(rustc, { ...env, RUSTUP_TOOLCHAIN: undefined }) === undefined;
    const installed = isProxy
      ? (capture(['rustup', 'toolchain', 'list']) ?? '').trim().split('\n').length
      : 1;
    const through = isProxy ? `, through rustup, chosen by ${chosenBy(context)}` : '';
    const others =
      installed > 1 ? `; ${installed} toolchains are installed, each has entries of its own` : '';
    const inFront = programInFront(rustc, context);
    if (inFront !== undefined)
      return [
        look(
          `${rustc}, ${release}, is a program in front of ${inFront}, and what it does to a compile nobody sees: nothing is cached`,
          'Name the compiler itself in RUSTC; or, where its content tells all it does, name it in `cache.trusted_compilers`.',
        ),
      ];
    return [ok(`${rustc}, ${release}${through}${others}`)];
  },
};

/** File and line of a key, or the variable's name. */
function place({ path, text }: LoadedSettings, name: string): string {
  if (name.startsWith('KACHE_')) return name;
  const line = name === 'file' ? tomlProblem(text ?? '')?.line : lineOfKey(text ?? '', name);
  return `${path ?? ''}${line === undefined ? '' : `:${line}`}${name === 'file' ? '' : ` ${name}`}`;
}

/** Settings that decide where the store is: a wrong one is as good as another store. */
const DECIDES_THE_STORE = ['KACHE_CACHE_DIR', 'cache.local_store'];

const settings: Check = {
  id: 'settings',
  title: 'The settings are understood',
  run: ({ loaded, env }) => {
    const remedy = '`kache config list` shows every setting and the value that holds.';
    const { text } = loaded;
    const isSound = text !== undefined && tomlProblem(text) === undefined;
    const table = isSound ? (Bun.TOML.parse(text) as Table) : {};
    const problems = [...loaded.problems, ...laterProblems(env, table)];
    const found: Finding[] = problems.map(({ name, message }) =>
      DECIDES_THE_STORE.includes(name)
        ? fail(`${place(loaded, name)}: ${message}`, 'Write the whole path of the folder, from / on.')
        : look(`${place(loaded, name)}: ${message}`, remedy),
    );
    for (const key of unknownKeys(table))
      found.push(look(`${place(loaded, key)}: no such setting; it is ignored`, remedy));
    for (const name of unknownVariables(Object.keys(env)))
      found.push(look(`${name}: no such variable; it is ignored`, remedy));
    if (found.length > 0) return found;
    return [ok(text === undefined ? 'no config file; defaults and environment' : (loaded.path ?? ''))];
  },
};

const packageSettings: Check = {
  id: 'package-settings',
  title: "The package's kache.toml is understood",
  run: ({ cwd }) => {
    const path = join(cwd, 'kache.toml');
    if (!existsSync(path)) return [];
    const text = readFileSync(path, 'utf8');
    const problem = tomlProblem(text);
    const remedy =
      'The one key is `extra_inputs`, a list of globs. Until it is mended the package is not cached.';
    if (problem !== undefined) return [look(`${path}:${problem.line}: ${problem.message}`, remedy)];
    const wrong = Object.entries(Bun.TOML.parse(text) as object).flatMap(([key, value]) => {
      const at = `${path}:${lineOfKey(text, key) ?? 1} ${key}`;
      if (key !== 'extra_inputs') return [`${at}: no such setting; it is ignored`];
      const isList = Array.isArray(value) && value.every((item) => typeof item === 'string');
      return isList ? [] : [`${at}: expected a list of strings`];
    });
    return wrong.length === 0 ? [ok(path)] : wrong.map((detail) => look(detail, remedy));
  },
};

/** Variables with the values that matter, and what they do to a build through kache. */
const DANGEROUS: readonly { name: string; matters: (value: string) => boolean; effect: string }[] = [
  {
    name: 'KACHE_DISABLED',
    matters: (value) => value === '1' || value === 'true',
    effect: 'turns kache off',
  },
  {
    name: 'KACHE_RUSTC_PATH_NORMALIZE',
    matters: (value) => value === '0' || value === 'false',
    effect: 'keeps real paths in the outputs: nothing is shared between checkouts',
  },
  { name: 'RUSTC_LOG', matters: () => true, effect: 'makes every compile pass through' },
  { name: 'RUST_TARGET_PATH', matters: () => true, effect: 'makes every compile pass through' },
  {
    name: 'RUSTC_BOOTSTRAP',
    matters: () => true,
    effect: 'is part of every key: builds with and without it share nothing',
  },
  { name: 'BUN_OPTIONS', matters: () => true, effect: 'changes how the binary starts' },
  { name: 'BUN_BE_BUN', matters: () => true, effect: 'turns the binary into its runtime' },
];

const variables: Check = {
  id: 'variables',
  title: 'No variable of the environment gets in the way',
  run: ({ env }) => {
    const found = DANGEROUS.filter(({ name, matters }) => {
      const value = env[name];
      return value !== undefined && value !== '' && matters(value);
    });
    if (found.length === 0) return [ok()];
    return found.map(({ name, effect }) => look(`${name} ${effect}`, `Unset ${name}.`));
  },
};

export const ENVIRONMENT_CHECKS: readonly Check[] = [toolchain, settings, packageSettings, variables];
