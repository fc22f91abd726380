// The packages as somebody installs them: packed, served by a registry, installed globally into an empty home by three
// package managers, without install scripts; then `kache init` and a build, with no node on PATH.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };
import { hostPlatform, looseName, MAIN } from '../../release/names.ts';
import { type Env, Lab, libraries } from '../support/lab.ts';
import { Registry } from '../support/registry.ts';
import { C_COMPILER, toolPath } from '../support/tool-path.ts';

const root = join(import.meta.dir, '../..');
const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
const NEXT = '99.0.0';
/** What the command of the main package needs, and what pnpm's scripts do. */
const SHELL = ['sh', 'readlink', 'uname', 'sed', 'dirname'];
const FEW = {
  'Cargo.toml': '[package]\nname = "few"\nversion = "0.1.0"\nedition = "2021"\n',
  'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
};

let lab: Lab;
let registry: Registry;
let release: string;
/** Without node, npm and everything else a package manager may have put in front. */
let bare: string;

beforeAll(async () => {
  lab = new Lab();
  release = lab.path('release');
  await run([process.execPath, 'release/build.ts', '--host', '--out', release], {}, root);
  registry = new Registry(release);
  bare = toolPath(lab.path('bare'), [...SHELL, 'cargo', 'rustc', ...C_COMPILER]);
}, 300_000);
afterAll(() => {
  registry?.[Symbol.dispose]();
  lab?.[Symbol.dispose]();
});

