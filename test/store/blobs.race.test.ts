import { expect, test } from 'bun:test';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { checkBlob, publishBlob } from '../../src/store/blobs.ts';
import { Lab } from '../support/lab.ts';
import { atOnce, blobId, leftovers, storeOf, writeProgram } from './stores.ts';

const SHARED = { shared: true, mode: 0o644, linkMode: 'hardlink' } as const;
const OPTIONS = JSON.stringify(SHARED);

test('eight processes publish the same bytes', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const texts = Array.from({ length: 20 }, (_, n) => `blob ${n} `.repeat(3000));
  const program = writeProgram(
    lab,
    'publish',
    `for (let n = 0; n < 20; n++) {
       const text = ('blob ' + n + ' ').repeat(3000);
       const path = ${JSON.stringify(lab.root)} + '/source-' + own + '-' + n;
       fs.writeFileSync(path, text);
       publishBlob(store, sha256(text), path, ${OPTIONS});
       if (fs.readFileSync(path, 'utf8') !== text) process.exit(3);
     }`,
  );
  await atOnce(program, 8);
  expect(leftovers(lab)).toEqual([]);
  for (const [n, text] of texts.entries()) {
    const id = blobId(text);
    expect(checkBlob(store, id, text.length).kind).toBe('sound');
    expect(readFileSync(store.layout.blob(id), 'utf8')).toBe(text);
    // Whoever publishes now gets the one inode.
    const last = lab.path(`source-0-${n}`);
    expect(publishBlob(store, id, last, SHARED)).toMatchObject({ existed: true });
    expect(statSync(last).ino).toBe(statSync(store.layout.blob(id)).ino);
  }
}, 60_000);

test('processes that place, publish and remove one blob: every file is whole or not there', async () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const text = 'content '.repeat(20_000);
  mkdirSync(lab.path('out'));
  writeFileSync(lab.path('first'), text);
  publishBlob(store, blobId(text), lab.path('first'), SHARED);
  const program = writeProgram(
    lab,
    'mixed',
    `const text = 'content '.repeat(20_000); const id = sha256(text); const counts = { placed: 0, absent: 0 };
     for (let n = 0; n < 60; n++) {
       const path = ${JSON.stringify(lab.path('out'))} + '/' + own + '-' + n;
       try {
         if (own === '0' && n % 3 === 0) removeBlob(store, id);
         else if (own === '1') { fs.writeFileSync(path, text); publishBlob(store, id, path, ${OPTIONS}); }
         else {
           const state = checkBlob(store, id, text.length);
           if (state.kind !== 'sound') { counts.absent++; continue; }
           if (placeBlob(store, id, path, { ...${OPTIONS}, shared: n % 2 === 0 }) === 'hardlinked') sealAgain(store, id, state.proof);
         }
       } catch (error) {
         if (!isOsError(error, 'ENOENT')) throw error;
         counts.absent++;
         continue;
       }
       if (fs.existsSync(path)) { counts.placed++; if (fs.readFileSync(path, 'utf8') !== text) process.exit(3); }
     }
     console.log(JSON.stringify(counts));`,
  );
  const counts = (await atOnce(program, 6)).map((line) => JSON.parse(line) as { placed: number });
  // The one that publishes has placed each of its own; how many the others got is a matter of luck.
  expect(counts[1]?.placed).toBe(60);
  expect(leftovers(lab)).toEqual([]);
}, 60_000);
