// Cold in one checkout, from the store in another, and nothing left to do in either.
import { expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseDepInfo } from '../../src/rustc/dep-info.ts';
import { takeInventory } from '../../src/store/inventory.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { Store } from '../../src/store/store.ts';
import { freshness, KACHE, Lab, libraries } from '../support/lab.ts';
import { SHARED, WORKSPACE } from '../support/workspace.ts';

const MINUTES = 60_000;

/** A rustc that notes every start, independently of kache. */
function countingRustc(lab: Lab): { path: string; starts: () => string[] } {
  const real = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();
  const log = lab.path('rustc-starts');
  const dir = lab.write('shim', { rustc: `#!/bin/sh\necho "$@" >> ${log}\nexec ${real}/bin/rustc "$@"\n` });
  chmodSync(join(dir, 'rustc'), 0o755);
  return {
    path: join(dir, 'rustc'),
    starts: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
  };
}

const program = (dir: string): string => Bun.spawnSync([join(dir, 'target/debug/app')]).stdout.toString();

test(
  'a second checkout at another depth takes its libraries from the store',
  () => {
    using lab = new Lab();
    const rustc = countingRustc(lab);
    const env = { RUSTC: rustc.path };
    const a = lab.write('a', WORKSPACE);
    expect(lab.cargo(a, ['build', '--offline'], { env })).toMatchObject({ status: 0 });
    const b = lab.copy(a, 'some/where/deeper/b');
    const before = rustc.starts().length;
    const warm = lab.cargo(b, ['build', '--offline'], { env });
    expect(warm.status).toBe(0);
    const found = libraries(warm);
    for (const name of SHARED) expect([name, found[name]]).toEqual([name, 'local_hit']);
    const started = rustc
      .starts()
      .slice(before)
      .filter((line) => /--crate-type lib\b/.test(line) && !line.includes('--crate-name ___'));
    // What holds a path of its checkout, and what is built on it, is compiled here; nothing else.
    expect(started.map((line) => /--crate-name (\w+)/.exec(line)?.[1]).sort()).toEqual(['app', 'place']);

    for (const dir of [b, a, b, a, a, b]) {
      const again = lab.cargo(dir, ['build', '--offline', '--message-format=json'], { env });
      expect(freshness(again.stdout).rebuilt).toEqual([]);
    }
    expect(program(a).replaceAll(a, '')).toBe(program(b).replaceAll(b, ''));
    expect(program(b)).toContain(`${b}/place`);
  },
  3 * MINUTES,
);

test(
  'an rlib is one file in every checkout, an rmeta is private, and every .d names files that exist',
  () => {
    using lab = new Lab();
    const a = lab.write('a', WORKSPACE);
    lab.cargo(a, ['build', '--offline']);
    const b = lab.copy(a, 'deep/b');
    lab.cargo(b, ['build', '--offline']);
    const deps = (dir: string): string => join(dir, 'target/debug/deps');
    const names = readdirSync(deps(b)).filter((name) =>
      SHARED.some((crate) => name.startsWith(`lib${crate}-`)),
    );
    expect(names.length).toBe(SHARED.length * 2);
    for (const name of names) {
      const [one, two] = [statSync(join(deps(a), name)), statSync(join(deps(b), name))];
      expect(readFileSync(join(deps(a), name)).equals(readFileSync(join(deps(b), name)))).toBe(true);
      // Where blocks can be shared the files are private; elsewhere the rlib is one inode.
      if (name.endsWith('.rlib') && two.nlink > 1) expect(two.ino).toBe(one.ino);
      if (name.endsWith('.rmeta')) expect(two.ino).not.toBe(one.ino);
    }
    for (const name of readdirSync(deps(b)).filter((file) => file.endsWith('.d'))) {
      const info = parseDepInfo(readFileSync(join(deps(b), name), 'utf8'));
      for (const file of [...(info?.files ?? []), ...(info?.targets ?? [])])
        expect([file, existsSync(join(file.startsWith('/') ? '' : b, file))]).toEqual([file, true]);
    }
  },
  3 * MINUTES,
);

