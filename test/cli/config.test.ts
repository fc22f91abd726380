// `kache config` on the built binary: what holds and why, and a file that is changed with everything else kept.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  lstatSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ALL_SETTINGS } from '../../src/core/later-settings.ts';
import { type Env, KACHE, Lab } from '../support/lab.ts';

let lab: Lab;
let file: string;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab[Symbol.dispose]());

const TEXT = `# top
[cache]
link_mode = "auto" # how

# the team's
bypass_crates = [
  "one", # first
]

[cache.remote]
bucket = "b"
`;
beforeEach(() => {
  file = lab.path('c.toml');
  writeFileSync(file, TEXT);
});

const config = (args: readonly string[], env: Env = {}) =>
  lab.run([KACHE, 'config', ...args], { env: { KACHE_CONFIG: file, KACHE_CACHE_DIR: undefined, ...env } });
const text = (): string => readFileSync(file, 'utf8');

test('get: the environment goes before the file, the file before the default, and wrong values are passed over', () => {
  expect(config(['get', 'cache.link_mode'])).toMatchObject({ status: 0, stdout: 'auto\n', stderr: '' });
  expect(config(['get', 'link_mode'], { KACHE_LINK_MODE: 'copy' }).stdout).toBe('copy\n');
  expect(config(['get', 'KACHE_LINK_MODE'], { KACHE_LINK_MODE: 'teleport' }).stdout).toBe('auto\n');
  expect(config(['get', 'cache.local_only']).stdout).toBe('false\n');
  expect(config(['get', 'cache.bypass_crates']).stdout).toBe('["one"]\n');
  expect(config(['get', 'KACHE_DISABLED'], { KACHE_DISABLED: '1' }).stdout).toBe('1\n');
});

test('set and unset change one value; comments, order and layout stay', () => {
  expect(config(['set', 'cache.link_mode', 'copy'])).toMatchObject({ status: 0, stdout: '', stderr: '' });
  expect(text()).toBe(TEXT.replace('"auto"', '"copy"'));
  expect(config(['unset', 'link_mode']).status).toBe(0);
  expect(text()).not.toContain('link_mode');
  for (const kept of ['# top', "# the team's", '"one", # first', '[cache.remote]\nbucket = "b"'])
    expect(text()).toContain(kept);
  expect(config(['unset', 'link_mode']).status).toBe(0);
  expect(config(['set', 'bypass_crates', 'one,two']).status).toBe(0);
  expect(text()).toContain('"one", # first');
  expect(Bun.TOML.parse(text())).toMatchObject({ cache: { bypass_crates: ['one', 'two'] } });
});

test('values are written as what they are, and every setting of the file can be set', () => {
  const values: Readonly<Record<string, [string, unknown]>> = {
    path: ['/some/where', '/some/where'],
    string: ['text', 'text'],
    boolean: ['1', true],
    size: ['20GiB', '20GiB'],
    strings: ['a, b', ['a', 'b']],
    number: ['7', 7],
    'link-mode': ['hardlink', 'hardlink'],
    'build-script-mode': ['all', 'all'],
    'verify-mode': ['always', 'always'],
    'remote-type': ['s3', 's3'],
    addressing: ['path', 'path'],
  };
  for (const { key, kind } of ALL_SETTINGS) {
    if (key === undefined) continue;
    const [given, written] = values[kind] ?? ['', ''];
    expect([key, config(['set', key, given]).status]).toEqual([key, 0]);
    const table = Bun.TOML.parse(text()) as Record<string, unknown>;
    const found = key.split('.').reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], table);
    expect([key, found]).toEqual([key, written]);
  }
  const doctor = JSON.parse(
    lab.run([KACHE, 'doctor', '--json'], { env: { KACHE_CONFIG: file, KACHE_CACHE_DIR: undefined } }).stdout,
  );
  expect(doctor.checks.find(({ id }: { id: string }) => id === 'settings')).toMatchObject({ state: 'ok' });
}, 60_000);

