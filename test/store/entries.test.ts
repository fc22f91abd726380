import { expect, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import {
  type EntryInputs,
  readEntry,
  readEntryInputs,
  removeEntry,
  touchEntry,
  writeEntry,
} from '../../src/store/entries.ts';
import { Lab } from '../support/lab.ts';
import { cacheKey, entryOf, leftovers, NO_INPUTS, originsOf, storeOf } from './stores.ts';

const INPUTS: EntryInputs = {
  identity: 'self',
  unit: [['toolchain', 'rustc 1.95.0']],
  flags: ['-C opt-level=3'],
  files: [['./lib.rs', 'hash']],
  env: [['A', 'unset']],
  externs: [['b', 'identity', 'libb-1.rmeta']],
  other: [['root ws', 'hash']],
};

test('an entry and its inputs come back as they went, odd output included', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  const entry = {
    ...entryOf('a', 'one', 'two'),
    stderr: ['', '\0ws\0/x', '\0emit link', 'ü "quoted" \u2028'],
  };
  writeEntry(store, entry, originsOf(INPUTS));
  expect(readEntry(store, entry.key)).toEqual(entry);
  expect(readEntryInputs(store, entry.key)).toEqual(INPUTS);
  expect(leftovers(lab)).toEqual([]);
});

test('a later write replaces the whole', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  writeEntry(
    store,
    { ...entryOf('a', 'a long content'), stderr: Array(100).fill('line') },
    originsOf(INPUTS),
  );
  writeEntry(store, entryOf('a', 'b'), originsOf(NO_INPUTS));
  expect(readEntry(store, cacheKey('a'))).toEqual(entryOf('a', 'b'));
  expect(readEntryInputs(store, cacheKey('a'))).toEqual(NO_INPUTS);
});

test('an entry that lies under the key of another is none', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  writeEntry(store, entryOf('a', 'x'), originsOf(INPUTS));
  const other = store.layout.entry(cacheKey('b'));
  mkdirSync(dirname(other), { recursive: true });
  copyFileSync(store.layout.entry(cacheKey('a')), other);
  expect(readEntry(store, cacheKey('b'))).toBeUndefined();
});

test('missing, damaged and foreign entries are none', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  expect(readEntry(store, cacheKey('a'))).toBeUndefined();
  expect(readEntryInputs(store, cacheKey('a'))).toBeUndefined();
  writeEntry(store, entryOf('a', 'x'), originsOf(INPUTS));
  const path = store.layout.entry(cacheKey('a'));
  const text = readFileSync(path, 'utf8');
  for (const damaged of [
    text.slice(0, -2),
    text.replace('kache-entry-1', 'kache-entry-2'),
    text.replace('100', '101'),
    '',
  ]) {
    writeFileSync(path, damaged);
    expect(readEntry(store, cacheKey('a'))).toBeUndefined();
  }
});

test('using an entry moves its time and nothing else; one that is gone is no error', () => {
  using lab = new Lab();
  const store = storeOf(lab);
  writeEntry(store, entryOf('a', 'x'), originsOf(INPUTS));
  const path = store.layout.entry(cacheKey('a'));
  utimesSync(path, 1000, 1000);
  expect(touchEntry(store, cacheKey('a'))).toBe(true);
  expect(statSync(path).mtimeMs).toBeGreaterThan(1e12);
  expect(readEntry(store, cacheKey('a'))).toEqual(entryOf('a', 'x'));
  expect(removeEntry(store, cacheKey('a'))).toBe(true);
  expect([existsSync(path), touchEntry(store, cacheKey('a'))]).toEqual([false, false]);
});
