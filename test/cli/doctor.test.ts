// `kache doctor` on the built binary: each check with what it finds wrong, what is mended, and the proof by a probe.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CHECKS } from '../../src/cli/doctor.ts';
import type { CompileEvent } from '../../src/core/events.ts';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { compileLauncher, hitSocketOf } from '../support/launcher.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';

interface Line {
  readonly id: string;
  readonly title: string;
  readonly state: 'ok' | 'look' | 'fail';
  readonly detail: string;
  readonly remedy: string | null;
}

let lab: Lab;
let dir: string;
let home: string;
beforeAll(() => {
  lab = new Lab();
  dir = lab.write('project', {
    'Cargo.toml': '[package]\nname = "few"\nversion = "0.3.0"\nedition = "2021"\n',
    'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
  });
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: dir }).status).toBe(0);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());
beforeEach(() => {
  home = lab.path('cargo-home');
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home);
});

function doctor(args: readonly string[] = [], env: Env = {}, cwd = dir) {
  const done = lab.run([KACHE, 'doctor', '--json', ...args], {
    cwd,
    env: { CARGO_HOME: home, RUSTC_WRAPPER: KACHE, ...env },
  });
  const report = JSON.parse(done.stdout) as { ok: boolean; fixed: string[]; checks: Line[] };
  return { ...report, status: done.status, of: (id: string) => report.checks.filter((one) => one.id === id) };
}

const config = (text: string, folder = home): string => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.toml'), text);
  return join(folder, 'config.toml');
};

test('the list is data, and the schema is stable', () => {
  const ids = CHECKS.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const { stdout, status } = lab.run([KACHE, 'doctor', '--json'], {
    cwd: dir,
    env: { CARGO_HOME: home, RUSTC_WRAPPER: KACHE },
  });
  const report = JSON.parse(stdout);
  expect(status).toBe(0);
  expect(Object.keys(report)).toEqual(['schema_version', 'kache_version', 'ok', 'fixed', 'checks']);
  expect(report).toMatchObject({ schema_version: 1, ok: true, fixed: [] });
  for (const line of report.checks) {
    expect(Object.keys(line)).toEqual(['id', 'title', 'state', 'detail', 'remedy']);
    expect(line.remedy === null).toBe(line.state === 'ok');
    expect([line.id, ids.includes(line.id)]).toEqual([line.id, true]);
  }
  // What does not arise here is left out, nothing else.
  const shown = new Set(report.checks.map(({ id }: Line) => id));
  expect(ids.filter((id) => !shown.has(id))).toEqual(['package-settings', 'build-scripts', 'fingerprints']);
});

test('as text: a sentence, what was seen, what to do, and a count', () => {
  const { stdout, status } = lab.run([KACHE, 'doctor'], { cwd: dir, env: { CARGO_HOME: home } });
  expect(status).toBe(0);
  expect(stdout).toContain(`ok    This is the native binary\n      ${KACHE}, version `);
  expect(stdout).toContain(
    'look  Cargo runs rustc through this binary\n      No rustc-wrapper is set.\n      -> Run `kache init`',
  );
  expect(stdout).toMatch(/\n\d+ ok, 1 to look at, 0 wrong\n$/);
});

