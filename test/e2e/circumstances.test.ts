// Bad circumstances: the build succeeds, is right, and says nothing plain cargo would not say.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Env, KACHE, Lab, libraries } from '../support/lab.ts';

const PROJECT = {
  'Cargo.toml':
    '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\npart = { path = "part" }\n[workspace]\n',
  'src/main.rs': 'fn main() { println!("{} {}", small::text(), part::number()); }\n',
  'src/lib.rs': 'pub fn text() -> &\'static str { "right" }\n',
  'part/Cargo.toml': '[package]\nname = "part"\nversion = "0.1.0"\nedition = "2021"\n',
  'part/src/lib.rs': 'pub fn number() -> u32 { 7 }\n',
};

let lab: Lab;
let dir: string;
let plainStderr: string;
beforeAll(() => {
  lab = new Lab();
  dir = lab.write('project', PROJECT);
  plainStderr = told(lab.cargo(dir, ['build', '--offline'], { kache: false }).stderr);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

const told = (text: string): string =>
  text
    .replace(/in [\d.]+s/, '')
    .split('\n')
    .filter((line) => !/Locking|Adding|Blocking/.test(line))
    .sort()
    .join('\n');

function expectRight(env: Env = {}, cwd = dir): ReturnType<Lab['cargo']> {
  rmSync(join(cwd, 'target'), { recursive: true, force: true });
  const built = lab.cargo(cwd, ['build', '--offline'], { env });
  expect([built.status, told(built.stderr)]).toEqual([0, plainStderr]);
  expect(Bun.spawnSync([join(cwd, 'target/debug/small')]).stdout.toString()).toBe('right 7\n');
  return built;
}

/** What doctor says is not right. */
function complaints(env: Env): string {
  const { checks } = JSON.parse(lab.run([KACHE, 'doctor', '--json'], { env, cwd: dir }).stdout) as {
    checks: { state: string; id: string; detail: string; remedy?: string }[];
  };
  return checks
    .filter(({ state }) => state !== 'ok')
    .map(({ id, detail, remedy }) => `${id}: ${detail} ${remedy ?? ''}`)
    .join('\n');
}

test('no store yet, and a store whose folder is gone in between', () => {
  const store = lab.path('fresh', 'nested', 'store');
  expectRight({ KACHE_CACHE_DIR: store });
  rmSync(store, { recursive: true });
  expectRight({ KACHE_CACHE_DIR: store });
  expect(existsSync(store)).toBe(true);
}, 60_000);

test('a file in place of the store', () => {
  const file = join(lab.write('blocked', { store: 'not a folder' }), 'store');
  expectRight({ KACHE_CACHE_DIR: file });
  expect(complaints({ KACHE_CACHE_DIR: file })).toContain('store:');
  expect(readFileSync(file, 'utf8')).toBe('not a folder');
}, 60_000);

test('a store of a version nobody knows is left alone', () => {
  const store = lab.write('future', { format: 'kache-store 99 everything=new\n' });
  expectRight({ KACHE_CACHE_DIR: store });
  expect(readdirSync(store)).toEqual(['format']);
  expect(complaints({ KACHE_CACHE_DIR: store })).toContain('Another version');
}, 60_000);

test('a config file that is no TOML, and one with an unknown key', () => {
  const broken = join(
    lab.write('conf', {
      'broken.toml': 'this is = = not',
      'odd.toml': '[cache]\nno_such_thing = 1\nlocal_max_size = "many"\n',
    }),
    'broken.toml',
  );
  expectRight({ KACHE_CONFIG: broken });
  expect(complaints({ KACHE_CONFIG: broken })).toContain('expected TOML');
  const odd = lab.path('conf', 'odd.toml');
  expectRight({ KACHE_CONFIG: odd });
  expect(complaints({ KACHE_CONFIG: odd })).toMatch(/odd\.toml:2 cache\.no_such_thing/);
  expect(complaints({ KACHE_CONFIG: odd })).toMatch(/odd\.toml:3 cache\.local_max_size: expected a size/);
}, 60_000);

test('HOME unset, TMPDIR unusable, kache disabled', () => {
  expectRight({ HOME: undefined, KACHE_CACHE_DIR: undefined });
  expectRight({ KACHE_CACHE_DIR: undefined, HOME: '/proc/no/home' });
  expectRight({ KACHE_DISABLED: '1' });
  const args = [
    '--crate-name',
    'solo',
    '--crate-type',
    'lib',
    '--emit',
    'dep-info,metadata',
    '--out-dir',
    lab.root,
    join(dir, 'part/src/lib.rs'),
  ];
  expect(lab.run([KACHE, 'rustc', ...args], { env: { TMPDIR: '/nonexistent/tmp' } })).toMatchObject({
    status: 0,
    stdout: '',
    stderr: '',
  });
}, 60_000);

test('a hostile bunfig.toml and .env where the compiler runs', () => {
  const hostile = lab.copy(dir, 'hostile');
  const mark = lab.path('hostile-ran');
  for (const folder of [hostile, join(hostile, 'part')]) {
    lab.write(folder, {
      'bunfig.toml': 'preload = ["./preload.ts"]\n',
      'preload.ts': `require('node:fs').writeFileSync(${JSON.stringify(mark)}, 'ran');\n`,
      '.env': 'KACHE_DISABLED=1\nKACHE_CACHE_DIR=/nonexistent\n',
    });
  }
  const built = lab.cargo(hostile, ['build', '--offline']);
  expect(built.status).toBe(0);
  expect(Object.keys(libraries(built)).sort()).toEqual(['part', 'small']);
  expect(existsSync(mark)).toBe(false);
}, 60_000);

test('recompiling over a link never writes into the store', () => {
  const store = lab.path('linked');
  const env = { KACHE_CACHE_DIR: store };
  expectRight(env);
  const blobs = (): Record<string, string> => {
    const found: Record<string, string> = {};
    for (const prefix of readdirSync(join(store, 'blobs'))) {
      for (const name of readdirSync(join(store, 'blobs', prefix)).filter(
        (file) => !file.endsWith('.seal'),
      )) {
        found[name] = readFileSync(join(store, 'blobs', prefix, name)).toString('base64');
      }
    }
    return found;
  };
  const before = blobs();
  const other = lab.copy(dir, 'relinked');
  expect(lab.cargo(other, ['build', '--offline'], { env }).status).toBe(0);
  writeFileSync(join(other, 'part/src/lib.rs'), 'pub fn number() -> u32 { 70 + 7 }\n');
  for (const changes of [{ ...env, KACHE_DISABLED: '1' }, { ...env, RUSTC_WRAPPER: '' }, env]) {
    expect(lab.cargo(other, ['build', '--offline'], { env: changes }).status).toBe(0);
    writeFileSync(
      join(other, 'part/src/lib.rs'),
      `pub fn number() -> u32 { ${Object.keys(changes).length} }\n`,
    );
    expect(blobs()).toMatchObject(before);
  }
}, 120_000);
