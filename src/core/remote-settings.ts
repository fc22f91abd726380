// The settings of the remote and of the daemon, and what one row of the table of settings is.

export type SettingKind =
  | 'path'
  | 'string'
  | 'boolean'
  | 'size'
  | 'strings'
  | 'number'
  | 'link-mode'
  | 'verify-mode'
  | 'build-script-mode'
  | 'remote-type'
  | 'addressing';

/** One row of the table every reader of settings goes by: `config`, `doctor` and the documentation use it too. */
export interface SettingSpec {
  readonly key: string | undefined;
  readonly variable: string | undefined;
  readonly kind: SettingKind;
  readonly default: string;
  readonly summary: string;
}

export type Addressing = 'auto' | 'path' | 'virtual';

export interface RemoteSettings {
  readonly type: 's3' | 'filesystem';
  readonly bucket: string | undefined;
  readonly endpoint: string | undefined;
  readonly region: string;
  /** Where objects are read. */
  readonly prefix: string;
  /** Where objects are written. */
  readonly writePrefix: string;
  readonly profile: string | undefined;
  readonly path: string | undefined;
  readonly addressing: Addressing;
  /** A file with further certificate authorities. */
  readonly caFile: string | undefined;
  /** Part of the names of the lists of builds. */
  readonly manifestKey: string | undefined;
  readonly accessKey: string | undefined;
  readonly secretKey: string | undefined;
  readonly sessionToken: string | undefined;
}