test('the wrapper: which file or variable names it, and what is wrong with it', () => {
  const env = { RUSTC_WRAPPER: undefined };
  const path = config(`[build]\njobs = 2\nrustc-wrapper = "${KACHE}"\n`);
  expect(doctor([], env).of('wrapper')).toMatchObject([{ state: 'ok', detail: `${path}:3 = ${KACHE}` }]);
  config('[build]\nrustc-wrapper = "sccache"\n');
  expect(doctor([], env)).toMatchObject({ status: 1, ok: false });
  expect(doctor([], env).of('wrapper')).toMatchObject([
    { state: 'fail', detail: `${path}:2 names another wrapper: sccache` },
  ]);
  // The variable goes first, and what it hides is said.
  const both = doctor();
  expect(both.of('wrapper')).toMatchObject([{ state: 'ok', detail: `RUSTC_WRAPPER = ${KACHE}` }]);
  expect(both.of('rivals')).toMatchObject([{ state: 'look' }]);
  expect(doctor([], { RUSTC_WRAPPER: '' }).of('wrapper')).toMatchObject([{ state: 'look' }]);
  expect(
    doctor([], { RUSTC_WRAPPER: undefined, CARGO_BUILD_RUSTC_WRAPPER: KACHE }).of('wrapper'),
  ).toMatchObject([{ state: 'ok', detail: `CARGO_BUILD_RUSTC_WRAPPER = ${KACHE}` }]);
  config('');
  expect(doctor([], { RUSTC_WORKSPACE_WRAPPER: '/opt/odd' }).of('rivals')).toMatchObject([{ state: 'look' }]);
  expect(doctor([], { RUSTC_WORKSPACE_WRAPPER: 'clippy-driver' }).of('rivals').length).toBe(1);
  expect(doctor([], { RUSTC_WRAPPER: '/gone/kache' }).of('wrapper')).toMatchObject([
    { state: 'fail', detail: 'RUSTC_WRAPPER names /gone/kache, which is not there' },
  ]);
});

test.if(process.platform === 'linux')('the wrapper: a launcher, what it starts, and whom it asks', () => {
  const init = lab.run([KACHE, 'init', '-y'], { cwd: dir, env: { CARGO_HOME: home } });
  expect(init.status).toBe(0);
  const path = join(home, 'bin/kache-launcher');
  const found = (env: Env = {}) => doctor([], { RUSTC_WRAPPER: undefined, ...env }).of('wrapper');
  const from = `${join(home, 'config.toml')}:2`;
  expect(found()).toMatchObject([{ state: 'ok', detail: `${from} = ${path}, in front of ${KACHE}` }]);
  expect(found({ RUSTC_WRAPPER: path })).toMatchObject([{ state: 'ok' }]);
  // It asks the daemon of the store it was made for.
  expect(found({ KACHE_CACHE_DIR: lab.path('another-store') })).toMatchObject([
    { state: 'look', remedy: 'Run `kache init`.' },
  ]);
  const socket = hitSocketOf(lab.store);
  compileLauncher(join(home, 'bin'), { kache: KACHE, socket });
  expect(found()[0]?.detail).toContain('was made by another version of kache, or for another store');
  compileLauncher(join(home, 'bin'), { kache: '/gone/kache', socket });
  expect(found()).toMatchObject([
    { state: 'fail', detail: `${path} starts /gone/kache, which is not there: nothing is cached` },
  ]);
  const other = join(lab.write('other-kache', { kache: '' }), 'kache');
  compileLauncher(join(home, 'bin'), { kache: other, socket });
  expect(found()).toMatchObject([{ state: 'look', detail: `${path} starts another kache: ${other}` }]);
  writeFileSync(path, '#!/bin/sh\nexit 1\n');
  expect(found()).toMatchObject([
    { state: 'fail', detail: `${from} names ${path}, which is no launcher of kache` },
  ]);
  rmSync(path);
  expect(found()).toMatchObject([{ state: 'fail', detail: `${from} names ${path}, which is not there` }]);
  const fixed = doctor(['--fix'], { RUSTC_WRAPPER: undefined });
  expect(fixed.of('wrapper')).toMatchObject([{ state: 'ok', detail: `${from} = ${KACHE}` }]);
});

test.if(process.platform === 'linux')(
  'what it takes for dependencies to be fresh in a new target folder',
  () => {
    const launcher = join(lab.write('launchers', { 'kache-launcher': '' }), 'kache-launcher');
    const on = { KACHE_CACHE_FINGERPRINTS: '1', RUSTC_WRAPPER: launcher };
    const more = { ...on, KACHE_CACHE_EXECUTABLES: '1', KACHE_CACHE_BUILD_SCRIPTS: 'dependencies' };
    const found = (env: Env) => doctor([], env).of('fingerprints');
    expect(found({ RUSTC_WRAPPER: launcher })).toEqual([]);
    expect(found(more)).toMatchObject([{ state: 'ok' }]);
    expect(found({ ...on, KACHE_CACHE_EXECUTABLES: '0' })).toMatchObject([
      {
        state: 'look',
        remedy: 'Set cache.cache_executables = true and cache.cache_build_scripts = "dependencies".',
      },
    ]);
    expect(found({ ...more, RUSTC_WRAPPER: KACHE })).toMatchObject([
      { state: 'look', remedy: 'Run `kache init`.' },
    ]);
    expect(found({ ...more, KACHE_VERIFY_RESTORES: 'always' })[0]?.detail).toContain('nothing is filled');
  },
);

