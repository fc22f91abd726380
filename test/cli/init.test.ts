// `kache init` on the built binary: the plan, what is written, what is refused, and that a second time changes nothing.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { compileLauncher } from '../support/launcher.ts';
import { Pty } from '../support/pty.ts';

let lab: Lab;
let cargo: string;
let own: string;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab[Symbol.dispose]());
beforeEach(() => {
  rmSync(lab.path('cargo-home'), { recursive: true, force: true });
  rmSync(lab.path('home'), { recursive: true, force: true });
  mkdirSync(lab.path('home'));
  cargo = join(lab.write('cargo-home', { 'config.toml': MINE }), 'config.toml');
  own = lab.path('home/.config/kache/config.toml');
});

const MINE = '# mine\n[build]\njobs = 2 # two\n\n[alias]\nb = "build"\n';
const env = (changes: Env = {}): Env => ({ CARGO_HOME: lab.path('cargo-home'), ...changes });
const init = (args: readonly string[], changes: Env = {}) =>
  lab.run([KACHE, 'init', ...args], { cwd: lab.root, env: env(changes) });
const recommended = process.platform === 'linux';
/** What is put in front of rustc: on Linux the launcher. */
const wrapper = (): string => (recommended ? launcher() : KACHE);
const launcher = (): string => lab.path('cargo-home/bin/kache-launcher');

test('--check shows the plan and changes nothing; -y carries it out; then there is nothing to do', () => {
  const plan = init(['--check']);
  expect(plan).toMatchObject({ status: 1, stderr: '' });
  expect(plan.stdout).toContain(`In ${cargo}, section [build]:\n  + rustc-wrapper = "${wrapper()}"`);
  expect(plan.stdout).toContain(`In ${own}, section [cache]:\n  + cache_executables = true`);
  expect(readFileSync(cargo, 'utf8')).toBe(MINE);
  expect(existsSync(own)).toBe(false);

  const done = init(['-y']);
  expect(done).toMatchObject({ status: 0, stderr: '' });
  expect(readFileSync(cargo, 'utf8')).toBe(
    MINE.replace('jobs = 2 # two\n', `jobs = 2 # two\nrustc-wrapper = "${wrapper()}"\n`),
  );
  expect(Bun.TOML.parse(readFileSync(own, 'utf8'))).toEqual({ cache: { cache_executables: recommended } });

  const [one, two] = [readFileSync(cargo, 'utf8'), readFileSync(own, 'utf8')];
  expect(init(['--check'])).toMatchObject({ status: 0 });
  expect(init(['-y']).stdout).toContain('has kache as rustc-wrapper already');
  expect([readFileSync(cargo, 'utf8'), readFileSync(own, 'utf8')]).toEqual([one, two]);
});

test('whoever has decided about executables is not asked again', () => {
  lab.write('home/.config/kache', { 'config.toml': '[cache]\ncache_executables = false # measured\n' });
  expect(init(['-y']).status).toBe(0);
  expect(readFileSync(own, 'utf8')).toBe('[cache]\ncache_executables = false # measured\n');
});

test('an earlier kache gives way; another wrapper only when that is said', () => {
  writeFileSync(cargo, '[build]\nrustc-wrapper = "/old/place/kache"\n');
  expect(init(['-y']).status).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toContain(`"${wrapper()}"`);

  const other = '[build]\nrustc-wrapper = "sccache" # the team\n';
  writeFileSync(cargo, other);
  const refused = init(['-y']);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain('"sccache" is the rustc-wrapper already');
  expect(refused.stderr).toContain('--replace');
  expect(readFileSync(cargo, 'utf8')).toBe(other);
  expect(init(['-y', '--replace']).status).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toBe(other.replace('"sccache"', `"${wrapper()}"`));
});

test('what goes before the file is said', () => {
  const project = lab.write('project/.cargo', { 'config.toml': '\n[build]\nrustc-wrapper = "near"\n' });
  const done = lab.run([KACHE, 'init', '--check'], {
    cwd: lab.path('project'),
    env: env({ RUSTC_WRAPPER: 'sccache' }),
  });
  expect(done.stdout).toContain(`note  RUSTC_WRAPPER names sccache and goes before ${cargo}.`);
  expect(done.stdout).toContain(
    `note  ${join(project, 'config.toml')}:3 names near and goes before ${cargo}.`,
  );
});

