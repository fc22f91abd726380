// Cargo's own configuration, as far as it says which wrapper runs: where it is, what it holds, how it is changed.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { patch } from '@decimalturn/toml-patch';
import { KacheError } from '../core/errors.ts';

export interface CargoConfig {
  readonly path: string;
  readonly text: string;
  readonly table: Readonly<Record<string, unknown>>;
}

/** Parses TOML for a person: a broken file is named, with what the parser says. */
export function parseToml(path: string, text: string): Record<string, unknown> {
  try {
    return Bun.TOML.parse(text) as Record<string, unknown>;
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new KacheError('bad-toml', `Cannot read "${path}": it is not TOML (${what}).`, {
      hint: 'Mend the file; nothing was changed.',
    });
  }
}

/** The folder Cargo keeps its user-wide configuration in. */
export const cargoHome = (): string =>
  process.env['CARGO_HOME'] ?? join(process.env['HOME'] ?? '/', '.cargo');

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
  return folders.map(configIn).filter(existsSync).map(readConfig);
}

export function readConfig(path: string): CargoConfig {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return { path, text, table: parseToml(path, text) };
}

/** One setting of the `[build]` section. */
export function buildSetting(config: CargoConfig, name: string): unknown {
  const build = config.table['build'];
  return typeof build === 'object' && build !== null ? (build as Record<string, unknown>)[name] : undefined;
}

/** Replaces a file in one step. */
export function writeAtomically(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.kache-${process.pid}`;
  writeFileSync(aside, text);
  renameSync(aside, path);
}

/** The text with one value set; comments and layout stay. Undefined removes the value. */
export function withValue(
  text: string,
  table: Readonly<Record<string, unknown>>,
  change: { key: string; value: unknown },
): string {
  const next = structuredClone(table) as Record<string, unknown>;
  const parts = change.key.split('.');
  const last = parts.pop() ?? '';
  let at = next;
  for (const part of parts) {
    if (typeof at[part] !== 'object' || at[part] === null) at[part] = {};
    at = at[part] as Record<string, unknown>;
  }
  if (change.value === undefined) delete at[last];
  else at[last] = change.value;
  return patch(text, next);
}
