// The native binary: out of the npm package of this platform, checked against the checksum that the registry gives,
// kept in the runner's tool cache.
import { createHash } from 'node:crypto';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as core from '@actions/core';
import { HttpClient } from '@actions/http-client';
import * as toolCache from '@actions/tool-cache';
import { version as ownVersion } from '../package.json' with { type: 'json' };
import type { Inputs } from './inputs.ts';
import { BINARY, PACKAGE } from './package.ts';

interface Release {
  readonly version: string;
  readonly dist: { readonly tarball: string; readonly integrity: string };
}

/** The absolute path of a binary that may be executed. Throws where there is none for this machine. */
export async function install(inputs: Pick<Inputs, 'binary' | 'version' | 'registry'>): Promise<string> {
  const binary = inputs.binary === '' ? await fromRegistry(inputs) : resolve(inputs.binary);
  accessSync(binary, constants.X_OK);
  return binary;
}

async function fromRegistry({ version, registry }: Pick<Inputs, 'version' | 'registry'>): Promise<string> {
  const wanted = version === '' ? ownVersion : version;
  const name = `${PACKAGE}-${platformHere()}`;
  const present = toolCache.find(name, wanted);
  if (present !== '') return join(present, BINARY);

  const http = new HttpClient('kache-action', [], {
    allowRetries: true,
    maxRetries: 3,
    socketTimeout: 30_000,
  });
  const url = `${registry}/${name.replace('/', '%2f')}/${encodeURIComponent(wanted)}`;
  const release = (await http.getJson<Release>(url)).result;
  if (release === null) throw new Error(`${name}@${wanted} is not in ${registry}`);
  const response = await http.get(release.dist.tarball);
  if (response.message.statusCode !== 200)
    throw new Error(`${release.dist.tarball} answers ${response.message.statusCode}`);
  const tarball = (await response.readBodyBuffer?.()) ?? Buffer.alloc(0);
  verify(tarball, release.dist.integrity);

  const file = join(process.env['RUNNER_TEMP'] ?? '', `${name.replace('/', '-')}-${release.version}.tgz`);
  writeFileSync(file, tarball);
  const unpacked = await toolCache.extractTar(file, undefined, ['-xz', '--strip-components=1']);
  const kept = await toolCache.cacheDir(unpacked, name, release.version);
  core.info(`kache ${release.version} is in ${kept}`);
  return join(kept, BINARY);
}

/** `linux-x64`, `linux-arm64-musl`, `darwin-arm64`: as the packages are named. */
function platformHere(): string {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const isMusl = process.platform === 'linux' && report.header?.glibcVersionRuntime === undefined;
  return `${process.platform}-${process.arch}${isMusl ? '-musl' : ''}`;
}

/** Throws unless `bytes` have the checksum, which is written as in package locks: `sha512-<base64>`. */
function verify(bytes: Buffer, integrity: string): void {
  const [algorithm, expected] = integrity.split('-', 2);
  if (algorithm !== 'sha512' || expected === undefined)
    throw new Error(`the registry gives no SHA-512 checksum (${integrity})`);
  const found = createHash('sha512').update(bytes).digest('base64');
  if (found !== expected)
    throw new Error(`the package has another checksum than the registry says (${found})`);
}
