// Runs of build scripts that use the tools of a system, that the daemon puts back, and that travel in a pack.
import { afterAll, expect, test } from 'bun:test';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DaemonStatus } from '../../src/daemon/server.ts';
import { type Env, KACHE } from '../support/lab.ts';
import { endDaemons } from '../support/launcher.ts';
import { KEPT, ScriptLab, scripted } from '../support/script-checkouts.ts';

const MINUTES = 60_000;
const scripts = new ScriptLab();
const { lab } = scripts;
afterAll(() => {
  scripts.expectSound();
  endDaemons(KACHE, [lab.store, lab.path('other store')]);
  scripts[Symbol.dispose]();
}, MINUTES);

let count = 0;
const checkout = (script: string): string =>
  lab.write(`shared/${++count}/here`, scripted(`std::hint::black_box("shared ${count}"); ${script}`));

const daemon = (env: Env = {}): DaemonStatus =>
  JSON.parse(lab.run([KACHE, 'daemon', 'status', '--json'], { env }).stdout) as DaemonStatus;

const MANY_FILES =
  'fs::create_dir_all(out.join("a/b")).unwrap(); fs::write(out.join("a/b/c"), "c").unwrap(); fs::write(out.join("d"), "d").unwrap(); println!("cargo:rustc-env=SAID={}", out.display()); text(out.join("a/b/c"))';

test(
  'a script of mkdir, sed, head, sort and cc is kept',
  () => {
    const shell =
      'set -e; cd "$OUT_DIR"; mkdir -p x/y; mkdir -p x/y; printf "b\\na\\n" | sort | head -1 > x/y/z; sed -i s/a/A/ x/y/z; echo "int f(void) { return 1; }" > f.c; cc -c f.c -o f.o; ar cr libf.a f.o; rm f.o; cat x/y/z';
    const dir = checkout(`said("sh", &["-c", ${JSON.stringify(shell)}])`);
    expect(scripts.right(dir)).toEqual(['scripted miss']);
    expect(scripts.right(dir)).toEqual(['scripted local_hit']);
  },
  2 * MINUTES,
);

test(
  'the daemon answers for a tree of files, and for none with a link; either is put back',
  () => {
    const [plain, linked] = [
      checkout(MANY_FILES),
      checkout(`symlink("nowhere", out.join("l")).unwrap(); ${MANY_FILES}`),
    ];
    for (const dir of [plain, linked]) expect(scripts.right(dir)).toEqual(['scripted miss']);
    lab.run([KACHE, 'daemon', 'start']);
    // Of each build four questions: the script and the program compiled, and its run; and nothing when all is done.
    const before = daemon().hits;
    expect(scripts.right(plain)).toEqual(['scripted local_hit']);
    const between = daemon().hits;
    expect(between - before).toBe(3);
    expect(scripts.right(linked)).toEqual(['scripted local_hit']);
    expect(daemon().hits - between).toBe(2);
    for (const dir of [plain, linked])
      expect(
        existsSync(join(dir, 'target/debug/build')) && lab.run(['find', dir, '-name', 'c']).stdout,
      ).toContain('/out/a/b/c\n');
  },
  2 * MINUTES,
);

test(
  'a pack takes runs to a store with the same places, and no run that holds the value of a variable',
  () => {
    const env: Env = { MY_NAME_FOR_IT: 'a name nobody else has' };
    const [plain, named] = [
      checkout(`${MANY_FILES}; variable("PROFILE")`),
      checkout('fs::write(out.join("n"), variable("MY_NAME_FOR_IT")).unwrap(); String::new()'),
    ];
    for (const dir of [plain, named]) expect(scripts.right(dir, { env })).toEqual(['scripted miss']);
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
