// What kache does not handle reaches the real compiler byte for byte; what it compiles is shown as the compiler shows it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KACHE, Lab, libraries } from '../support/lab.ts';

let lab: Lab;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab[Symbol.dispose]());

/** The same call with and without kache in front. */
function both(argv: readonly string[], stdin = ''): void {
  const run = (line: readonly string[]) => {
    const done = Bun.spawnSync([...line], { env: lab.env(), cwd: lab.root, stdin: Buffer.from(stdin) });
    return [done.exitCode, done.signalCode, done.stdout.toString(), done.stderr.toString()];
  };
  expect(run([KACHE, ...argv])).toEqual(run(argv));
}

test('questions to rustc', () => {
  both(['rustc', '-vV']);
  both(['rustc', '--print', 'cfg']);
  both(['rustc', '--no-such-flag']);
  both(
    ['rustc', '-', '--crate-type', 'lib', '--emit', 'metadata', '-o', lab.path('stdin.rmeta')],
    'pub fn f() {}',
  );
  both(
    ['rustc', '-', '--crate-type', 'lib', '--emit', 'metadata', '-o', lab.path('stdin.rmeta')],
    'pub fn f() { 1 }',
  );
});

test('a C compiler, as the cc crate calls it', () => {
  lab.write('c', { 'a.c': 'int a(void) { return 1; }\n', 'bad.c': 'int a(void) { return; }}\n' });
  both(['cc', '-c', lab.path('c/a.c'), '-o', lab.path('c/a.o')]);
  both(['cc', '-c', lab.path('c/bad.c'), '-o', lab.path('c/bad.o')]);
});

test('status, signals, descriptors and arguments that are not UTF-8', () => {
  const script = lab.path('odd', 'program');
  mkdirSync(lab.path('odd'), { recursive: true });
  writeFileSync(
    script,
    '#!/bin/sh\nprintf "%s" "$1" | od -An -tx1\ncase "$2" in exit) exit 37;; term) kill -TERM $$;; fd) echo through >&9; exit 0;; esac\n',
  );
  chmodSync(script, 0o755);
  const shell = (line: string): { status: number | null; signal: string | undefined; stdout: string } => {
    const done = Bun.spawnSync(['bash', '-c', `exec ${line}`], { env: lab.env(), cwd: lab.root });
    return {
      status: done.exitCode,
      signal: done.signalCode === undefined ? undefined : String(done.signalCode),
      stdout: done.stdout.toString(),
    };
  };
  const odd = `$'a\\xff\\xfeb'`;
  expect(shell(`${KACHE} ${script} ${odd} exit`)).toEqual({
    status: 37,
    signal: undefined,
    stdout: ' 61 ff fe 62\n',
  });
  expect(shell(`${KACHE} ${script} x term`).signal).toBe('SIGTERM');
  const file = lab.path('descriptor');
  expect(shell(`${KACHE} ${script} x fd 9>${file}`).status).toBe(0);
  expect(readFileSync(file, 'utf8')).toBe('through\n');
});

test('a compiler killed by a signal takes the wrapper with it', () => {
  const sysroot = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();
  const dir = lab.write('killer', {
    rustc: `#!/bin/sh\ncase "$*" in *--crate-name\\ killed*) kill -SEGV $$;; esac\nexec ${sysroot}/bin/rustc "$@"\n`,
    'lib.rs': '',
  });
  chmodSync(join(dir, 'rustc'), 0o755);
  const args = [
    '--crate-name',
    'killed',
    '--crate-type',
    'lib',
    '--emit',
    'dep-info,metadata,link',
    '--out-dir',
    dir,
    join(dir, 'lib.rs'),
  ];
  expect(lab.run([KACHE, join(dir, 'rustc'), ...args]).signal).toBe('SIGSEGV');
  expect(lab.events().at(-1)?.result).toBe('error');
});

const project = (lib: string, main: string) => ({
  'Cargo.toml': '[workspace]\nmembers = ["one", "two"]\nresolver = "2"\n',
  'one/Cargo.toml': '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n',
  'one/src/lib.rs': lib,
  'two/Cargo.toml':
    '[package]\nname = "two"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\none = { path = "../one" }\n',
  'two/src/lib.rs': main,
});

test('compile errors read as without kache, notes into other crates included, and are not stored', () => {
  const dir = lab.write(
    'errors',
    project(
      'pub fn takes(number: u32) -> u32 {\n    number\n}\n',
      'pub fn calls() -> u32 { one::takes("text") }\npub fn also() { let unused = 1; }\n',
    ),
  );
  const plain = lab.cargo(dir, ['check', '--offline'], { kache: false });
  const told = (text: string): string =>
    text
      .split('\n')
      .filter((line) => !/^ +(Checking|Compiling|Finished|Locking)/.test(line))
      .join('\n');
  for (let round = 0; round < 2; round++) {
    const cached = lab.cargo(dir, ['check', '--offline']);
    expect(cached.status).toBe(plain.status);
    expect(told(cached.stderr)).toBe(told(plain.stderr));
    expect(cached.events.find(({ crate_name }) => crate_name === 'two')?.result).toBe('error');
  }
  expect(told(plain.stderr)).toContain('pub fn takes(number: u32)');
  const json = (kache: boolean): string[] => {
    const out = lab.cargo(dir, ['check', '--offline', '--message-format=json'], { kache }).stdout;
    return out.split('\n').filter((line) => line.includes('"compiler-message"'));
  };
  expect(json(true)).toEqual(json(false));
}, 60_000);

test('a dependent starts while its dependency is still being compiled, and the jobserver reaches rustc', () => {
  const heavy = Array.from(
    { length: 400 },
    (_, n) =>
      `pub fn f${n}(v: &[u64]) -> Vec<String> { v.iter().map(|x| format!("{} {}", x, ${n})).collect() }`,
  ).join('\n');
  const dir = lab.write('pipelined', project(heavy, 'pub use one::*;\n'));
  const built = lab.cargo(dir, ['build', '--release', '--offline', '-j2']);
  expect(built.status).toBe(0);
  expect(built.stderr).not.toContain('jobserver');
  const [one, two] = ['one', 'two'].map((name) => built.events.find(({ crate_name }) => crate_name === name));
  expect(one?.result).toBe('miss');
  expect((two?.ts ?? 0) - (two?.elapsed_ms ?? 0)).toBeLessThan(one?.ts ?? 0);
}, 60_000);

test('a workspace wrapper nobody knows is run and nothing of it is stored', () => {
  const dir = lab.write('wrapped', project('pub fn one() {}\n', 'pub fn two() { one::one() }\n'));
  const log = lab.path('wrapper-log');
  const wrapper = lab.path('wrapper.sh');
  writeFileSync(wrapper, `#!/bin/sh\necho run >> ${log}\nexec "$@"\n`);
  chmodSync(wrapper, 0o755);
  const built = lab.cargo(dir, ['build', '--offline'], { env: { RUSTC_WORKSPACE_WRAPPER: wrapper } });
  expect(built.status).toBe(0);
  expect(Object.values(libraries(built))).toEqual(['passthrough', 'passthrough']);
  expect(readFileSync(log, 'utf8')).toContain('run');
}, 60_000);
