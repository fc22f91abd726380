// `config`: the settings that hold, where they come from, and changing the file with its comments kept.
import { existsSync, readFileSync } from 'node:fs';
import {
  lookUpKey,
  resolveSettings,
  SETTINGS,
  type SettingSpec,
  type Table,
  userConfigPath,
} from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { settingsHere } from './open.ts';
import { print, table } from './terminal.ts';
import { parseToml, withValue, writeAtomically } from './toml.ts';

const specs: readonly SettingSpec[] = SETTINGS;

function specOf(name: string): SettingSpec & { key: string } {
  const spec = specs.find(
    ({ key, variable }) => key === name || key === `cache.${name}` || variable === name,
  );
  if (spec?.key !== undefined) return { ...spec, key: spec.key };
  const known = specs.flatMap(({ key }) => key ?? []).join(', ');
  throw new KacheError('usage', `Cannot find the setting "${name}".`, {
    hint: `Settings of the file: ${known}.`,
  });
}

/** The file that is read here, or the user's own when there is none yet. */
function file(): { path: string; text: string; table: Table } {
  const path = settingsHere().path ?? userConfigPath(process.env);
  if (path === undefined)
    throw new KacheError('no-home', 'Cannot find a place for the config file: HOME is not set.', {
      hint: 'Name one with KACHE_CONFIG.',
    });
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return { path, text, table: parseToml(path, text) };
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** The value that holds: from the environment, the file, or the default's description. */
function present(spec: SettingSpec, inFile: unknown): [string, string] {
  const fromEnv = spec.variable === undefined ? undefined : process.env[spec.variable];
  if (fromEnv !== undefined) return [fromEnv, spec.variable ?? ''];
  return inFile === undefined ? [spec.default, 'default'] : [shown(inFile), 'file'];
}

export function configGet(name: string): void {
  const spec = specOf(name);
  print(present(spec, lookUpKey(file().table, spec.key))[0]);
}

export function configList(): void {
  const { table: values } = file();
  print(
    table(
      specs.map((spec) => {
        const [value, source] = present(
          spec,
          spec.key === undefined ? undefined : lookUpKey(values, spec.key),
        );
        return [spec.key ?? spec.variable ?? '', value === '' ? '-' : value, source];
      }),
    ),
  );
}

export function configPath(): void {
  print(file().path);
}

export function configSet(name: string, value: string): void {
  const spec = specOf(name);
  const typed =
    spec.kind === 'boolean'
      ? { true: true, '1': true, false: false, '0': false }[value]
      : spec.kind === 'strings'
        ? value.split(',')
        : value;
  const { problems } = resolveSettings({}, nested(spec.key, typed));
  const [problem] = problems;
  if (problem !== undefined || typed === undefined) {
    throw new KacheError(
      'usage',
      `Cannot set "${spec.key}": ${problem?.message.replace('; the default is used', '') ?? `expected true or false, found ${JSON.stringify(value)}`}.`,
    );
  }
  const { path, text, table: values } = file();
  writeAtomically(path, withValue(text, values, { key: spec.key, value: typed }));
}

export function configUnset(name: string): void {
  const spec = specOf(name);
  const { path, text, table: values } = file();
  if (lookUpKey(values, spec.key) !== undefined)
    writeAtomically(path, withValue(text, values, { key: spec.key, value: undefined }));
}

const nested = (key: string, value: unknown): Record<string, unknown> =>
  key.split('.').reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as Record<string, unknown>;
