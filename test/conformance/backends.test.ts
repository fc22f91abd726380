// One suite for every remote: a folder, and real S3 servers.
import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { RemoteSettings } from '../../src/core/config.ts';
import type { Backend, Failure, Listed } from '../../src/remote/backend.ts';
import { backendFor } from '../../src/remote/open.ts';
import { remoteIn, type S3Server, startServer } from '../support/s3-servers.ts';

const root = mkdtempSync(join(tmpdir(), 'kache-conformance-'));
const servers: (S3Server | undefined)[] = [
  await startServer('s3s-fs', root),
  await startServer('minio', root),
];
afterAll(async () => {
  for (const server of servers) await server?.[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

const folder = join(root, 'folder');
const places: [string, RemoteSettings][] = [
  ['a folder', remoteIn('', { type: 'filesystem', path: folder, bucket: undefined, endpoint: undefined })],
  ...servers.flatMap((server): [string, RemoteSettings][] =>
    server === undefined ? [] : [[server.name, remoteIn(server.endpoint)]],
  ),
];

const MAX = { maxBytes: 64 * 1024 * 1024 };
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

async function listed(backend: Backend, prefix: string): Promise<string[]> {
  const found: (Listed | Failure)[] = [];
  for await (const item of backend.list(prefix)) found.push(item);
  return found.map((item) => ('kind' in item ? `failure ${item.kind}` : item.name)).sort();
}

for (const [name, settings] of places) {
  describe(name, () => {
    const at = (prefix: string): Backend => backendFor(settings, prefix, {});

    test('what was put is there, whole, under its name and no other', async () => {
      const backend = at('put');
      expect(await backend.put('v1/a', bytesOf('one'), { ifAbsent: false })).toEqual({ kind: 'done' });
      const found = await backend.get('v1/a', MAX);
      expect(found.kind === 'found' && Buffer.from(found.bytes).toString()).toBe('one');
      expect(await backend.has('v1/a')).toEqual({ kind: 'done' });
      expect(await backend.get('v1/b', MAX)).toEqual({ kind: 'not-found' });
      expect(await backend.has('v1/b')).toEqual({ kind: 'not-found' });
      expect(await at('other').has('v1/a')).toEqual({ kind: 'not-found' });
    });

    test('an object of no bytes, and one of many', async () => {
      const backend = at('sizes');
      const large = new Uint8Array(9 * 1024 * 1024).map((_, index) => (index * 31) % 251);
      await backend.put('v1/empty', new Uint8Array(), { ifAbsent: false });
      await backend.put('v1/large', large, { ifAbsent: false });
      const [empty, whole] = [await backend.get('v1/empty', MAX), await backend.get('v1/large', MAX)];
      expect(empty.kind === 'found' && empty.bytes.length).toBe(0);
      expect(whole.kind === 'found' && Buffer.from(whole.bytes).equals(large)).toBe(true);
    });

    test('a put replaces; one that may not leaves the first alone', async () => {
      const backend = at('replace');
      await backend.put('v1/a', bytesOf('one'), { ifAbsent: true });
      await backend.put('v1/a', bytesOf('two'), { ifAbsent: false });
      const second = await backend.put('v1/a', bytesOf('three'), { ifAbsent: true });
      const found = await backend.get('v1/a', MAX);
      const text = found.kind === 'found' ? Buffer.from(found.bytes).toString() : '';
      // Where a service cannot do it in one step it replaces, and says so.
      expect([second.kind, text]).toEqual(second.kind === 'exists' ? ['exists', 'two'] : ['done', 'three']);
      if (name !== 's3s-fs') expect(second.kind).toBe('exists');
    });

    test('more than asked for is refused, also before it is read', async () => {
      const backend = at('limit');
      await backend.put('v1/a', bytesOf('0123456789'), { ifAbsent: false });
      const announced: number[] = [];
      const admit = async (sizeBytes: number): Promise<void> => void announced.push(sizeBytes);
      expect((await backend.get('v1/a', { maxBytes: 9, admit })).kind).toBe('corrupt');
      expect(announced).toEqual([]);
      expect((await backend.get('v1/a', { maxBytes: 10, admit })).kind).toBe('found');
      expect(announced).toEqual([10]);
    });

    test('a listing names every object below its prefix, across pages', async () => {
      const backend = at('list');
      const names = Array.from({ length: 1100 }, (_, index) => `v1/entries/${`${index}`.padStart(4, '0')}`);
      for (let from = 0; from < names.length; from += 50)
        await Promise.all(
          names.slice(from, from + 50).map((item) => backend.put(item, bytesOf('x'), { ifAbsent: false })),
        );
      await backend.put('v1/units/a', bytesOf('x'), { ifAbsent: false });
      expect(await listed(backend, 'v1/entries/')).toEqual(names);
      expect(await listed(backend, 'v1/nothing/')).toEqual([]);
    }, 60_000);

    test('what was removed is gone, and removing it again is no error', async () => {
      const backend = at('remove');
      await backend.put('v1/a', bytesOf('one'), { ifAbsent: false });
      expect(await backend.remove('v1/a')).toEqual({ kind: 'done' });
      expect(await backend.has('v1/a')).toEqual({ kind: 'not-found' });
      expect(['done', 'not-found']).toContain((await backend.remove('v1/a')).kind);
    });

    test('writers of one name leave one of their contents, never a mixture', async () => {
      const backend = at('race');
      const contents = Array.from({ length: 8 }, (_, index) => bytesOf(`${index}`.repeat(200_000)));
      await Promise.all(contents.map((bytes) => backend.put('v1/a', bytes, { ifAbsent: false })));
      const found = await backend.get('v1/a', MAX);
      const text = found.kind === 'found' ? Buffer.from(found.bytes).toString() : '';
      expect(contents.map((bytes) => Buffer.from(bytes).toString())).toContain(text);
    });

    if (settings.type === 's3') {
      test('wrong credentials are denied, and so is a bucket that is not there', async () => {
        const wrong = backendFor({ ...settings, secretKey: 'wrong' }, 'put', {});
        expect((await wrong.get('v1/a', MAX)).kind).toBe('denied');
        expect((await wrong.put('v1/a', bytesOf('x'), { ifAbsent: false })).kind).toBe('denied');
        // It makes a bucket for whoever names one.
        if (name === 's3s-fs') return;
        const nowhere = backendFor({ ...settings, bucket: 'no-such-bucket' }, 'put', {});
        expect((await nowhere.put('v1/a', bytesOf('x'), { ifAbsent: false })).kind).toBe('denied');
      });
    }
  });
}

test('a folder with hostile content: links, pipes, folders and left-overs are no objects', async () => {
  const backend = backendFor(places[0]?.[1] ?? remoteIn(''), 'hostile', {});
  const path = (name: string): string => join(folder, 'hostile', name);
  mkdirSync(dirname(path('v1/units/x')), { recursive: true });
  writeFileSync(join(root, 'secret'), 'secret');
  symlinkSync(join(root, 'secret'), path('v1/link'));
  symlinkSync('/', path('v1/root'));
  mkdirSync(path('v1/folder'));
  Bun.spawnSync(['mkfifo', path('v1/pipe')]);
  for (const name of ['v1/link', 'v1/folder', 'v1/pipe'])
    expect([name, (await backend.get(name, MAX)).kind, (await backend.has(name)).kind]).toEqual([
      name,
      'corrupt',
      'corrupt',
    ]);
  writeFileSync(path('v1/units/.kache-1-2-3'), 'half');
  expect(await listed(backend, 'v1/')).toEqual([]);
  expect((await backend.put('v1/link/x', bytesOf('x'), { ifAbsent: false })).kind).not.toBe('done');
  await backend.put('v1/units/a', bytesOf('x'), { ifAbsent: false });
  expect(readdirSync(path('v1/units')).filter((name) => name !== '.kache-1-2-3')).toEqual(['a']);
});
