// why-miss on real builds: every kind of edit is named, also below several dependencies, for failed and skipped
// compiles, in the past, and when the entry is gone.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { appendFileSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { WORKSPACE } from '../support/workspace.ts';

interface Miss {
  crate_name: string;
  result: string;
  compile_ms: number;
  compared_with: { cache_key: string; same_unit: boolean } | null;
  differences: { kind: string; what: string; how: string }[];
  chain: string[];
  cause: { kind: string; crate_name: string; what: string; how: string; text: string };
}

interface Answer {
  build: { root: string } | null;
  causes: { cause: string; kind: string; crates: string[]; compile_ms: number }[];
  misses: Miss[];
}

let lab: Lab;
let dir: string;

const build = (at = dir, env: Env = {}, ...args: string[]) =>
  lab.run([KACHE, 'cargo', 'build', '--offline', ...args], { cwd: at, env });
const ask = (...args: string[]): Answer => {
  const done = lab.run([KACHE, 'why-miss', ...args, '--json'], { cwd: dir });
  expect([done.status, done.stderr]).toEqual([0, '']);
  return JSON.parse(done.stdout) as Answer;
};
const one = (crate: string): Miss => {
  const [miss, ...more] = ask(crate).misses;
  if (miss === undefined || more.length > 0) throw new Error(`${more.length + 1} misses of ${crate}`);
  return miss;
};
const edit = (file: string, text: string): void => appendFileSync(join(dir, file), text);

