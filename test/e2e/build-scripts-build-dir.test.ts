// Runs of build scripts that are kept, where Cargo builds in a folder apart from the target folder (`build.build-dir`).
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { type Env, type Files, freshness } from '../support/lab.ts';
import { manifest, ScriptLab, scripted, scriptOf } from '../support/script-lab.ts';

const MINUTES = 60_000;
const scripts = new ScriptLab();
const { lab } = scripts;
const home = lab.path('cargo-home');
const sources = join(home, 'registry/src/crates');
beforeAll(() => {
  const config = `[source.crates-io]\nreplace-with = "unpacked"\n[source.unpacked]\ndirectory = "${sources}"\n`;
  lab.write(home, { 'config.toml': config });
});
afterAll(() => {
  scripts.expectSound();
  scripts[Symbol.dispose]();
}, MINUTES);

/** Where Cargo builds, for a checkout. */
type BuildDir = (dir: string) => string;
const LAYOUTS = {
  'in the checkout': () => '{workspace-root}/built',
  'in the target folder': () => 'target/built',
  'beside the checkout': (dir) => `${dir}-built`,
  'by a template': () => `${lab.path('builds')}/{workspace-path-hash}`,
  "by a template in Cargo's home": () => '{cargo-cache-home}/build/{workspace-path-hash}',
} as const satisfies Readonly<Record<string, BuildDir>>;
const BY_TEMPLATE = LAYOUTS['by a template'];
const IN_CHECKOUT = LAYOUTS['in the checkout'];

let count = 0;
/** Checkouts of an application with a dependency whose build script has this body. */
function checkouts(body: string, places: readonly string[], files: Files = {}): string[] {
  const name = `given-${++count}`;
  lab.write(join(sources, `${name}-0.1.0`), {
    'Cargo.toml': manifest(name),
    '.cargo-checksum.json': '{"files":{},"package":null}',
    // A program of its own: whether its runs are kept is noted by its bytes.
    'build.rs': scriptOf(`std::hint::black_box("${name}"); ${body}`),
    'src/lib.rs': 'pub const SAID: &str = include_str!(concat!(env!("OUT_DIR"), "/out.txt"));\n',
  });
  return places.map((at) =>
    lab.write(`places/${count}/${at}`, {
      'Cargo.toml': manifest('application', `[dependencies]\n${name} = "0.1"\n`),
      'src/main.rs': `fn main() { println!("{}", given_${count}::SAID); }\n`,
      ...files,
    }),
  );
}

interface Built {
  readonly runs: readonly string[];
  readonly says: string;
}

interface How {
  readonly layout: BuildDir;
  readonly env?: Env;
  readonly args?: readonly string[];
  readonly program?: string;
  /** What is put into the places of a build before it begins. */
  readonly before?: () => void;
}

/** Builds from nothing in the same places without and with kache, which must agree. */
function right(
  dir: string,
  { layout, env: more, args = [], program = 'debug/application', before }: How,
): Built {
  const env: Env = { CARGO_HOME: home, ...more };
  lab.write(dir, { '.cargo/config.toml': `[build]\nbuild-dir = "${layout(dir)}"\n` });
  const says = (): string => lab.run([join(dir, 'target', program)]).stdout;
  const clean = (): void => {
    expect(lab.run(['cargo', 'clean', '--offline'], { cwd: dir, env }).status).toBe(0);
    before?.();
  };
  clean();
  const plain = lab.run(['cargo', 'build', ...args, '--offline'], { cwd: dir, env });
  expect([plain.status, plain.stderr]).toEqual([0, expect.stringContaining('Finished')]);
  const expected = says();
  clean();
  const built = scripts.build(dir, { env, args: ['build', ...args] });
  expect([built.status, says()]).toEqual([0, expected]);
  const again = scripts.build(dir, { env, args: ['build', ...args, '--message-format=json'] });
  expect([again.status, freshness(again.stdout).rebuilt, again.runs]).toEqual([0, [], []]);
  const runs = built.runs.map((run) => run.replace(/^given_\d+ /, ''));
  return { runs, says: expected.trim() };
}

const PLACES = ['a', 'deeper/b'];

describe('a dependency is put back in another checkout', () => {
  for (const [name, layout] of Object.entries(LAYOUTS))
    test(
      name,
      () => {
        const found = checkouts('variable("PROFILE")', PLACES).map((dir) => right(dir, { layout }));
        expect(found).toEqual([
          { runs: ['miss'], says: 'debug' },
          { runs: ['local_hit'], says: 'debug' },
        ]);
      },
      2 * MINUTES,
    );
});

test(
  'for another profile, and across targets',
  () => {
    const host = lab.run(['rustc', '--print', 'host-tuple']).stdout.trim();
    const how = { layout: BY_TEMPLATE, args: ['--release', '--target', host] };
    const found = checkouts('variable("PROFILE")', PLACES).map((dir) =>
      right(dir, { ...how, program: `${host}/release/application` }),
    );
    expect(found).toEqual([
      { runs: ['miss'], says: 'release' },
      { runs: ['local_hit'], says: 'release' },
    ]);
  },
  2 * MINUTES,
);