test('the wrapper: a link to this binary is it, a script and another kache are not', () => {
  mkdirSync(lab.path('bin'), { recursive: true });
  const link = lab.path('bin/kache');
  symlinkSync(KACHE, link);
  expect(doctor([], { RUSTC_WRAPPER: link }).of('wrapper')).toMatchObject([{ state: 'ok' }]);
  const path = `${lab.path('bin')}:${process.env['PATH']}`;
  expect(doctor([], { RUSTC_WRAPPER: 'kache', PATH: path }).of('wrapper')).toMatchObject([{ state: 'ok' }]);
  unlinkSync(link);
  writeFileSync(link, '#!/bin/sh\nexec false\n', { mode: 0o755 });
  const [script] = doctor([], { RUSTC_WRAPPER: link }).of('wrapper');
  expect(script).toMatchObject({ state: 'look' });
  expect(script?.detail).toContain('a script');
});

test("a project's configuration: nearer than the home's, relative to its folder, and named when it is broken", () => {
  const project = join(dir, '.cargo');
  const path = config(
    '[build]\nrustc-wrapper = "tools/kache"\ntarget-dir = "out"\nincremental = true\n',
    project,
  );
  mkdirSync(join(dir, 'tools'));
  symlinkSync(KACHE, join(dir, 'tools/kache'));
  const report = doctor([], { RUSTC_WRAPPER: undefined });
  expect(report.of('wrapper')).toMatchObject([
    { state: 'ok', detail: `${path}:2 = ${join(dir, 'tools/kache')}` },
  ]);
  expect(report.of('output-folders')).toMatchObject([{ detail: `${join(dir, 'out')} (${path})` }]);
  expect(report.of('incremental')).toMatchObject([{ state: 'look', detail: `${path}:4 build.incremental` }]);
  config('[build]\nbuild-dir = "{workspace-root}/built/{workspace-path-hash}"\n', project);
  expect(doctor().of('output-folders')).toMatchObject([
    {
      detail: `${join(dir, 'target')}, intermediate files to {workspace-root}/built/{workspace-path-hash} (${path})`,
    },
  ]);
  config('[build]\n\nnope\n', project);
  expect(doctor().of('cargo-config')).toMatchObject([{ state: 'fail' }]);
  expect(doctor().of('cargo-config')[0]?.detail).toContain(`${path}:3`);
  rmSync(project, { recursive: true });
  rmSync(join(dir, 'tools'), { recursive: true });
});

test('incremental compilation: by variable and by profile', () => {
  expect(doctor([], { CARGO_INCREMENTAL: '1' }).of('incremental')).toMatchObject([
    { state: 'look', detail: 'CARGO_INCREMENTAL=1' },
  ]);
  expect(doctor([], { CARGO_INCREMENTAL: '0' }).of('incremental')).toMatchObject([{ state: 'ok' }]);
  const path = config('[profile.release]\nincremental = true\n[profile.dev]\nincremental = true\n');
  expect(doctor().of('incremental')).toMatchObject([{ detail: `${path}:2 profile.release.incremental` }]);
});

test('the toolchain: which one, and that there is one', () => {
  const [line] = doctor().of('toolchain');
  expect(line?.state).toBe('ok');
  expect(line?.detail).toMatch(/rustc, \d+\.\d+\.\d+/);
  const bare = doctor([], { PATH: '/usr/bin:/bin', RUSTC: '/no/rustc' });
  expect(bare.of('toolchain')).toMatchObject([{ state: 'fail' }]);
  expect(bare.status).toBe(1);
});