beforeAll(() => {
  lab = new Lab();
  dir = lab.write('a', WORKSPACE);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

test('nothing built: there is nothing to explain, and it says so', () => {
  const none = lab.run([KACHE, 'why-miss'], { cwd: dir });
  expect(none).toMatchObject({ status: 1, stdout: '' });
  expect(none.stderr).toContain('no build is in the log');
});

test('a first build: every crate is compiled for the first time, and the totals are those of the log', () => {
  expect(build().status).toBe(0);
  const answer = ask();
  expect(answer.build?.root).toBe(dir);
  const misses = lab.events().filter(({ result }) => result === 'miss');
  expect(misses.length).toBe(5);
  expect(answer.causes).toEqual([
    {
      cause: 'compiled for the first time',
      kind: 'first-compile',
      crates: expect.arrayContaining(misses.map(({ crate_name }) => crate_name)),
      compile_ms: Math.round(misses.reduce((sum, { compile_ms }) => sum + (compile_ms ?? 0), 0)),
    },
  ]);
  expect(one('app')).toMatchObject({ compared_with: null, differences: [], chain: ['app'] });
});

test('a file two dependencies down is the first cause of all above it', () => {
  edit('facade/src/lib.rs', 'pub fn more() {}\n');
  expect(build().status).toBe(0);
  expect(one('facade')).toMatchObject({
    compared_with: { same_unit: true },
    chain: ['facade'],
  });
  expect(one('app')).toMatchObject({
    chain: ['app', 'facade'],
    cause: { kind: 'file', crate_name: 'facade', what: './facade/src/lib.rs' },
  });
  // What another process reads meanwhile may stand behind it.
  expect(one('facade').differences[0]).toEqual({ kind: 'file', what: './facade/src/lib.rs', how: 'changed' });
  expect(one('app').differences[0]).toEqual({ kind: 'extern', what: 'facade', how: 'changed' });
  const { causes } = ask();
  const logged = lab
    .events()
    .slice(-3)
    .filter(({ result }) => result === 'miss' || result === 'dup');
  const ms = Math.round(logged.reduce((sum, { compile_ms }) => sum + (compile_ms ?? 0), 0));
  expect(causes).toMatchObject([{ kind: 'file', crates: ['facade', 'app'], compile_ms: ms }]);
  const text = lab.run([KACHE, 'why-miss'], { cwd: dir }).stdout;
  expect(text).toContain('2 crates compiled');
  expect(text).toMatch(/2 +\S+ +file \.\/facade\/src\/lib\.rs changed +facade, app/);
  const detail = lab.run([KACHE, 'explain', 'app'], { cwd: dir }).stdout;
  expect(detail).toContain('by way of app <- facade');
  expect(detail).toContain('first cause: file ./facade/src/lib.rs changed');
}, 60_000);

test('the way leads through a proc macro, which has no entry', () => {
  writeFileSync(join(dir, 'macros/src/lib.rs'), `${WORKSPACE['macros/src/lib.rs']}// other\n`);
  expect(build().status).toBe(0);
  expect(one('generated')).toMatchObject({
    chain: ['generated', 'macros'],
    cause: { kind: 'file', crate_name: 'macros', what: './macros/src/lib.rs', how: 'changed' },
  });
}, 60_000);

test('what a macro reads, a variable, a folder: named, and no value shown', () => {
  writeFileSync(join(dir, 'app/data/text.txt'), 'another\n');
  writeFileSync(join(dir, 'app/items/c.txt'), '');
  // Cargo does not know what macros read: without an edit it would not call.
  edit('app/src/right.rs', '// so that cargo looks\n');
  expect(build().status).toBe(0);
  const read = one('app').differences.map(({ kind, what, how }) => [kind, what, how]);
  expect(read).toContainEqual(['file', './app/data/text.txt', 'changed']);
  expect(read).toContainEqual(['folder', 'names in ./app/items', 'changed']);
  const secret = 'hunter2-secret';
  expect(build(dir, { OPTION_OF_TESTS: secret }).status).toBe(0);
  expect(one('app').cause).toMatchObject({ kind: 'env', what: 'OPTION_OF_TESTS', how: 'set' });
  expect(build(dir, { OPTION_OF_TESTS: 'other' }).status).toBe(0);
  expect(one('app').cause).toMatchObject({ kind: 'env', what: 'OPTION_OF_TESTS', how: 'changed' });
  const shown = lab.run([KACHE, 'why-miss', 'app'], { cwd: dir }).stdout;
  expect(shown).toContain('variable OPTION_OF_TESTS changed');
  expect(shown + JSON.stringify(ask('app'))).not.toContain(secret);
}, 120_000);

test('what changes the unit itself: a feature, a profile, a flag, a version', () => {
  expect(build(dir, {}, '-p', 'app', '--features', 'loud').status).toBe(0);
  expect(one('app')).toMatchObject({
    compared_with: { same_unit: false },
    cause: { kind: 'feature', what: 'loud', how: 'added' },
  });
  expect(build(dir, { CARGO_PROFILE_DEV_OPT_LEVEL: '1' }).status).toBe(0);
  expect(one('native').cause).toMatchObject({ kind: 'profile', what: 'opt-level' });
  const { causes } = ask();
  expect(causes[0]).toMatchObject({ kind: 'profile' });
  expect(causes[0]?.crates).toContain('native');
  expect(build(dir, { RUSTFLAGS: '--cfg flagged_by_tests' }).status).toBe(0);
  expect(one('native').cause).toMatchObject({ kind: 'flag', what: '--cfg flagged_by_tests', how: 'added' });
  const manifest = join(dir, 'native/Cargo.toml');
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('0.1.0', '0.2.0'));
  expect(build().status).toBe(0);
  expect(one('native').cause).toMatchObject({ kind: 'version', how: '0.1.0 -> 0.2.0' });
}, 120_000);

test('another checkout, for a crate that holds its path', () => {
  const b = lab.copy(dir, 'b');
  expect(build(b).status).toBe(0);
  expect(one('place').cause).toMatchObject({ kind: 'checkout', what: 'ws', how: 'another folder' });
  expect(one('place').cause.text).toBe('place holds the path of its checkout, and this is another folder');
}, 60_000);

test('a failed compile is explained, and one before it no longer', () => {
  const source = readFileSync(join(dir, 'native/src/lib.rs'), 'utf8');
  writeFileSync(join(dir, 'native/src/lib.rs'), `${source}pub fn wrong() -> u32 { "" }\n`);
  expect(build().status).toBe(101);
  expect(one('native')).toMatchObject({
    result: 'error',
    cause: { kind: 'file', what: './native/src/lib.rs', how: 'changed' },
  });
  writeFileSync(join(dir, 'native/src/lib.rs'), source);
  const crate = lab.write('new', {
    'Cargo.toml': '[package]\nname = "never"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
    'src/lib.rs': 'pub fn wrong() -> u32 { "" }\n',
  });
  expect(build(crate).status).toBe(101);
  expect(one('never').cause.kind).toBe('first-compile');
}, 60_000);

test('a skipped compile says why it was not stored, and why it was one', () => {
  const source = join(dir, 'native/src/lib.rs');
  appendFileSync(source, '// from tomorrow\n');
  utimesSync(source, Date.now() / 1000 + 86_400, Date.now() / 1000 + 86_400);
  expect(build().status).toBe(0);
  const skipped = one('native');
  expect(skipped.result).toBe('skipped');
  expect(skipped.cause).toMatchObject({ kind: 'file', what: './native/src/lib.rs', how: 'changed' });
  const text = lab.run([KACHE, 'why-miss', 'native'], { cwd: dir }).stdout;
  expect(text).toContain('not stored: input-changed-during-compile|./native/src/lib.rs');
  writeFileSync(source, WORKSPACE['native/src/lib.rs'] ?? '');
}, 60_000);

test('an entry that was evicted, and a miss whose entry is gone', () => {
  const events = lab.events();
  expect(lab.run([KACHE, 'purge', '--crate-name', 'place'], { cwd: dir }).status).toBe(0);
  // It uses no macro: what other processes read beside it is not in its key.
  const gone = one('place');
  expect(gone.cause).toMatchObject({ kind: 'not-recorded' });
  expect(gone.cause.text).toContain('its entry is gone');
  rmSync(join(dir, 'target'), { recursive: true });
  expect(build().status).toBe(0);
  expect(lab.events().length).toBeGreaterThan(events.length);
  expect(one('place').cause).toMatchObject({ kind: 'evicted' });
  // Everything else is older than the eviction and still explained.
  expect(one('facade').cause.kind).not.toBe('not-recorded');
}, 60_000);

test('what was not looked up, and what nobody knows, is told as such', () => {
  const asked = (crate: string) => lab.run([KACHE, 'why-miss', crate], { cwd: dir });
  expect(asked('macros')).toMatchObject({ status: 1, stdout: '' });
  expect(asked('macros').stderr).toContain('linked outputs are compiled in place by default');
  expect(asked('no-such-crate').stderr).toContain('Cannot explain "no_such_crate"');
  expect(asked('no-such-crate').status).toBe(1);
});

test('without the log the store still knows what a unit was made from before', () => {
  edit('native/src/lib.rs', '// again\n');
  const log = join(lab.store, 'events/log');
  renameSync(log, `${log}.aside`);
  expect(build().status).toBe(0);
  expect(one('native')).toMatchObject({
    compared_with: { same_unit: true },
    cause: { kind: 'file', what: './native/src/lib.rs' },
  });
}, 60_000);

test('programs and macros that are kept: the way leads through them, too', () => {
  using kept = new Lab();
  const c = kept.write('c', WORKSPACE);
  const env = { KACHE_CACHE_EXECUTABLES: '1' };
  const make = (more: Env = {}) =>
    kept.run([KACHE, 'cargo', 'build', '--offline'], { cwd: c, env: { ...env, ...more } }).status;
  const why = (crate: string): Miss[] =>
    JSON.parse(kept.run([KACHE, 'why-miss', crate, '--json'], { cwd: c }).stdout).misses;
  expect(make()).toBe(0);
  writeFileSync(join(c, 'macros/src/lib.rs'), `${WORKSPACE['macros/src/lib.rs']}// other\n`);
  expect(make()).toBe(0);
  expect(why('macros')).toMatchObject([{ cause: { kind: 'file', what: './macros/src/lib.rs' } }]);
  for (const { chain, cause } of why('app')) {
    expect(chain.at(-1)).toBe('macros');
    expect(cause).toMatchObject({ kind: 'file', crate_name: 'macros', what: './macros/src/lib.rs' });
  }
  writeFileSync(join(c, 'native/c/tiny.c'), 'int tiny(void) { return 8; }\n');
  expect(make()).toBe(0);
  const [program, ...more] = why('app');
  expect(more).toEqual([]);
  expect(program?.chain).toEqual(['app', 'native']);
  expect(program?.cause).toMatchObject({ kind: 'native-library', crate_name: 'native', how: 'changed' });
  rmSync(join(c, 'target'), { recursive: true });
  expect(make({ KACHE_VERIFY_RESTORES: 'always' })).toBe(0);
  expect(why('native')[0]?.cause).toMatchObject({ kind: 'verified' });
}, 120_000);
