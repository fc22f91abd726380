import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../support/lab.ts';
import { atOnce, leftovers } from './stores.ts';

const source = (name: string): string => JSON.stringify(join(import.meta.dir, '../../src', name));

test('eight processes make the same store at once, and each can use it', async () => {
  using lab = new Lab();
  const program = lab.path('make.ts');
  writeFileSync(
    program,
    `import { openStore } from ${source('store/store.ts')};
     for (let n = 0; n < 10; n++) {
       const store = openStore(${JSON.stringify(lab.path('stores'))} + '/' + n);
       if (store.kind !== 'store') { console.error(store); process.exit(3); }
       store.replaceFile(store.layout.root + '/units/' + process.argv[2], new Uint8Array([1]));
     }`,
  );
  await atOnce(program, 8);
  for (let n = 0; n < 10; n++) {
    const dir = lab.path('stores', `${n}`);
    expect(readFileSync(`${dir}/format`, 'utf8')).toMatch(/^kache-store 1 reflink=(yes|no)\n$/);
    expect([readdirSync(`${dir}/units`).length, readdirSync(`${dir}/tmp`)]).toEqual([8, []]);
  }
}, 60_000);

test('lines that processes append to the log at once never mix', async () => {
  using lab = new Lab();
  const program = lab.path('append.ts');
  writeFileSync(
    program,
    `import { openStore } from ${source('store/store.ts')};
     import { writeEvent } from ${source('compile/write-event.ts')};
     const store = openStore(${JSON.stringify(lab.store)});
     const whose = { store, startedMs: Date.now(), caller: { pid: process.pid, parentPid: process.ppid } };
     for (let n = 0; n < 100; n++)
       writeEvent(whose, { crate_name: process.argv[2].repeat(50 * n), result: 'miss', compiler_runs: 1 });`,
  );
  await atOnce(program, 8);
  const events = lab.events();
  expect(events.length).toBe(800);
  for (let n = 0; n < 8; n++)
    expect(events.filter(({ crate_name: name }) => name === `${n}`.repeat(2500)).length).toBe(1);
  expect(leftovers(lab)).toEqual([]);
}, 60_000);
