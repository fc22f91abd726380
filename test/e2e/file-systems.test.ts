// On real file systems: one inode where there are hardlinks, shared blocks where there are reflinks, copies between two
// of them, and builds that succeed on full and read-only ones.
import { expect, test } from 'bun:test';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type CargoResult, KACHE, Lab, libraries } from '../support/lab.ts';
import { type FileSystem, Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import { SHARED, WORKSPACE } from '../support/workspace.ts';

const TIMEOUT_MS = 180_000;

/** Enough code to tell sharing from the file system's own bookkeeping. */
const FUNCTIONS = Array.from(
  { length: 700 },
  (_, n) => `pub fn f${n}(v: &[u64]) -> Vec<String> { v.iter().map(|x| format!("{x} ${n}")).collect() }`,
);
const HEAVY = {
  ...WORKSPACE,
  'facade/src/lib.rs': `${WORKSPACE['facade/src/lib.rs']}\n${FUNCTIONS.join('\n')}\n`,
};

/** Sizes of the files below a target folder, each inode once: the shared library, and everything else. */
function targetBytes(dir: string): { library: number; others: number } {
  const seen = new Map<bigint, { name: string; size: number }>();
  for (const entry of readdirSync(join(dir, 'target'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const { ino, size } = statSync(join(entry.parentPath, entry.name), { bigint: true });
    seen.set(ino, { name: entry.name, size: Number(size) });
  }
  const sum = (match: (name: string) => boolean): number =>
    [...seen.values()].reduce((total, { name, size }) => total + (match(name) ? size : 0), 0);
  const isLibrary = (name: string): boolean => name.startsWith('libfacade') && name.endsWith('.rlib');
  return { library: sum(isLibrary), others: sum((name) => !isLibrary(name)) };
}

const restoredBy = (result: CargoResult): string[] => {
  const event = result.events.find(
    ({ crate_name, crate_types }) => crate_name === 'facade' && crate_types === 'lib',
  );
  return Object.entries(event?.restored ?? {})
    .filter(([, bytes]) => bytes > 1_000_000)
    .map(([how]) => how);
};

for (const [kind, how] of [
  ['ext4', 'hardlinked'],
  ['xfs', 'reflinked'],
  ['btrfs', 'reflinked'],
  ['tmpfs', 'hardlinked'],
] as const satisfies readonly (readonly [FileSystem, string])[]) {
  test(
    `a second checkout on ${kind} shares its libraries: ${how}`,
    () => {
      using base = new Lab();
      using mount = Mount.make(kind, base.root, 600);
      if (mount === undefined) {
        notRun(`sharing on ${kind}`, `needs root and ${kind === 'tmpfs' ? 'tmpfs' : `mkfs.${kind}`}`);
        return;
      }
      using lab = new Lab(join(mount.path, 'store'));
      const a = lab.write(join(mount.path, 'a'), HEAVY);
      expect(lab.cargo(a, ['build', '--offline', '-p', 'facade']).status).toBe(0);
      const b = lab.write(join(mount.path, 'deep', 'b'), HEAVY);
      const before = mount.usedBytes();
      const warm = lab.cargo(b, ['build', '--offline', '-p', 'facade']);
      expect(libraries(warm)).toEqual({ facade: 'local_hit' });
      expect(restoredBy(warm)).toEqual([how]);
      const { library, others } = targetBytes(b);
      expect(library).toBeGreaterThan(2_000_000);
      // Everything else in there may be new; the library is there once, however often it is linked.
      expect(mount.usedBytes() - before).toBeLessThan(others * 1.1 + library / 2);
      expect(lab.cargo(b, ['build', '--offline', '-p', 'facade']).events).toEqual([]);
    },
    TIMEOUT_MS,
  );
}

test(
  'a store on another file system copies, and says so',
  () => {
    using base = new Lab();
    using mount = Mount.make('tmpfs', base.root, 300);
    if (mount === undefined) return notRun('a store on another file system', 'needs root');
    using lab = new Lab(join(mount.path, 'store'));
    const a = lab.write('a', WORKSPACE);
    expect(lab.cargo(a, ['build', '--offline']).status).toBe(0);
    const b = lab.copy(a, 'b');
    const warm = lab.cargo(b, ['build', '--offline']);
    for (const name of SHARED) expect(libraries(warm)[name]).toBe('local_hit');
    expect(
      warm.events.every(({ restored }) => (restored?.hardlinked ?? 0) + (restored?.reflinked ?? 0) === 0),
    ).toBe(true);
    expect(lab.run([KACHE, 'doctor'], { cwd: a }).stdout).toContain('copied, not shared');
    expect(lab.cargo(b, ['build', '--offline']).events).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  'a full store: everything compiles, nothing half-written stays, doctor says why',
  () => {
    using base = new Lab();
    using mount = Mount.make('tmpfs', base.root, 1);
    if (mount === undefined) return notRun('a full store', 'needs root');
    using lab = new Lab(join(mount.path, 'store'));
    const a = lab.write('a', HEAVY);
    for (const dir of [a, lab.copy(a, 'b')]) {
      const built = lab.cargo(dir, ['build', '--offline']);
      expect(built.status).toBe(0);
      expect(Bun.spawnSync([join(dir, 'target/debug/app')]).stdout.toString()).toContain('left right');
    }
    expect(readdirSync(join(lab.store, 'tmp'))).toEqual([]);
    const doctor = lab.run([KACHE, 'doctor', '--verify', '--json'], { cwd: a });
    expect(doctor.stdout).not.toContain('"id": "entries",\n      "title": "0');
    expect(doctor.stdout).toContain('There is room on the disk');
  },
  TIMEOUT_MS,
);

test(
  'a read-only store still serves, and nothing new is stored',
  () => {
    using base = new Lab();
    using mount = Mount.make('tmpfs', base.root, 300);
    if (mount === undefined) return notRun('a read-only store', 'needs root');
    using lab = new Lab(join(mount.path, 'store'));
    const a = lab.write('a', WORKSPACE);
    expect(lab.cargo(a, ['build', '--offline']).status).toBe(0);
    expect(mount.remount('ro')).toBe(true);
    const b = lab.copy(a, 'b');
    rmSync(join(b, 'target'), { recursive: true, force: true });
    const warm = lab.cargo(b, ['build', '--offline']);
    expect(warm.status).toBe(0);
    expect(warm.stderr).not.toMatch(/kache[^-]|EROFS/);
    expect(Bun.spawnSync([join(b, 'target/debug/app')]).stdout.toString()).toContain('left right');
    const doctor = lab.run([KACHE, 'doctor'], { cwd: a });
    expect([doctor.status, doctor.stdout.includes('EROFS')]).toEqual([1, true]);
    mount.remount('rw');
  },
  TIMEOUT_MS,
);