test(
  'a member of the workspace is put back in its own checkout, and in another one that lies the same way',
  () => {
    const runsIn = (name: keyof typeof LAYOUTS): readonly string[][] =>
      PLACES.map((at) => {
        count++;
        const body = `std::hint::black_box("${name}"); text("data.txt")`;
        const dir = lab.write(`members/${count}/${at}`, scripted(body, { 'scripted/data.txt': 'one' }));
        const how = { layout: LAYOUTS[name], program: 'debug/scripted' };
        return [right(dir, how), right(dir, how)].flatMap(({ runs }) => runs);
      });
    const [miss, hit] = ['scripted miss', 'scripted local_hit'] as const;
    expect(runsIn('in the checkout')).toEqual([
      [miss, hit],
      [hit, hit],
    ]);
    expect(runsIn('by a template')).toEqual([
      [miss, hit],
      [miss, hit],
    ]);
  },
  3 * MINUTES,
);

/** The folder of what Cargo was asked for, as a script can know it. */
const ARTIFACTS = `let apart = env::var("LD_LIBRARY_PATH").unwrap().split(':').find(|p| p.ends_with("target/debug")).map(PathBuf::from).unwrap();`;

describe('what would be another thing in another checkout is its own', () => {
  for (const name of ['in the checkout', 'beside the checkout'] as const) {
    const layout = LAYOUTS[name];
    /** Two checkouts, of which the second has these files where Cargo puts what it is asked for. */
    const moved = (
      what: string,
      body: string,
      { files = {}, expected }: { files?: Files; expected: string[] },
    ) =>
      test(
        `${name}: ${what}`,
        () => {
          const [a, b] = checkouts(`${ARTIFACTS} ${body}`, PLACES) as [string, string];
          const before = (): void => {
            lab.write(join(b, 'target/debug'), files);
          };
          const runs = [right(a, { layout }), right(b, { layout, before })].flatMap((one) => one.runs);
          expect(runs).toEqual(expected);
        },
        2 * MINUTES,
      );
    const beside = ['skipped read-beside-target'];
    moved('a file that is there in one of them', 'format!("{}", apart.join("libgiven.so").exists())', {
      files: { 'libgiven.so': '' },
      expected: ['miss', ...beside],
    });
    moved(
      'a file that is there in both',
      'fs::write("/dev/null", "").unwrap(); text(apart.join("application.d"))',
      {
        files: { 'application.d': 'made by hand' },
        expected: ['miss', ...beside],
      },
    );
    moved(
      'its names',
      'let mut names: Vec<_> = fs::read_dir(apart).unwrap().map(|e| format!("{:?}", e.unwrap().file_name())).filter(|name| name.contains("own")).collect(); names.sort(); format!("{names:?}")',
      { files: { own: '' }, expected: beside },
    );
    moved('its path in a file', 'format!("{}", apart.display())', {
      expected: ['skipped holds-a-path'],
    });
    moved('a file beside it', 'text(apart.join("../../src/main.rs"))', { expected: beside });
    moved(
      'its path in what is printed',
      'println!("cargo:rustc-env=SAID={}", apart.display()); SAME'.replace('SAME', '"same".to_string()'),
      {
        expected: ['miss', 'local_hit'],
      },
    );
    test(
      `${name}: a folder that is there in one of them`,
      () => {
        const body = `${ARTIFACTS} apart.with_file_name("doc").is_dir().to_string()`;
        const [a, b] = checkouts(body, PLACES) as [string, string];
        const before = (): void => void lab.write(join(a, 'target/doc'), { page: '' });
        expect(right(a, { layout, before })).toEqual({ runs: ['miss'], says: 'true' });
        expect(right(b, { layout })).toEqual({ runs: ['miss'], says: 'false' });
      },
      2 * MINUTES,
    );
    const way = (from: string, to: string): string => `
      let (from, to): (Vec<_>, Vec<_>) = (${from}.components().collect(), ${to}.components().collect());
      let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
      from[shared..].iter().map(|_| "..".as_ref()).chain(to[shared..].iter().map(|c| c.as_os_str())).collect::<PathBuf>().display().to_string()`;
    moved('the way from it in a file', way('apart', 'out'), {
      expected: layout === IN_CHECKOUT ? ['miss', 'local_hit'] : ['skipped holds-a-path'],
    });
    moved('the way to it in a file', way('out', 'apart'), { expected: ['skipped holds-a-path'] });
  }
});

test(
  'a way that leads to another place where Cargo builds elsewhere',
  () => {
    const body = 'text(out.join("../../../../../target/debug/told.txt"))';
    const [first, within, beside] = checkouts(body, ['a', 'b', 'c']) as [string, string, string];
    expect(right(first, { layout: IN_CHECKOUT })).toEqual({ runs: ['miss'], says: 'nothing' });
    // There is still nothing where the first one has looked, written against the places of these.
    const told = { 'target/debug/told.txt': 'told' };
    const before = (): void => void lab.write(join(within, 'target'), told);
    const layout = LAYOUTS['in the target folder'];
    expect(right(within, { layout, before }).says).toBe('told');
    lab.write(join(beside, '..'), told);
    expect(right(beside, { layout: LAYOUTS['beside the checkout'] }).says).toBe('told');
  },
  2 * MINUTES,
);
