// From settings to a remote: the backend they name, with its decorators.
import { readFileSync } from 'node:fs';
import type { Environment, RemoteSettings } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import type { TransferRecord } from '../core/transfers.ts';
import type { Backend } from './backend.ts';
import { Breaker } from './breaker.ts';
import { credentialSource } from './credentials.ts';
import { DirectoryBackend } from './directory.ts';
import { metered, type Traffic } from './metered.ts';
import { retrying } from './retry.ts';
import { S3Backend } from './s3.ts';

/** One remote as everything above it uses it. */
export interface Remote {
  /** Where objects are read. */
  readonly read: Breaker;
  /** Where they are written; another prefix, or the same. */
  readonly write: Breaker;
  readonly traffic: Traffic;
}

/** How long a service may take to begin an answer: below what a compile waits for one key. */
export const FIRST_BYTE_MS = 2_500;
const IDLE_MS = 5_000;

const RETRY = { attempts: 3, firstWaitMs: 100 };
const BREAKER = { failures: 3, firstOpenMs: 2_000, maxOpenMs: 60_000 };

/**
 * Touches nothing and sends nothing. Throws a KacheError when the settings cannot be one. `record` is told of every
 * request that has ended.
 */
export function openRemote(
  settings: RemoteSettings,
  env: Environment,
  record: (record: TransferRecord) => void = () => {},
): Remote {
  const traffic: Traffic = {
    requests: 0,
    failures: 0,
    downloadedBytes: 0,
    uploadedBytes: 0,
    inFlight: 0,
    lastFailure: null,
  };
  const of = (prefix: string): Breaker =>
    new Breaker(retrying(metered(backendFor(settings, prefix, env), { traffic, record }), RETRY), BREAKER);
  const read = of(settings.prefix);
  return { read, write: settings.writePrefix === settings.prefix ? read : of(settings.writePrefix), traffic };
}

export function backendFor(settings: RemoteSettings, prefix: string, env: Environment): Backend {
  if (!/^[\w.=@-]+(\/[\w.=@-]+)*$/.test(prefix) || /(^|\/)\.\.?(\/|$)/.test(prefix)) {
    throw new KacheError(
      'remote-settings',
      `Cannot use the prefix "${prefix}": expected words separated by "/".`,
    );
  }
  if (settings.type === 'filesystem') return new DirectoryBackend(`${settings.path ?? ''}/${prefix}`);
  const { endpoint } = settings;
  if (endpoint !== undefined && !/^https?:\/\/[^/?#@]+(\/[^?#]*)?$/.test(endpoint)) {
    throw new KacheError(
      'remote-settings',
      `Cannot use the endpoint "${endpoint}": expected an address like https://host:port.`,
    );
  }
  return new S3Backend({
    bucket: settings.bucket ?? '',
    endpoint,
    region: settings.region,
    prefix,
    addressing: settings.addressing,
    credentials: credentialSource(settings, env),
    ca: authorities(settings.caFile, env),
    proxy: proxyFor(endpoint ?? 'https://', env),
    firstByteMs: FIRST_BYTE_MS,
    idleMs: IDLE_MS,
  });
}

/** The file of certificate authorities, named by the setting or by the runtime's own variable. */
function authorities(caFile: string | undefined, env: Environment): string | undefined {
  const path = caFile ?? env['NODE_EXTRA_CA_CERTS'];
  if (path === undefined || path === '') return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new KacheError(
      'remote-settings',
      `Cannot read the certificates "${path}": ${(error as Error).message}.`,
      {
        cause: error,
      },
    );
  }
}

/** The proxy the caller's variables name; NO_PROXY lists host names and their endings. */
function proxyFor(endpoint: string, env: Environment): string | undefined {
  const isHttps = endpoint.startsWith('https:');
  const proxy = isHttps
    ? (env['HTTPS_PROXY'] ?? env['https_proxy'])
    : (env['HTTP_PROXY'] ?? env['http_proxy']);
  if (proxy === undefined || proxy === '') return undefined;
  const host = endpoint.replace(/^https?:\/\//, '').replace(/[:/].*$/, '');
  const exempt = (env['NO_PROXY'] ?? env['no_proxy'] ?? '').split(/[\s,]+/).filter((item) => item !== '');
  const isExempt = exempt.some(
    (item) => item === '*' || host === item || host.endsWith(`.${item.replace(/^\./, '')}`),
  );
  return isExempt ? undefined : proxy;
}
