// Whether a process that noted its number still runs.
import { expect, test } from 'bun:test';
import { stillRuns } from '../../src/sys/process-table.ts';

test('a process runs until it has ended', async () => {
  const child = Bun.spawn(['sleep', '600']);
  const notedMs = Date.now();
  expect(stillRuns(child.pid, notedMs)).toBe(true);
  child.kill();
  await child.exited;
  expect(stillRuns(child.pid, notedMs)).toBe(false);
});

test('a later process of the same number is another one', async () => {
  const child = Bun.spawn(['sleep', '600']);
  const isLinux = process.platform === 'linux';
  expect(stillRuns(child.pid, Date.now() - 3600e3)).toBe(!isLinux);
  child.kill();
  await child.exited;
});
