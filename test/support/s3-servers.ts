// Real S3 servers on loopback: s3s-fs, which Cargo builds once into node_modules/.cache, and MinIO where it is installed.
import { existsSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { AwsV4Signer } from 'aws4fetch';
import type { RemoteSettings } from '../../src/core/config.ts';
import { acquireLock } from '../../src/sys/lock.ts';
import { notRun } from './required.ts';

export const ACCESS_KEY = 'kache-test-key';
export const SECRET_KEY = 'kache-test-secret-0123456789';
export const BUCKET = 'kache-test';

const CACHE = join(import.meta.dir, '..', '..', 'node_modules', '.cache');
const S3S_VERSION = '0.14.1';

export interface S3Server extends AsyncDisposable {
  readonly name: string;
  readonly endpoint: string;
  readonly pid: number;
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
  });
  return promise;
}

/** The binary of s3s-fs, built by Cargo when it is not there yet. */
export function s3sBinary(): string | undefined {
  const root = join(CACHE, `s3s-fs-${S3S_VERSION}`);
  const binary = join(root, 'bin', 's3s-fs');
  if (existsSync(binary)) return binary;
  mkdirSync(CACHE, { recursive: true });
  // Another process of the tests may be at it.
  using _lock = acquireLock(join(CACHE, 's3s-fs.lock'));
  if (existsSync(binary)) return binary;
  // Not optimised: that is built much sooner, and tests ask for little.
  const built = Bun.spawnSync(
    [
      'cargo',
      'install',
      's3s-fs',
      '--debug',
      '--version',
      S3S_VERSION,
      '--features',
      'binary',
      '--root',
      root,
    ],
    { stdout: 'ignore', stderr: 'pipe', env: { ...process.env, CARGO_PROFILE_DEV_DEBUG: '0' } },
  );
  if (built.exitCode === 0) return binary;
  notRun('tests against the S3 server s3s-fs', built.stderr.toString().trim().split('\n').at(-1) ?? '');
  return undefined;
}

export function minioBinary(): string | undefined {
  const found = [process.env['KACHE_TEST_MINIO'], join(CACHE, 'minio', 'minio'), Bun.which('minio')];
  const binary = found.find((path) => path !== null && path !== undefined && existsSync(path));
  if (binary == null)
    notRun('tests against the S3 server MinIO', 'no minio: go install github.com/minio/minio@latest');
  return binary ?? undefined;
}

/** A server with one empty bucket, its data below `dir`. */
export async function startServer(kind: 's3s-fs' | 'minio', dir: string): Promise<S3Server | undefined> {
  const binary = kind === 's3s-fs' ? s3sBinary() : minioBinary();
  if (binary === undefined) return undefined;
  const data = join(dir, `${kind}-data`);
  mkdirSync(data, { recursive: true });
  const port = await freePort();
  const argv =
    kind === 's3s-fs'
      ? [
          binary,
          data,
          '--host',
          '127.0.0.1',
          '--port',
          `${port}`,
          '--access-key',
          ACCESS_KEY,
          '--secret-key',
          SECRET_KEY,
        ]
      : [binary, 'server', data, '--address', `127.0.0.1:${port}`, '--quiet'];
  const child = Bun.spawn(argv, {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: {
      ...process.env,
      HOME: dir,
      MINIO_ROOT_USER: ACCESS_KEY,
      MINIO_ROOT_PASSWORD: SECRET_KEY,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    },
  });
  const endpoint = `http://127.0.0.1:${port}`;
  await makeBucket(endpoint, child);
  return {
    name: kind,
    endpoint,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await child.exited;
    },
  };
}

/** Asks until the server has come up and has the bucket. */
async function makeBucket(endpoint: string, child: Bun.Subprocess): Promise<void> {
  for (const untilMs = Date.now() + 30_000; Date.now() < untilMs; ) {
    if (child.exitCode !== null) throw new Error(`the S3 server ended with ${child.exitCode}`);
    const signer = new AwsV4Signer({
      accessKeyId: ACCESS_KEY,
      secretAccessKey: SECRET_KEY,
      service: 's3',
      region: 'us-east-1',
      method: 'PUT',
      url: `${endpoint}/${BUCKET}`,
    });
    const { url, headers } = await signer.sign();
    const answer = await fetch(url.href, { method: 'PUT', headers }).catch(() => undefined);
    if (answer?.ok === true || answer?.status === 409) return;
    await Bun.sleep(50);
  }
  throw new Error('the S3 server did not come up');
}

/** Settings of a remote in such a server's bucket. */
export const remoteIn = (endpoint: string, changes: Partial<RemoteSettings> = {}): RemoteSettings => ({
  type: 's3',
  bucket: BUCKET,
  endpoint,
  region: 'us-east-1',
  prefix: 'artifacts',
  writePrefix: 'artifacts',
  profile: undefined,
  path: undefined,
  addressing: 'auto',
  caFile: undefined,
  manifestKey: undefined,
  accessKey: ACCESS_KEY,
  secretKey: SECRET_KEY,
  sessionToken: undefined,
  ...changes,
});

/** The same as variables of a build. */
export const remoteVariables = (endpoint: string): Record<string, string> => ({
  KACHE_S3_BUCKET: BUCKET,
  KACHE_S3_ENDPOINT: endpoint,
  KACHE_S3_ACCESS_KEY: ACCESS_KEY,
  KACHE_S3_SECRET_KEY: SECRET_KEY,
});
