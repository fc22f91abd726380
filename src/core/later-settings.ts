// Settings that are read and checked, and change nothing yet; and with them the whole list of known names. Cold: no
// compiler call looks here.
import {
  type Environment,
  isTable,
  lookUpKey,
  parseValue,
  SETTINGS,
  type SettingProblem,
  type SettingSpec,
  type Table,
} from './config.ts';

export const LATER_SETTINGS = [
  {
    key: 'cache.explain_miss',
    variable: 'KACHE_EXPLAIN_MISS',
    kind: 'boolean',
    default: 'true',
    summary: 'record what explanations of misses need',
  },
] as const satisfies readonly SettingSpec[];

/** Everything a file or the environment may set. */
export const ALL_SETTINGS: readonly SettingSpec[] = [...SETTINGS, ...LATER_SETTINGS];

/** Variables that are no setting. */
const OTHER_VARIABLES = ['KACHE_CONFIG', 'KACHE_LOG', 'KACHE_LOG_FILE', 'KACHE_PROGRESS'];

/** Of tests and benchmarks. */
const NOT_OURS_TO_JUDGE = /^KACHE_(TEST|BENCH|BINARY|SOAK)/;

const SECTIONS = ['cache', 'paths', 'cache.remote'];

/** Dotted keys of a parsed file that no setting goes by. */
export function unknownKeys(table: Table, prefix = ''): string[] {
  const known = new Set<string>([...ALL_SETTINGS.flatMap((spec) => spec.key ?? []), ...SECTIONS]);
  return Object.entries(table).flatMap(([name, value]) => {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    if (!known.has(key)) return [key];
    return isTable(value) ? unknownKeys(value, key) : [];
  });
}

/** Names that look like settings and are none: a misspelt one is silently the default. */
export function unknownVariables(names: readonly string[]): string[] {
  const known = new Set<string>([...ALL_SETTINGS.flatMap((spec) => spec.variable ?? []), ...OTHER_VARIABLES]);
  return names.filter((name) => /^KACHE_/.test(name) && !known.has(name) && !NOT_OURS_TO_JUDGE.test(name));
}

/** Wrong values of settings that change nothing yet. */
export function laterProblems(env: Environment, file: Table): SettingProblem[] {
  return (LATER_SETTINGS as readonly SettingSpec[]).flatMap(({ key = '', variable = '', kind }) => {
    const values = [
      [variable, env[variable] === '' ? undefined : env[variable]],
      [key, lookUpKey(file, key)],
    ] as const;
    return values.flatMap(([name, raw]) => {
      const parsed = raw === undefined ? { value: raw } : parseValue(kind, raw);
      if ('value' in parsed) return [];
      return [
        { name, message: `expected ${parsed.expected}, found ${JSON.stringify(raw)}; the default is used` },
      ];
    });
  });
}