test('the toolchain: a script in front of rustc, and one that is vouched for', () => {
  const rustc = join(lab.write('front', { rustc: '#!/bin/sh\nexec rustc "$@"\n' }), 'rustc');
  chmodSync(rustc, 0o755);
  const of = (trusted: string) =>
    doctor([], { RUSTC: rustc, KACHE_TRUSTED_COMPILERS: trusted }).of('toolchain');
  expect(of('')).toMatchObject([
    {
      state: 'look',
      detail: expect.stringContaining(`${rustc}, `),
      remedy: expect.stringContaining('RUSTC'),
    },
  ]);
  expect(of(rustc)).toMatchObject([{ state: 'ok' }]);
});

test('settings: unknown keys and wrong values by file and line, variables by name', () => {
  const file = join(
    lab.write('settings', {
      'c.toml': '[cache]\nlink_mode = "teleport"\n\n[cache.remote]\nbukket = "b"\n\n[stuff]\nx = 1\n',
    }),
    'c.toml',
  );
  const report = doctor([], { KACHE_CONFIG: file, KACHE_CACHEDIR: '/x', KACHE_S3_CONCURRENCY: 'many' });
  expect(report.of('settings').map(({ state, detail }) => [state, detail])).toEqual([
    [
      'look',
      `${file}:2 cache.link_mode: expected auto, hardlink or copy, found "teleport"; the default is used`,
    ],
    ['look', 'KACHE_S3_CONCURRENCY: expected a number, found "many"; the default is used'],
    ['look', `${file}:5 cache.remote.bukket: no such setting; it is ignored`],
    ['look', `${file}:7 stuff: no such setting; it is ignored`],
    ['look', 'KACHE_CACHEDIR: no such variable; it is ignored'],
  ]);
  writeFileSync(file, '[cache]\nlink_mode = "copy\n');
  expect(doctor([], { KACHE_CONFIG: file }).of('settings')[0]?.detail).toStartWith(
    `${file}:2: expected TOML`,
  );
  writeFileSync(file, '[cache]\nlink_mode = "copy"\n');
  expect(doctor([], { KACHE_CONFIG: file }).of('settings')).toMatchObject([{ state: 'ok', detail: file }]);
});

test('a relative store is refused: it is named, and no compile makes one', () => {
  const env = { KACHE_CACHE_DIR: 'relative/store' };
  const report = doctor([], env);
  expect(report).toMatchObject({ status: 1, ok: false });
  expect(report.of('settings')).toMatchObject([
    {
      state: 'fail',
      detail: 'KACHE_CACHE_DIR: expected an absolute path, found "relative/store"; the default is used',
    },
  ]);
  expect(report.of('store')).toMatchObject([{ detail: lab.path('home/.cache/kache') }]);
  const place = lab.write('relative-project', {
    'Cargo.toml': '[workspace]\nmembers = ["a", "b"]\nresolver = "2"\n',
    'a/Cargo.toml': '[package]\nname = "a"\nversion = "0.1.0"\nedition = "2021"\n',
    'a/src/lib.rs': '',
    'b/Cargo.toml':
      '[package]\nname = "b"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\na = { path = "../a" }\n',
    'b/src/lib.rs': '',
  });
  expect(lab.cargo(place, ['build', '--offline'], { env }).status).toBe(0);
  const made = readdirSync(place, { recursive: true }).map(String);
  expect(made.filter((name) => /(^|\/)(relative|store|blobs)(\/|$)/.test(name))).toEqual([]);
  expect(existsSync(lab.path('home/.cache/kache/format'))).toBe(true);
});

test("the package's own kache.toml", () => {
  const path = join(dir, 'kache.toml');
  writeFileSync(path, 'extra_inputs = ["data/*.txt"]\n');
  expect(doctor().of('package-settings')).toMatchObject([{ state: 'ok' }]);
  writeFileSync(path, '# mine\nextra_inputs = 3\nother = 1\n');
  expect(
    doctor()
      .of('package-settings')
      .map(({ detail }) => detail),
  ).toEqual([
    `${path}:2 extra_inputs: expected a list of strings`,
    `${path}:3 other: no such setting; it is ignored`,
  ]);
  rmSync(path);
});