export const REMOTE_SETTINGS = [
  {
    key: 'cache.remote.type',
    variable: 'KACHE_REMOTE_TYPE',
    kind: 'remote-type',
    default: 's3',
    summary: 's3 or filesystem; a path without a bucket is a filesystem',
  },
  {
    key: 'cache.remote.bucket',
    variable: 'KACHE_S3_BUCKET',
    kind: 'string',
    default: '',
    summary: 'bucket of the shared remote',
  },
  {
    key: 'cache.remote.endpoint',
    variable: 'KACHE_S3_ENDPOINT',
    kind: 'string',
    default: '',
    summary: 'endpoint of an S3-compatible service',
  },
  {
    key: 'cache.remote.region',
    variable: 'KACHE_S3_REGION',
    kind: 'string',
    default: 'us-east-1',
    summary: 'region',
  },
  {
    key: 'cache.remote.prefix',
    variable: 'KACHE_S3_PREFIX',
    kind: 'string',
    default: 'artifacts',
    summary: 'prefix of every object',
  },
  {
    key: 'cache.remote.profile',
    variable: 'KACHE_S3_PROFILE',
    kind: 'string',
    default: '',
    summary: 'named profile of the credentials',
  },
  {
    key: 'cache.remote.path',
    variable: 'KACHE_REMOTE_PATH',
    kind: 'path',
    default: '',
    summary: 'folder of a filesystem remote',
  },
  {
    key: 'cache.remote.write_prefix',
    variable: 'KACHE_S3_WRITE_PREFIX',
    kind: 'string',
    default: '',
    summary: 'prefix of the objects that are written, when it is another than the one that is read',
  },
  {
    key: 'cache.remote.addressing',
    variable: 'KACHE_S3_ADDRESSING',
    kind: 'addressing',
    default: 'auto',
    summary: 'auto (virtual-host for AWS, path behind an endpoint), path or virtual',
  },
  {
    key: 'cache.remote.ca_file',
    variable: 'KACHE_S3_CA_FILE',
    kind: 'path',
    default: '',
    summary: 'certificate authorities of the endpoint, beside those of the system and NODE_EXTRA_CA_CERTS',
  },
  {
    key: 'cache.remote.manifest_key',
    variable: 'KACHE_MANIFEST_KEY',
    kind: 'string',
    default: '',
    summary: 'a name for the lists that are prefetched, where one lockfile is built in several ways',
  },
  {
    key: undefined,
    variable: 'KACHE_S3_ACCESS_KEY',
    kind: 'string',
    default: '',
    summary: 'access key; without it the usual sources of AWS credentials',
  },
  {
    key: undefined,
    variable: 'KACHE_S3_SECRET_KEY',
    kind: 'string',
    default: '',
    summary: 'its secret',
  },
  {
    key: undefined,
    variable: 'KACHE_S3_SESSION_TOKEN',
    kind: 'string',
    default: '',
    summary: 'its session token, when it has one',
  },
  {
    key: 'cache.remote.share_env_vars',
    variable: 'KACHE_SHARE_ENV_VARS',
    kind: 'strings',
    default: '[]',
    summary: 'variables whose values may be uploaded inside outputs (trailing * allowed)',
  },
  {
    key: 'cache.compression_level',
    variable: 'KACHE_COMPRESSION_LEVEL',
    kind: 'number',
    default: '3',
    summary: 'zstd level of uploads, 1 to 19',
  },
  {
    key: 'cache.s3_concurrency',
    variable: 'KACHE_S3_CONCURRENCY',
    kind: 'number',
    default: '16',
    summary: 'transfers at once',
  },
  {
    key: 'cache.remote_restore_timeout_secs',
    variable: 'KACHE_REMOTE_RESTORE_TIMEOUT_SECS',
    kind: 'number',
    default: '3',
    summary: 'how long a compile waits for one key, in seconds, at most 3',
  },
  {
    key: 'cache.prefetch_enabled',
    variable: 'KACHE_PREFETCH_ENABLED',
    kind: 'boolean',
    default: 'true',
    summary: 'download what the last build used ahead of cargo',
  },
  {
    key: 'cache.prefetch_max_keys',
    variable: 'KACHE_PREFETCH_MAX_KEYS',
    kind: 'number',
    default: '2000',
    summary: 'entries prefetched for one build, at most',
  },
  {
    key: 'cache.prefetch_max_bytes',
    variable: 'KACHE_PREFETCH_MAX_BYTES',
    kind: 'size',
    default: '2GiB',
    summary: 'bytes prefetched for one build, at most',
  },
  {
    key: 'cache.daemon_idle_timeout_secs',
    variable: 'KACHE_DAEMON_IDLE_TIMEOUT',
    kind: 'number',
    default: '0',
    summary: 'seconds after which an idle daemon ends; 0: ten minutes, and never as a service',
  },
  {
    key: undefined,
    variable: 'KACHE_SOCKET_PATH',
    kind: 'path',
    default: 'in the cache directory',
    summary: 'the socket of the daemon',
  },
] as const satisfies readonly SettingSpec[];

/** The remote the settings name; undefined when they name none. */
export function remoteFrom(string: (name: string) => string | undefined): RemoteSettings | undefined {
  const bucket = string('KACHE_S3_BUCKET');
  const path = string('KACHE_REMOTE_PATH');
  const implied = bucket === undefined && path !== undefined ? 'filesystem' : 's3';
  const type = (string('KACHE_REMOTE_TYPE') ?? implied) as RemoteSettings['type'];
  if ((type === 's3' ? bucket : path) === undefined) return undefined;
  const prefix = string('KACHE_S3_PREFIX') ?? 'artifacts';
  return {
    type,
    bucket,
    path,
    endpoint: string('KACHE_S3_ENDPOINT'),
    region: string('KACHE_S3_REGION') ?? 'us-east-1',
    prefix,
    writePrefix: string('KACHE_S3_WRITE_PREFIX') ?? prefix,
    profile: string('KACHE_S3_PROFILE'),
    addressing: (string('KACHE_S3_ADDRESSING') ?? 'auto') as Addressing,
    caFile: string('KACHE_S3_CA_FILE'),
    manifestKey: string('KACHE_MANIFEST_KEY'),
    accessKey: string('KACHE_S3_ACCESS_KEY'),
    secretKey: string('KACHE_S3_SECRET_KEY'),
    sessionToken: string('KACHE_S3_SESSION_TOKEN'),
  };
}
