// The main job on a real application: fd, built cold in one checkout, then in a second one that was never compiled.
// Every claim it prints is checked; it exits with 1 when one does not hold.
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { APPLICATIONS, fetchApplication } from '../bench/applications.ts';
import { baseEnv } from '../bench/phases.ts';
import { summarize } from '../src/cli/summary.ts';
import { readEvents } from '../src/store/event-log.ts';
import { StoreLayout } from '../src/store/layout.ts';
import { Store } from '../src/store/store.ts';

const kache = join(import.meta.dir, '..', 'dist', 'kache');
if (!existsSync(kache)) {
  console.error('Cannot show "dist/kache": it is not there. Run `npm run build` first.');
  process.exit(1);
}
const root = mkdtempSync(join(tmpdir(), 'kache-demo-'));
const store = new Store(new StoreLayout(join(root, 'store')), false);
let failed = false;

function claim(what: string, holds: boolean): void {
  console.log(`  ${holds ? 'yes' : 'NO '}  ${what}`);
  failed ||= !holds;
}

function build(dir: string): { seconds: number; compiled: number; sinceMs: number } {
  const sinceMs = Date.now();
  const from = performance.now();
  const env = { ...baseEnv(), KACHE_CACHE_DIR: store.layout.root };
  const done = Bun.spawnSync([kache, 'cargo', 'build', '--locked'], {
    cwd: dir,
    env,
    stdout: 'ignore',
    stderr: 'pipe',
  });
  if (done.exitCode !== 0) throw new Error(`Cannot build ${dir}: ${done.stderr.toString()}`);
  const compiled = done.stderr
    .toString()
    .split('\n')
    .filter((line) => line.includes('Compiling')).length;
  return { seconds: (performance.now() - from) / 1000, compiled, sinceMs };
}

const seconds = (built: { seconds: number }): string => built.seconds.toFixed(1).padStart(5);

try {
  const application = APPLICATIONS.find(({ name }) => name === 'fd-find');
  if (application === undefined) throw new Error('the application is not in the list');
  console.log(`Fetching ${application.name} ${application.version} and its dependencies with cargo…\n`);
  const source = fetchApplication(application, root);
  const [a, b] = [join(root, 'first'), join(root, 'a/worktree/elsewhere')];
  for (const dir of [a, b]) cpSync(source, dir, { recursive: true });

  const cold = build(a);
  const before = summarize(readEvents(store, cold.sinceMs));
  const made = before.misses + before.dups;
  console.log(`First checkout, empty store:  ${seconds(cold)} s  ${made} libraries compiled and stored`);
  const warm = build(b);
  const after = summarize(readEvents(store, warm.sinceMs));
  console.log(
    `Second one, never built:      ${seconds(warm)} s  ${after.local_hits} libraries from the store, ${after.misses + after.dups} compiled\n`,
  );

  claim('everything that could be kept was kept', made > 0 && before.skipped === 0);
  claim(
    'every library the second checkout needed was a hit',
    after.local_hits === made && after.total_crates === made && after.skipped === 0,
  );
  claim(
    'a further build does nothing, in either checkout',
    [b, a, b].every((dir) => build(dir).compiled === 0),
  );
  const deps = (dir: string): string => join(dir, 'target/debug/deps');
  const rlibs = readdirSync(deps(b)).filter((name) => name.endsWith('.rlib'));
  const linked = rlibs.filter(
    (name) => statSync(join(deps(a), name)).ino === statSync(join(deps(b), name)).ino,
  ).length;
  if (linked > 0)
    claim(
      `${linked} of ${rlibs.length} rlibs are one file on disk in both checkouts`,
      linked === rlibs.length,
    );
  else
    claim(
      'the rlibs of both checkouts share their blocks',
      readEvents(store, warm.sinceMs).some(({ restored }) => (restored?.reflinked ?? 0) > 0),
    );
  const version = (dir: string): string =>
    Bun.spawnSync([join(dir, 'target/debug/fd'), '--version'])
      .stdout.toString()
      .trim();
  claim(`both programs run: ${version(b)}`, version(a) === version(b) && version(b).startsWith('fd'));
  console.log('\nBinaries, build scripts and proc macros were compiled in both: only libraries');
  console.log('are kept. What the second build still took is theirs.');
} finally {
  rmSync(root, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