test('a broken configuration is named and left; without a terminal nobody is asked', () => {
  writeFileSync(cargo, '[build]\nnot = = toml\n');
  const broken = init(['-y']);
  expect(broken.status).toBe(1);
  expect(broken.stderr).toContain(`${cargo}:2`);
  expect(readFileSync(cargo, 'utf8')).toBe('[build]\nnot = = toml\n');
  writeFileSync(cargo, MINE);
  const silent = init([]);
  expect(silent.status).toBe(1);
  expect(silent.stderr).toContain('kache init -y');
  expect(readFileSync(cargo, 'utf8')).toBe(MINE);
});

const said = (path: string): string[] => lab.run([path]).stdout.trim().split('\n');

test.if(recommended)('the launcher is compiled once, for this binary and this store', () => {
  const plan = init(['--check']);
  expect(plan.stdout).toContain(`The launcher, compiled by your rustc:\n  + ${launcher()}\n`);
  expect(existsSync(launcher())).toBe(false);
  expect(init(['-y']).status).toBe(0);
  expect(said(launcher()).slice(1)).toEqual([`kache ${KACHE}`, `socket ${lab.store}/daemon/socket-hits`]);
  const { ino } = statSync(launcher());
  expect(init(['-y']).stdout).toContain('has kache as rustc-wrapper already');
  expect(statSync(launcher()).ino).toBe(ino);
  expect(readdirSync(lab.path('cargo-home/bin'))).toEqual(['kache-launcher']);
});

test.if(recommended)('a launcher of another store, source or kache is compiled anew, and only it', () => {
  expect(init(['-y']).status).toBe(0);
  const [config, right] = [readFileSync(cargo, 'utf8'), said(launcher())];
  const outdated = [
    () => compileLauncher(lab.path('cargo-home/bin'), { kache: KACHE, socket: '/elsewhere/socket-hits' }),
    () => compileLauncher(lab.path('cargo-home/bin'), { kache: '/gone/kache', socket: right[2] ?? '' }),
    () => writeFileSync(launcher(), '#!/bin/sh\nexit 1\n'),
    () => rmSync(launcher()),
  ];
  for (const spoil of outdated) {
    spoil();
    const plan = init(['--check']);
    expect([plan.status, plan.stdout.includes('compiled by your rustc')]).toEqual([1, true]);
    expect(plan.stdout).not.toContain('section [build]');
    expect(init(['-y'])).toMatchObject({ status: 0, stderr: '' });
    expect([said(launcher()), readFileSync(cargo, 'utf8')]).toEqual([right, config]);
    expect(init(['--check']).status).toBe(0);
  }
  const other = init(['--check'], { KACHE_CACHE_DIR: lab.path('another-store') });
  expect([other.status, other.stdout.includes('compiled by your rustc')]).toEqual([1, true]);
});

test('--no-launcher: the binary itself, also where there was a launcher', () => {
  expect(init(['-y', '--no-launcher']).status).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toContain(`rustc-wrapper = "${KACHE}"`);
  expect(existsSync(launcher())).toBe(false);
  expect(init(['--check', '--no-launcher']).status).toBe(0);
  expect(init(['-y']).status).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toContain(`rustc-wrapper = "${wrapper()}"`);
  expect(init(['-y', '--no-launcher']).status).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toContain(`rustc-wrapper = "${KACHE}"`);
});

test.if(recommended)(
  'where the launcher cannot be compiled the binary stands in its place, and that is said',
  () => {
    const empty = lab.write('nothing', { '.keep': '' });
    const bin = lab.write('no-rust', { rustc: '#!/bin/sh\necho "error: no such linker" >&2\nexit 1\n' });
    chmodSync(join(bin, 'rustc'), 0o755);
    const cases: [Env, string][] = [
      [{ PATH: empty }, 'there is no rustc on PATH'],
      [{ PATH: bin }, 'rustc cannot compile it: error: no such linker'],
      [{ RUSTC: join(bin, 'rustc') }, 'rustc cannot compile it: error: no such linker'],
    ];
    for (const [changes, why] of cases) {
      writeFileSync(cargo, MINE);
      const done = init(['-y'], changes);
      expect(done.status).toBe(0);
      expect(done.stdout).toContain(`note  No launcher: ${why}. Every call starts ${KACHE} instead.`);
      expect(readFileSync(cargo, 'utf8')).toContain(`rustc-wrapper = "${KACHE}"`);
      expect(existsSync(launcher())).toBe(false);
    }
  },
);

test.if(recommended)(
  'a launcher that is gone and cannot be compiled again does not stay in front of rustc',
  () => {
    expect(init(['-y']).status).toBe(0);
    rmSync(launcher());
    const done = init(['-y'], { PATH: lab.write('nothing', { '.keep': '' }) });
    expect([done.status, done.stdout.includes('there is no rustc on PATH')]).toEqual([0, true]);
    expect(readFileSync(cargo, 'utf8')).toContain(`rustc-wrapper = "${KACHE}"`);
  },
);

