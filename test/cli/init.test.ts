// `kache init` on the built binary: the plan, what is written, what is refused, and that a second time changes nothing.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Env, KACHE, Lab } from '../support/lab.ts';
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

test('--check shows the plan and changes nothing; -y carries it out; then there is nothing to do', () => {
  const plan = init(['--check']);
  expect(plan).toMatchObject({ status: 1, stderr: '' });
  expect(plan.stdout).toContain(`In ${cargo}, section [build]:\n  + rustc-wrapper = "${KACHE}"`);
  expect(plan.stdout).toContain(`In ${own}, section [cache]:\n  + cache_executables = true`);
  expect(readFileSync(cargo, 'utf8')).toBe(MINE);
  expect(existsSync(own)).toBe(false);

  const done = init(['-y']);
  expect(done).toMatchObject({ status: 0, stderr: '' });
  expect(readFileSync(cargo, 'utf8')).toBe(
    MINE.replace('jobs = 2 # two\n', `jobs = 2 # two\nrustc-wrapper = "${KACHE}"\n`),
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
  expect(readFileSync(cargo, 'utf8')).toContain(KACHE);

  const other = '[build]\nrustc-wrapper = "sccache" # the team\n';
  writeFileSync(cargo, other);
  const refused = init(['-y']);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain('"sccache" is the rustc-wrapper already');
  expect(refused.stderr).toContain('--replace');
  expect(readFileSync(cargo, 'utf8')).toBe(other);
  expect(init(['-y', '--replace']).status).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toBe(other.replace('"sccache"', `"${KACHE}"`));
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

const onTerminal = (): Pty => new Pty([KACHE, 'init'], { cwd: lab.root, env: lab.env(env()) });

test('on a terminal both are asked, and each answer counts', async () => {
  using pty = onTerminal();
  await pty.until('Write this?');
  pty.press('y');
  await pty.until('Cache binaries');
  pty.press('n');
  expect(await pty.ended()).toBe(0);
  expect(readFileSync(cargo, 'utf8')).toContain(KACHE);
  expect(Bun.TOML.parse(readFileSync(own, 'utf8'))).toEqual({ cache: { cache_executables: false } });
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