test('variables that get in the way, by name and never with their value', () => {
  const env = {
    RUSTC_LOG: 'secret',
    RUSTC_BOOTSTRAP: '1',
    KACHE_RUSTC_PATH_NORMALIZE: '0',
    KACHE_DISABLED: '1',
    BUN_OPTIONS: '--smol',
  };
  const found = doctor([], env).of('variables');
  expect(found.map(({ detail }) => detail.split(' ')[0])).toEqual([
    'KACHE_DISABLED',
    'KACHE_RUSTC_PATH_NORMALIZE',
    'RUSTC_LOG',
    'RUSTC_BOOTSTRAP',
    'BUN_OPTIONS',
  ]);
  expect(JSON.stringify(found)).not.toContain('secret');
  expect(doctor([], { KACHE_DISABLED: '0', KACHE_RUSTC_PATH_NORMALIZE: '1' }).of('variables')).toMatchObject([
    { state: 'ok' },
  ]);
});

test('a store that is open to others is closed by --fix, and one of a later version is left', () => {
  chmodSync(lab.store, 0o755);
  expect(doctor().of('permissions')).toMatchObject([{ state: 'look' }]);
  const fixed = doctor(['--fix']);
  expect(fixed.fixed).toEqual([`${lab.store} has mode 700 now`]);
  expect(fixed.of('permissions')).toMatchObject([{ state: 'ok' }]);
  expect(statSync(lab.store).mode & 0o777).toBe(0o700);
  expect(doctor(['--fix']).fixed).toEqual([]);
  const later = lab.write('later', { format: 'kache-store 99 reflink=no\n' });
  const report = doctor(['--fix'], { KACHE_CACHE_DIR: later });
  expect(report.of('store')).toMatchObject([{ state: 'fail' }]);
  expect(readdirSync(later)).toEqual(['format']);
});

test('--fix: a wrapper that is gone, a format that no longer fits, a store above its cap', () => {
  const path = config('# mine\n[build]\nrustc-wrapper = "/gone/kache" # here\n');
  const env = { RUSTC_WRAPPER: undefined };
  const fixed = doctor(['--fix'], env);
  expect(fixed.fixed).toEqual([
    `rustc-wrapper in ${path} was /gone/kache, which is not there; it is ${KACHE} now`,
  ]);
  expect(fixed.of('wrapper')).toMatchObject([{ state: 'ok' }]);
  expect(readFileSync(path, 'utf8')).toBe(`# mine\n[build]\nrustc-wrapper = "${KACHE}" # here\n`);
  // What another program's is, or a project's, is not touched.
  config('[build]\nrustc-wrapper = "/gone/sccache"\n');
  expect(doctor(['--fix'], env).fixed).toEqual([]);

  const format = join(lab.store, 'format');
  const right = readFileSync(format, 'utf8');
  writeFileSync(format, right.includes('yes') ? right.replace('yes', 'no') : right.replace('no', 'yes'));
  expect(doctor().of('file-system')).toMatchObject([{ state: 'look' }]);
  expect(doctor(['--fix']).of('file-system')).toMatchObject([{ state: 'ok' }]);
  expect(readFileSync(format, 'utf8')).toBe(right);

  const small = lab.path('small');
  const capped = { KACHE_CACHE_DIR: small };
  const place = lab.copy(dir, 'capped');
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: place, env: capped }).status).toBe(0);
  // Room for memos and the log, which stay, and not for an entry.
  const tight = { ...capped, KACHE_MAX_SIZE: '40KB' };
  expect(doctor([], tight).of('size')).toMatchObject([{ state: 'look' }]);
  const evicted = doctor(['--fix'], tight);
  expect(evicted.of('size')).toMatchObject([{ state: 'ok' }]);
  expect(evicted.fixed).toEqual(['1 entry evicted, as `kache gc` does']);
});