test.if(recommended)('on a terminal a launcher that is out of date is asked for by itself', async () => {
  expect(init(['-y']).status).toBe(0);
  writeFileSync(own, '[cache]\ncache_executables = true\ncache_build_scripts = "off"\n');
  for (const [key, isThere] of [
    ['n', false],
    ['y', true],
  ] as const) {
    rmSync(launcher(), { force: true });
    using pty = onTerminal();
    await pty.until('Compile the launcher anew?');
    pty.press(key);
    expect([await pty.ended(), existsSync(launcher())]).toEqual([0, isThere]);
  }
});

/** A place for a service manager that writes down what it was asked. */
function manager(): { path: string; asked: () => string[] } {
  const log = lab.path('managed');
  rmSync(log, { force: true });
  const bin = lab.write('bin', {
    systemctl: `#!/bin/sh\necho "$*" >> '${log}'\n`,
    launchctl: `#!/bin/sh\necho "$*" >> '${log}'\n`,
  });
  for (const name of ['systemctl', 'launchctl']) chmodSync(join(bin, name), 0o755);
  return {
    path: `${bin}:${process.env['PATH'] ?? ''}`,
    asked: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
  };
}

const unitFile = (): string =>
  lab.path(
    process.platform === 'darwin'
      ? 'home/Library/LaunchAgents/dev.kache.daemon.plist'
      : 'home/.config/systemd/user/kache.service',
  );

test('with a remote the daemon is offered as a service: planned, installed once, agreed with by doctor', () => {
  const { path, asked } = manager();
  const remote = { PATH: path, KACHE_REMOTE_PATH: lab.path('remote') };
  const plan = init(['--check'], remote);
  expect([plan.status, plan.stdout.includes(`as a service of yours, in ${unitFile()}:`)]).toEqual([1, true]);
  expect([existsSync(unitFile()), asked()]).toEqual([false, []]);
  const declined = init(['-y', '--no-service'], remote);
  expect([declined.status, declined.stdout.includes('service'), existsSync(unitFile())]).toEqual([
    0,
    false,
    false,
  ]);
  expect(init(['--check', '--no-service'], remote).status).toBe(0);

  expect(init(['-y'], remote)).toMatchObject({ status: 0, stderr: '' });
  const text = readFileSync(unitFile(), 'utf8');
  expect(text).toContain(KACHE);
  const once = asked();
  expect(once.length).toBeGreaterThan(0);
  expect(init(['--check'], remote).status).toBe(0);
  expect(init(['-y'], remote)).toMatchObject({ status: 0, stderr: '' });
  expect([readFileSync(unitFile(), 'utf8'), asked()]).toEqual([text, once]);

  const daemon = () => {
    const { checks } = JSON.parse(
      lab.run([KACHE, 'doctor', '--json'], { cwd: lab.root, env: env(remote) }).stdout,
    ) as { checks: { id: string; state: string; detail: string }[] };
    return checks.filter(({ id, detail }) => id === 'daemon' && detail.includes(unitFile()));
  };
  expect(daemon()).toMatchObject([{ state: 'ok' }]);
  writeFileSync(unitFile(), text.replace(KACHE, '/old/place/kache'));
  expect(daemon()).toMatchObject([{ state: 'look' }]);
  expect(init(['--check'], remote).status).toBe(1);
  expect(init(['-y'], remote).status).toBe(0);
  expect(readFileSync(unitFile(), 'utf8')).toBe(text);
});

test('without a remote, or where nothing manages services, the plan says why none is offered', () => {
  expect(init(['--check']).stdout).toContain('without a remote, builds start the daemon when it is of use');
  const bin = lab.write('empty', { '.keep': '' });
  const bare = init(['-y'], { KACHE_REMOTE_PATH: lab.path('remote'), PATH: bin });
  expect(bare).toMatchObject({ status: 0, stderr: '' });
  expect(bare.stdout).toContain('nothing here manages services');
  expect(existsSync(unitFile())).toBe(false);
});

test('a manager that fails is named, and init has done its work all the same', () => {
  const { path } = manager();
  writeFileSync(lab.path('bin/systemctl'), '#!/bin/sh\nexit 1\n');
  writeFileSync(lab.path('bin/launchctl'), '#!/bin/sh\nexit 1\n');
  const done = init(['-y'], { PATH: path, KACHE_REMOTE_PATH: lab.path('remote') });
  expect(done.status).toBe(0);
  expect(done.stderr).toContain('start the service yourself');
  expect(readFileSync(cargo, 'utf8')).toContain(`"${wrapper()}"`);
});

