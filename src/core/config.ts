// Settings: environment over config file over default. Pure: the caller passes the environment and the parsed file,
// and gets settings plus the problems `doctor` reports. A problem never fails a build.
import { parseSizeBytes } from './quantities.ts';
import {
  REMOTE_SETTINGS,
  type RemoteSettings,
  remoteFrom,
  type SettingKind,
  type SettingSpec,
} from './remote-settings.ts';

export type { RemoteSettings, SettingKind, SettingSpec };

export type Environment = Readonly<Record<string, string | undefined>>;

export type LinkMode = 'auto' | 'hardlink' | 'copy';
export type VerifyMode = 'off' | 'sampled' | 'always';
/** Of which packages runs of build scripts are kept: those of registries, git and vendored ones, or of all. */
export type BuildScriptMode = 'off' | 'dependencies' | 'all';

export interface Settings {
  /** Undefined when neither a setting nor a home directory says where: then there is no store. */
  readonly cacheDir: string | undefined;
  /** Undefined: the default, which depends on the disk. */
  readonly maxSizeBytes: number | undefined;
  readonly disabled: boolean;
  readonly cacheExecutables: boolean;
  readonly cacheBuildScripts: BuildScriptMode;
  /** Whether the first build in a new target folder finds dependencies fresh. */
  readonly cacheFingerprints: boolean;
  readonly localOnly: boolean;
  readonly remoteReadonly: boolean;
  readonly keySalt: string;
  readonly keyEnvVars: readonly string[];
  readonly baseDirs: readonly string[];
  readonly exclude: readonly string[];
  readonly bypassCrates: readonly string[];
  readonly bypassArgv: readonly string[];
  readonly bypassEnv: readonly string[];
  readonly trustedCompilers: readonly string[];
  readonly fallback: string | undefined;
  readonly normalizePaths: boolean;
  readonly linkMode: LinkMode;
  readonly verifyRestores: VerifyMode;
  readonly remote: RemoteSettings | undefined;
  /** Variables whose values may be uploaded inside outputs. */
  readonly sharedEnvVars: readonly string[];
  readonly compressionLevel: number;
  readonly remoteConcurrency: number;
  readonly remoteWaitSecs: number;
  readonly prefetch: boolean;
  readonly prefetchMaxKeys: number;
  readonly prefetchMaxBytes: number;
  /** 0: the daemon's own choice. */
  readonly daemonIdleSecs: number;
  readonly socketPath: string | undefined;
}

/** A setting that was ignored, and why. */
export interface SettingProblem {
  /** `KACHE_…` or a dotted TOML key. */
  readonly name: string;
  readonly message: string;
}

export const SETTINGS = [
  {
    key: 'cache.local_store',
    variable: 'KACHE_CACHE_DIR',
    kind: 'path',
    default: "the platform's cache directory + kache",
    summary: 'where the store is',
  },
  {
    key: 'cache.local_max_size',
    variable: 'KACHE_MAX_SIZE',
    kind: 'size',
    default: '50GiB, at most 10 % of the disk',
    summary: 'size cap of the store',
  },
  {
    key: undefined,
    variable: 'KACHE_DISABLED',
    kind: 'boolean',
    default: 'false',
    summary: 'run the compiler and nothing else',
  },
  {
    key: 'cache.cache_executables',
    variable: 'KACHE_CACHE_EXECUTABLES',
    kind: 'boolean',
    default: 'false',
    summary: 'cache linked outputs too',
  },
  {
    key: 'cache.cache_build_scripts',
    variable: 'KACHE_CACHE_BUILD_SCRIPTS',
    kind: 'build-script-mode',
    default: 'off',
    summary: 'keep runs of build scripts, with cache_executables: off, dependencies or all',
  },
  {
    key: 'cache.cache_fingerprints',
    variable: 'KACHE_CACHE_FINGERPRINTS',
    kind: 'boolean',
    default: 'false',
    summary: "bring Cargo's own records of dependencies back with them, so that it asks for none",
  },
  {
    key: 'cache.local_only',
    variable: 'KACHE_LOCAL_ONLY',
    kind: 'boolean',
    default: 'false',
    summary: 'never use the remote',
  },
  {
    key: 'cache.remote_readonly',
    variable: 'KACHE_REMOTE_READONLY',
    kind: 'boolean',
    default: 'false',
    summary: 'never upload',
  },
  {
    key: 'cache.key_salt',
    variable: 'KACHE_KEY_SALT',
    kind: 'string',
    default: '',
    summary: 'part of every key; change it to start afresh',
  },
  {
    key: 'cache.key_env_vars',
    variable: 'KACHE_KEY_ENV_VARS',
    kind: 'strings',
    default: '[]',
    summary: 'environment variables that are part of every key (trailing * allowed)',
  },
  {
    key: 'paths.base_dirs',
    variable: 'KACHE_BASE_DIR',
    kind: 'strings',
    default: '[]',
    summary: 'folders whose location does not matter, beside the workspace',
  },
  {
    key: 'cache.exclude',
    variable: undefined,
    kind: 'strings',
    default: '[]',
    summary: 'globs of source files whose crates are not cached',
  },
  {
    key: 'cache.bypass_crates',
    variable: undefined,
    kind: 'strings',
    default: '[]',
    summary: 'crates that are not cached',
  },
  {
    key: 'cache.bypass_argv',
    variable: undefined,
    kind: 'strings',
    default: '[]',
    summary: 'arguments whose presence turns caching off',
  },
  {
    key: 'cache.bypass_env',
    variable: undefined,
    kind: 'strings',
    default: '[]',
    summary: 'variables (NAME or NAME=VALUE) whose presence turns caching off',
  },
  {
    key: 'cache.trusted_compilers',
    variable: 'KACHE_TRUSTED_COMPILERS',
    kind: 'strings',
    default: '[]',
    summary: 'globs of programs in front of rustc whose content tells all they do to it',
  },
  {
    key: 'cache.fallback',
    variable: 'KACHE_FALLBACK',
    kind: 'string',
    default: '',
    summary: 'another wrapper for what kache passes through',
  },
  {
    key: undefined,
    variable: 'KACHE_RUSTC_PATH_NORMALIZE',
    kind: 'boolean',
    default: 'true',
    summary: '0 keeps real paths in the outputs',
  },
  {
    key: 'cache.link_mode',
    variable: 'KACHE_LINK_MODE',
    kind: 'link-mode',
    default: 'auto',
    summary: 'auto (reflink, hardlink, copy), hardlink or copy',
  },
  {
    key: undefined,
    variable: 'KACHE_VERIFY_RESTORES',
    kind: 'verify-mode',
    default: 'off',
    summary: 'compile hits again and compare: off, sampled or always',
  },
  ...REMOTE_SETTINGS,
] as const satisfies readonly SettingSpec[];

