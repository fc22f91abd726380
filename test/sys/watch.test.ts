import { expect, test } from 'bun:test';
import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { listDirectory } from '../../src/sys/files.ts';
import { OpenWatch } from '../../src/sys/watch.ts';
import { Lab } from '../support/lab.ts';

function watch(folders: readonly string[]): OpenWatch {
  const started = OpenWatch.start(folders);
  if (started === undefined) throw new Error('inotify cannot be had');
  return started;
}

test('files opened and folders listed are seen, by whomever and however often', () => {
  using lab = new Lab();
  const home = lab.write('tree', { file: 'x', other: 'y', 'below/deep': 'z', unseen: '' });
  using watched = watch([home, `${home}/below`]);
  for (let round = 0; round < 3; round++) readFileSync(`${home}/file`);
  expect(lab.run(['cat', `${home}/other`, `${home}/below/deep`]).status).toBe(0);
  listDirectory(`${home}/below`);
  const opened = watched.collect();
  expect(opened?.files.toSorted()).toEqual([`${home}/below/deep`, `${home}/file`, `${home}/other`]);
  expect(opened?.folders).toContain(`${home}/below`);
  expect(opened?.folders).not.toContain(home);
});

test('what is only asked about is not seen', () => {
  using lab = new Lab();
  const home = lab.write('tree', { file: 'x', 'below/deep': 'z' });
  using watched = watch([home, `${home}/below`]);
  statSync(`${home}/file`);
  linkSync(`${home}/file`, `${home}/second`);
  expect(watched.collect()).toEqual({ files: [], folders: [] });
});

test('a file that appears while watching is seen, and so is one reached through a link', () => {
  using lab = new Lab();
  const home = lab.write('tree', { file: 'x', 'below/deep': 'z' });
  symlinkSync('below', `${home}/alias`);
  using watched = watch([home, `${home}/below`]);
  writeFileSync(`${home}/new`, '');
  readFileSync(`${home}/alias/deep`);
  expect(watched.collect()?.files.toSorted()).toEqual([`${home}/below/deep`, `${home}/new`]);
});

test('what was seen stays seen when it is asked for again', () => {
  using lab = new Lab();
  const home = lab.write('tree', { a: '', b: '' });
  using watched = watch([home]);
  readFileSync(`${home}/a`);
  expect(watched.collect()?.files).toEqual([`${home}/a`]);
  readFileSync(`${home}/b`);
  expect(watched.collect()?.files).toEqual([`${home}/a`, `${home}/b`]);
});

test('odd names come back as they are', () => {
  using lab = new Lab();
  const names = ['with blank', 'two\nlines', 'ünï', 'x'.repeat(255), 'x'.repeat(254)];
  const home = lab.write('tree', Object.fromEntries(names.map((name) => [name, ''])));
  using watched = watch([home]);
  for (const name of names) readFileSync(`${home}/${name}`);
  expect(watched.collect()?.files.toSorted()).toEqual(names.map((name) => `${home}/${name}`).sort());
});

test('more opens than the kernel keeps are told from none', () => {
  using lab = new Lab();
  const home = lab.write('tree', { a: '', b: '' });
  const limit = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
  using watched = watch([home]);
  // Two names in turn: the kernel folds equal events that follow each other into one.
  for (let n = 0; n <= limit / 2 + 1; n++)
    for (const name of ['a', 'b']) closeSync(openSync(`${home}/${name}`, 'r'));
  expect(watched.collect()).toBeUndefined();
});

test('a folder that is gone, or is none, is no reason not to watch the others', () => {
  using lab = new Lab();
  const home = lab.write('tree', { file: 'x' });
  using watched = watch([`${home}/gone`, `${home}/file`, home]);
  readFileSync(`${home}/file`);
  expect(watched.collect()?.files).toEqual([`${home}/file`]);
});

test('an ended watch leaves no descriptor', () => {
  using lab = new Lab();
  const home = lab.write('tree', {});
  mkdirSync(home);
  const before = readdirSync('/proc/self/fd').length;
  for (let round = 0; round < 20; round++) {
    using _watched = watch([home]);
  }
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});