test('where Cargo builds apart from the target folder', () => {
  const own = join(dir, '.kache.toml');
  writeFileSync(own, '');
  try {
    const built = (buildDir: string) =>
      doctor([], { CARGO_BUILD_BUILD_DIR: buildDir, KACHE_CONFIG: undefined }).of('output-folders');
    expect(built('{workspace-root}/built')).toMatchObject([{ state: 'ok' }]);
    expect(built('built/{workspace-path-hash}')).toMatchObject([{ state: 'ok' }]);
    const elsewhere = lab.path('built');
    expect(built(`${elsewhere}/{workspace-path-hash}`)).toMatchObject([
      { state: 'ok' },
      { state: 'look', detail: `${own} does not hold for builds: it is looked for from ${elsewhere} upward` },
    ]);
  } finally {
    rmSync(own);
  }
  using mount = Mount.make('tmpfs', lab.root, 8);
  if (mount === undefined) return notRun('doctor on a build folder of another file system', 'no tmpfs');
  const apart = { CARGO_BUILD_BUILD_DIR: `${mount.path}/built/{workspace-path-hash}` };
  expect(doctor([], apart).of('same-disk')).toMatchObject([{ state: 'look' }]);
});

test('another file system, and a full one', () => {
  using mount = Mount.make('tmpfs', lab.root, 8);
  if (mount === undefined) return notRun('doctor on another file system', 'no tmpfs can be mounted');
  const report = doctor([], { KACHE_CACHE_DIR: join(mount.path, 'store') });
  expect(report.of('same-disk')).toMatchObject([{ state: 'look' }]);
  expect(report.of('file-system')[0]?.detail).toStartWith('tmpfs');
  expect(report.of('space')).toMatchObject([{ state: 'look' }]);
  Bun.spawnSync(['dd', 'if=/dev/zero', `of=${join(mount.path, 'full')}`, 'bs=64k'], { stderr: 'ignore' });
  const full = doctor([], { KACHE_CACHE_DIR: join(mount.path, 'store') });
  expect(full.of('store')).toMatchObject([{ state: 'fail' }]);
  expect(full.of('store')[0]?.detail).toContain('ENOSPC');
  expect(mount.remount('ro')).toBe(true);
  expect(doctor([], { KACHE_CACHE_DIR: join(mount.path, 'store') }).of('store')[0]?.detail).toContain(
    'EROFS',
  );
});

/** Lines as compiles append them. */
const log = (...events: Partial<CompileEvent>[]): void => {
  for (const event of events) {
    const whole = { ts: Date.now(), elapsed_ms: 1, compiler_runs: 1, ...event };
    appendFileSync(join(lab.store, 'events/log'), `${JSON.stringify(whole)}\n`);
  }
};

test('what the log says of the last day: compiles that could not be stored, macros that could not be seen', () => {
  expect(doctor().of('stored')).toMatchObject([{ state: 'ok' }]);
  const failed = { result: 'skipped', crate_name: 'big' } as const;
  log(
    { ...failed, reason: 'store-failed|ENOSPC write' },
    { ...failed, reason: 'store-failed|ENOSPC create' },
    { ...failed, reason: 'store-failed|EROFS create' },
    { result: 'miss', crate_name: 'far', reason: 'restore-failed|EDQUOT copy' },
    { result: 'passthrough', crate_name: 'far', passthrough_reason: 'cache-failed|EDQUOT open' },
    { ...failed, reason: 'store-failed|EIO read', ts: Date.now() - 3 * 24 * 3600e3 },
    { ...failed, crate_name: 'blind', reason: 'macro-reads-unknown' },
  );
  const report = doctor();
  const found = report.of('stored').map(({ detail }) => detail);
  expect(found.length).toBe(3);
  expect(found[0]).toStartWith('2 could not (ENOSPC: the disk is full); the last: big, 20');
  expect(found[1]).toStartWith('1 could not (EROFS: the file system is read-only)');
  expect(found[2]).toStartWith('2 could not (EDQUOT: your quota is used up); the last: far');
  expect(report.of('macros-observed')[0]?.detail).toContain('blind');
  expect(report.status).toBe(0);
  log({ result: 'dup', crate_name: 'same', reason: 'verified' });
  expect(doctor().of('verified')).toMatchObject([{ state: 'ok', detail: '1 hit of the last day verified' }]);
  log({ result: 'miss', crate_name: 'random', reason: 'verify-mismatch|link' });
  const wrong = doctor();
  expect(wrong.status).toBe(1);
  expect(wrong.of('verified')[0]?.detail).toBe('1 hit of the last day did: random (link)');
  const kept = readFileSync(join(lab.store, 'events/log'), 'utf8')
    .split('\n')
    .filter((line) => !line.includes('verify-mismatch'));
  writeFileSync(join(lab.store, 'events/log'), kept.join('\n'));
});