type Parsed = string | boolean | number | readonly string[] | undefined;

const LIST = (text: string): string[] => text.split(/[\s,]+/).filter((item) => item !== '');

/** The value of one setting, or undefined with a reason why it cannot be one. */
export function parseValue(kind: SettingKind, raw: unknown): { value: Parsed } | { expected: string } {
  const text = typeof raw === 'number' || typeof raw === 'boolean' ? String(raw) : raw;
  if (kind === 'strings') {
    if (Array.isArray(raw) && raw.every((item) => typeof item === 'string')) return { value: raw };
    return typeof raw === 'string' ? { value: LIST(raw) } : { expected: 'a list of strings' };
  }
  if (typeof text !== 'string') return { expected: `a ${kind}` };
  switch (kind) {
    case 'path':
      if (text === '') return { value: undefined };
      return text.startsWith('/') ? { value: text } : { expected: 'an absolute path' };
    case 'string':
      return { value: text === '' ? undefined : text };
    case 'boolean':
      if (text === '1' || text === 'true') return { value: true };
      return text === '0' || text === 'false' || text === ''
        ? { value: false }
        : { expected: 'true, false, 1 or 0' };
    case 'size': {
      const bytes = parseSizeBytes(text);
      return bytes === undefined ? { expected: 'a size like 10GiB or 500MB' } : { value: bytes };
    }
    case 'number':
      return Number.isFinite(Number(text)) ? { value: Number(text) } : { expected: 'a number' };
    case 'link-mode':
      return ['auto', 'hardlink', 'copy'].includes(text)
        ? { value: text }
        : { expected: 'auto, hardlink or copy' };
    case 'verify-mode':
      return ['off', 'sampled', 'always'].includes(text)
        ? { value: text }
        : { expected: 'off, sampled or always' };
    case 'build-script-mode':
      return ['off', 'dependencies', 'all'].includes(text)
        ? { value: text }
        : { expected: 'off, dependencies or all' };
    case 'remote-type':
      return ['s3', 'filesystem'].includes(text) ? { value: text } : { expected: 's3 or filesystem' };
    case 'addressing':
      return ['auto', 'path', 'virtual'].includes(text)
        ? { value: text }
        : { expected: 'auto, path or virtual' };
    default:
      return kind satisfies never;
  }
}

export type Table = Readonly<Record<string, unknown>>;
export const isTable = (value: unknown): value is Table =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value under a dotted key. */
export function lookUpKey(table: Table, key: string): unknown {
  let value: unknown = table;
  for (const part of key.split('.')) value = isTable(value) ? value[part] : undefined;
  return value;
}

