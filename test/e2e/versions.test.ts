// A store that a later kache has made or has used: this one never touches what it does not know, and builds go on.
import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { KACHE, Lab, libraries } from '../support/lab.ts';
import { asVersion, changedKache, LATER_RECORDS } from '../support/other-version.ts';

const FEW = {
  'Cargo.toml': '[package]\nname = "few"\nversion = "0.1.0"\nedition = "2021"\n',
  'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
};

/** Content, mode and time of every file of a store. */
const snapshot = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { mode, mtimeMs } = statSync(path);
      return `${path} ${mode} ${mtimeMs} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
    })
    .sort();

const COMMANDS = [
  ['gc'],
  ['purge'],
  ['doctor', '--fix', '--verify', '--checksums', '--repair'],
  ['stats'],
  ['list'],
];

test('a store with a later number: builds pass through, and no command changes a byte of it', () => {
  using lab = new Lab();
  const dir = lab.write('a', FEW);
  expect(libraries(lab.cargo(dir, ['build', '--offline']))).toEqual({ few: 'miss' });
  const format = join(lab.store, 'format');
  writeFileSync(format, readFileSync(format, 'utf8').replace('kache-store 1', 'kache-store 2'));
  chmodSync(lab.store, 0o755);
  const before = snapshot(lab.store);
  const again = lab.cargo(lab.copy(dir, 'b'), ['build', '--offline']);
  expect([again.status, again.events, again.stderr.includes('kache:')]).toEqual([0, [], false]);
  for (const command of COMMANDS) lab.run([KACHE, ...command]);
  expect(snapshot(lab.store)).toEqual(before);
  expect(statSync(lab.store).mode & 0o777).toBe(0o755);
  expect(lab.run([KACHE, 'doctor']).stdout).toContain('Another version of kache made it');
});

test('records of a later version beside ours: builds are right, no command changes a byte of them', () => {
  using lab = new Lab();
  const dir = lab.write('a', FEW);
  expect(libraries(lab.cargo(dir, ['build', '--offline']))).toEqual({ few: 'miss' });
  // The later version has rewritten every record of ours in its own form, under the very same names.
  const theirs: string[] = [];
  for (const entry of readdirSync(lab.store, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !/\/(entries|units)\//.test(path)) continue;
    writeFileSync(path, asVersion(path, 1));
    theirs.push(path);
  }
  const unknown = join(lab.store, 'packs/later/1');
  mkdirSync(dirname(unknown), { recursive: true });
  writeFileSync(unknown, 'kache-pack-1');
  expect(theirs.length).toBe(3);
  const read = (): string[] => [...theirs, unknown].map((path) => readFileSync(path, 'utf8'));
  const before = read();
  const built = lab.cargo(lab.copy(dir, 'b'), ['build', '--offline']);
  expect([built.status, libraries(built)]).toEqual([0, { few: 'skipped' }]);
  expect(built.events.find(({ crate_name }) => crate_name === 'few')?.reason).toBe(
    'entry-of-another-version',
  );
  for (const command of COMMANDS) lab.run([KACHE, ...command]);
  expect(read()).toEqual(before);
  expect(lab.run([KACHE, 'purge']).stdout).toContain('Left alone: 1 entry of another version');
  // Its blobs are there for it.
  expect(readdirSync(join(lab.store, 'blobs')).length).toBeGreaterThan(0);
  // Back at the later version, nothing has to be compiled again: undo the rewriting, as if it read its own form.
  for (const path of theirs) writeFileSync(path, asVersion(path, -1));
  expect(libraries(lab.cargo(lab.copy(dir, 'c'), ['build', '--offline']))).toEqual({ few: 'local_hit' });
  expect(existsSync(unknown)).toBe(true);
});

test('two versions of kache build on one store by turns: each hits what it has stored, neither harms the other', () => {
  using lab = new Lab();
  const later = changedKache(lab, [...LATER_RECORDS, [/'kache-key-(\d+)'/, "'kache-key-$1-later'"]]);
  const build = (name: string, binary: string) =>
    libraries(lab.cargo(lab.write(name, FEW), ['build', '--offline'], { env: { RUSTC_WRAPPER: binary } }));
  expect([build('a', KACHE), build('b', later)]).toEqual([{ few: 'miss' }, { few: 'dup' }]);
  expect([build('c', KACHE), build('d', later)]).toEqual([{ few: 'local_hit' }, { few: 'local_hit' }]);
  for (const binary of [KACHE, later, KACHE, later]) {
    expect(lab.run([binary, 'gc']).stdout).toContain('Left alone: 1 entry of another version');
    expect(lab.run([binary, 'doctor', '--verify', '--checksums', '--json']).stdout).not.toContain(
      'unreadable',
    );
  }
  expect([build('e', KACHE), build('f', later)]).toEqual([{ few: 'local_hit' }, { few: 'local_hit' }]);
  // Emptied by one, it still serves the other, blobs and all.
  expect(lab.run([KACHE, 'purge']).stdout).toContain('Removed 1 entry');
  expect([build('g', later), build('h', KACHE)]).toEqual([{ few: 'local_hit' }, { few: 'dup' }]);
}, 120_000);

test('two versions under one name for everything: neither replaces an entry of the other, and every build is right', () => {
  using lab = new Lab();
  const later = changedKache(lab, [...LATER_RECORDS, [/kache-seal-1/, 'kache-seal-2']]);
  for (const [turn, binary] of [KACHE, later, KACHE, later, KACHE].entries()) {
    const dir = lab.write(`turn-${turn}`, {
      ...FEW,
      'src/main.rs': 'fn main() { print!("{}", few::few()); }\n',
    });
    const built = lab.cargo(dir, ['build', '--offline'], { env: { RUSTC_WRAPPER: binary } });
    const result = turn === 0 ? 'miss' : binary === KACHE ? 'local_hit' : 'skipped';
    expect([turn, built.status, libraries(built)]).toEqual([turn, 0, { few: result }]);
    expect(Bun.spawnSync([join(dir, 'target/debug/few')]).stdout.toString()).toBe('3');
    for (const command of ['gc', 'doctor']) lab.run([binary, command]);
  }
}, 120_000);
