// The list of names in the tree of a run: a pack may bring any.
import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { BlobId } from '../../src/core/ids.ts';
import { readList } from '../../src/script/outputs.ts';
import type { StoredOutput } from '../../src/store/entries.ts';
import { openStore } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';

const dir = mkdtempSync(join(tmpdir(), 'kache-test-outputs-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** The outputs of a run whose list of names is `text`, with `files` files. */
function outputs(text: string, files: number): Parameters<typeof readList> {
  const store = openStore(dir);
  if (store.kind === 'problem') throw new Error(store.detail);
  const blob = sha256(text) as BlobId;
  mkdirSync(dirname(store.layout.blob(blob)), { recursive: true });
  writeFileSync(store.layout.blob(blob), text);
  const output = (kind: string): StoredOutput => ({ kind, blob, sizeBytes: text.length, mode: 0o644 });
  return [store, [output('out-dir'), ...Array.from({ length: files }, () => output('out-file'))]];
}

const list = (changes: object): string =>
  JSON.stringify({ folders: ['a', 'a/b'], links: [['l', '../anywhere']], files: ['a/b/c'], ...changes });

test('a list of names below the folder is read as it is', () => {
  expect(readList(...outputs(list({}), 1))).toEqual({
    folders: ['a', 'a/b'],
    links: [['l', '../anywhere']],
    files: ['a/b/c'],
  });
});

test('a list with a name that leads elsewhere, or that is none, is none', () => {
  for (const name of ['../x', 'a/../../x', '/etc/x', '.', '..', '', 'a//b', 'a/', 'a\0b', 7, null, ['a']])
    for (const changes of [{ folders: [name] }, { files: [name] }, { links: [[name, 'x']] }])
      expect([changes, readList(...outputs(list(changes), 1))]).toEqual([changes, undefined]);
  for (const text of ['', 'null', '7', '"text"', '{', '[]', list({ files: [] }), list({ folders: 'a' })])
    expect([text, readList(...outputs(text, 1))]).toEqual([text, undefined]);
  expect(readList(...outputs(list({ links: ['l'] }), 1))).toBeUndefined();
});