/** Settings from `env` over `file` (the parsed TOML, or an empty table) over defaults. */
export function resolveSettings(
  env: Environment,
  file: Table,
): { settings: Settings; problems: SettingProblem[] } {
  const problems: SettingProblem[] = [];
  const found = new Map<string, Parsed>();
  const consider = (spec: SettingSpec, name: string, raw: unknown): boolean => {
    const parsed = parseValue(spec.kind, raw);
    if ('value' in parsed) found.set(spec.variable ?? spec.key ?? '', parsed.value);
    else
      problems.push({
        name,
        message: `expected ${parsed.expected}, found ${JSON.stringify(raw)}; the default is used`,
      });
    return 'value' in parsed;
  };
  const hasFile = Object.keys(file).length > 0;
  for (const spec of SETTINGS as readonly SettingSpec[]) {
    // A variable that is set to nothing is as one that is not set.
    const fromEnv = spec.variable === undefined || env[spec.variable] === '' ? undefined : env[spec.variable];
    // Called for settings that are there only: see core/lists.ts for what thirty calls cost.
    if (fromEnv !== undefined && consider(spec, spec.variable ?? '', fromEnv)) continue;
    const inFile = hasFile && spec.key !== undefined ? lookUpKey(file, spec.key) : undefined;
    if (inFile !== undefined) consider(spec, spec.key ?? '', inFile);
  }
  return { settings: fromFound(found, env), problems };
}

function fromFound(found: ReadonlyMap<string, Parsed>, env: Environment): Settings {
  const string = (name: string): string | undefined => found.get(name) as string | undefined;
  const strings = (name: string): readonly string[] =>
    (found.get(name) as readonly string[] | undefined) ?? [];
  const flag = (name: string, fallback = false): boolean =>
    (found.get(name) as boolean | undefined) ?? fallback;
  const number = (name: string, fallback: number, [low, high]: readonly [number, number]): number =>
    Math.min(Math.max((found.get(name) as number | undefined) ?? fallback, low), high);
  return {
    cacheDir: string('KACHE_CACHE_DIR') ?? defaultCacheDir(env),
    maxSizeBytes: found.get('KACHE_MAX_SIZE') as number | undefined,
    disabled: flag('KACHE_DISABLED'),
    cacheExecutables: flag('KACHE_CACHE_EXECUTABLES'),
    cacheBuildScripts: (string('KACHE_CACHE_BUILD_SCRIPTS') ?? 'off') as BuildScriptMode,
    cacheFingerprints: flag('KACHE_CACHE_FINGERPRINTS'),
    localOnly: flag('KACHE_LOCAL_ONLY'),
    remoteReadonly: flag('KACHE_REMOTE_READONLY'),
    keySalt: string('KACHE_KEY_SALT') ?? '',
    keyEnvVars: strings('KACHE_KEY_ENV_VARS'),
    baseDirs: strings('KACHE_BASE_DIR'),
    exclude: strings('cache.exclude'),
    bypassCrates: strings('cache.bypass_crates'),
    bypassArgv: strings('cache.bypass_argv'),
    bypassEnv: strings('cache.bypass_env'),
    trustedCompilers: strings('KACHE_TRUSTED_COMPILERS'),
    fallback: string('KACHE_FALLBACK'),
    normalizePaths: flag('KACHE_RUSTC_PATH_NORMALIZE', true),
    linkMode: (string('KACHE_LINK_MODE') ?? 'auto') as LinkMode,
    verifyRestores: (string('KACHE_VERIFY_RESTORES') ?? 'off') as VerifyMode,
    remote: remoteFrom(string),
    sharedEnvVars: strings('KACHE_SHARE_ENV_VARS'),
    compressionLevel: number('KACHE_COMPRESSION_LEVEL', 3, [1, 19]),
    remoteConcurrency: number('KACHE_S3_CONCURRENCY', 16, [1, 256]),
    remoteWaitSecs: number('KACHE_REMOTE_RESTORE_TIMEOUT_SECS', 3, [0, 3]),
    prefetch: flag('KACHE_PREFETCH_ENABLED', true),
    prefetchMaxKeys: number('KACHE_PREFETCH_MAX_KEYS', 2000, [0, 100_000]),
    prefetchMaxBytes: (found.get('KACHE_PREFETCH_MAX_BYTES') as number | undefined) ?? 2 * 1024 ** 3,
    daemonIdleSecs: number('KACHE_DAEMON_IDLE_TIMEOUT', 0, [0, 1e9]),
    socketPath: string('KACHE_SOCKET_PATH'),
  };
}

/** The remote that is in use; undefined when none is. */
export const remoteOf = (settings: Settings): RemoteSettings | undefined =>
  settings.localOnly ? undefined : settings.remote;

/** The home directory's place for caches: XDG's on Linux, Apple's on macOS. */
function defaultCacheDir(env: Environment): string | undefined {
  const xdg = env['XDG_CACHE_HOME'];
  if (xdg?.startsWith('/')) return `${xdg}/kache`;
  const home = env['HOME'];
  if (!home?.startsWith('/')) return undefined;
  return process.platform === 'darwin' ? `${home}/Library/Caches/kache` : `${home}/.cache/kache`;
}

/** `~/.config/kache/config.toml`, with XDG respected; undefined without a home directory. */
export function userConfigPath(env: Environment): string | undefined {
  const xdg = env['XDG_CONFIG_HOME'];
  if (xdg?.startsWith('/')) return `${xdg}/kache/config.toml`;
  return env['HOME']?.startsWith('/') ? `${env['HOME']}/.config/kache/config.toml` : undefined;
}
