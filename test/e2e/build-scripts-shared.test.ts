// Runs of build scripts that use the tools of a system, that the daemon puts back, that travel in a pack, and the modes of
// what is put back.
import { afterAll, beforeAll, describe, expect } from 'bun:test';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DaemonStatus } from '../../src/daemon/server.ts';
import { filesBelow } from '../support/invariants.ts';
import { type Env, KACHE } from '../support/lab.ts';
import { endDaemons } from '../support/launcher.ts';
import { HIT, KEPT, KEPT_RUN, ScriptLab, scripted, scriptTests } from '../support/script-lab.ts';

const MINUTES = 60_000;
const { scripts, lab, onLinux } = scriptTests('kept build-script runs with tools, a daemon and packs');
const checkout = (script: string): string => scripts.checkout(script);

const daemon = (env: Env = {}): DaemonStatus =>
  JSON.parse(lab.run([KACHE, 'daemon', 'status', '--json'], { env }).stdout) as DaemonStatus;

const MANY_FILES =
  'fs::create_dir_all(out.join("a/b")).unwrap(); fs::write(out.join("a/b/c"), "c").unwrap(); fs::write(out.join("d"), "d").unwrap(); println!("cargo:rustc-env=SAID={}", out.display()); text(out.join("a/b/c"))';

onLinux(
  'a script of mkdir, sed, head, sort and cc is kept',
  () => {
    const shell =
      'set -e; cd "$OUT_DIR"; mkdir -p x/y; mkdir -p x/y; printf "b\\na\\n" | sort | head -1 > x/y/z; sed -i s/a/A/ x/y/z; echo "int f(void) { return 1; }" > f.c; cc -c f.c -o f.o; ar cr libf.a f.o; rm f.o; cat x/y/z';
    const dir = checkout(`said("sh", &["-c", ${JSON.stringify(shell)}])`);
    expect(scripts.right(dir)).toEqual([KEPT_RUN]);
    expect(scripts.right(dir)).toEqual([HIT]);
  },
  2 * MINUTES,
);

onLinux(
  'the daemon answers for a tree of files, and for none with a link; either is put back',
  () => {
    const [plain, linked] = [
      checkout(MANY_FILES),
      checkout(`symlink("nowhere", out.join("l")).unwrap(); ${MANY_FILES}`),
    ];
    for (const dir of [plain, linked]) expect(scripts.right(dir)).toEqual([KEPT_RUN]);
    lab.run([KACHE, 'daemon', 'start']);
    // Of each build four questions: the script and the program compiled, and its run; and nothing when all is done.
    const before = daemon().hits;
    expect(scripts.right(plain)).toEqual([HIT]);
    const between = daemon().hits;
    expect(between - before).toBe(3);
    expect(scripts.right(linked)).toEqual([HIT]);
    expect(daemon().hits - between).toBe(2);
    for (const dir of [plain, linked])
      expect(
        existsSync(join(dir, 'target/debug/build')) && lab.run(['find', dir, '-name', 'c']).stdout,
      ).toContain('/out/a/b/c\n');
  },
  2 * MINUTES,
);

onLinux(
  'a pack takes runs to a store with the same places, and no run that holds the value of a variable',
  () => {
    // The word of a setting is nobody's secret.
    const env: Env = { MY_NAME_FOR_IT: 'a name nobody else has', KACHE_LINK_MODE: 'hardlink' };
    const [plain, named] = [
      checkout(`fs::write(out.join("w"), "a hardlink").unwrap(); ${MANY_FILES}; variable("PROFILE")`),
      checkout('fs::write(out.join("n"), variable("MY_NAME_FOR_IT")).unwrap(); String::new()'),
    ];
    for (const dir of [plain, named]) expect(scripts.right(dir, { env })).toEqual([KEPT_RUN]);
    const [pack, without] = [lab.path('with.pack'), lab.path('without.pack')];
    const common = ['--bandwidth', '0'];
    expect(lab.run([KACHE, 'pack', 'save', pack, '--with-paths', ...common]).status).toBe(0);
    expect(lab.run([KACHE, 'pack', 'save', without, ...common]).status).toBe(0);
    const other = lab.path('other store');
    mkdirSync(other);
    const elsewhere = { ...env, KACHE_CACHE_DIR: other, RUSTC_WRAPPER: lab.launcher(other) };
    const results = (from: string, dir: string): string[] => {
      endDaemons(KACHE, [other]);
      rmSync(other, { recursive: true });
      expect(lab.run([KACHE, 'pack', 'restore', from], { env: { KACHE_CACHE_DIR: other } }).status).toBe(0);
      rmSync(join(dir, 'target'), { recursive: true });
      expect(
        lab.run(['cargo', 'build', '--offline'], { cwd: dir, env: { ...KEPT, ...elsewhere } }).status,
      ).toBe(0);
      lab.settle(other);
      const events = lab.run([KACHE, 'report', '--format', 'json'], { env: elsewhere, cwd: dir }).stdout;
      const { script_hits: hits, script_runs: runs } = (
        JSON.parse(events) as { summary: Record<string, number> }
      ).summary;
      return [`${hits} of ${runs}`];
    };
    expect(results(pack, plain)).toEqual(['1 of 1']);
    expect(results(pack, named)).toEqual(['0 of 1']);
    expect(results(without, plain)).toEqual(['0 of 1']);
  },
  2 * MINUTES,
);

describe('where a group may write', () => {
  const inherited = process.umask();
  beforeAll(() => {
    // As where everybody is in a group of their own.
    process.umask(0o002);
  });
  afterAll(() => {
    process.umask(inherited);
  });

  const bodies = {
    'with files':
      'fs::create_dir_all(out.join("made/below")).unwrap(); fs::write(out.join("made/below/file.txt"), "").unwrap(); String::new()',
    empty: 'fs::create_dir_all(out.join("made/below")).unwrap(); String::new()',
  };
  for (const [name, body] of Object.entries(bodies))
    onLinux(
      `folders ${name} that a script has made come back with the mode they had`,
      () => {
        using own = new ScriptLab();
        const results = ['first', 'second'].map((at) => {
          const dir = own.lab.write(at, scripted(body));
          return [own.build(dir).runs, modesIn(dir)];
        });
        expect(results).toEqual([
          [[KEPT_RUN], ['775', '775']],
          [[HIT], ['775', '775']],
        ]);
      },
      2 * MINUTES,
    );

  /** The modes of the folders that the script has made. */
  function modesIn(dir: string): string[] {
    const file = filesBelow(join(dir, 'target')).find(({ path }) => path.endsWith('/out/out.txt'));
    if (file === undefined)
      throw new Error(`Cannot look at what the script made in "${dir}": there is nothing.`);
    const out = join(file.path, '..');
    return ['made', 'made/below'].map((name) => (statSync(join(out, name)).mode & 0o777).toString(8));
  }
});
