// Reading the log while an eviction begins a new generation of it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { rmSync, writeFileSync } from 'node:fs';
import { previousGeneration, reachesBackTo, readEvents } from '../../src/store/event-log.ts';
import type { Store } from '../../src/store/store.ts';
import { Lab } from '../support/lab.ts';
import { storeOf } from './stores.ts';

let lab: Lab;
let store: Store;
beforeAll(() => {
  lab = new Lab();
  store = storeOf(lab);
});
afterAll(() => lab[Symbol.dispose]());

const line = (name: string, ts: number): string =>
  `${JSON.stringify({ ts, result: 'miss', crate_name: name, elapsed_ms: 1, compiler_runs: 1 })}\n`;

const names = (): string[] => readEvents(store).map(({ crate_name }) => crate_name);

test('a generation that begins between the two files is not passed over', async () => {
  const [log, previous] = [store.layout.events, previousGeneration(store.layout.events)];
  writeFileSync(log, line('second', 2));
  expect(Bun.spawnSync(['mkfifo', previous]).exitCode).toBe(0);
  // The reader waits at the pipe for the first generation: meanwhile the log is rotated over its name.
  const rotates = `exec 3> "$1" && mv "$2" "$1" && printf '%s\\n' "$3" >&3`;
  const child = Bun.spawn(['sh', '-c', rotates, 'sh', previous, log, line('first', 1).trim()]);
  expect(names()).toEqual(['second']);
  expect(await child.exited).toBe(0);
  writeFileSync(log, line('third', 3));
  expect(names()).toEqual(['second', 'third']);
});

test('how far back it is sure to go', () => {
  writeFileSync(store.layout.events, line('a', 500));
  rmSync(previousGeneration(store.layout.events), { force: true });
  expect(reachesBackTo(store, readEvents(store), 100)).toBe(true);
  writeFileSync(previousGeneration(store.layout.events), line('b', 300));
  expect(reachesBackTo(store, readEvents(store), 300)).toBe(true);
  expect(reachesBackTo(store, readEvents(store), 299)).toBe(false);
  writeFileSync(previousGeneration(store.layout.events), '');
  writeFileSync(store.layout.events, '');
  expect(reachesBackTo(store, readEvents(store), 299)).toBe(false);
});
