// Completion in the shells themselves: the script is read by a real bash, zsh and fish, and a word is completed.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { publishBlob } from '../../src/store/blobs.ts';
import { writeEntry } from '../../src/store/entries.ts';
import { blobId, entryOf, NO_INPUTS, storeOf } from '../store/stores.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { Pty } from '../support/pty.ts';
import { notRun } from '../support/required.ts';

let lab: Lab;
let env: Record<string, string>;
beforeAll(() => {
  lab = new Lab();
  const store = storeOf(lab);
  writeFileSync(lab.path('source'), 'x');
  publishBlob(store, blobId('x'), lab.path('source'), { shared: false, mode: 0o644, linkMode: 'copy' });
  for (const name of ['serde', 'serde_json', 'syn']) writeEntry(store, entryOf(name, 'x'), NO_INPUTS);
  mkdirSync(lab.path('folder-one'));
  env = { ...lab.env(), PATH: `${dirname(KACHE)}:${process.env['PATH']}`, TERM: 'xterm' };
  for (const shell of ['bash', 'zsh', 'fish'])
    writeFileSync(lab.path(`kache.${shell}`), lab.run([KACHE, 'completions', shell]).stdout);
});
afterAll(() => lab[Symbol.dispose]());

const answers = (...words: string[]): string[] =>
  lab
    .run([KACHE, 'complete', '--', ...words])
    .stdout.trim()
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t')[0] ?? '');

test('what can follow: commands, options, their values, settings, crates of the store, folders', () => {
  expect(answers('')).toContain('doctor');
  expect(answers('')).not.toContain('complete');
  expect(answers('do')).toEqual(['doctor']);
  expect(answers('doctor', '--p')).toEqual(['--probe']);
  expect(answers('config', '')).toEqual(expect.arrayContaining(['get', 'set', 'unset', 'list', 'path']));
  expect(answers('config', 'get', 'cache.link')).toEqual(['cache.link_mode']);
  expect(answers('list', '--sort', '')).toEqual(['name', 'size', 'hits', 'age']);
  expect(answers('list', 'serd')).toEqual(['serde', 'serde_json']);
  expect(answers('purge', '--crate-name', 'sy')).toEqual(['syn']);
  expect(answers('clean', 'fold')).toEqual(['folder-one/']);
  expect(answers('pack', '')).toEqual(expect.arrayContaining(['save', 'restore', 'show']));
  expect(answers('pack', 'restore', 'sour')).toEqual(['source']);
  expect(answers('pack', 'restore', 'source', 'folder-')).toEqual(['folder-one/']);
  expect(answers('pack', 'save', '--base', 'sour')).toEqual(['source']);
  expect(answers('completions', '')).toEqual(['bash', 'zsh', 'fish']);
});

test('an unknown shell is wrong usage', () => {
  expect(lab.run([KACHE, 'completions', 'tcsh'])).toMatchObject({ status: 2, stdout: '' });
  expect(lab.run([KACHE, 'completions'])).toMatchObject({ status: 2, stdout: '' });
});

const has = (program: string): boolean => Bun.which(program) !== null;
const BASH_COMPLETION = '/usr/share/bash-completion/bash_completion';

test('bash', () => {
  if (!existsSync(BASH_COMPLETION)) return notRun('completion in bash', 'there is no bash-completion');
  const ask = (line: string): string => {
    const words = line.split(' ');
    const script = `
      . ${BASH_COMPLETION}; . ${lab.path('kache.bash')}; . ${lab.path('kache.bash')}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
      COMP_LINE='${line}'; COMP_POINT=${line.length}
      $(complete -p kache | sed 's/.*-F \\([^ ]*\\).*/\\1/') 2>/dev/null
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const done = lab.run(['bash', '--norc', '-c', script], { env });
    // Read twice, nothing is said.
    expect(done.stderr).toBe('');
    return done.stdout;
  };
  expect(ask('kache do').trim()).toBe('doctor');
  expect(ask('kache config get cache.link').trim()).toBe('cache.link_mode');
  expect(ask('kache list --sort ').trim().split('\n').sort()).toEqual(['age', 'hits', 'name', 'size']);
});

test('zsh', async () => {
  if (!has('zsh')) return notRun('completion in zsh', 'there is no zsh');
  using pty = new Pty(['zsh', '-f', '-i'], { cwd: lab.root, env: { ...env, PS1: 'ready> ' } });
  await pty.until('ready>');
  pty.press(`autoload -U compinit; compinit -u -D; . ${lab.path('kache.zsh')}; print rea''d\r`);
  await pty.until('read\r');
  pty.press('kache config get cache.link\t');
  await pty.until('cache.link_mode');
});

test('fish', () => {
  if (!has('fish')) return notRun('completion in fish', 'there is no fish');
  const script = `source ${lab.path('kache.fish')}; complete -C 'kache config get cache.link'; complete -C 'kache do'`;
  const done = lab.run(['fish', '--no-config', '-c', script], { env });
  expect(done.stderr).toBe('');
  expect(done.stdout.split('\n').map((line) => line.split('\t')[0])).toEqual([
    'cache.link_mode',
    'doctor',
    '',
  ]);
});