/** Not by waiting in place: the registry answers from this process. */
async function run(argv: readonly string[], env: Env = {}, cwd = lab.root) {
  const child = Bun.spawn([...argv], {
    cwd,
    env: lab.env(env),
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const status = await child.exited;
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** Installs globally, below a home of its own; returns the command. */
type Install = (home: string, what: string) => Promise<string>;

const MANAGERS: Readonly<Record<string, Install>> = {
  npm: async (home, what) => {
    const prefix = join(home, 'prefix');
    await run(
      ['npm', 'install', '-g', '--ignore-scripts', '--prefix', prefix, '--registry', registry.url, what],
      { HOME: home },
    );
    return join(prefix, 'bin', 'kache');
  },
  bun: async (home, what) => {
    const install = join(home, 'bun');
    await run([process.execPath, 'add', '-g', '--ignore-scripts', '--registry', registry.url, what], {
      HOME: home,
      BUN_INSTALL: install,
    });
    return join(install, 'bin', 'kache');
  },
  pnpm: async (home, what) => {
    const pnpm = join(home, 'pnpm');
    await run([bin('pnpm'), 'add', '-g', '--ignore-scripts', '--registry', registry.url, what], {
      HOME: home,
      PNPM_HOME: pnpm,
      PATH: `${pnpm}:${process.env['PATH']}`,
    });
    return join(pnpm, 'kache');
  },
};

function freshHome(name: string): string {
  const home = lab.path(name);
  mkdirSync(home);
  return home;
}

const isNative = (path: string): boolean =>
  ['7f454c46', 'cffaedfe'].includes(readFileSync(path).subarray(0, 4).toString('hex'));

const wrapperIn = (cargoHome: string): string =>
  (Bun.TOML.parse(readFileSync(join(cargoHome, 'config.toml'), 'utf8')) as { build: Record<string, string> })
    .build['rustc-wrapper'] ?? '';

describe.each(Object.keys(MANAGERS))('%s', (manager) => {
  const install: Install = (home, what) =>
    MANAGERS[manager]?.(home, what) ?? Promise.reject(new Error(manager));

  test('installs the command, which is kache without node; init writes the native binary; cargo hits', async () => {
    const home = freshHome(manager);
    const command = await install(home, MAIN);
    const env = {
      HOME: home,
      PATH: bare,
      CARGO_HOME: join(home, 'cargo'),
      KACHE_CACHE_DIR: join(home, 'store'),
    };
    expect(await run([command, '--version'], env)).toBe(`${manifest.version}\n`);
    await run([command, 'init', '-y'], env);
    const wrapper = wrapperIn(env.CARGO_HOME);
    expect([wrapper, isNative(wrapper)]).toEqual([realpathSync(wrapper), true]);
    expect(wrapper.startsWith(realpathSync(home))).toBe(true);

    const own = new Lab(env.KACHE_CACHE_DIR);
    using _ = own;
    const build = (name: string, wrapped: Env) =>
      libraries(own.cargo(own.write(name, FEW), ['build', '--offline'], { env: { ...env, ...wrapped } }));
    // First as Cargo's configuration says it, then with the command itself, whatever a manager put in front.
    expect(build('a', { RUSTC_WRAPPER: undefined })).toEqual({ few: 'miss' });
    expect(build('b', { RUSTC_WRAPPER: command })).toEqual({ few: 'local_hit' });
  }, 120_000);

  test('the package of the platform alone gives the same command', async () => {
    const home = freshHome(`${manager}-alone`);
    const command = await install(home, hostPlatform().name);
    expect(await run([command, '--version'], { PATH: bare })).toBe(`${manifest.version}\n`);
    // pnpm puts a script of its own in front of every command.
    expect(isNative(realpathSync(command))).toBe(manager !== 'pnpm');
  }, 120_000);
});

test('after an upgrade to another folder doctor names the old binary, and mends what is gone', async () => {
  const later = lab.path('later');
  for (const tarball of readdirSync(release).filter((name) => name.endsWith('.tgz'))) {
    const folder = join(later, tarball);
    mkdirSync(folder, { recursive: true });
    await run(['tar', 'xzf', join(release, tarball), '-C', folder]);
    const path = join(folder, 'package', 'package.json');
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(`"${manifest.version}"`, `"${NEXT}"`));
    await run(['npm', 'pack', '--silent', '--pack-destination', release], {}, dirname(path));
  }
  const home = freshHome('upgraded');
  const install = MANAGERS['pnpm'] as Install;
  const command = await install(home, `${MAIN}@${manifest.version}`);
  const env = {
    HOME: home,
    PATH: bare,
    CARGO_HOME: join(home, 'cargo'),
    KACHE_CACHE_DIR: join(home, 'store'),
  };
  await run([command, 'init', '-y', '--no-launcher'], env);
  const before = wrapperIn(env.CARGO_HOME);
  await run([command, 'init', '-y'], env);
  await install(home, `${MAIN}@${NEXT}`);
  const doctor = (...args: string[]) => lab.run([command, 'doctor', ...args], { env }).stdout;
  expect(before).toContain(manifest.version);
  expect(existsSync(before)).toBe(true);
  if (process.platform === 'linux') {
    const launcher = wrapperIn(env.CARGO_HOME);
    const started = (): string => lab.run([launcher], { env }).stdout;
    expect(started()).toContain(before);
    expect(doctor()).toContain(`starts another kache: ${before}`);
    renameSync(before, `${before}.away`);
    expect(doctor()).toContain(`starts ${before}, which is not there`);
    doctor('--fix');
    expect(started()).toContain(NEXT);
    renameSync(`${before}.away`, before);
    writeFileSync(
      join(env.CARGO_HOME, 'config.toml'),
      readFileSync(join(env.CARGO_HOME, 'config.toml'), 'utf8').replace(launcher, before),
    );
  }
  expect(doctor()).toContain(`names another kache: ${before} (${manifest.version})`);
  // What pnpm does with it a week later.
  rmSync(before);
  expect(doctor()).toContain(`names ${before}, which is not there`);
  doctor('--fix');
  expect(wrapperIn(env.CARGO_HOME)).toContain(NEXT);
  const dir = lab.write('after', FEW);
  const built = lab.cargo(dir, ['build', '--offline'], { env: { ...env, RUSTC_WRAPPER: undefined } });
  expect([built.status, existsSync(join(env.KACHE_CACHE_DIR, 'entries'))]).toEqual([0, true]);
}, 180_000);

test('where no package fits, the command of the main package says what to do', async () => {
  const home = freshHome('nothing');
  const command = await (MANAGERS['npm'] as Install)(home, MAIN);
  rmSync(join(dirname(realpathSync(command)), '../node_modules'), { recursive: true });
  const { status, stderr } = lab.run([command, '--version'], { env: { PATH: bare } });
  expect(status).toBe(127);
  expect(stderr).toStartWith('kache: Cannot find the binary for ');
}, 60_000);

/** The bill of materials, as far as it is looked at. */
const materials = (): { components: { name: string; purl?: string }[] } =>
  JSON.parse(readFileSync(join(release, 'sbom.cdx.json'), 'utf8'));

test('what is released is listed with its hash, and names what is inside', () => {
  const sums = readFileSync(join(release, 'SHA256SUMS'), 'utf8').trimEnd().split('\n');
  for (const line of sums) {
    const [hash, name = ''] = line.split('  ');
    expect(
      createHash('sha256')
        .update(readFileSync(join(release, name)))
        .digest('hex'),
    ).toBe(hash ?? '');
  }
  const names = sums.map((line) => line.split('  ')[1] ?? '');
  expect(names).toContain(looseName(hostPlatform()));
  const licences = readFileSync(join(release, 'THIRD-PARTY-LICENSES.md'), 'utf8');
  // Something of every layer: the command line, the monitor, what only AWS's library brings, the runtime, what it links.
  for (const name of ['commander', 'ink', 'react-reconciler', '@smithy/core', 'bun', 'JavaScriptCore']) {
    expect(materials().components.map((component) => component.name)).toContain(name);
    expect(licences).toContain(`${name} `);
  }
  // And nothing that only tests and builds need.
  expect(licences).not.toContain('fast-check');
});

test('the same sources in another folder make the same binary', async () => {
  const other = lab.path('elsewhere', 'deeper');
  mkdirSync(other, { recursive: true });
  const packages = materials().components.flatMap(({ name, purl }) =>
    purl === undefined ? [] : [`node_modules/${name}`],
  );
  for (const part of ['src', 'scripts', 'package.json', ...packages]) {
    mkdirSync(dirname(join(other, part)), { recursive: true });
    cpSync(join(root, part), join(other, part), { recursive: true });
  }
  const built = join(other, 'dist', 'kache');
  await run([process.execPath, 'scripts/build.ts', '--outfile', built], {}, other);
  expect(readFileSync(built).equals(readFileSync(join(release, looseName(hostPlatform()))))).toBe(true);
}, 60_000);
