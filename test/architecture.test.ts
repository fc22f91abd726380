// The import table of ARCHITECTURE.md, and what the wrapper's bundle may hold.
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const SRC = join(import.meta.dir, '..', 'src');

/** Which layers a layer may import; a layer may always import itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  sys: ['core'],
  rustc: ['core', 'sys'],
  store: ['core', 'sys'],
  compile: ['core', 'sys', 'rustc', 'store'],
  cli: ['core', 'sys', 'rustc', 'store'],
  'wrapper.ts': ['core', 'sys', 'rustc', 'store', 'compile'],
  'main.ts': ['wrapper.ts', 'cli', 'sys'],
};

/** Store files no compiler call may load. */
const COLD = ['store/budget.ts', 'store/inventory.ts', 'store/event-log.ts'];

/** Bytes of the minified bundle of wrapper.ts; it was 68 KB when this was written. */
const MAX_WRAPPER_BYTES = 85_000;

const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => relative(SRC, join(entry.parentPath, entry.name)));

interface Import {
  readonly target: string;
  readonly dynamic: boolean;
}

/** Relative imports of a file, types included, as paths below src/. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  const found = [...text.matchAll(/(?:from|(import)\()\s*'(\.[^']+)'/g)];
  return found.map((match) => ({
    target: relative(SRC, resolve(SRC, file, '..', match[2] ?? '')),
    dynamic: match[1] !== undefined,
  }));
}

const layerOf = (file: string): string => (file.includes('/') ? (file.split('/')[0] ?? '') : file);

test('every file imports only what its layer may', () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter(({ target }) => target.endsWith('.ts'))
      .filter(
        ({ target }) =>
          layerOf(target) !== layerOf(file) && !MAY_IMPORT[layerOf(file)]?.includes(layerOf(target)),
      )
      .map(({ target }) => `${file} imports ${target}`),
  );
  expect(wrong).toEqual([]);
});

test('there is no cycle', () => {
  const graph = new Map(files.map((file) => [file, importsOf(file).map(({ target }) => target)]));
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error(`cycle: ${[...path, file].join(' -> ')}`);
    if (done.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

test('dynamic imports stand in main.ts only, and no file re-exports another layer whole', () => {
  for (const file of files) {
    if (file !== 'main.ts')
      expect([file, importsOf(file).filter(({ dynamic }) => dynamic)]).toEqual([file, []]);
    expect([file, /^export \* from/m.test(readFileSync(join(SRC, file), 'utf8'))]).toEqual([file, false]);
  }
});

test('files are named in kebab-case, open with a comment, and stay readable in length', () => {
  for (const file of files) {
    const text = readFileSync(join(SRC, file), 'utf8');
    expect([file, /^([a-z0-9-]+\/)*[a-z0-9-]+\.ts$/.test(file)]).toEqual([file, true]);
    expect([file, text.startsWith('// ')]).toEqual([file, true]);
    expect([file, text.split('\n').length <= 450]).toEqual([file, true]);
  }
});

test('the wrapper loads no cold file, no package and nothing of node', async () => {
  const built = await Bun.build({
    entrypoints: [join(SRC, 'wrapper.ts')],
    minify: true,
    target: 'bun',
    metafile: true,
  });
  expect(built.success).toBe(true);
  const [bundle] = built.outputs;
  const text = (await bundle?.text()) ?? '';
  expect(text.length).toBeLessThan(MAX_WRAPPER_BYTES);
  expect(text).not.toMatch(/from\s*"node:/);
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const { target } of importsOf(file)) visit(target);
  };
  visit('wrapper.ts');
  expect([...reached].filter((file) => COLD.includes(file) || file.startsWith('cli/'))).toEqual([]);
  for (const file of reached) {
    const packages = [...readFileSync(join(SRC, file), 'utf8').matchAll(/from '([^.'][^']*)'/g)].map(
      (match) => match[1],
    );
    expect([file, packages.filter((name) => name !== 'bun:ffi' && name !== 'bun')]).toEqual([file, []]);
  }
});
