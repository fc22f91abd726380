import { expect, test } from 'bun:test';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createFile, listDirectory, lstat, readFile, rename, stat } from '../../src/sys/files.ts';
import { OsError } from '../../src/sys/libc.ts';
import { isWithin, resolve } from '../../src/sys/paths.ts';
import { OpenWatch } from '../../src/sys/watch.ts';
import { Lab } from '../support/lab.ts';

test('stat is what the file system says, to the nanosecond', () => {
  using lab = new Lab();
  const file = lab.path('file');
  writeFileSync(file, 'content');
  const theirs = statSync(file, { bigint: true });
  const ours = stat(file);
  expect(ours).toMatchObject({ size: 7, ino: theirs.ino, nlink: 1, mode: Number(theirs.mode) });
  expect(BigInt(ours?.mtimeSec ?? 0) * 1_000_000_000n + BigInt(ours?.mtimeNsec ?? 0)).toBe(theirs.mtimeNs);
  expect(BigInt(ours?.ctimeSec ?? 0) * 1_000_000_000n + BigInt(ours?.ctimeNsec ?? 0)).toBe(theirs.ctimeNs);
  expect(stat(lab.path('none'))).toBeUndefined();
  symlinkSync('nowhere', lab.path('dangling'));
  expect(stat(lab.path('dangling'))).toBeUndefined();
  expect(lstat(lab.path('dangling'))).toBeDefined();
});

test('files of every size around the buffer are read whole', () => {
  using lab = new Lab();
  for (const size of [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_003]) {
    const bytes = Uint8Array.from({ length: size }, (_, at) => at % 251);
    createFile(lab.path(`f${size}`), bytes);
    expect(Buffer.from(readFile(lab.path(`f${size}`)) ?? []).equals(Buffer.from(bytes))).toBe(true);
    expect(readFileSync(lab.path(`f${size}`)).length).toBe(size);
  }
});

test('failures have a code, and an existing file is not replaced by creating', () => {
  using lab = new Lab();
  createFile(lab.path('a'), new Uint8Array(1));
  const code = (run: () => void): string => {
    try {
      run();
      return 'none';
    } catch (error) {
      return error instanceof OsError ? error.code : String(error);
    }
  };
  expect(code(() => createFile(lab.path('a'), new Uint8Array(2)))).toBe('EEXIST');
  expect(code(() => createFile(lab.path('no', 'folder'), new Uint8Array(2)))).toBe('ENOENT');
  expect(code(() => rename(lab.path('none'), lab.path('b')))).toBe('ENOENT');
  expect(code(() => stat(`/${'x'.repeat(5000)}`))).toBe('ENAMETOOLONG');
  expect(stat(lab.path('a'))?.size).toBe(1);
});

test('folders list every name, however odd', () => {
  using lab = new Lab();
  const names = [
    'plain',
    'with blank',
    'ünïcode',
    '-dash',
    'x'.repeat(255),
    ...Array.from({ length: 3000 }, (_, n) => `many${n}`),
  ];
  for (const name of names) writeFileSync(lab.path('home', name), '');
  mkdirSync(lab.path('home', 'folder'));
  const listed = listDirectory(lab.path('home')) ?? [];
  expect(
    listed
      .filter(({ kind }) => kind === 'file')
      .map(({ name }) => name)
      .sort(),
  ).toEqual(names.sort());
  expect(listed.find(({ name }) => name === 'folder')?.kind).toBe('directory');
  expect(listDirectory(lab.path('none'))).toBeUndefined();
});

test('a watch sees files opened and folders listed', () => {
  using lab = new Lab();
  const home = lab.path('home');
  writeFileSync(lab.path('home', 'file'), 'x');
  mkdirSync(lab.path('home', 'below'));
  using watch = OpenWatch.start([home, lab.path('home', 'below')]);
  readFileSync(lab.path('home', 'file'));
  listDirectory(lab.path('home', 'below'));
  const opened = watch?.collect();
  expect(opened?.files).toEqual([lab.path('home', 'file')]);
  expect(opened?.folders).toContain(lab.path('home', 'below'));
});

test('paths', () => {
  expect(resolve('/a/b', '../c/./d//e')).toBe('/a/c/d/e');
  expect(resolve('/a', '/x/y')).toBe('/x/y');
  expect(isWithin('/a/bc', '/a/b')).toBe(false);
  expect(isWithin('/a/b/c', '/a/b')).toBe(true);
  expect(isWithin('/a/b', '/a/b')).toBe(true);
});