test('a wrong value is refused before anything is written, and what was expected is named', () => {
  const CASES = [
    ['cache.link_mode', 'teleport', 'expected auto, hardlink or copy, found "teleport"'],
    ['cache.local_max_size', 'much', 'expected a size like 10GiB or 500MB'],
    ['cache.local_store', 'relative', 'expected an absolute path'],
    ['cache.local_only', 'yes', 'expected true, false, 1 or 0'],
    ['cache.s3_concurrency', 'many', 'expected a number'],
    ['cache.remote.type', 'gcs', 'expected s3 or filesystem'],
    ['cache.key_salt', '', 'expected a value'],
  ] as const;
  for (const [key, value, said] of CASES) {
    const refused = config(['set', key, value]);
    expect([key, refused.status, refused.stdout]).toEqual([key, 2, '']);
    expect(refused.stderr).toContain(`Cannot set "${key}": ${said}`);
  }
  expect(text()).toBe(TEXT);
});

test('unknown names, and settings that are for the environment only', () => {
  expect(config(['get', 'cache.no_such'])).toMatchObject({ status: 2, stdout: '' });
  expect(config(['set', 'cache.link', 'copy']).stderr).toContain('Did you mean cache.link_mode?');
  const only = config(['set', 'KACHE_DISABLED', '1']);
  expect(only.status).toBe(2);
  expect(only.stderr).toContain('it is for the environment only');
  expect(config(['nonsense']).status).toBe(2);
  expect(config(['set', 'cache.link_mode']).status).toBe(2);
});

test('a variable that hides what was written is said on stderr', () => {
  const done = config(['set', 'cache.link_mode', 'copy'], { KACHE_LINK_MODE: 'auto' });
  expect(done).toMatchObject({ status: 0, stdout: '' });
  expect(done.stderr).toContain('KACHE_LINK_MODE is set in the environment and goes before cache.link_mode');
});

test('list: every setting with its source, as text and as JSON', () => {
  const listed = config(['list'], { KACHE_MAX_SIZE: '3GiB' });
  expect(listed.stdout).toMatch(/^cache\.link_mode +auto +file$/m);
  expect(listed.stdout).toMatch(/^cache\.local_max_size +3GiB +KACHE_MAX_SIZE$/m);
  expect(listed.stdout).toMatch(/^cache\.local_only +false +default$/m);
  const report = JSON.parse(config(['list', '--json']).stdout);
  expect(Object.keys(report)).toEqual(['schema_version', 'path', 'settings']);
  expect(report).toMatchObject({ schema_version: 1, path: file });
  expect(report.settings.length).toBe(ALL_SETTINGS.length);
  for (const one of report.settings)
    expect(Object.keys(one)).toEqual(['key', 'variable', 'value', 'source', 'default', 'summary']);
});

test('path: the file that holds here; a new one is made with its folder', () => {
  expect(config(['path']).stdout).toBe(`${file}\n`);
  const own = lab.path('home/.config/kache/config.toml');
  const here = (args: readonly string[]) => config(args, { KACHE_CONFIG: undefined });
  expect(here(['path']).stdout).toBe(`${own}\n`);
  expect(here(['set', 'local_only', 'true']).status).toBe(0);
  expect(readFileSync(own, 'utf8')).toBe('[cache]\nlocal_only = true\n');
  const project = lab.write('project', { '.kache.toml': '[cache]\nkey_salt = "s"\n' });
  const nearest = lab.run([KACHE, 'config', 'path'], { cwd: project, env: { KACHE_CONFIG: undefined } });
  expect(nearest.stdout).toBe(`${join(project, '.kache.toml')}\n`);
});

test('a broken file is named with its line and left as it is; links and modes are kept', () => {
  writeFileSync(file, '[cache]\nlink_mode = \n');
  const broken = config(['set', 'cache.link_mode', 'copy']);
  expect(broken).toMatchObject({ status: 1, stdout: '' });
  expect(broken.stderr).toContain(`${file}:2`);
  expect(text()).toBe('[cache]\nlink_mode = \n');
  const real = lab.path('real.toml');
  writeFileSync(real, TEXT);
  chmodSync(real, 0o600);
  file = lab.path('link.toml');
  if (!existsSync(file)) symlinkSync(real, file);
  expect(config(['set', 'cache.link_mode', 'copy']).status).toBe(0);
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
  expect(statSync(real).mode & 0o777).toBe(0o600);
  expect(readFileSync(real, 'utf8')).toContain('"copy" # how');
});
