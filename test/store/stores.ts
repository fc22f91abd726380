// What the tests of the store share: an open store, programs that work on it from outside, closures and entries.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BlobId, CacheKey, UnitId } from '../../src/core/ids.ts';
import type { Closure } from '../../src/store/closures.ts';
import type { Entry, EntryInputs, EntryOrigins } from '../../src/store/entries.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';
import type { Lab } from '../support/lab.ts';

/** The store of a laboratory, made at the first call. */
export function storeOf(lab: Lab): Store {
  const store = openStore(lab.store);
  if (store.kind !== 'store') throw new Error(store.detail);
  return store;
}

/** Files on their way: none after any operation has ended, well or not. */
export const leftovers = (lab: Lab): string[] => readdirSync(join(lab.store, 'tmp'));

const source = (name: string): string => JSON.stringify(join(import.meta.dir, '../../src', name));

/** Imports a program written by {@link startProgram} may use, by file and names. */
export const IMPORTS = `
import * as fs from 'node:fs';
import { openStore } from ${source('store/store.ts')};
import { checkBlob, placeBlob, publishBlob, removeBlob, sealAgain } from ${source('store/blobs.ts')};
import { readUnit, recordClosure } from ${source('store/closures.ts')};
import { SourceHashes } from ${source('store/hashes.ts')};
import { sha256 } from ${source('sys/hash.ts')};
import { isOsError } from ${source('sys/files.ts')};
`;

/** Writes a program; `store` in it is the store of the laboratory, `own` its first argument. */
export function writeProgram(lab: Lab, name: string, body: string): string {
  const path = lab.path(`${name}.ts`);
  const open = `const store = openStore(${JSON.stringify(lab.store)}); const own = process.argv[2] ?? '';\n`;
  writeFileSync(path, `${IMPORTS}${open}${body}\n`);
  return path;
}

/** Runs a program `count` times at once, each with its number; returns what each printed. */
export async function atOnce(program: string, count: number): Promise<string[]> {
  const started = Array.from({ length: count }, (_, n) =>
    Bun.spawn([process.execPath, program, `${n}`], { stdout: 'pipe', stderr: 'pipe' }),
  );
  return Promise.all(
    started.map(async (one) => {
      const [out, err] = [await new Response(one.stdout).text(), await new Response(one.stderr).text()];
      if ((await one.exited) !== 0) throw new Error(`${one.signalCode ?? one.exitCode}: ${err}`);
      return out.trim();
    }),
  );
}

export const unitId = (text: string): UnitId => sha256(`unit ${text}`) as UnitId;
export const cacheKey = (text: string): CacheKey => sha256(`key ${text}`) as CacheKey;
export const blobId = (text: string): BlobId => sha256(text) as BlobId;

/** A closure of these files and nothing else. */
export const closureOf = (...files: string[]): Closure => ({
  files,
  env: [],
  bound: [],
  absent: [],
  observed: [],
  listed: [],
  natives: false,
});

export const NO_INPUTS: EntryInputs = {
  identity: '',
  unit: [],
  flags: [],
  files: [],
  env: [],
  externs: [],
  other: [],
};

/** What is written beside an entry. */
export const originsOf = (inputs: EntryInputs): EntryOrigins => ({
  ...inputs,
  closure: closureOf('./lib.rs'),
});

/** An entry with outputs of these contents. */
export const entryOf = (name: string, ...contents: string[]): Entry => ({
  key: cacheKey(name),
  unit: unitId(name),
  crateName: name,
  crateVersion: '1.0.0',
  crateTypes: 'lib',
  createdMs: 1,
  compileMs: 100,
  outputs: contents.map((text) => ({
    kind: 'link',
    blob: blobId(text),
    sizeBytes: text.length,
    mode: 0o644,
  })),
  stderr: ['a line', '\0emit link'],
  stdout: [],
});
