// After every kind of edit the build through kache is the build without it, and going back is a hit.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CargoResult, type Env, Lab, libraries } from '../support/lab.ts';
import { WORKSPACE } from '../support/workspace.ts';

const TIMEOUT_MS = 120_000;
let lab: Lab;
let dir: string;

beforeAll(() => {
  lab = new Lab();
  const first = lab.write('first', WORKSPACE);
  expect(lab.cargo(first, ['build', '--offline']).status).toBe(0);
  // The edits happen in a checkout that was never compiled: everything it starts from comes out of the store.
  dir = lab.copy(first, 'second/checkout');
  expect(lab.cargo(dir, ['build', '--offline']).status).toBe(0);
}, TIMEOUT_MS);
afterAll(() => lab[Symbol.dispose]());

interface Outcome {
  readonly status: number | null;
  readonly printed: string;
  readonly built: CargoResult;
}

/** Cargo does not watch what macros read: as a person would, touch the crate that uses it. */
const touch = (): void => utimesSync(join(dir, 'app/src/lib.rs'), new Date(), new Date());

function build(how: { kache: boolean; env: Env; args: readonly string[] }): Outcome {
  const built = lab.cargo(dir, ['build', '--offline', ...how.args], how);
  const target = how.kache ? join(dir, 'target') : lab.plainTarget(dir);
  const profile = how.args.includes('--release') ? 'release' : 'debug';
  const printed = built.status === 0 ? Bun.spawnSync([join(target, profile, 'app')]).stdout.toString() : '';
  return { status: built.status, printed, built };
}

/** Builds both ways and compares; plain cargo starts from nothing, so that nothing stale can agree by chance. */
function compare(env: Env = {}, args: readonly string[] = []): Outcome {
  touch();
  rmSync(lab.plainTarget(dir), { recursive: true, force: true });
  const plain = build({ kache: false, env, args });
  const cached = build({ kache: true, env, args });
  expect([cached.status, cached.printed]).toEqual([plain.status, plain.printed]);
  if (plain.status !== 0) {
    const errors = (text: string): string[] =>
      text
        .split('\n')
        .filter(
          (line) => /^(error|warning| *-->)/.test(line) && !/could not compile|build failed/.test(line),
        );
    expect(errors(cached.built.stderr)).toEqual(errors(plain.built.stderr));
  }
  return cached;
}

const at = (name: string): string => join(dir, name);
const read = (name: string): string => readFileSync(at(name), 'utf8');

/** One edit: how it is made, and by how it is taken back; what of the binary's output must have changed. */
interface Edit {
  readonly name: string;
  readonly files?: Readonly<Record<string, string | ((text: string) => string) | undefined>>;
  readonly env?: Env;
  readonly args?: readonly string[];
  readonly shows?: string;
  readonly fails?: boolean;
}

