// The test build fails where the binary people use cannot: of the faults there is nothing in it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildFaulty } from '../support/fault-place.ts';
import { KACHE, Lab } from '../support/lab.ts';

let lab: Lab;
let faulty: string;
beforeAll(() => {
  lab = new Lab();
  faulty = buildFaulty(lab);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

const source = (name: string): string => join(import.meta.dir, '..', '..', name);

test('the binary has no trace of the faults, the test build has', () => {
  const words = ['KACHE_TEST_FAULT', 'KACHE_TEST_TRACE', 'KACHE_TEST_WHILE', 'KACHE_TEST_BOOT', 'die-midway'];
  const [release, other] = [readFileSync(KACHE), readFileSync(faulty)];
  for (const word of words)
    expect([word, release.includes(word), other.includes(word)]).toEqual([word, false, true]);
});

test('nothing of the program reaches the faults, so its bundle is the same with and without them', async () => {
  const inputsOf = async (entry: string): Promise<string[]> => {
    const built = await Bun.build({
      entrypoints: [source(entry)],
      target: 'bun',
      metafile: true,
      splitting: true,
      external: ['react-devtools-core'],
    });
    return Object.keys(built.metafile?.inputs ?? {}).filter((path) => !path.includes('node_modules'));
  };
  const [program, testBuild] = [await inputsOf('src/main.ts'), await inputsOf('test/support/faulty-main.ts')];
  expect(program.filter((path) => path.includes('faulty'))).toEqual([]);
  expect(
    testBuild
      .filter((path) => !program.includes(path))
      .map((path) => path.split('/').at(-1))
      .sort(),
  ).toEqual(['faulty-libc.ts', 'faulty-main.ts']);
});

test('the binary does as it always does when it is told to fail', () => {
  const env = { KACHE_TEST_FAULT: 'any every die;open every EIO' };
  expect(lab.run([KACHE, '--version'], { env })).toMatchObject({ status: 0, signal: undefined });
  expect(lab.run([KACHE, 'gc'], { env })).toMatchObject({ status: 0, signal: undefined });
  const dies = { KACHE_TEST_FAULT: 'any every die' };
  expect(lab.run([faulty, 'gc'], { env: dies }).signal).toBe('SIGKILL');
});
