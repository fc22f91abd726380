// The log of a run leads over no link, and the places of the run may: what is in them is still known for theirs.
import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inputsOf, type Places } from '../../src/script/observation.ts';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'kache-places-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

mkdirSync(join(root, 'disk/target/debug/build/p-1/out'), { recursive: true });
mkdirSync(join(root, 'disk/package'), { recursive: true });
writeFileSync(join(root, 'disk/package/file'), 'text\n');
mkdirSync(join(root, 'named'));
symlinkSync('../disk/target', join(root, 'named/target'));
symlinkSync('../disk/package', join(root, 'named/package'));

const places: Places = {
  outDir: join(root, 'named/target/debug/build/p-1/out'),
  targetDir: join(root, 'named/target/debug'),
  artifactDir: undefined,
  packageDir: join(root, 'named/package'),
  script: join(root, 'named/target/debug/build/p-1/build-script.script'),
  observer: undefined,
  toolchain: { sysroot: '/nonexistent', host: 'x86_64-unknown-linux-gnu' },
  named: ['/'],
  calledIn: undefined,
  temporary: '/tmp',
};

const logOf = (...records: readonly (readonly [kind: string, what: string])[]): Uint8Array =>
  Buffer.from(
    [...records, ['ended', 'exited 0']]
      .flat()
      .map((field) => `${field}\0`)
      .join(''),
  );

test('a package and a target folder that are reached through links', () => {
  const log = logOf(
    ['saw', `d${root}/named/target`],
    ['saw', `d${root}/named/package`],
    ['saw', `f${root}/disk/package/file`],
    ['saw', `-${root}/disk/package/absent`],
    ['wrote', `-${root}/disk/target/debug/build/p-1/out/made`],
    ['listed', `d${root}/disk/target/debug/build/p-1/out`],
  );
  expect(inputsOf(log, places)).toEqual({
    looked: [
      [join(root, 'named/package/absent'), '-'],
      [join(root, 'named/package/file'), 'f'],
    ],
    listed: [],
  });
});

test('what is beside them is not in them', () => {
  const elsewhere = join(root, 'disk/package-other');
  expect(inputsOf(logOf(['wrote', `f${elsewhere}`]), places)).toEqual({
    why: `wrote-elsewhere|${elsewhere}`,
  });
});

test('a process of the run tells nothing that differs, one of others does', () => {
  expect(inputsOf(logOf(['saw', 'f/proc/self/stat'], ['saw', 'f/proc/self/task/12/comm']), places)).toEqual({
    looked: [],
    listed: [],
  });
  for (const path of [
    '/proc/1/status',
    '/proc/self/environ',
    '/proc/self/task/12/environ',
    '/proc/self/fd/3/../5',
  ])
    expect(inputsOf(logOf(['saw', `f${path}`]), places)).toEqual({ why: `read-what-changes|${path}` });
});
