// Target folders with stand-ins and kept runs that are cleaned away: what goes, what stays, and what the next build gives.
import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Files, KACHE } from '../support/lab.ts';
import { HIT, KEPT, KEPT_RUN, ScriptLab, scripted } from '../support/script-lab.ts';
import { until } from '../support/wrapper-call.ts';

const MINUTES = 60_000;
const scripts = new ScriptLab();
const { lab } = scripts;
afterAll(() => {
  scripts.expectSound();
  scripts[Symbol.dispose]();
}, MINUTES);

/** A script that leaves something large, and what tells one run from another. */
const MAKES = `fs::write(out.join("large"), vec![b'x'; 2_000_000]).unwrap();
  fs::create_dir(out.join("below")).unwrap(); symlink("../large", out.join("below/link")).unwrap();
  let mut nonce = [0; 16];
  std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut nonce).unwrap();
  format!("{} {nonce:?}", text("data.txt"))`;

/** Each file below a folder: its size and how it is shared. */
const filesIn = (dir: string): string =>
  lab.run(['find', dir, '-type', 'f', '-printf', '%P %s %n %T@\\n'], { cwd: dir }).stdout;

interface Cleaned {
  readonly targets: readonly {
    readonly path: string;
    readonly occupied_bytes: number;
    readonly exclusive_bytes: number;
    readonly outcome: string;
    readonly freed_bytes: number;
  }[];
  readonly freeable_bytes: number;
  readonly freed_bytes: number;
}

const clean = (...args: string[]): { status: number | null; report: Cleaned } => {
  const { status, stdout } = lab.run([KACHE, 'clean', '--json', ...args]);
  return { status, report: JSON.parse(stdout) as Cleaned };
};

test(
  'what is cleaned goes with its stand-ins; the store, other targets and the next build have everything',
  () => {
    const [a, b] = ['a', 'deeper/b'].map((at) =>
      lab.write(`cleaned/${at}`, scripted(MAKES, { 'scripted/data.txt': 'one' })),
    ) as [string, string];
    const says = (dir: string): string => lab.run([join(dir, 'target/debug/scripted')]).stdout;
    expect([scripts.build(a).runs, scripts.build(b).runs]).toEqual([[KEPT_RUN], [HIT]]);
    const before = [filesIn(a), filesIn(b)];

    const shown = clean('-n', lab.path('cleaned'));
    expect(shown.report.targets.map(({ path }) => path).sort()).toEqual(
      [a, b].map((dir) => join(dir, 'target')),
    );
    for (const target of shown.report.targets) {
      const [occupied] = lab.run(['du', '-s', '-B1', target.path]).stdout.split('\t');
      expect([target.occupied_bytes, target.outcome]).toEqual([Number(occupied), 'kept']);
    }
    expect([filesIn(a), filesIn(b)]).toEqual(before);

    const blobs = filesIn(join(lab.store, 'blobs'));
    const done = clean('-y', b);
    expect([done.status, done.report.targets.map(({ outcome }) => outcome)]).toEqual([0, ['removed']]);
    // The folder of the removal itself may be one block more.
    expect(done.report.freed_bytes - done.report.freeable_bytes).toBeWithin(0, 8192);
    expect([existsSync(join(b, 'target')), filesIn(a)]).toEqual([false, before[0] as string]);
    // A name of a blob that was in the target is gone, and nothing else.
    const withoutLinks = (text: string): string => text.replace(/^(\S+ \d+) \d+/gm, '$1');
    expect(withoutLinks(filesIn(join(lab.store, 'blobs')))).toBe(withoutLinks(blobs));

    expect(scripts.build(b)).toMatchObject({ status: 0, runs: [HIT] });
    expect([says(b), scripts.build(a).runs]).toEqual([says(a), []]);

    // All of it, and the store too.
    expect(lab.run([KACHE, 'purge']).status).toBe(0);
    expect(scripts.build(a)).toMatchObject({ status: 0, runs: [] });
    expect(clean('-y', lab.path('cleaned')).report.targets.map(({ outcome }) => outcome)).toEqual([
      'removed',
      'removed',
    ]);
    expect([scripts.build(a).runs, scripts.build(b).runs]).toEqual([[KEPT_RUN], [HIT]]);
    expect(says(b)).toBe(says(a));
    scripts.expectSound();
  },
  2 * MINUTES,
);

