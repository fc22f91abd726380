import { expect, test } from 'bun:test';
import { mkdirSync, symlinkSync } from 'node:fs';
import { loadSettings } from '../../src/sys/settings.ts';
import { Lab } from '../support/lab.ts';

test('the nearest file upward counts, then the one of the user', () => {
  using lab = new Lab();
  const root = lab.write('tree', {
    '.kache.toml': '[cache]\nkey_salt = "outer"\n',
    'a/.kache.toml': '[cache]\nkey_salt = "inner"\n',
    'home/.config/kache/config.toml': '[cache]\nkey_salt = "user"\n',
    'xdg/kache/config.toml': '[cache]\nkey_salt = "xdg"\n',
  });
  mkdirSync(`${root}/a/b/c`, { recursive: true });
  const salt = (dir: string, env = {}): string => loadSettings(env, dir).settings.keySalt;
  expect([salt(`${root}/a/b/c`), salt(`${root}/a`), salt(root), salt(`${root}/a/none/x`)]).toEqual([
    'inner',
    'inner',
    'outer',
    'inner',
  ]);
  const home = { HOME: `${root}/home` };
  expect(salt(lab.path('elsewhere'), home)).toBe('user');
  expect(salt(lab.path('elsewhere'), { ...home, XDG_CONFIG_HOME: `${root}/xdg` })).toBe('xdg');
  expect(salt(lab.path('elsewhere'))).toBe('');
});

test('a file that is named is the only one', () => {
  using lab = new Lab();
  const root = lab.write('tree', {
    '.kache.toml': '[cache]\nkey_salt = "near"\n',
    'named.toml': '[cache]\nkey_salt = "named"\n',
  });
  const named = loadSettings({ KACHE_CONFIG: `${root}/named.toml` }, root);
  expect([named.settings.keySalt, named.path]).toEqual(['named', `${root}/named.toml`]);
  const none = loadSettings({ KACHE_CONFIG: `${root}/none.toml` }, root);
  expect([none.settings.keySalt, none.text, none.problems]).toEqual(['', undefined, []]);
  expect(loadSettings({ KACHE_CONFIG: '' }, root).settings.keySalt).toBe('near');
});

test('a file that cannot be read, or is no TOML, is a problem and never an error', () => {
  using lab = new Lab();
  const root = lab.write('tree', {
    'torn/.kache.toml': '[cache\nkey_salt = ',
    'wrong/.kache.toml': '[cache]\nlocal_max_size = "much"\nkey_salt = "kept"\n',
    'bytes/.kache.toml': '\ufffd\u0000',
  });
  mkdirSync(`${root}/folder/.kache.toml`, { recursive: true });
  mkdirSync(`${root}/loop`);
  symlinkSync('.kache.toml', `${root}/loop/.kache.toml`);
  for (const name of ['torn', 'bytes', 'folder', 'loop']) {
    const { settings, problems } = loadSettings({}, `${root}/${name}`);
    expect([name, settings.keySalt, problems.map((problem) => problem.name)]).toEqual([name, '', ['file']]);
  }
  const wrong = loadSettings({}, `${root}/wrong`);
  expect(wrong.settings).toMatchObject({ keySalt: 'kept', maxSizeBytes: undefined });
  expect(wrong.problems.map(({ name }) => name)).toEqual(['cache.local_max_size']);
});

test('the environment goes before the file', () => {
  using lab = new Lab();
  const root = lab.write('tree', { '.kache.toml': '[cache]\nkey_salt = "file"\nlink_mode = "copy"\n' });
  expect(loadSettings({ KACHE_KEY_SALT: 'env' }, root).settings).toMatchObject({
    keySalt: 'env',
    linkMode: 'copy',
  });
});
