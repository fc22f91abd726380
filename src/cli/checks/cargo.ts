// Checks of what stands between Cargo and rustc: this binary, the configured wrapper, its rivals, and Cargo's own
// configuration.
import { realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isTable, type Table } from '../../core/config.ts';
import { KacheError } from '../../core/errors.ts';
import { readStart, stat } from '../../sys/files.ts';
import { loadSettings } from '../../sys/settings.ts';
import { isKache, isNative, LAUNCHER_NAME, version } from '../binary.ts';
import { type CargoConfig, cargoHome, configIn, type Named, wrappersNamed } from '../cargo-config.ts';
import { buildLauncher, launcherAt, launcherFor } from '../launcher.ts';
import { lineOfKey, readToml, withValue, writeAtomically } from '../toml.ts';
import { type Check, type Context, capture, type Finding, fail, look, ok } from './check.ts';

const binary: Check = {
  id: 'binary',
  title: 'This is the native binary',
  run: () => {
    if (isNative())
      return [ok(`${process.execPath}, version ${version()}, ${process.platform} ${process.arch}`)];
    return [
      fail(`${process.execPath} runs a script`, 'Build the binary with `npm run build` and use dist/kache.'),
    ];
  },
};

const configuration: Check = {
  id: 'cargo-config',
  title: "Cargo's configuration can be read",
  run: ({ configs }) => {
    if (configs instanceof KacheError) return [fail(configs.message, configs.hint ?? 'Mend the file.')];
    return [ok(configs.length === 0 ? 'there is none' : configs.map(({ path }) => path).join(', '))];
  },
};

const isScript = (path: string): boolean => new TextDecoder().decode(readStart(path, 2)) === '#!';

const named = (context: Context, setting?: 'rustc-workspace-wrapper'): Named[] => {
  const { configs } = context;
  return wrappersNamed({ ...context, configs: configs instanceof KacheError ? [] : configs }, setting);
};

/** The file and line, or the variable. */
function origin({ from }: Named, context: Context, key: string): string {
  const { configs } = context;
  const config = configs instanceof KacheError ? undefined : configs.find(({ path }) => path === from);
  const line = config === undefined ? undefined : lineOfKey(config.text, key);
  return line === undefined ? from : `${from}:${line}`;
}

const wrapper: Check = {
  id: 'wrapper',
  title: 'Cargo runs rustc through this binary',
  run: (context) => {
    const [first] = named(context);
    if (first === undefined)
      return [look('No rustc-wrapper is set.', 'Run `kache init`, or build with `kache cargo build`.')];
    const where = origin(first, context, 'build.rustc-wrapper');
    if (first.value === '')
      return [look(`${where} is set to nothing, which turns every wrapper off`, 'Unset it.')];
    if (!isKache(first.value))
      return [
        fail(
          `${where} names another wrapper: ${first.value}`,
          'Run `kache init`, or take it away; another wrapper can be KACHE_FALLBACK.',
        ),
      ];
    if (first.path === undefined || stat(first.path) === undefined)
      return [fail(`${where} names ${first.value}, which is not there`, 'Run `kache init`.')];
    return [sameOrOther(first.path, where)];
  },
  fix: (context) => {
    // Only what can no longer work, and only in the user's own file: a project's belongs to others as well.
    const path = configIn(cargoHome(context.env));
    const [first] = named(context);
    if (!isNative() || first?.from !== path || !isKache(first.value)) return undefined;
    if (first.path !== undefined && stat(first.path) !== undefined) return mendLauncher(first.path);
    const config = readToml(path);
    const change = { key: 'build.rustc-wrapper', value: process.execPath };
    writeAtomically(path, withValue(config.text, config.table, change));
    return `rustc-wrapper in ${path} was ${first.value}, which is not there; it is ${process.execPath} now`;
  },
};

/** Compiles the launcher anew where the binary it starts is gone. */
function mendLauncher(path: string): string | undefined {
  const said = basename(path) === LAUNCHER_NAME ? launcherAt(path) : undefined;
  const launcher = launcherFor(process.execPath);
  if (said === undefined || stat(said.kache) !== undefined || launcher?.path !== path) return undefined;
  const problem = buildLauncher(launcher);
  return problem === undefined
    ? `${path} started ${said.kache}, which is not there; it starts ${launcher.kache} now`
    : undefined;
}

function sameOrOther(path: string, where: string): Finding {
  if (basename(path) === LAUNCHER_NAME) return launcherFinding(path, where);
  if (realpathSync(path) === realpathSync(process.execPath)) return ok(`${where} = ${path}`);
  if (isScript(path))
    return look(
      `${where} names ${path}, a script: it costs every compile more than a hit does`,
      'Run `kache init`: it writes the path of the native binary.',
    );
  const said = capture([path, '--version'])?.trim() ?? 'it does not say its version';
  return look(`${where} names another kache: ${path} (${said})`, 'Run `kache init` with the one you want.');
}