for (const args of [['check'], ['build', '--release'], ['test', '--no-run'], ['clippy']]) {
  test(
    `cargo ${args.join(' ')} comes back too, with its warnings, and has nothing to do afterwards`,
    () => {
      using lab = new Lab();
      const a = lab.write('a', WORKSPACE);
      const cold = lab.cargo(a, [...args, '--offline']);
      expect(cold.status).toBe(0);
      const b = lab.copy(a, 'deep/b');
      const warm = lab.cargo(b, [...args, '--offline']);
      expect(warm.status).toBe(0);
      for (const name of SHARED) expect([name, libraries(warm)[name]]).toEqual([name, 'local_hit']);
      const warnings = (text: string): string[] =>
        text
          .split('\n')
          // Which of two targets of one package is counted first depends on which is done first.
          .filter((line) => /^(warning| *-->)/.test(line) && !/ generated \d+ warning/.test(line));
      expect(warnings(warm.stderr)).toEqual(warnings(cold.stderr));
      expect(warnings(warm.stderr).length).toBeGreaterThan(1);
      expect(freshness(lab.cargo(b, [...args, '--offline', '--message-format=json']).stdout).rebuilt).toEqual(
        [],
      );
    },
    4 * MINUTES,
  );
}

test(
  'another target folder shares everything, generated code too',
  () => {
    using lab = new Lab();
    const a = lab.write('a', WORKSPACE);
    lab.cargo(a, ['build', '--offline']);
    const elsewhere = lab.cargo(a, ['build', '--offline'], {
      env: { CARGO_TARGET_DIR: lab.path('elsewhere/target') },
    });
    expect(libraries(elsewhere)).toEqual({
      app: 'local_hit',
      facade: 'local_hit',
      generated: 'local_hit',
      native: 'local_hit',
      place: 'local_hit',
    });
  },
  2 * MINUTES,
);

test(
  'after a warm build every seal holds: the next hit hashes nothing',
  () => {
    using lab = new Lab();
    // Documentation is kept in the metadata: megabytes of it take several ticks of the file clock to copy. A dependency:
    // of what one asks for, Cargo makes a further link.
    const files = {
      'Cargo.toml':
        '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n[dependencies]\nlarge = { path = "large" }\n',
      'src/main.rs': 'fn main() { large::large(); }\n',
      'large/Cargo.toml': '[package]\nname = "large"\nversion = "0.1.0"\nedition = "2021"\n',
      'large/src/lib.rs': `${'/// nothing but words\n'.repeat(500_000)}pub fn large() {}\n`,
    };
    for (const folder of ['a', 'b', 'deeper/c']) {
      expect(lab.cargo(lab.write(folder, files), ['build', '--offline']).status).toBe(0);
      const store = new Store(new StoreLayout(lab.store), false);
      for (const { id, info } of takeInventory(store).blobs.values()) {
        const [, , , , ctime] = readFileSync(store.layout.seal(id), 'utf8').split(' ');
        expect([folder, ctime]).toEqual([folder, `${info.ctimeSec}.${info.ctimeNsec}`]);
      }
    }
  },
  2 * MINUTES,
);

test('a hit is over before the runtime compiles anything of it, however many features the crate has', () => {
  using lab = new Lab();
  const dir = lab.write('crate', { 'lib.rs': 'mod one;\nmod two;\n', 'one.rs': '', 'two.rs': '' });
  const features = Array.from({ length: 60 }, (_, at) => [
    '--cfg',
    `feature="f${at}"`,
    '--check-cfg',
    `cfg(feature, values("f${at}"))`,
  ]).flat();
  const flags = ['--crate-type', 'lib', '--emit=dep-info,metadata,link', '-C', 'metadata=1', ...features];
  const compile = (out: string, env = {}): string => {
    const call = [KACHE, 'rustc', '--crate-name', 'crate1', ...flags, '--out-dir', lab.path(out), 'lib.rs'];
    mkdirSync(lab.path(out));
    const { status, stdout, stderr } = lab.run(call, { cwd: dir, env });
    expect(status).toBe(0);
    return stdout + stderr;
  };
  const told = { BUN_JSC_reportCompileTimes: '1' };
  expect(compile('first', told)).toContain('Optimized');
  expect(compile('second', told)).toBe('');
  expect(lab.events().map(({ result }) => result)).toEqual(['miss', 'local_hit']);
});