test('packages whose macros read what cannot be seen', () => {
  const lock = (...names: string[]): void =>
    writeFileSync(
      join(dir, 'Cargo.lock'),
      `version = 4\n\n${names.map((name) => `[[package]]\nname = "${name}"\nversion = "1.0.0"\n`).join('\n')}`,
    );
  const kept = readFileSync(join(dir, 'Cargo.lock'), 'utf8');
  lock('few', 'sqlx-macros', 'git-version-macro');
  const found = doctor().of('macros-unseen');
  expect(found.map(({ detail }) => detail)).toEqual([
    'sqlx-macros reads the database that DATABASE_URL names',
    'git-version-macro reads the state of the git repository',
  ]);
  expect(doctor([], { SQLX_OFFLINE: 'true' }).of('macros-unseen').length).toBe(1);
  lock('few', 'sqlx-macros');
  mkdirSync(join(dir, '.sqlx'));
  expect(doctor().of('macros-unseen')).toMatchObject([{ state: 'ok' }]);
  rmSync(join(dir, '.sqlx'), { recursive: true });
  writeFileSync(join(dir, 'Cargo.lock'), kept);
});

test('a remote that does not answer is said, one that is there or not wanted is not', () => {
  const nowhere = {
    KACHE_S3_BUCKET: 'team',
    KACHE_S3_ENDPOINT: 'http://127.0.0.1:9',
    KACHE_S3_ACCESS_KEY: 'a',
    KACHE_S3_SECRET_KEY: 'b',
  };
  expect(doctor([], nowhere).of('remote')).toMatchObject([{ state: 'fail' }]);
  expect(doctor([], { ...nowhere, KACHE_LOCAL_ONLY: '1' }).of('remote')).toMatchObject([{ state: 'ok' }]);
  expect(doctor([], { KACHE_REMOTE_PATH: lab.path('shared') }).of('remote')).toMatchObject([{ state: 'ok' }]);
  expect(doctor([], { KACHE_S3_BUCKET: 'team', KACHE_S3_ENDPOINT: 'ftp://x' }).of('remote')).toMatchObject([
    { state: 'fail' },
  ]);
  expect(doctor().of('remote')).toMatchObject([{ state: 'ok' }]);
  expect(doctor().of('daemon')).toMatchObject([{ state: 'ok' }]);
});