const EDITS: readonly Edit[] = [
  {
    name: 'the crate root',
    files: {
      'app/src/lib.rs': (text) =>
        text.replace(
          "pub fn file() -> &'static str { file!() }",
          'pub fn file() -> &\'static str { "edited" }',
        ),
    },
    shows: 'edited',
  },
  {
    name: 'a module',
    files: { 'app/src/left.rs': 'pub fn side() -> &\'static str { "LEFT" }\n' },
    shows: 'LEFT',
  },
  {
    name: 'the contents of two modules swapped',
    files: {
      'app/src/left.rs': WORKSPACE['app/src/right.rs'],
      'app/src/right.rs': WORKSPACE['app/src/left.rs'],
    },
    shows: 'right left',
  },
  {
    name: 'a new module',
    files: {
      'app/src/lib.rs': (text) =>
        text.replace(
          'pub mod left;',
          "pub mod left { pub fn side() -> &'static str { super::fresh::SIDE } }\nmod fresh;",
        ),
      'app/src/fresh.rs': 'pub const SIDE: &str = "fresh";\n',
    },
    shows: 'fresh',
  },
  {
    name: 'the other spelling of a module appears',
    files: { 'app/src/left/mod.rs': 'pub fn side() -> &\'static str { "ambiguous" }\n' },
    fails: true,
  },
  { name: 'a module goes', files: { 'app/src/right.rs': undefined }, fails: true },
  {
    name: 'a type error',
    files: { 'app/src/left.rs': "pub fn side() -> &'static str { 1 }\n" },
    fails: true,
  },
  { name: 'an included file', files: { 'app/data/included.txt': 'other text\n' }, shows: 'other text' },
  { name: 'option_env! set to nothing', env: { OPTION_OF_TESTS: '' }, shows: 'Some("")' },
  { name: 'option_env! set', env: { OPTION_OF_TESTS: 'value' }, shows: 'Some("value")' },
  {
    name: "a file a macro reads in its user's package",
    files: { 'app/data/text.txt': 'two\n' },
    shows: 'two',
  },
  {
    name: 'a file a macro reads elsewhere in the workspace',
    files: { 'shared/words.txt': 'other words\n' },
    shows: 'other words',
  },
  { name: 'a file a macro found missing appears', files: { '.env': 'SECRET=1\n' }, shows: 'SECRET' },
  { name: 'a file is added to a folder a macro lists', files: { 'app/items/c.txt': '' }, shows: 'c.txt' },
  {
    name: 'a file is removed from a folder a macro lists',
    files: { 'app/items/b.txt': undefined },
    shows: '"a.txt"',
  },
  { name: 'a variable a macro reads is set', env: { GREETING_OF_TESTS: 'hello' }, shows: 'hello' },
  {
    name: 'a variable a macro reads is set to something else',
    env: { GREETING_OF_TESTS: 'good day' },
    shows: 'good day',
  },
  {
    name: 'a variable a macro reads, by a name from the source',
    env: { CHOSEN_BY_SOURCE: 'chosen' },
    shows: 'chosen',
  },
  {
    name: 'the same, where the name is no word',
    env: { 'chosen.by-source': 'dotted' },
    shows: 'dotted',
  },
  {
    name: 'the code of a macro',
    files: {
      'macros/src/lib.rs': (text) =>
        text.replace('"none"', '"nothing"').replace('unwrap_or("unset"', 'unwrap_or("not set"'),
    },
    shows: 'not set',
  },
  { name: 'a feature', args: ['--features', 'app/loud'], shows: 'true false' },
  { name: 'RUSTFLAGS', env: { RUSTFLAGS: '--cfg flagged_by_tests' }, shows: 'false true' },
  { name: 'the profile', args: ['--release'] },
  { name: 'lints tightened', env: { RUSTFLAGS: '-D warnings' }, fails: true },
  {
    name: 'what a build script generates',
    files: { 'generated/build.rs': (text) => text.replace('42', '43') },
    shows: ' 43 ',
  },
  {
    name: 'what a build script generates for a macro to read',
    files: { 'generated/build.rs': (text) => text.replace('select', 'insert') },
    shows: 'insert',
  },
  {
    name: 'C code behind a static library of an odd name',
    files: { 'native/c/odd.c': 'int odd(void) { return 80; }\n' },
    shows: ' 80',
  },
  {
    name: 'C code behind a static library',
    files: { 'native/c/tiny.c': 'int tiny(void) { return 8; }\n' },
    shows: ' 8',
  },
  {
    name: 'the version of a dependency',
    files: {
      'place/Cargo.toml': (text) => text.replace('0.1.0', '0.2.0'),
      'place/src/lib.rs': 'pub fn dir() -> &\'static str { env!("CARGO_PKG_VERSION") }\n',
    },
    shows: '0.2.0',
  },
  {
    name: 'the length of a real path in a constant',
    files: {
      'place/src/lib.rs':
        'const N: usize = env!("CARGO_MANIFEST_DIR").len();\npub fn dir() -> String { format!("length {N}") }\n',
    },
    shows: 'length',
  },
];

for (const edit of EDITS) {
  test(
    edit.name,
    () => {
      const before = build({ kache: true, env: {}, args: [] }).printed;
      const saved = new Map(
        Object.keys(edit.files ?? {}).map((name) => [name, name in WORKSPACE ? read(name) : undefined]),
      );
      for (const [name, change] of Object.entries(edit.files ?? {})) {
        if (change === undefined) rmSync(at(name));
        else lab.write(dir, { [name]: typeof change === 'string' ? change : change(read(name)) });
      }
      const edited = compare(edit.env, edit.args);
      if (edit.fails === true) expect(edited.status).not.toBe(0);
      else if (edit.shows !== undefined) {
        expect(edited.printed).toContain(edit.shows);
        expect(edited.printed).not.toBe(before);
      }
      for (const [name, text] of saved) {
        if (text === undefined) rmSync(at(name));
        else writeFileSync(at(name), text);
      }
      rmSync(at('app/src/left'), { recursive: true, force: true });
      const back = compare();
      expect(back.printed).toBe(before);
      // Taken back, it is what it was: from the store.
      for (const [crate, result] of Object.entries(libraries(back.built)))
        expect([crate, result]).toEqual([crate, 'local_hit']);
    },
    TIMEOUT_MS,
  );
}

test(
  'what does not matter costs nothing: a README, an edit made again elsewhere',
  () => {
    compare();
    lab.write(dir, { 'README.md': 'new\n', 'app/README.md': 'new\n', LICENSE: 'new\n' });
    expect(libraries(compare().built)).toEqual({ app: 'local_hit' });
    lab.write(dir, { 'app/src/left.rs': 'pub fn side() -> &\'static str { "the same edit" }\n' });
    expect(libraries(compare().built)['app']).toBe('miss');
    const third = lab.copy(dir, 'third');
    const elsewhere = libraries(lab.cargo(third, ['build', '--offline']));
    // `place` holds its checkout's path, and `app` is built on it.
    expect([elsewhere['facade'], elsewhere['generated'], elsewhere['native']]).toEqual([
      'local_hit',
      'local_hit',
      'local_hit',
    ]);
    for (const name of ['README.md', 'app/README.md', 'LICENSE']) rmSync(at(name));
    writeFileSync(at('app/src/left.rs'), WORKSPACE['app/src/left.rs'] ?? '');
    mkdirSync(at('app/items'), { recursive: true });
  },
  TIMEOUT_MS,
);