const onTerminal = (): Pty => new Pty([KACHE, 'init'], { cwd: lab.root, env: lab.env(env()) });

test('on a terminal both are asked, and each answer counts', async () => {
  using pty = onTerminal();
  await pty.until('Write this?');
  pty.press('y');
  await pty.until('Cache binaries');
  pty.press('n');
  expect(await pty.ended()).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toContain(`"${wrapper()}"`);
  expect(Bun.TOML.parse(readFileSync(own, 'utf8'))).toEqual({ cache: { cache_executables: false } });
});

/** Answers questions on a terminal, as far as they come; returns what is in kache's own file then. */
async function answered(answers: Readonly<Record<string, string>>): Promise<unknown> {
  using pty = onTerminal();
  for (const [question, key] of Object.entries(answers)) {
    await pty.until(question);
    pty.press(key);
  }
  expect(await pty.ended()).toBe(0);
  return (Bun.TOML.parse(readFileSync(own, 'utf8')) as Record<string, unknown>)['cache'];
}

const SCRIPTS = 'Keep what build scripts of dependencies make?';

test.if(recommended)(
  'on a terminal runs of build scripts are offered; the answer that is preset is no',
  async () => {
    const answers = { 'Write this?': 'y', 'Cache binaries': 'y' };
    const kept = { cache_executables: true, cache_build_scripts: 'dependencies' };
    expect(await answered({ ...answers, [SCRIPTS]: 'y' })).toEqual(kept);
    rmSync(own);
    // What is left to ask is asked by itself.
    expect(await answered({ 'Cache binaries': 'y', [SCRIPTS]: '\r' })).toEqual({
      ...kept,
      cache_build_scripts: 'off',
    });
    // Whoever has decided is not asked again.
    expect(await answered({})).toEqual({ ...kept, cache_build_scripts: 'off' });
    writeFileSync(own, '[cache]\ncache_executables = true\n');
    expect(await answered({ [SCRIPTS]: 'y' })).toEqual(kept);
  },
);

test.if(recommended)('runs of build scripts are not kept by -y, which says how to keep them', () => {
  for (const args of [['--check'], ['-y'], ['-y'], []])
    expect(init(args).stdout).toContain('`kache config set cache.cache_build_scripts dependencies` keeps it');
  expect(Bun.TOML.parse(readFileSync(own, 'utf8'))).toEqual({ cache: { cache_executables: true } });
  expect(init(['--check', '--no-launcher']).stdout).not.toContain('cache_build_scripts');
  writeFileSync(own, '[cache]\ncache_executables = false\n');
  expect(init(['--check']).stdout).not.toContain('cache_build_scripts');
});

test.if(recommended)('runs are not offered where they could not be kept', async () => {
  // Nobody watches.
  {
    const bare = { ...env(), PATH: lab.write('nothing', { '.keep': '' }) };
    using pty = new Pty([KACHE, 'init'], { cwd: lab.root, env: lab.env(bare) });
    for (const question of ['Write this?', 'Cache binaries', SCRIPTS]) {
      await pty.until(question);
      pty.press('y');
    }
    expect([await pty.ended(), pty.text.includes('No launcher: there is no rustc on PATH')]).toEqual([
      0,
      true,
    ]);
    expect(Bun.TOML.parse(readFileSync(own, 'utf8'))).toEqual({ cache: { cache_executables: true } });
  }
  // Scripts are not cached.
  rmSync(own);
  expect(await answered({ 'Write this?': 'y', 'Cache binaries': 'n' })).toEqual({ cache_executables: false });
});

test('no, and Ctrl-C in the middle, change nothing at all', async () => {
  using no = onTerminal();
  await no.until('Write this?');
  no.press('n');
  expect(await no.ended()).toBe(1);
  using cut = onTerminal();
  await cut.until('Write this?');
  cut.press('y');
  await cut.until('Cache binaries');
  cut.press('\x03');
  expect(await cut.ended()).toBe(130);
  expect(readFileSync(cargo, 'utf8')).toBe(MINE);
  expect(existsSync(own)).toBe(false);
});

test('another wrapper on a terminal: the answer that is preset is no', async () => {
  writeFileSync(cargo, '[build]\nrustc-wrapper = "sccache"\n');
  using pty = onTerminal();
  await pty.until('Replace "sccache"?');
  pty.press('\r');
  expect(await pty.ended()).toBe(1);
  expect(readFileSync(cargo, 'utf8')).toBe('[build]\nrustc-wrapper = "sccache"\n');
});