function launcherFinding(path: string, where: string): Finding {
  const said = launcherAt(path);
  if (said === undefined)
    return fail(`${where} names ${path}, which is no launcher of kache`, 'Run `kache init`.');
  if (stat(said.kache) === undefined)
    return fail(`${path} starts ${said.kache}, which is not there: nothing is cached`, 'Run `kache init`.');
  if (realpathSync(said.kache) !== realpathSync(process.execPath))
    return look(`${path} starts another kache: ${said.kache}`, 'Run `kache init` with the one you want.');
  if (said.build !== launcherFor(said.kache)?.build)
    return look(
      `${path} was made by another version of kache, or for another store: it may ask in vain`,
      'Run `kache init`.',
    );
  return ok(`${where} = ${path}, in front of ${said.kache}`);
}

const rivals: Check = {
  id: 'rivals',
  title: 'No other wrapper competes',
  run: (context) => {
    const [, ...later] = named(context);
    const others = later
      .filter(({ value }) => value !== '' && !isKache(value))
      .map((other) =>
        look(
          `${origin(other, context, 'build.rustc-wrapper')} names ${other.value}; it would run where what goes before it is not set`,
          'Take it away, or make it KACHE_FALLBACK.',
        ),
      );
    const [workspace] = named(context, 'rustc-workspace-wrapper');
    const isKnown = workspace === undefined || ['', 'clippy-driver'].includes(basename(workspace.value));
    if (!isKnown)
      others.push(
        look(
          `${origin(workspace, context, 'build.rustc-workspace-wrapper')} names ${workspace.value}: what a wrapper nobody knows compiles is not cached`,
          'Build without it where you want hits for the members of the workspace.',
        ),
      );
    return others.length === 0 ? [ok()] : others;
  },
};

/** Profiles that force incremental compilation where Cargo would not use it by itself. */
function forcedProfiles(table: Table): string[] {
  const profiles = isTable(table['profile']) ? table['profile'] : {};
  return Object.entries(profiles).flatMap(([name, profile]) =>
    !['dev', 'test'].includes(name) && isTable(profile) && profile['incremental'] === true
      ? [`profile.${name}.incremental`]
      : [],
  );
}

const incremental: Check = {
  id: 'incremental',
  title: 'Incremental compilation is not forced',
  run: ({ env, configs, project }) => {
    const places: string[] = [];
    for (const name of ['CARGO_INCREMENTAL', 'CARGO_BUILD_INCREMENTAL'])
      if (['1', 'true'].includes(env[name] ?? '')) places.push(`${name}=${env[name]}`);
    const files: Pick<CargoConfig, 'path' | 'text' | 'table'>[] =
      configs instanceof KacheError ? [] : [...configs];
    if (project !== undefined) files.push(...readable(join(project.root, 'Cargo.toml')));
    for (const { path, text, table } of files) {
      const keys = forcedProfiles(table);
      if (isTable(table['build']) && table['build']['incremental'] === true) keys.push('build.incremental');
      for (const key of keys) places.push(`${path}:${lineOfKey(text, key) ?? 1} ${key}`);
    }
    const remedy =
      'Remove it: kache compiles without, and a forced setting makes keys that other checkouts do not share.';
    return places.length === 0 ? [ok()] : places.map((place) => look(place, remedy));
  },
};

/** A manifest that is no TOML is Cargo's to complain about. */
function readable(path: string): Pick<CargoConfig, 'path' | 'text' | 'table'>[] {
  try {
    return [readToml(path)];
  } catch (error) {
    if (error instanceof KacheError) return [];
    throw error;
  }
}

const folders: Check = {
  id: 'output-folders',
  title: 'It is known where Cargo puts its output',
  run: ({ env, project, loaded }) => {
    if (project === undefined) return [ok('this folder is in no Cargo workspace')];
    const { targetDir, targetDirFrom, buildDir: build } = project;
    const from = targetDirFrom === undefined ? '' : ` (${targetDirFrom})`;
    const intermediate = build === undefined ? '' : `, intermediate files to ${build.value} (${build.from})`;
    const found = ok(`${targetDir}${from}${intermediate}`);
    const there = loadSettings(env, build?.path ?? targetDir).path;
    if (loaded.path === undefined || basename(loaded.path) !== '.kache.toml' || there === loaded.path)
      return [found];
    return [
      found,
      look(
        `${loaded.path} does not hold for builds: it is looked for from ${build?.path ?? targetDir} upward`,
        'Put it above that folder, or name it with KACHE_CONFIG.',
      ),
    ];
  },
};

export const CARGO_CHECKS: readonly Check[] = [binary, configuration, wrapper, rivals, incremental, folders];