/** Waits, when its file is there, until somebody takes it away, and says nothing of that. */
const LINGERS = `
use std::{env, fs, path::Path, thread::sleep, time::Duration};
fn main() {
    // A program of its own: whether its runs are kept is noted by its bytes.
    std::hint::black_box("NAME");
    let made = Path::new(&env::var("OUT_DIR").unwrap()).join("out.txt");
    fs::write(&made, "made").unwrap();
    for _ in 0..400 { if !made.exists() { break; } sleep(Duration::from_millis(5)); }
}
`;

const madeIn = (dir: string): string | undefined => {
  const build = join(dir, 'target/debug/build');
  const found = existsSync(build) ? readdirSync(build).map((name) => join(build, name, 'out/out.txt')) : [];
  return found.find((path) => existsSync(path));
};

/** A build that goes on beside the test. */
const started = (dir: string): Bun.Subprocess =>
  Bun.spawn(['cargo', 'build', '--offline'], {
    cwd: dir,
    env: lab.env({ ...KEPT, RUSTC_WRAPPER: lab.launcher() }),
    stdio: ['ignore', 'ignore', 'ignore'],
  });

describe('a run whose OUT_DIR goes while it lasts is not kept', () => {
  const killed = async (cargo: Bun.Subprocess): Promise<void> => {
    cargo.kill('SIGKILL');
    await cargo.exited;
  };
  const ways: Record<string, (dir: string, cargo: Bun.Subprocess) => Promise<void>> = {
    'by rm, which has not come to other folders yet': async (dir) =>
      rmSync(join(dir, 'target/debug/build'), { recursive: true }),
    'by clean, after cargo was killed': async (dir, cargo) => {
      await killed(cargo);
      expect(lab.run([KACHE, 'clean', '-y', dir]).stdout).toContain('Deleted 1 directory');
    },
    // As by a build that has begun there.
    'its file, after cargo was killed': async (dir, cargo) => {
      await killed(cargo);
      rmSync(madeIn(dir) as string);
    },
  };
  for (const [name, takeAway] of Object.entries(ways))
    test(
      name,
      async () => {
        const files: Files = { 'scripted/build.rs': LINGERS.replace('NAME', name) };
        const dir = lab.write(`gone/${name.replaceAll(/\W/g, '-')}`, scripted('"".into()', files));
        const before = lab.events().length;
        const cargo = started(dir);
        await until('the script has made its file', () => madeIn(dir) !== undefined);
        await takeAway(dir, cargo);
        await cargo.exited;
        const runs = () =>
          lab
            .events()
            .slice(before)
            .filter(({ crate_types: of }) => of === 'build-script-run');
        await until('the run has ended', () => runs().length > 0);
        expect(runs()).toMatchObject([{ result: 'skipped' }]);
        rmSync(join(dir, 'target'), { recursive: true, force: true });
        expect(scripts.build(dir)).toMatchObject({ status: 0 });
        expect(lab.run([join(dir, 'target/debug/scripted')]).stdout).toBe('made None\n');
      },
      MINUTES,
    );
});

test(
  'while a script runs its target is left alone',
  async () => {
    const dir = lab.write('busy', scripted('"".into()', { 'scripted/build.rs': LINGERS }));
    const cargo = started(dir);
    await until('the script has made its file', () => madeIn(dir) !== undefined);
    const done = clean('-y', dir);
    expect([done.status, done.report.targets.map(({ outcome }) => outcome)]).toEqual([1, ['busy']]);
    rmSync(madeIn(dir) as string);
    expect(await cargo.exited).not.toBe(0);
    rmSync(join(dir, 'target'), { recursive: true });
  },
  MINUTES,
);
