// `list`, `gc` and `purge` on stores of known content: order, ages, what goes and what stays.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { appendFileSync, utimesSync, writeFileSync } from 'node:fs';
import { publishBlob } from '../../src/store/blobs.ts';
import { writeEntry } from '../../src/store/entries.ts';
import { blobId, cacheKey, entryOf, NO_INPUTS, storeOf } from '../store/stores.ts';
import { KACHE, Lab } from '../support/lab.ts';

let lab: Lab;
const HOUR_MS = 3600e3;

/** name: [bytes, hits, hours since the last use]. */
const CRATES: Readonly<Record<string, readonly [number, number, number]>> = {
  middle: [3000, 1, 30],
  small: [10, 7, 1],
  large: [500_000, 0, 500],
};

beforeEach(() => {
  lab = new Lab();
  const store = storeOf(lab);
  const now = Date.now();
  for (const [name, [bytes, hits, ageHours]] of Object.entries(CRATES)) {
    const text = name.repeat(bytes).slice(0, bytes);
    const source = lab.path('source');
    writeFileSync(source, text);
    publishBlob(store, blobId(text), source, { shared: false, mode: 0o644, linkMode: 'copy' });
    writeEntry(store, entryOf(name, text), NO_INPUTS);
    const used = (now - ageHours * HOUR_MS) / 1000;
    utimesSync(store.layout.entry(cacheKey(name)), used, used);
    for (let n = 0; n < hits; n++) {
      const event = {
        ts: now,
        result: 'local_hit',
        crate_name: name,
        cache_key: cacheKey(name),
        elapsed_ms: 3,
      };
      appendFileSync(store.layout.events, `${JSON.stringify(event)}\n`);
    }
  }
});
afterEach(() => lab[Symbol.dispose]());

const kache = (...args: string[]) => lab.run([KACHE, ...args]);
const names = (...args: string[]): string[] =>
  JSON.parse(kache('list', '--json', ...args).stdout).map(({ crate }: { crate: string }) => crate);

test('every order, as text and as JSON', () => {
  expect(names()).toEqual(['large', 'middle', 'small']);
  expect(names('--sort', 'name')).toEqual(['large', 'middle', 'small']);
  expect(names('--sort', 'size')).toEqual(['large', 'middle', 'small']);
  expect(names('--sort', 'hits')).toEqual(['small', 'middle', 'large']);
  expect(names('--sort', 'age')).toEqual(['large', 'middle', 'small']);
  const lines = kache('list', '--sort', 'hits').stdout.split('\n');
  expect(lines[0]).toMatch(/^crate +version +size +hits +compile +last use +key$/);
  expect(lines[1]).toMatch(/^small +1\.0\.0 +10 B +7 +100ms +1h +[0-9a-f]{12}$/);
  expect(lines[3]).toMatch(/^large +1\.0\.0 +488\.3 KiB +0 +100ms +20d +[0-9a-f]{12}$/);
  expect(names('middle')).toEqual(['middle']);
  expect(kache('list', 'absent')).toMatchObject({ status: 0, stdout: 'No entry of "absent".\n' });
  expect(kache('list', '--sort', 'colour')).toMatchObject({ status: 2, stdout: '' });
});

test('gc: by age, by cap, and by neither', () => {
  expect(kache('gc').stdout).toMatch(
    /^Removed 0 entries and 0 blobs; 0 B freed\.\nThe store occupies .* of .*\.\n$/,
  );
  expect(kache('gc', '--max-age', '10d').stdout).toStartWith('Removed 1 entry and 1 blob; 4');
  expect(names()).toEqual(['middle', 'small']);
  expect(kache('gc', '--max-age', '24').stdout).toStartWith('Removed 1 entry and 1 blob; 8.0 KiB freed.');
  expect(names()).toEqual(['small']);
  expect(kache('gc', '--max-age', 'soon')).toMatchObject({ status: 2, stdout: '' });
  expect(lab.run([KACHE, 'gc'], { env: { KACHE_MAX_SIZE: '1KB' } }).stdout).toStartWith('Removed 1 entry');
  expect(names()).toEqual([]);
});

test('purge: one crate, all, and an empty store', () => {
  expect(kache('purge', '--crate-name', 'middle').stdout).toStartWith('Removed 1 entry and 1 blob;');
  expect(names()).toEqual(['large', 'small']);
  expect(kache('purge').stdout).toStartWith('Removed 2 entries and 2 blobs;');
  expect(kache('list')).toMatchObject({ status: 0, stdout: 'The store is empty.\n' });
  expect(kache('purge')).toMatchObject({ status: 0, stdout: 'Removed 0 entries and 0 blobs; 0 B freed.\n' });
});
