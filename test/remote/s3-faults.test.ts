// Every fault of a service becomes the class of failure it is, in its time, and nothing is believed or followed.
import { expect, test } from 'bun:test';
import type { Failure, Found } from '../../src/remote/backend.ts';
import { backendFor } from '../../src/remote/open.ts';
import { S3Backend } from '../../src/remote/s3.ts';
import { retryAfterMs } from '../../src/remote/s3-errors.ts';
import { type Fault, FaultServer } from '../support/fault-server.ts';
import { remoteIn } from '../support/s3-servers.ts';

const FIRST_BYTE_MS = 400;
const IDLE_MS = 300;

const to = (endpoint: string, changes: Partial<ConstructorParameters<typeof S3Backend>[0]> = {}): S3Backend =>
  new S3Backend({
    bucket: 'bucket',
    endpoint,
    region: 'us-east-1',
    prefix: 'p',
    addressing: 'auto',
    credentials: async () => ({ accessKeyId: 'id', secretAccessKey: 'secret' }),
    ca: undefined,
    proxy: undefined,
    firstByteMs: FIRST_BYTE_MS,
    idleMs: IDLE_MS,
    ...changes,
  });

const MAX_BYTES = 4 * 1024 * 1024;

async function answerTo(
  fault: Fault,
): Promise<{ answer: Found | Failure; tookMs: number; requests: number }> {
  using server = new FaultServer();
  server.objects.set('/bucket/p/v1/a', new Uint8Array(1000).fill(7));
  server.fault = () => fault;
  const from = performance.now();
  const answer = await to(server.endpoint).get('v1/a', { maxBytes: MAX_BYTES });
  return { answer, tookMs: performance.now() - from, requests: server.requests.length };
}

const status = (code: number, error?: string, headers?: Record<string, string>): Fault => ({
  kind: 'status',
  status: code,
  ...(error === undefined ? {} : { code: error }),
  ...(headers === undefined ? {} : { headers }),
});

const CASES: readonly (readonly [string, Fault, Partial<Failure>])[] = [
  ['404', status(404, 'NoSuchKey'), { kind: 'not-found' }],
  ['404 of the bucket', status(404, 'NoSuchBucket'), { kind: 'denied' }],
  ['403', status(403, 'AccessDenied'), { kind: 'denied' }],
  [
    'a clock that is off',
    status(403, 'RequestTimeTooSkewed'),
    { kind: 'denied', detail: 'RequestTimeTooSkewed (status 403): the clock of this machine is off' },
  ],
  ['429', status(429, 'TooMany', { 'retry-after': '7' }), { kind: 'throttled', retryAfterMs: 7000 }],
  ['503 SlowDown', status(503, 'SlowDown'), { kind: 'throttled', retryAfterMs: 1000 }],
  ['500', status(500, 'InternalError'), { kind: 'unavailable', timedOut: false }],
  ['503', status(503), { kind: 'unavailable', timedOut: false }],
  [
    'a redirect',
    status(301, undefined, { location: 'http://127.0.0.1:1/', 'x-amz-bucket-region': 'eu-west-1' }),
    { kind: 'denied', detail: 'status 301: the bucket is in region eu-west-1' },
  ],
  ['no answer', { kind: 'silent' }, { kind: 'unavailable', timedOut: true }],
  ['a body that stands still', { kind: 'stalls' }, { kind: 'unavailable', timedOut: true }],
  ['a body without end', { kind: 'endless' }, { kind: 'corrupt' }],
];

for (const [name, fault, expected] of CASES) {
  test(`${name} is ${expected.kind}`, async () => {
    const { answer, tookMs } = await answerTo(fault);
    expect(answer).toMatchObject(expected);
    expect(tookMs).toBeLessThan(30_000);
  });
}

test('less than was announced is no object', async () => {
  const { answer } = await answerTo({ kind: 'cut' });
  expect(['corrupt', 'unavailable']).toContain(answer.kind);
});

test('expired credentials are fetched anew, once', async () => {
  using server = new FaultServer();
  server.fault = () => status(400, 'ExpiredToken');
  const asked: boolean[] = [];
  const credentials = async (fresh: boolean) => {
    asked.push(fresh);
    return { accessKeyId: 'id', secretAccessKey: 'secret' };
  };
  const answer = await to(server.endpoint, { credentials }).get('v1/a', { maxBytes: MAX_BYTES });
  expect(answer.kind).toBe('denied');
  expect(asked).toEqual([false, true]);
});

test('a connection that is refused, a name that is not known, a certificate nobody vouches for', async () => {
  const using = new FaultServer();
  const { endpoint } = using;
  using[Symbol.dispose]();
  for (const place of [endpoint, 'http://no-such-host.invalid', `https://127.0.0.1:${tlsPort()}`]) {
    const answer = await to(place, { firstByteMs: 10_000 }).get('v1/a', { maxBytes: MAX_BYTES });
    expect([place, answer.kind]).toEqual([place, 'unavailable']);
  }
});

/** A port at which something speaks, but no TLS. */
function tlsPort(): number {
  const server = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: { data: (socket) => void socket.end('nonsense') },
  });
  server.unref();
  return server.port;
}

test('an object may be put, kept from being replaced, and removed, by path or by host', async () => {
  using server = new FaultServer();
  const backend = to(server.endpoint);
  const bytes = new TextEncoder().encode('x');
  expect(await backend.put('v1/a', bytes, { ifAbsent: true })).toEqual({ kind: 'done' });
  expect(await backend.put('v1/a', bytes, { ifAbsent: true })).toEqual({ kind: 'exists' });
  expect(await backend.remove('v1/a')).toEqual({ kind: 'done' });
  expect(server.requests).toEqual(['PUT /bucket/p/v1/a', 'PUT /bucket/p/v1/a', 'DELETE /bucket/p/v1/a']);
  expect(to('https://s3.example.org', { addressing: 'virtual' }).place).toContain('bucket.s3.example.org');
  expect(to('https://s3.example.org').place).toBe('s3://bucket/p at s3.example.org');
});

test('a service that knows no conditional put is not asked for one again', async () => {
  using server = new FaultServer();
  let refusals = 1;
  server.fault = (method) =>
    method === 'PUT' && refusals-- > 0 ? status(501, 'NotImplemented') : { kind: 'none' };
  const backend = to(server.endpoint);
  for (const name of ['v1/a', 'v1/b'])
    expect(await backend.put(name, new Uint8Array(1), { ifAbsent: true })).toEqual({ kind: 'done' });
  expect(server.requests.length).toBe(3);
});

test('Retry-After is seconds or a date, and never more than a minute', () => {
  expect(retryAfterMs('3')).toBe(3000);
  expect(retryAfterMs('86400')).toBe(60_000);
  expect(retryAfterMs(null)).toBe(1000);
  expect(retryAfterMs('soon')).toBe(1000);
  expect(retryAfterMs(new Date(Date.now() - 1000).toUTCString())).toBe(0);
});

test('settings that cannot be a remote are refused before anything is sent', () => {
  for (const changes of [{ endpoint: 'ftp://x' }, { endpoint: 'http://user:secret@x' }] as const)
    expect(() => backendFor(remoteIn('', changes), 'p', {})).toThrow('Cannot use the endpoint');
  for (const prefix of ['', '/a', 'a/../b', 'a//b', 'a b'])
    expect(() => backendFor(remoteIn('http://x'), prefix, {})).toThrow('Cannot use the prefix');
  expect(() => backendFor(remoteIn('http://x', { caFile: '/no/such/file' }), 'p', {})).toThrow(
    'Cannot read the certificates',
  );
});
