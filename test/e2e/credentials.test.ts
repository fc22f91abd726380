// Credentials from every source the library of AWS knows that can be had without AWS, by the built binary.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { ACCESS_KEY, BUCKET, type S3Server, SECRET_KEY, startServer } from '../support/s3-servers.ts';

const root = mkdtempSync(join(tmpdir(), 'kache-credentials-'));
let server: S3Server | undefined;
beforeAll(async () => {
  server = await startServer('s3s-fs', root);
}, 600_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

/** What `doctor` says of the remote. */
function remoteState(lab: Lab, env: Env): { state: string; detail: string } | undefined {
  const ran = lab.run([KACHE, 'doctor', '--json'], {
    env: {
      KACHE_S3_BUCKET: BUCKET,
      KACHE_S3_ENDPOINT: server?.endpoint,
      AWS_EC2_METADATA_DISABLED: 'true',
      ...env,
    },
  });
  const { checks } = JSON.parse(ran.stdout) as { checks: { id: string; state: string; detail: string }[] };
  return checks.find(({ id }) => id === 'remote');
}

const keys = (name: string, secret = SECRET_KEY): string =>
  `[${name}]\naws_access_key_id = ${ACCESS_KEY}\naws_secret_access_key = ${secret}\n`;

test('variables, profiles, a program, and none at all', () => {
  if (server === undefined) return;
  using lab = new Lab();
  const program = join(
    lab.write('bin', {
      'give-credentials': `#!/bin/sh\necho '{"Version":1,"AccessKeyId":"${ACCESS_KEY}","SecretAccessKey":"${SECRET_KEY}"}'\n`,
    }),
    'give-credentials',
  );
  chmodSync(program, 0o755);
  lab.write('home/.aws', {
    credentials: `${keys('default', 'wrong')}${keys('team')}`,
    config: `[profile by-program]\ncredential_process = ${program}\n[profile elsewhere]\nregion = eu-west-1\n`,
  });
  const state = (env: Env): string => `${remoteState(lab, env)?.state}`;
  expect(state({ KACHE_S3_ACCESS_KEY: ACCESS_KEY, KACHE_S3_SECRET_KEY: SECRET_KEY })).toBe('ok');
  expect(state({ AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY })).toBe('ok');
  expect(state({ KACHE_S3_PROFILE: 'team' })).toBe('ok');
  expect(state({ AWS_PROFILE: 'team' })).toBe('ok');
  expect(state({ KACHE_S3_PROFILE: 'by-program' })).toBe('ok');
  // A profile that was asked for goes before variables that lie around.
  expect(state({ KACHE_S3_PROFILE: 'team', AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' })).toBe('ok');
  expect(state({})).toBe('fail');
  const none = remoteState(lab, { KACHE_S3_PROFILE: 'nobody' });
  expect([none?.state, none?.detail.includes('no credentials')]).toEqual(['fail', true]);
}, 300_000);

test('a role is assumed with a web identity, and its token goes along', async () => {
  if (server === undefined) return;
  using lab = new Lab();
  const asked: string[] = [];
  using sts = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      asked.push(await request.text());
      const soon = new Date(Date.now() + 3600_000).toISOString();
      return new Response(
        `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${ACCESS_KEY}</AccessKeyId><SecretAccessKey>${SECRET_KEY}</SecretAccessKey><SessionToken>session</SessionToken><Expiration>${soon}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
        { headers: { 'content-type': 'text/xml' } },
      );
    },
  });
  const token = join(lab.write('identity', { token: 'token-of-the-job' }), 'token');
  const env = lab.env({
    KACHE_S3_BUCKET: BUCKET,
    KACHE_S3_ENDPOINT: server.endpoint,
    AWS_WEB_IDENTITY_TOKEN_FILE: token,
    AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/builds',
    AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${sts.port}`,
    AWS_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  });
  const child = Bun.spawn([KACHE, 'doctor', '--json'], {
    env,
    cwd: lab.root,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { checks } = JSON.parse(await new Response(child.stdout).text()) as {
    checks: { id: string; state: string }[];
  };
  expect(
    asked.some((body) => body.includes('token-of-the-job') && body.includes('AssumeRoleWithWebIdentity')),
  ).toBe(true);
  expect(checks.find(({ id }) => id === 'remote')?.state).toBe('ok');
}, 300_000);
