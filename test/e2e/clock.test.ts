// After the clock was put back: a store, sources and outputs whose stamps lie in the future. Nobody can set the clock of
// the machine the tests run on, so the stamps are set instead.
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KACHE, Lab, libraries } from '../support/lab.ts';

const FEW = {
  'Cargo.toml': '[package]\nname = "few"\nversion = "0.1.0"\nedition = "2021"\n',
  'src/lib.rs': 'pub fn few() -> u32 { 3 }\n',
  'src/main.rs': 'fn main() { println!("{}", few::few()); }\n',
};
const DAYS_S = 5 * 24 * 3600;

/** Every file below a folder, moved into the future. */
function putForward(dir: string): void {
  const later = Date.now() / 1000 + DAYS_S;
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) utimesSync(join(entry.parentPath, entry.name), later, later);
}

const printed = (dir: string): string => Bun.spawnSync([join(dir, 'target/debug/few')]).stdout.toString();

test('a store whose stamps and proofs lie in the future still serves, still evicts, and believes no proof', () => {
  using lab = new Lab();
  const dir = lab.write('a', FEW);
  expect(libraries(lab.cargo(dir, ['build', '--offline']))).toEqual({ few: 'miss' });
  putForward(lab.store);
  const seals: string[] = [];
  for (const entry of readdirSync(join(lab.store, 'blobs'), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!path.endsWith('.seal')) continue;
    seals.push(path);
    // Sealed in its present state, and proven in the future.
    const info = statSync(path.slice(0, -'.seal'.length), { bigint: true });
    const time = (ns: bigint): string => `${ns / 1_000_000_000n}.${ns % 1_000_000_000n}`;
    const boot = readFileSync(path, 'utf8').split(' ')[5];
    const state = `kache-seal-1 ${info.ino} ${info.size} ${time(info.mtimeNs)} ${time(info.ctimeNs)}`;
    writeFileSync(path, `${state} ${boot} ${Date.now() + DAYS_S * 1000}`.padEnd(191).concat('\n'));
  }
  const b = lab.copy(dir, 'b');
  expect(libraries(lab.cargo(b, ['build', '--offline']))).toEqual({ few: 'local_hit' });
  expect(printed(b)).toBe('3\n');
  expect(lab.cargo(b, ['build', '--offline']).events).toEqual([]);
  // Every blob was hashed again: its proof is of now.
  for (const path of seals) {
    const proven = Number(readFileSync(path, 'utf8').trim().split(' ')[6]);
    expect(Math.abs(Date.now() - proven)).toBeLessThan(600_000);
  }
  putForward(lab.store);
  expect(lab.run([KACHE, 'gc'], { env: { KACHE_MAX_SIZE: '1KB' } }).status).toBe(0);
  expect(JSON.parse(lab.run([KACHE, 'list', '--json']).stdout)).toEqual([]);
  expect(libraries(lab.cargo(lab.copy(dir, 'c'), ['build', '--offline']))).toEqual({ few: 'miss' });
});

test('sources stamped in the future: every build is right, and nothing is stored that could be stale', () => {
  using lab = new Lab();
  const dir = lab.write('a', FEW);
  const later = Date.now() / 1000 + DAYS_S;
  for (const answer of [3, 4, 5]) {
    writeFileSync(join(dir, 'src/lib.rs'), `pub fn few() -> u32 { ${answer} }\n`);
    utimesSync(join(dir, 'src/lib.rs'), later + answer, later + answer);
    const built = lab.cargo(dir, ['build', '--offline']);
    expect([built.status, printed(dir)]).toEqual([0, `${answer}\n`]);
    const event = built.events.find(({ crate_types }) => crate_types === 'lib');
    expect([event?.result, event?.reason]).toEqual(['skipped', 'input-changed-during-compile|./src/lib.rs']);
  }
  const now = Date.now() / 1000 - 10;
  for (const name of ['src/lib.rs', 'src/main.rs']) utimesSync(join(dir, name), now, now);
  const mended = lab.copy(dir, 'b');
  expect(libraries(lab.cargo(mended, ['build', '--offline']))).toEqual({ few: 'miss' });
  expect(printed(mended)).toBe('5\n');
});
