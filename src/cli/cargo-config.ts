// Cargo's own configuration, as far as kache cares: where it is, which wrappers it names, where output goes.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Environment, isTable, type Table } from '../core/config.ts';
import { findProgram } from '../rustc/toolchain.ts';
import { readToml } from './toml.ts';

export interface CargoConfig {
  readonly path: string;
  readonly text: string;
  readonly table: Table;
}

/** The folder Cargo keeps its user-wide configuration in. */
export const cargoHome = (env: Environment = process.env): string =>
  env['CARGO_HOME'] ?? join(env['HOME'] ?? '/', '.cargo');

/** The file of one folder: `config.toml`, or the older `config` where only that exists. */
export function configIn(folder: string): string {
  const legacy = join(folder, 'config');
  const path = join(folder, 'config.toml');
  return existsSync(legacy) && !existsSync(path) ? legacy : path;
}

/** Every Cargo configuration that holds in `dir`, the nearest first. */
export function configsFor(dir: string): CargoConfig[] {
  const folders: string[] = [];
  for (let at = dir; ; at = dirname(at)) {
    folders.push(join(at, '.cargo'));
    if (dirname(at) === at) break;
  }
  if (!folders.includes(cargoHome())) folders.push(cargoHome());
  return folders.map(configIn).filter(existsSync).map(readToml);
}

/** One setting of the `[build]` section. */
export function buildSetting(config: CargoConfig, name: string): unknown {
  const build = config.table['build'];
  return isTable(build) ? build[name] : undefined;
}

/** A place that names a program or a folder. */
export interface Named {
  /** The variable, or the path of the file. */
  readonly from: string;
  readonly value: string;
  /** What it leads to from here; undefined when no such program is on PATH, or the value is empty. */
  readonly path: string | undefined;
}

interface Place {
  readonly configs: readonly CargoConfig[];
  readonly env: Environment;
  readonly cwd: string;
}

/**
 * Every place that sets `build.<setting>`, in Cargo's order: its own variable, CARGO_BUILD_…, the files from the nearest
 * on. The first one holds, also when it is empty: that means none.
 */
function settingsOf(
  place: Place,
  setting: string,
  variable: string,
): { from: string; value: string; base: string }[] {
  const general = `CARGO_BUILD_${setting.replaceAll('-', '_').toUpperCase()}`;
  const fromEnv = [variable, general].flatMap((from) => {
    const value = place.env[from];
    return value === undefined ? [] : [{ from, value, base: place.cwd }];
  });
  const fromFiles = place.configs.flatMap((config) => {
    const value = buildSetting(config, setting);
    return typeof value === 'string'
      ? [{ from: config.path, value, base: dirname(dirname(config.path)) }]
      : [];
  });
  return [...fromEnv, ...fromFiles];
}

/** What is named as `rustc-wrapper` (or as the wrapper for workspace members), in the order of precedence. */
export const wrappersNamed = (
  place: Place,
  setting: 'rustc-wrapper' | 'rustc-workspace-wrapper' = 'rustc-wrapper',
): Named[] =>
  settingsOf(place, setting, setting.replaceAll('-', '_').toUpperCase()).map(({ from, value, base }) => ({
    from,
    value,
    path: value === '' ? undefined : findProgram(value, place.env, base),
  }));

/** A folder that a setting names. */
export interface NamedFolder extends Named {
  readonly path: string;
}

/** The folder output goes to, and what says so; undefined when nothing does. */
export const targetDirNamed = (place: Place): NamedFolder | undefined =>
  folderNamed(place, { setting: 'target-dir', variable: 'CARGO_TARGET_DIR' }, (value) => value);

/**
 * The folder Cargo builds in for the workspace at `root`, when it is named. Of a template with the hash of the workspace
 * the path is the folder in which each workspace has its own.
 */
export const buildDirNamed = (place: Place, root: string): NamedFolder | undefined =>
  folderNamed(place, { setting: 'build-dir', variable: 'CARGO_BUILD_BUILD_DIR' }, (value) =>
    value
      .replaceAll('{workspace-root}', root)
      .replaceAll('{cargo-cache-home}', cargoHome(place.env))
      .replace(/[^/]*\{.*$/s, ''),
  );

function folderNamed(
  place: Place,
  { setting, variable }: { readonly setting: string; readonly variable: string },
  filled: (value: string) => string,
): NamedFolder | undefined {
  const [first] = settingsOf(place, setting, variable).filter(({ value }) => value !== '');
  if (first === undefined) return undefined;
  const { from, value, base } = first;
  return { from, value, path: resolve(base, filled(value)) };
}
