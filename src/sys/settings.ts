// Finding and reading the configuration file. A file that is missing, unreadable or no TOML never fails a build.
import {
  type Environment,
  resolveSettings,
  type SettingProblem,
  type Settings,
  userConfigPath,
} from '../core/config.ts';
import { isOsError, readText } from './files.ts';
import { dirname } from './paths.ts';

export interface LoadedSettings {
  readonly settings: Settings;
  readonly problems: readonly SettingProblem[];
  /** The file that was read, or would be; undefined without one. */
  readonly path: string | undefined;
  readonly text: string | undefined;
}

/**
 * Settings as they hold for `startDir`: KACHE_CONFIG names the file, else the nearest `.kache.toml` from there upward,
 * else the user's own. Packages of a registry are never searched: the wrapper starts from the output folder.
 */
export function loadSettings(env: Environment, startDir: string): LoadedSettings {
  const problems: SettingProblem[] = [];
  const { path, text } = findConfig(env, startDir, problems);
  let table = {};
  if (text !== undefined) {
    try {
      table = Bun.TOML.parse(text);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      problems.push({ name: 'file', message: `expected TOML, found: ${error.message}; defaults are used` });
    }
  }
  const resolved = resolveSettings(env, table);
  return { settings: resolved.settings, problems: [...problems, ...resolved.problems], path, text };
}

function findConfig(
  env: Environment,
  startDir: string,
  problems: SettingProblem[],
): { path: string | undefined; text: string | undefined } {
  const read = (path: string): string | undefined => {
    try {
      return readText(path);
    } catch (error) {
      if (!isOsError(error)) throw error;
      problems.push({ name: 'file', message: error.message });
      return undefined;
    }
  };
  const named = env['KACHE_CONFIG'];
  if (named !== undefined && named !== '') return { path: named, text: read(named) };
  for (let dir = startDir; dir.startsWith('/'); dir = dirname(dir)) {
    const path = `${dir === '/' ? '' : dir}/.kache.toml`;
    const text = read(path);
    if (text !== undefined) return { path, text };
    if (dir === '/') break;
  }
  const path = userConfigPath(env);
  return { path, text: path === undefined ? undefined : read(path) };
}
