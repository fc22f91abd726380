// Tools as build scripts call them, under the observer: they do what they do without it, and all they read is in the log.
import { afterAll, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { isLinux, type Observed, ObserverLab } from '../support/observed.ts';
import { notRun } from '../support/required.ts';

const onLinux = test.if(isLinux);
const lab = new ObserverLab();
afterAll(() => lab[Symbol.dispose]());

/** A folder with a library in C: files that include each other, and a Makefile. */
function project(name: string): string {
  mkdirSync(lab.path(name, 'include/deep'), { recursive: true });
  lab.write(`${name}/include/deep/value.h`, '#define VALUE 3\n');
  for (let at = 0; at < 8; at++)
    lab.write(
      `${name}/part${at}.c`,
      `#include <stddef.h>\n#include "deep/value.h"\nint part${at}(void) { return VALUE + ${at}; }\n`,
    );
  const rule = '%.o: %.c\n\tcc -Iinclude -Imissing -c -o $@ $<\n';
  lab.write(
    `${name}/Makefile`,
    `all: ${Array.from({ length: 8 }, (_, at) => `part${at}.o`).join(' ')}\n\tar crs all.a $^\n${rule}`,
  );
  return lab.path(name);
}

/** Regular files and folders a tool opened, without links, by strace(1); undefined where there is none. */
function openedBy(argv: readonly string[], cwd: string): readonly string[] | undefined {
  if (Bun.which('strace') === null) return undefined;
  const out = lab.path('strace');
  const done = Bun.spawnSync(
    ['strace', '-f', '-y', '-s', '4096', '-e', 'trace=open,openat,openat2,creat', '-o', out, ...argv],
    { cwd },
  );
  if (done.exitCode !== 0) return undefined;
  const opened = [...readFileSync(out, 'utf8').matchAll(/ = \d+<(\/[^>]*)>$/gm)].map(([, path = '']) => path);
  return [...new Set(opened)].filter((path) => existsSync(path) && !/^\/(proc|dev)\//.test(path));
}

/** What the observer says a tool looked at or made, as far as it is there. */
const noticed = ({ records }: Observed): Set<string> =>
  new Set(records.filter(([kind]) => kind !== 'ended').map(([, , path]) => path));

/** Runs a tool with and without the observer, and holds what they did against each other. */
function compared(argv: readonly string[], cwd: string): Observed {
  const plain = Bun.spawnSync([...argv], { cwd });
  const observed = lab.observe(argv, { cwd });
  expect({ stderr: observed.stderr, lost: observed.lost }).toEqual({
    stderr: plain.stderr.toString(),
    lost: [],
  });
  expect([observed.status, observed.stdout]).toEqual([plain.exitCode, plain.stdout.toString()]);
  expect(observed.records.at(-1)).toEqual(['ended', '', `exited ${plain.exitCode}`]);
  const opened = openedBy(argv, cwd);
  if (opened === undefined)
    notRun(`the files that ${argv[0]} reads, by another witness`, 'strace does not work');
  else {
    expect(opened.length).toBeGreaterThan(1);
    const names = noticed(observed);
    // Files of a name that is new each time are their own.
    expect(
      opened.filter((path) => !names.has(path) && statSync(path).isFile() && !/\/cc\w{6}/.test(path)),
    ).toEqual([]);
  }
  return observed;
}

onLinux('the C compiler: every header, and everywhere it was looked for', () => {
  const dir = project('compiled');
  const observed = compared(['/usr/bin/cc', '-Iinclude', '-Imissing', '-c', '-o', 'part.o', 'part1.c'], dir);
  expect(observed.records).toContainEqual(['saw', 'f', `${dir}/include/deep/value.h`]);
  expect(observed.records).toContainEqual(['saw', 'f', `${dir}/part1.c`]);
  expect(observed.records.some(([kind, , path]) => kind === 'wrote' && path === `${dir}/part.o`)).toBe(true);
  expect(observed.records).toContainEqual(['saw', '-', `${dir}/missing`]);
});

onLinux('make with a jobserver of its own', () => {
  const dir = project('made');
  const make = Bun.which('make');
  if (make === null) return notRun('make under the observer', 'there is none');
  const observed = lab.observe([make, '-j4'], { cwd: dir });
  expect({ status: observed.status, stderr: observed.stderr, lost: observed.lost }).toEqual({
    status: 0,
    stderr: '',
    lost: [],
  });
  expect(readdirSync(dir).filter((name) => /\.(o|a)$/.test(name)).length).toBe(9);
  for (let at = 0; at < 8; at++) expect(observed.records).toContainEqual(['saw', 'f', `${dir}/part${at}.c`]);
  expect(observed.records.filter(([kind, , path]) => kind === 'listed' && path === dir).length).toBe(1);
});

onLinux('make with the jobserver of its caller', () => {
  const dir = project('served');
  const make = Bun.which('make');
  if (make === null) return notRun('make under the observer', 'there is none');
  const { words, log } = lab.command([make]);
  lab.write('served/outer.mk', `all:\n\t+${words.map((word) => `'${word}'`).join(' ')}\n`);
  const done = Bun.spawnSync([make, '-j3', '-f', 'outer.mk'], { cwd: dir });
  expect(done.exitCode).toBe(0);
  // It says so when the descriptors it was told of are not there.
  expect(done.stderr.toString()).toBe('');
  expect(existsSync(`${dir}/all.a`)).toBe(true);
  expect(existsSync(log)).toBe(true);
});

onLinux('the shell: pipes, substitutions, here-documents', () => {
  const dir = project('piped');
  const script =
    'cat part*.c | sort | uniq -c | head -3; x=$(wc -l < Makefile); echo "$x"; cat << end | tr a-z A-Z\ntext\nend\n';
  const observed = compared(['/bin/sh', '-c', script], dir);
  expect(observed.records).toContainEqual(['listed', 'd', dir]);
  for (let at = 0; at < 8; at++) expect(observed.records).toContainEqual(['saw', 'f', `${dir}/part${at}.c`]);
});

onLinux('bash: process substitution', () => {
  const dir = project('substituted');
  const bash = Bun.which('bash');
  if (bash === null) return notRun('bash under the observer', 'there is none');
  const observed = compared(
    [bash, '-c', 'diff <(cat part1.c) <(cat part1.c) && read -r line < Makefile && echo "$line"'],
    dir,
  );
  expect(observed.records).toContainEqual(['saw', 'f', `${dir}/part1.c`]);
});

onLinux('git: the commit of a repository', () => {
  const dir = project('repository');
  const git = Bun.which('git');
  if (git === null) return notRun('git under the observer', 'there is none');
  const named = ['-c', 'user.name=a', '-c', 'user.email=a@b'];
  for (const words of [
    ['init', '-q'],
    ['add', '.'],
    [...named, 'commit', '-qm', 'First'],
  ])
    expect(Bun.spawnSync([git, ...words], { cwd: dir }).exitCode).toBe(0);
  const observed = compared([git, 'rev-parse', 'HEAD'], dir);
  expect(observed.stdout).toMatch(/^[0-9a-f]{40,64}\n$/);
  expect(observed.records).toContainEqual(['saw', 'f', `${dir}/.git/HEAD`]);
  const head = /ref: (.+)/.exec(readFileSync(`${dir}/.git/HEAD`, 'utf8'))?.[1] ?? '';
  expect(observed.records).toContainEqual(['saw', 'f', resolve(`${dir}/.git`, head)]);
});

onLinux('python: modules, and where they were looked for', () => {
  const asked = Bun.spawnSync(['python3', '-c', 'import sys; print(sys.executable)']);
  if (asked.exitCode !== 0) return notRun('python under the observer', 'there is none');
  const python = realpathSync(asked.stdout.toString().trim());
  const dir = project('scripted');
  lab.write('scripted/wanted.py', 'VALUE = 7\n');
  const script =
    'import sys; sys.dont_write_bytecode = True; sys.path.insert(0, "."); import json, subprocess, wanted; print(wanted.VALUE, subprocess.check_output(["cat", "Makefile"])[:3])';
  const observed = compared([python, '-c', script], dir);
  expect(observed.stdout).toBe("7 b'all'\n");
  expect(observed.records).toContainEqual(['saw', 'f', `${dir}/wanted.py`]);
  expect(observed.records).toContainEqual(['saw', 'f', `${dir}/Makefile`]);
});

onLinux('rustc: its sources', () => {
  const rustc = Bun.which('rustc');
  if (rustc === null) return notRun('rustc under the observer', 'there is none');
  lab.write('crate/lib.rs', 'mod inner; pub fn value() -> u8 { inner::VALUE }\n');
  lab.write('crate/inner.rs', 'pub const VALUE: u8 = 1;\n');
  const dir = lab.path('crate');
  const observed = lab.observe([rustc, '--crate-type=rlib', '--emit=metadata', 'lib.rs'], { cwd: dir });
  expect({ status: observed.status, lost: observed.lost }).toEqual({ status: 0, lost: [] });
  for (const name of ['lib.rs', 'inner.rs'])
    expect(observed.records).toContainEqual(['saw', 'f', `${dir}/${name}`]);
});
