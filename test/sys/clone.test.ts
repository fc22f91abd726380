import { expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CANNOT_REFLINK, copy, reflink } from '../../src/sys/clone.ts';
import { isOsError } from '../../src/sys/files.ts';
import { Lab } from '../support/lab.ts';
import { type FileSystem, Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';

const codeOf = (run: () => void): string => {
  try {
    run();
    return 'none';
  } catch (error) {
    return isOsError(error) ? error.code : String(error);
  }
};

/** Runs a check on a fresh file system of one kind. */
function on(kind: FileSystem, megabytes: number, check: (dir: string) => void): void {
  using lab = new Lab();
  using mount = Mount.make(kind, lab.root, megabytes);
  if (mount === undefined) notRun(`clone on ${kind}`, 'no such file system can be mounted');
  else check(mount.path);
}

test('a copy has the bytes, its own inode, the mode asked for and the present time', () => {
  using lab = new Lab();
  for (const size of [0, 1, 65_536, 3_000_001]) {
    const [from, to] = [lab.path(`from${size}`), lab.path(`to${size}`)];
    const bytes = Buffer.alloc(size, 'abc');
    writeFileSync(from, bytes);
    utimesSync(from, 5, 5);
    copy(from, to, 0o755);
    expect(readFileSync(to).equals(bytes)).toBe(true);
    expect(statSync(to).ino).not.toBe(statSync(from).ino);
    expect(statSync(to).mode & 0o777).toBe(0o755);
    expect(statSync(to).mtimeMs).toBeGreaterThan(1e12);
  }
});

test('neither strategy replaces a file, and both say when there is nothing to copy', () => {
  using lab = new Lab();
  writeFileSync(lab.path('a'), 'a');
  writeFileSync(lab.path('b'), 'b');
  for (const bring of [copy, reflink]) {
    expect(codeOf(() => bring(lab.path('a'), lab.path('b')))).toBe('EEXIST');
    expect(readFileSync(lab.path('b'), 'utf8')).toBe('b');
    expect(codeOf(() => bring(lab.path('none'), lab.path('c')))).toBe('ENOENT');
    expect(codeOf(() => bring(lab.path('a'), lab.path('no', 'c')))).toBe('ENOENT');
    expect(existsSync(lab.path('c'))).toBe(false);
  }
});

for (const kind of ['ext4', 'tmpfs'] as const) {
  test(`where ${kind} cannot share blocks it says so, and no file stays`, () => {
    on(kind, 8, (dir) => {
      writeFileSync(join(dir, 'a'), 'content');
      const code = codeOf(() => reflink(join(dir, 'a'), join(dir, 'b')));
      expect(CANNOT_REFLINK as readonly string[]).toContain(code);
      expect(existsSync(join(dir, 'b'))).toBe(false);
    });
  });
}

for (const kind of ['xfs', 'btrfs'] as const) {
  test(`${kind} shares blocks, and neither file sees a write to the other`, () => {
    on(kind, kind === 'xfs' ? 320 : 120, (dir) => {
      const [from, to] = [join(dir, 'a'), join(dir, 'b')];
      writeFileSync(from, 'a'.repeat(100_000));
      utimesSync(from, 5, 5);
      reflink(from, to, 0o755);
      expect(readFileSync(to, 'utf8')).toBe('a'.repeat(100_000));
      expect(statSync(to).mode & 0o777).toBe(0o755);
      expect(statSync(to).mtimeMs).toBeGreaterThan(1e12);
      writeFileSync(from, 'b'.repeat(100_000));
      expect(readFileSync(to, 'utf8')).toBe('a'.repeat(100_000));
    });
  });
}

test('between two file systems there is no reflink, and a copy still works', () => {
  using lab = new Lab();
  if (!existsSync('/dev/shm') || statSync('/dev/shm').dev === statSync(lab.root).dev)
    return notRun('copy between file systems', 'there is only one');
  const other = mkdtempSync('/dev/shm/kache-test-');
  try {
    writeFileSync(lab.path('a'), 'x'.repeat(200_000));
    const code = codeOf(() => reflink(lab.path('a'), join(other, 'a')));
    expect(CANNOT_REFLINK as readonly string[]).toContain(code);
    copy(lab.path('a'), join(other, 'a'));
    expect(readFileSync(join(other, 'a'), 'utf8')).toBe('x'.repeat(200_000));
  } finally {
    rmSync(other, { recursive: true });
  }
});

test('a copy onto a full file system leaves nothing', () => {
  using lab = new Lab();
  const from = lab.path('large');
  writeFileSync(from, Buffer.alloc(3 * 1024 * 1024, 1));
  on('tmpfs', 1, (dir) => {
    expect(codeOf(() => copy(from, join(dir, 'b')))).toBe('ENOSPC');
    expect(existsSync(join(dir, 'b'))).toBe(false);
  });
});
