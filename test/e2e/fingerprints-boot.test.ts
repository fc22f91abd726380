// Target folders that are filled in the first build after a boot, when nothing that was noted of bytes is believed.
import { afterAll, expect } from 'bun:test';
import { chmodSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { FreshLab } from '../support/fresh-lab.ts';
import { filesBelow } from '../support/invariants.ts';
import { linuxOnly } from '../support/linux.ts';

const TIMEOUT_MS = 120_000;
const onLinux = linuxOnly('folders filled after a boot', 'target folders are filled on Linux alone');
const fresh = new FreshLab();
afterAll(() => fresh[Symbol.dispose](), TIMEOUT_MS);

/** Makes all that vouches for bytes of the store be of another boot. */
function reboot(): void {
  const now = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const seals = filesBelow(fresh.lab.store).filter(({ path }) => path.endsWith('.seal'));
  for (const { path } of seals) {
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(now, '01234567-89ab-cdef-0123-456789abcdef'));
  }
  expect(seals.length).toBeGreaterThan(0);
}

/** What a power cut may leave of a file. */
function empty(path: string): void {
  const { size, mode, atime, mtime } = statSync(path);
  chmodSync(path, 0o644);
  writeFileSync(path, Buffer.alloc(size));
  chmodSync(path, mode);
  utimesSync(path, atime, mtime);
}

onLinux(
  'the first build after a boot, and one behind a power cut that has cost bytes',
  async () => {
    await fresh.learn(fresh.checkout());
    expect((await fresh.right(fresh.checkout())).asked).toEqual([]);
    await fresh.stop();
    reboot();
    await fresh.kept();
    expect((await fresh.right(fresh.checkout())).asked).toEqual([]);
    await fresh.stop();
    reboot();
    for (const { path } of filesBelow(fresh.lab.store))
      if (/\/blobs\/../.test(path) && !path.endsWith('.seal')) empty(path);
    await fresh.kept();
    expect((await fresh.right(fresh.checkout())).asked).not.toEqual([]);
    expect((await fresh.right(fresh.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);
