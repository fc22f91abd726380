// A cap far below what builds write, and caps that only a project's own file names: builds are right, and the store
// stays within its cap plus what is being written.
import { expect, test } from 'bun:test';
import { existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noteFigure } from '../support/figures.ts';
import { type Files, KACHE, Lab, libraries } from '../support/lab.ts';
import { until } from '../support/wrapper-call.ts';

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

/** Bytes of every file, as the disk counts them; files may go while they are counted. */
function bytesOf(dir: string): number {
  const seen = new Map<number, number>();
  for (const entry of existsSync(dir) ? readdirSync(dir, { recursive: true, withFileTypes: true }) : []) {
    const info = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false });
    if (info?.isFile()) seen.set(info.ino, info.blocks * 512);
  }
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
}

const MEGABYTE = 1_000_000;
const CRATES = Array.from({ length: 40 }, (_, n) => n);

/** Forty libraries of two megabytes, and a program that prints one byte of each. */
function bulk(seed: number): Files {
  // The metadata holds them too, and the library both.
  const bytes = 680_000;
  const files: Record<string, string> = {
    'Cargo.toml': '[workspace]\nmembers = ["c*", "app"]\nresolver = "2"\n',
    'app/Cargo.toml': manifest(
      'app',
      `[dependencies]\n${CRATES.map((n) => `c${n} = { path = "../c${n}" }`).join('\n')}\n`,
    ),
    'app/src/main.rs': `fn main() { println!("{:?}", [${CRATES.map((n) => `c${n}::DATA[${n}]`).join(', ')}]); }\n`,
  };
  for (const n of CRATES) {
    files[`c${n}/Cargo.toml`] = manifest(`c${n}`);
    files[`c${n}/src/lib.rs`] =
      `pub static DATA: [u8; ${bytes}] = fill();\nconst fn fill() -> [u8; ${bytes}] { let mut bytes = [${seed + n}; ${bytes}]; bytes[0] = ${seed}; bytes }\n`;
  }
  return files;
}

