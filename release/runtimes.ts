// Bun's runtime for each platform, from npm, and only with the hash that package-lock.json has.
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { $ } from 'bun';
import lock from '../package-lock.json' with { type: 'json' };
import type { Platform } from './names.ts';

const root = join(import.meta.dir, '..');

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
}
const locked = lock.packages as Readonly<Record<string, Locked>>;

/** The version everything is built with. */
export const runtimeVersion = (): string => locked['node_modules/bun']?.version ?? '';

/** The path of the runtime for a platform; fetched once, then kept below node_modules. */
export async function runtimeFor({ runtime, os }: Platform): Promise<string> {
  const { version, integrity } = locked[`node_modules/${runtime}`] ?? {};
  if (version === undefined || integrity === undefined)
    throw new Error(`Cannot fetch "${runtime}": package-lock.json does not name it. Run \`npm install\`.`);
  const folder = join(root, 'node_modules', '.cache', 'bun-runtimes', `${runtime.split('/')[1]}-${version}`);
  const path = join(folder, os === 'win32' ? 'bun.exe' : 'bun');
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const packed = await $`npm pack --silent --pack-destination ${folder} ${runtime}@${version}`.text();
  const tarball = join(folder, packed.trim());
  const bytes = readFileSync(tarball);
  const [algorithm = '', expected] = integrity.split(/-(.*)/s);
  if (createHash(algorithm).update(bytes).digest('base64') !== expected)
    throw new Error(
      `Cannot use "${runtime}@${version}": it is not what package-lock.json names. Delete "${folder}" and look where npm gets it from.`,
    );
  const files = await new Bun.Archive(bytes).files();
  const program = files.get(os === 'win32' ? 'package/bin/bun.exe' : 'package/bin/bun');
  if (program === undefined) throw new Error(`Cannot use "${runtime}@${version}": it holds no program.`);
  // Whole or not at all: an interrupted run leaves no half runtime under this name.
  writeFileSync(`${path}.tmp`, new Uint8Array(await program.arrayBuffer()));
  chmodSync(`${path}.tmp`, 0o755);
  renameSync(`${path}.tmp`, path);
  rmSync(tarball);
  return path;
}
