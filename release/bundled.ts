// What is inside the binary: the npm packages the bundle took code from, and Bun's runtime with what that links.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import runtime from './runtime-parts.json' with { type: 'json' };
import { runtimeVersion } from './runtimes.ts';

export interface Part {
  readonly name: string;
  /** Unknown for what Bun links. */
  readonly version?: string;
  /** As SPDX names it. */
  readonly licence: string;
  readonly url?: string;
  /** The texts that come with it, by file name. */
  readonly texts: readonly (readonly [string, string])[];
}

/** What `bun build --metafile` writes, as far as it is used. */
interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>
  >;
}

/** Packages of which at least one byte is in one of the bundles, by name. */
export function bundledPackages(root: string, metafiles: readonly string[]): Part[] {
  const folders = new Set<string>();
  const outputs = metafiles.flatMap((path) =>
    Object.values((JSON.parse(readFileSync(path, 'utf8')) as Metafile).outputs),
  );
  for (const { inputs } of outputs)
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
      if (bytesInOutput > 0 && folder !== undefined) folders.add(folder);
    }
  const parts = new Map<string, Part>();
  for (const folder of folders) {
    const part = partIn(join(root, folder));
    parts.set(`${part.name}@${part.version}`, part);
  }
  return [...parts.values()].sort((a, b) => compare(`${a.name}@${a.version}`, `${b.name}@${b.version}`));
}

function partIn(folder: string): Part {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (typeof license !== 'string')
    throw new Error(
      `Cannot name the licence of "${name}": its package.json does not. Look, and name it here.`,
    );
  const texts = readdirSync(folder)
    .filter((file) => /^(licen[cs]e|copying|notice)/i.test(basename(file)))
    .sort(compare)
    .map((file) => [file, readFileSync(join(folder, file), 'utf8').trim()] as const);
  return { name, version, licence: license, texts };
}

/** Bun, and the libraries and modules it says it holds. */
export function runtimeParts(): Part[] {
  const bun: Part = { ...runtime.bun, version: runtimeVersion(), texts: [] };
  return [bun, ...runtime.linked.map((part) => ({ ...part, texts: [] }))];
}

/** By code points, so that no locale decides the order. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