test('a cap of 5 MB and builds of 80 MB', async () => {
  using lab = new Lab();
  const cap = 5 * MEGABYTE;
  const env = { RUSTC_WRAPPER: KACHE, KACHE_MAX_SIZE: `${cap}` };
  let largest = 0;
  for (let round = 0; round < 2; round++) {
    const dir = lab.write(`round-${round}`, bulk(round + 1));
    const build = Bun.spawn(['cargo', 'build', '--offline'], {
      cwd: dir,
      env: lab.env(env),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    while (build.exitCode === null) {
      largest = Math.max(largest, bytesOf(lab.store));
      await Bun.sleep(5);
    }
    expect(build.exitCode).toBe(0);
    const printed = JSON.parse(Bun.spawnSync([join(dir, 'target/debug/app')]).stdout.toString());
    expect(printed).toEqual(CRATES.map((n) => round + 1 + n));
    expect(bytesOf(join(dir, 'target/debug/deps'))).toBeGreaterThan(80 * MEGABYTE);
    rmSync(join(dir, 'target'), { recursive: true });
  }
  await until('eviction has ended', () => readdirSync(join(lab.store, 'locks')).length === 0);
  const left = bytesOf(lab.store);
  noteFigure('small budget', { cap_mb: 5, largest_mb: largest / MEGABYTE, at_the_end_mb: left / MEGABYTE });
  expect(left).toBeLessThanOrEqual(cap);
  // Storing is held back when four twentieths of the cap were written since an eviction began, and again since the one
  // before it; what two compilers are writing at that moment comes on top.
  expect(largest).toBeLessThanOrEqual(cap + 2 * (cap / 5) + 2 * 2 * 2 * MEGABYTE);
  // It was used, not given up.
  const results = lab
    .events()
    .filter(({ crate_types }) => crate_types === 'lib')
    .map(({ result }) => result);
  expect(results.filter((result) => result === 'miss').length).toBeGreaterThan(10);
  expect(lab.events().some(({ result }) => result === 'error')).toBe(false);
}, 240_000);

test('what is larger than half the cap is not stored, and evicts nothing', () => {
  using lab = new Lab();
  const env = { KACHE_MAX_SIZE: '2MB' };
  const small = lab.write('small', { 'Cargo.toml': manifest('small'), 'src/lib.rs': 'pub fn one() {}\n' });
  expect(libraries(lab.cargo(small, ['build', '--offline'], { env }))).toEqual({ small: 'miss' });
  const text = 'pub static DATA: [u8; 3_000_000] = [7; 3_000_000];\n';
  const large = lab.write('large', { 'Cargo.toml': manifest('large'), 'src/lib.rs': text });
  const built = lab.cargo(large, ['build', '--offline'], { env });
  expect(
    built.events
      .filter(({ crate_types }) => crate_types === 'lib')
      .map(({ result, reason }) => [result, reason]),
  ).toEqual([['skipped', 'larger-than-half-the-cap']]);
  expect(lab.run([KACHE, 'gc'], { env }).status).toBe(0);
  expect(libraries(lab.cargo(lab.copy(small, 'again'), ['build', '--offline'], { env }))).toEqual({
    small: 'local_hit',
  });
});

test("a store and a cap that only a project's file names are kept by evictions that start by themselves", async () => {
  using lab = new Lab();
  const store = lab.path('own-store');
  const env = { KACHE_CACHE_DIR: undefined };
  // The user's own file says otherwise, and holds elsewhere.
  lab.write('home', {
    '.config/kache/config.toml': `[cache]\nlocal_max_size = "1KB"\nlocal_store = "${lab.path('elsewhere')}"\n`,
  });
  const write = (n: number): string =>
    lab.write('project', {
      '.kache.toml': `[cache]\nlocal_store = "${store}"\nlocal_max_size = "3MB"\n`,
      'Cargo.toml': manifest('few'),
      'src/lib.rs': `pub static DATA: [u8; 100_000] = [${n}; 100_000];\n`,
    });
  for (let n = 1; n <= 14; n++) expect(lab.cargo(write(n), ['build', '--offline'], { env }).status).toBe(0);
  await until('the store is within its cap', () => bytesOf(store) <= 3 * MEGABYTE);
  await until('eviction has ended', () => readdirSync(join(store, 'locks')).length === 0);
  expect(existsSync(lab.path('elsewhere'))).toBe(false);
  // Its cap, not the smaller one of the user: most of what fits is still there.
  expect(bytesOf(store)).toBeGreaterThan(1.5 * MEGABYTE);
});

test("without a cap in the project's file the default holds, not that of the user's file", async () => {
  using lab = new Lab();
  const store = lab.path('own-store');
  lab.write('home', { '.config/kache/config.toml': '[cache]\nlocal_max_size = "1KB"\n' });
  const dir = lab.write('project', {
    '.kache.toml': `[cache]\nlocal_store = "${store}"\n`,
    'Cargo.toml': manifest('few'),
    'src/lib.rs': 'pub fn few() {}\n',
  });
  const build = () => lab.cargo(dir, ['build', '--offline'], { env: { KACHE_CACHE_DIR: undefined } });
  expect(build().status).toBe(0);
  // As after half a gigabyte of stores.
  writeFileSync(join(store, 'events/written'), new Uint8Array(8192));
  rmSync(join(dir, 'target'), { recursive: true });
  expect(build().status).toBe(0);
  await until('eviction has begun', () => statSync(join(store, 'events/written')).size === 0);
  await until('eviction has ended', () => readdirSync(join(store, 'locks')).length === 0);
  expect(
    JSON.parse(lab.run([KACHE, 'list', '--json'], { env: { KACHE_CACHE_DIR: store } }).stdout).length,
  ).toBe(1);
});

test('a unit that only hits is remembered for as long as it does', () => {
  using lab = new Lab();
  const files = { 'Cargo.toml': manifest('few'), 'src/lib.rs': 'pub fn few() {}\n' };
  expect(libraries(lab.cargo(lab.write('first', files), ['build', '--offline']))).toEqual({ few: 'miss' });
  for (const name of ['second', 'third']) {
    // Three weeks later, twice: six in all since it was written.
    const then = Date.now() / 1000 - 21 * 24 * 3600;
    for (const entry of readdirSync(join(lab.store, 'units'), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      utimesSync(path, then, statSync(path).mtimeMs / 1000 - 21 * 24 * 3600);
    }
    expect(lab.run([KACHE, 'gc']).status).toBe(0);
    expect(libraries(lab.cargo(lab.write(name, files), ['build', '--offline']))).toEqual({
      few: 'local_hit',
    });
  }
});
