// A system kache does not support: the compiler runs, its exit status is passed on, and every command says that nothing
// is cached. Shown with a build for this machine that takes it for such a system.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import manifest from '../../package.json' with { type: 'json' };
import { Lab } from '../support/lab.ts';
import { changedKache } from '../support/other-version.ts';

let lab: Lab;
let binary: string;
beforeAll(() => {
  lab = new Lab();
  binary = changedKache(lab, [[/(export const isSupported) = .*;/, '$1 = false;']]);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

const FEW = {
  'Cargo.toml': '[package]\nname = "few"\nversion = "0.1.0"\nedition = "2021"\n',
  'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
};

test('cargo builds, with it as the wrapper and through it, and there is no store', () => {
  const dir = lab.write('few', FEW);
  expect(lab.cargo(dir, ['build', '--offline'], { env: { RUSTC_WRAPPER: binary } })).toMatchObject({
    status: 0,
  });
  expect(lab.run([binary, 'cargo', 'test', '--offline'], { cwd: dir })).toMatchObject({ status: 0 });
  expect(existsSync(lab.store)).toBe(false);
});

test('what the compiler says and how it ends is passed on', () => {
  const dir = lab.write('wrong', { ...FEW, 'src/lib.rs': 'pub fn few() -> u32 { "three" }\n' });
  const built = lab.cargo(dir, ['build', '--offline'], { env: { RUSTC_WRAPPER: binary } });
  expect([built.status, built.stderr.includes('error[E0308]')]).toEqual([101, true]);
  expect(lab.run([binary, '/bin/sh', '-c', 'exit 7']).status).toBe(7);
  const missing = lab.run([binary, '/nowhere/rustc', '-vV']);
  expect([missing.status, missing.stderr.startsWith('kache: ')]).toEqual([127, true]);
  expect(lab.run([binary, 'cargo'], { env: { PATH: '/nowhere' } }).stderr).toContain('Cannot run "cargo"');
});

test.each(['doctor', 'init', 'stats', 'list'])('%s says so', (command) => {
  const { status, stderr } = lab.run([binary, command]);
  expect([status, stderr]).toEqual([1, expect.stringContaining('every compile passes through')]);
});

test('the version and the commands are given all the same', () => {
  expect(lab.run([binary, '--version'])).toMatchObject({ status: 0, stdout: `${manifest.version}\n` });
  expect(lab.run([binary, '--help'])).toMatchObject({ status: 0, stdout: expect.stringContaining('doctor') });
});
