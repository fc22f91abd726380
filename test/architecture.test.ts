// The import table of ARCHITECTURE.md, the form of every source file, and what the wrapper's bundle may hold.
import { beforeAll, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const SRC = join(import.meta.dir, '..', 'src');

/** Which layers a layer may import beside itself. A layer that is not here has no place in the tree yet. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  sys: ['core'],
  rustc: ['core', 'sys'],
  store: ['core', 'sys'],
  compile: ['core', 'sys', 'rustc', 'store', 'daemon'],
  remote: ['core', 'sys', 'store'],
  daemon: ['core', 'sys', 'store', 'remote'],
  script: ['core', 'sys', 'rustc', 'store', 'compile', 'daemon'],
  fingerprints: ['core', 'sys', 'rustc', 'store', 'compile', 'daemon', 'script', 'answer.ts'],
  launcher: [],
  cli: [
    'core',
    'sys',
    'rustc',
    'store',
    'daemon',
    'remote',
    'tui',
    'launcher',
    'script',
    'fingerprints',
    'answer.ts',
  ],
  tui: ['core', 'sys', 'store', 'cli'],
  'wrapper.ts': ['core', 'sys', 'rustc', 'store', 'compile', 'daemon'],
  'answer.ts': ['core', 'sys', 'rustc', 'store', 'compile', 'daemon'],
  'main.ts': ['wrapper.ts', 'sys', 'cli', 'script', 'compile', 'fingerprints'],
};

/** Files no compiler call may load. */
const isCold = (file: string): boolean =>
  /^(cli|script|fingerprints|tui|remote|launcher)\//.test(file) ||
  /^store\/(budget|eviction-plan|verify|index|inventory|event-log|transfer-log|log-tail|builds|targets|target-removal)\.ts$/.test(
    file,
  ) ||
  /^core\/(later-settings|transfers)\.ts$/.test(file) ||
  /^sys\/(extents|file-system|pace|process-table)\.ts$/.test(file) ||
  /^daemon\/(?!(protocol|client|start)\.ts$)/.test(file);

/** Layers of which one layer may use some files only. */
const NARROW: Readonly<Record<string, (file: string) => boolean>> = {
  'compile store': (file) => !isCold(file),
  'compile daemon': (file) => !isCold(file),
  'script store': (file) => !isCold(file),
  'script daemon': (file) => file === 'daemon/protocol.ts',
  'cli fingerprints': (file) => /^fingerprints\/(fill|keep|learn|travel)\.ts$/.test(file),
  'main.ts fingerprints': (file) => file === 'fingerprints/learn.ts',
  'fingerprints script': (file) => /^script\/(answer|filled)\.ts$/.test(file),
  'fingerprints compile': (file) => /^compile\/(call|identify|link|prepare|share|stand-in)\.ts$/.test(file),
  'fingerprints daemon': (file) => /^daemon\/(protocol|start|builds|build-identity)\.ts$/.test(file),
  'cli script': (file) => file === 'script/answer.ts',
  'script compile': (file) => /^compile\/(call|identify|share|stand-in|write-event)\.ts$/.test(file),
  'main.ts compile': (file) => file === 'compile/stand-in.ts',
  'wrapper.ts store': (file) => !isCold(file),
  'wrapper.ts daemon': (file) => !isCold(file),
  'answer.ts store': (file) => !isCold(file),
  'answer.ts daemon': (file) => file === 'daemon/protocol.ts',
  'remote store': (file) => ['store/layout.ts', 'store/entries.ts', 'store/closures.ts'].includes(file),
  // The figures that the command line and the monitor share.
  'tui cli': (file) => /^cli\/(summary|explain|miss-causes|script-runs|network|background)\.ts$/.test(file),
};

/** Modules from outside that a compiler call may use: both are part of the runtime and cost nothing. */
const HOT_MODULES = ['bun', 'bun:ffi'];

/** Bytes of the minified bundle of wrapper.ts; it was 114 KB when this was written. */
const MAX_WRAPPER_BYTES = 116_000;

const MAX_LINES = 450;

const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
  .map((entry) => relative(SRC, join(entry.parentPath, entry.name)))
  .sort();
/** The sources that are another language's: texts of the program. */
const LAUNCHER = ['calls', 'compile', 'escapes', 'fill', 'launcher', 'observer', 'paths'].map(
  (name) => `launcher/${name}.rs`,
);
const STAND_IN = 'compile/stand-in.rs';
const textOf = (file: string): string => readFileSync(join(SRC, file), 'utf8');

interface Import {
  /** A path below src/, or the name of a module. */
  readonly target: string;
  readonly own: boolean;
  readonly dynamic: boolean;
}

/** Comments and the content of template literals, where the word `import` may stand for something else. */
const NOT_CODE = /\/\*[\s\S]*?\*\/|(?<![:'"`])\/\/.*|`(?:\\.|[^`\\])*`/g;

/** Every import and re-export of a file, those of types included, static and dynamic. */
function importsOf(file: string): Import[] {
  const text = textOf(file).replace(NOT_CODE, (part) => (part.startsWith('`import') ? part : ' '));
  const found = [
    ...text.matchAll(/(?:^|[;}\n])\s*(?:import|export)\b[^'";]*?\bfrom\s*(['"])([^'"\n]+)\1/g),
    ...text.matchAll(/(?:^|[;}\n])\s*import\s*(['"])([^'"\n]+)\1/g),
    ...text.matchAll(/\b(?:import|require)\s*\(\s*(['"])([^'"\n]+)\1/g),
  ];
  return found.map((match) => {
    const name = match[2] ?? '';
    const own = name.startsWith('.');
    return {
      target: own ? relative(SRC, resolve(SRC, file, '..', name)) : name,
      own,
      dynamic: /\(\s*['"]/.test(match[0]),
    };
  });
}

const graph = new Map(files.map((file) => [file, importsOf(file)]));
/** The one file outside src/ that is data of the program: its version. */
const MANIFEST = '../package.json';
const ownImports = (file: string): readonly Import[] =>
  (graph.get(file) ?? []).filter(({ own, target }) => own && target !== MANIFEST);
const layerOf = (file: string): string => (file.includes('/') ? (file.split('/')[0] ?? '') : file);

test('the reader of imports sees what the runtime sees', () => {
  const transpiler = new Bun.Transpiler({ loader: 'ts' });
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    const values = transpiler.scanImports(textOf(file)).map(({ path }) => path);
    const seen = (graph.get(file) ?? []).map(({ target, own }) => (own ? `./${target}` : target));
    for (const path of values) {
      const target = path.startsWith('.') ? `./${relative(SRC, resolve(SRC, file, '..', path))}` : path;
      expect([file, seen.includes(target), target]).toEqual([file, true, target]);
    }
  }
});

test('every file imports only what its layer may', () => {
  const wrong = files.flatMap((file) =>
    ownImports(file)
      .filter(({ target }) => {
        const [from, to] = [layerOf(file), layerOf(target)];
        if (from === to) return false;
        return !MAY_IMPORT[from]?.includes(to) || NARROW[`${from} ${to}`]?.(target) === false;
      })
      .map(({ target }) => `${file} imports ${target}`),
  );
  expect(wrong).toEqual([]);
  expect([...new Set(files.map(layerOf))].filter((layer) => MAY_IMPORT[layer] === undefined)).toEqual([]);
});

test('every import leads to a file there is, by its full name', () => {
  const wrong = files.flatMap((file) =>
    ownImports(file)
      .filter(({ target }) => ![...files, ...LAUNCHER, STAND_IN].includes(target))
      .map(({ target }) => `${file} imports ${target}`),
  );
  expect(wrong).toEqual([]);
});

test('there is no cycle, type imports included', () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error(`cycle: ${[...path, file].join(' -> ')}`);
    if (done.has(file)) return;
    for (const { target } of ownImports(file)) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

/** Loads a library of a thousand files, for those who need it only. */
const LAZY = ['remote/credentials.ts'];

test('dynamic imports stand in main.ts and cli/ only, and main.ts loads the command line by no other', () => {
  const dynamic = files.filter((file) => graph.get(file)?.some((one) => one.dynamic));
  expect(
    dynamic.filter((file) => file !== 'main.ts' && layerOf(file) !== 'cli' && !LAZY.includes(file)),
  ).toEqual([]);
  const cold = ownImports('main.ts').filter(({ target }) => isCold(target));
  expect(cold.length).toBeGreaterThan(0);
  expect(cold.filter((one) => !one.dynamic)).toEqual([]);
});

test('the monitor and what it is drawn with are loaded by a dynamic import only', () => {
  const imports = files
    .filter((file) => layerOf(file) !== 'tui')
    .flatMap((file) => (graph.get(file) ?? []).map((one) => ({ file, ...one })));
  const ofMonitor = imports.filter(({ target, own }) => own && layerOf(target) === 'tui');
  expect(ofMonitor.map(({ file, dynamic }) => [file, dynamic])).toEqual([['cli/monitor.ts', true]]);
  expect(imports.filter(({ target, own }) => !own && /^(ink|react)/.test(target))).toEqual([]);
});

test('the pipeline and the launcher are known to one file of the command line each', () => {
  const from = (target: string): string[] =>
    files.filter((file) => layerOf(file) === 'cli' && ownImports(file).some((one) => one.target === target));
  expect(from('answer.ts')).toEqual(['cli/daemon.ts']);
  expect(from('wrapper.ts')).toEqual([]);
  for (const source of LAUNCHER) expect(from(source)).toEqual(['cli/launcher.ts']);
});

test('no file is a barrel', () => {
  const barrels = files.filter((file) => {
    const text = textOf(file).replace(NOT_CODE, ' ');
    if (/^\s*export\s*\*/m.test(text)) return true;
    const rest = text.replace(/\b(?:import|export)\b[^'";]*?\bfrom\s*['"][^'"]+['"];?/g, '').trim();
    return rest === '';
  });
  expect(barrels).toEqual([]);
  expect(files.filter((file) => /(^|\/)(index|utils?|helpers?|common|misc)\.tsx?$/.test(file))).toEqual([]);
});

test('files are named in kebab-case, open with a comment, and stay readable in length', () => {
  const wrong = [...files, ...LAUNCHER, STAND_IN].flatMap((file) => {
    const text = textOf(file);
    return [
      ...(/^([a-z0-9-]+\/)*[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.(tsx?|rs)$/.test(file)
        ? []
        : [`${file} is not kebab-case`]),
      ...(text.startsWith('// ') ? [] : [`${file} does not say what it owns`]),
      ...(text.split('\n').length <= MAX_LINES ? [] : [`${file} is too long`]),
    ];
  });
  expect(wrong).toEqual([]);
});

test('no mutable module state: nothing is declared with let or var outside a function', () => {
  const wrong = files.filter((file) => /^(export )?(let|var) /m.test(textOf(file).replace(NOT_CODE, ' ')));
  expect(wrong).toEqual([]);
});

let bundle: { text: string; inputs: readonly string[] } = { text: '', inputs: [] };

beforeAll(async () => {
  const entry = join(SRC, 'wrapper.ts');
  const built = await Bun.build({
    entrypoints: [entry],
    minify: true,
    target: 'bun',
    metafile: true,
    root: SRC,
  });
  const [output] = built.outputs;
  const inputs = Object.keys(built.metafile?.inputs ?? {});
  bundle = { text: (await output?.text()) ?? '', inputs };
});

/** Paths of the metafile are relative to the folder the tests run in. */
const belowSrc = (input: string): string => relative(SRC, resolve(input));

test("the wrapper's bundle holds no cold file and nothing but our own", () => {
  const names = bundle.inputs.map(belowSrc);
  expect(names).toContain('wrapper.ts');
  expect(names.length).toBeGreaterThan(30);
  expect(names.filter((name) => ![...files, STAND_IN].includes(name))).toEqual([]);
  expect(names.filter(isCold)).toEqual([]);
});

test('it loads no package and nothing of node', () => {
  const modules = [...bundle.text.matchAll(/(?:\bfrom|\bimport|\brequire\(|\bimport\()\s*["']([^"']+)["']/g)];
  expect(modules.map((match) => match[1] ?? '').filter((name) => !HOT_MODULES.includes(name))).toEqual([]);
  const reached = bundle.inputs.map(belowSrc);
  const outside = reached.flatMap((file) => (graph.get(file) ?? []).filter(({ own }) => !own));
  expect(outside.map(({ target }) => target).filter((name) => !HOT_MODULES.includes(name))).toEqual([]);
});

test('it does not touch the streams that cost six milliseconds', () => {
  for (const file of bundle.inputs.map(belowSrc))
    expect([file, /process\.(stdout|stderr|stdin)/.test(textOf(file))]).toEqual([file, false]);
});

test('it stays small', () => {
  expect(bundle.text.length).toBeGreaterThan(10_000);
  expect(bundle.text.length).toBeLessThan(MAX_WRAPPER_BYTES);
});