test('integrity: missing and rotten blobs are found, and removed when asked', () => {
  const own = { KACHE_CACHE_DIR: lab.path('damaged') };
  const place = lab.copy(dir, 'damaged-project');
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: place, env: own }).status).toBe(0);
  expect(doctor(['--verify'], own).of('entries')).toMatchObject([{ state: 'ok' }]);
  expect(doctor(['--verify'], own).of('blobs')).toEqual([]);
  const blobs = readdirSync(join(lab.path('damaged'), 'blobs'), { recursive: true })
    .map(String)
    .filter((name) => /\/[0-9a-f]{64}$/.test(name))
    .map((name) => join(lab.path('damaged'), 'blobs', name));
  const [victim = ''] = blobs;
  const bytes = readFileSync(victim);
  bytes[10] = (bytes[10] ?? 0) ^ 1;
  linkSync(victim, lab.path('another-name'));
  writeFileSync(victim, bytes);
  // A flipped bit does not change sizes: only hashing shows it.
  expect(doctor(['--verify'], own)).toMatchObject({ status: 0 });
  const found = doctor(['--checksums'], own);
  expect(found).toMatchObject({ status: 1, ok: false });
  expect(found.of('blobs')[0]).toMatchObject({ state: 'fail' });
  expect(found.of('blobs')[0]?.detail).toContain('`cargo clean` there');
  expect(found.of('entries')).toMatchObject([{ state: 'fail' }]);
  expect(existsSync(victim)).toBe(true);
  const repaired = doctor(['--checksums', '--repair'], own);
  expect(repaired.status).toBe(0);
  expect(repaired.of('blobs')[0]?.detail).toContain('are removed');
  expect(existsSync(victim)).toBe(false);
  expect(doctor(['--checksums'], own)).toMatchObject({ status: 0, ok: true });
  const again = lab.copy(dir, 'damaged-again');
  expect(lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd: again, env: own }).status).toBe(0);
  expect(doctor(['--checksums'], own).of('entries')).toMatchObject([{ state: 'ok' }]);
  for (const path of blobs) if (existsSync(path)) unlinkSync(path);
  expect(doctor(['--verify'], own)).toMatchObject({ status: 1 });
  expect(doctor(['--repair'], own)).toMatchObject({ status: 0 });
  expect(doctor(['--verify'], own)).toMatchObject({ status: 0 });
}, 60_000);

test('--probe proves a hit, leaves nothing behind, and says what is wrong when it cannot', () => {
  const temporary = lab.path('tmp');
  mkdirSync(temporary);
  const before = lab.events().length;
  const proven = doctor(['--probe'], { TMPDIR: temporary, KACHE_DISABLED: '1', KACHE_LINK_MODE: 'copy' });
  expect(proven.of('probe')).toMatchObject([{ state: 'ok' }]);
  expect(proven.of('probe')[0]?.detail).toContain('without a compiler, then nothing to do');
  expect(readdirSync(temporary)).toEqual([]);
  expect(lab.events().length).toBe(before);
  const built = lab.path('built-by-probe');
  config(`[build]\nbuild-dir = "${built}"\n`);
  expect(doctor(['--probe'], { TMPDIR: temporary }).of('probe')).toMatchObject([{ state: 'ok' }]);
  expect(existsSync(built)).toBe(false);
  // A variable that makes every compile pass through is what such a probe is for.
  const broken = doctor(['--probe'], { TMPDIR: temporary, RUST_TARGET_PATH: '/x' });
  expect(broken).toMatchObject({ status: 1, ok: false });
  expect(broken.of('probe')[0]?.detail).toContain('was to be a miss, and was: passthrough');
  const failing = doctor(['--probe'], { TMPDIR: temporary, RUSTFLAGS: '--no-such-flag' });
  expect(failing.of('probe')[0]).toMatchObject({ state: 'fail' });
  expect(failing.of('probe')[0]?.detail).toContain('cargo ended with 101: error');
  expect(readdirSync(temporary)).toEqual([]);
}, 60_000);

test('a store in which odd things stand is looked at all the same', () => {
  const odd = lab.path('odd');
  const own = { KACHE_CACHE_DIR: odd };
  expect(doctor([], own).of('size')).toMatchObject([{ state: 'ok' }]);
  mkdirSync(join(odd, 'entries/00', '0'.repeat(64)), { recursive: true });
  mkdirSync(join(odd, 'events/log'));
  const verified = doctor(['--verify'], own);
  expect([verified.status, verified.of('size')[0]?.state]).toEqual([1, 'ok']);
  expect(verified.of('entries')[0]?.detail).toContain('000000000000 (unreadable)');
  rmSync(join(odd, 'entries'), { recursive: true });
  symlinkSync('entries', join(odd, 'entries'));
  const report = doctor([], own);
  expect(report.status).toBe(1);
  expect(report.of('size')[0]?.detail).toStartWith('it could not be checked: Cannot list');
  expect(report.of('stored')).toMatchObject([{ state: 'ok' }]);
});

test('wrong usage is 2', () => {
  expect(lab.run([KACHE, 'doctor', '--cure']).status).toBe(2);
});
