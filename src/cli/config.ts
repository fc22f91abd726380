// `config`: the settings that hold, where they come from, and changing the file with its comments kept.
import { lookUpKey, parseValue, type SettingSpec, type Table, userConfigPath } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { ALL_SETTINGS } from '../core/later-settings.ts';
import { settingsHere } from './open.ts';
import { note, print, printJson, table } from './terminal.ts';
import { readToml, withValue, writeAtomically } from './toml.ts';

/** A setting by its key, by its key without `cache.`, or by its variable. */
function specOf(name: string): SettingSpec {
  const spec = ALL_SETTINGS.find(
    ({ key, variable }) => key === name || key === `cache.${name}` || variable === name,
  );
  if (spec !== undefined) return spec;
  const known = ALL_SETTINGS.flatMap(({ key, variable }) => key ?? variable ?? []);
  const close = known.filter((key) => key.includes(name.split('.').at(-1) ?? name));
  throw new KacheError('usage', `Cannot find the setting "${name}": there is none of that name.`, {
    hint:
      close.length > 0
        ? `Did you mean ${close.join(' or ')}?`
        : '`kache config list` shows every setting there is.',
  });
}

/** The key in the file; some settings are for one build only and have none. */
function keyOf(spec: SettingSpec): string {
  if (spec.key !== undefined) return spec.key;
  throw new KacheError(
    'usage',
    `Cannot write "${spec.variable}" into the file: it is for the environment only.`,
    {
      hint: `Set it for one build: \`${spec.variable}=… cargo build\`.`,
    },
  );
}

/** The file that is read here, or the user's own when there is none yet. */
function file(): { path: string; text: string; table: Table } {
  const path = settingsHere().path ?? userConfigPath(process.env);
  if (path !== undefined) return readToml(path);
  throw new KacheError('no-home', 'Cannot find a place for the config file: HOME is not set.', {
    hint: 'Name one with KACHE_CONFIG.',
  });
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

const isValid = (spec: SettingSpec, raw: unknown): boolean => 'value' in parseValue(spec.kind, raw);

interface Present {
  readonly value: string;
  /** `default`, `file`, or the variable. */
  readonly source: string;
}

/** What holds: a wrong value is passed over, as it is in a build. */
function present(spec: SettingSpec, inFile: Table): Present {
  const fromEnv = spec.variable === undefined ? undefined : process.env[spec.variable];
  if (fromEnv !== undefined && fromEnv !== '' && isValid(spec, fromEnv))
    return { value: fromEnv, source: spec.variable ?? '' };
  const fromFile = spec.key === undefined ? undefined : lookUpKey(inFile, spec.key);
  if (fromFile !== undefined && isValid(spec, fromFile)) return { value: shown(fromFile), source: 'file' };
  return { value: spec.default, source: 'default' };
}

export function configGet(name: string): void {
  print(present(specOf(name), file().table).value);
}

export function configList(options: { json?: boolean }): void {
  const { path, table: values } = file();
  const rows = ALL_SETTINGS.map((spec) => ({ spec, ...present(spec, values) }));
  if (options.json === true) {
    printJson({
      schema_version: 1,
      path,
      settings: rows.map(({ spec, value, source }) => ({
        key: spec.key ?? null,
        variable: spec.variable ?? null,
        value,
        source,
        default: spec.default,
        summary: spec.summary,
      })),
    });
    return;
  }
  print(
    table(
      rows.map(({ spec, value, source }) => [
        spec.key ?? spec.variable ?? '',
        value === '' ? '-' : value,
        source,
      ]),
    ),
  );
}

export function configPath(): void {
  print(file().path);
}

/** The value as it is written in TOML. */
function typed(spec: SettingSpec, value: string): unknown {
  const parsed = parseValue(spec.kind, value);
  if ('expected' in parsed || value === '')
    throw new KacheError(
      'usage',
      `Cannot set "${spec.key}": expected ${'expected' in parsed ? parsed.expected : 'a value'}, found ${JSON.stringify(value)}.`,
      value === '' ? { hint: `Go back to the default with \`kache config unset ${spec.key}\`.` } : {},
    );
  // Sizes keep the unit they were given in.
  return spec.kind === 'size' ? value : parsed.value;
}

export function configSet(name: string, value: string): void {
  const spec = specOf(name);
  const key = keyOf(spec);
  const next = typed(spec, value);
  const { path, text, table: values } = file();
  writeAtomically(path, withValue(text, values, { key, value: next }));
  warnIfOverridden(spec);
}

export function configUnset(name: string): void {
  const spec = specOf(name);
  const key = keyOf(spec);
  const { path, text, table: values } = file();
  if (lookUpKey(values, key) !== undefined)
    writeAtomically(path, withValue(text, values, { key, value: undefined }));
  warnIfOverridden(spec);
}

function warnIfOverridden({ variable, key }: SettingSpec): void {
  if (variable !== undefined && (process.env[variable] ?? '') !== '')
    note(`${variable} is set in the environment and goes before ${key} in the file.`);
}
