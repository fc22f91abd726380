// The main job on a real application: fd, built cold in one checkout, then in others that were never compiled, with
// libraries cached and with executables too. Every claim it prints is checked; it exits with 1 when one does not hold.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { APPLICATIONS, fetchApplication } from '../bench/applications.ts';
import { baseEnv } from '../bench/phases.ts';
import { type Summary, summarize } from '../src/cli/summary.ts';
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

interface Built {
  readonly seconds: number;
  readonly compiled: number;
  readonly summary: Summary;
}

function build(dir: string, executables = false): Built {
  const sinceMs = Date.now();
  const from = performance.now();
  const env = {
    ...baseEnv(),
    KACHE_CACHE_DIR: store.layout.root,
    KACHE_CACHE_EXECUTABLES: executables ? '1' : '0',
  };
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
  const summary = summarize(readEvents(store, sinceMs));
  return { seconds: (performance.now() - from) / 1000, compiled, summary };
}

function show(what: string, built: Built): void {
  const { local_hits: hits, misses, dups } = built.summary;
  const made = misses + dups;
  console.log(`${what.padEnd(32)}${built.seconds.toFixed(1).padStart(5)} s  ${hits} hits, ${made} compiled`);
}

try {
  const application = APPLICATIONS.find(({ name }) => name === 'fd-find');
  if (application === undefined) throw new Error('the application is not in the list');
  console.log(`Fetching ${application.name} ${application.version} and its dependencies with cargo…\n`);
  const source = fetchApplication(application, root);
  const [a, b, c, d] = [
    join(root, 'first'),
    join(root, 'a/worktree/elsewhere'),
    join(root, 'c'),
    join(root, 'd'),
  ];
  for (const dir of [a, b, c, d]) cpSync(source, dir, { recursive: true });

  const cold = build(a);
  show('First checkout, empty store:', cold);
  const warm = build(b);
  show('Second one, never built:', warm);
  const made = cold.summary.misses + cold.summary.dups;
  const isComplete = ({ summary }: Built, units: number): boolean =>
    summary.local_hits === units && summary.total_crates === units && summary.skipped === 0;
  claim('everything that could be kept was kept', made > 0 && cold.summary.skipped === 0);
  claim('every library the second checkout needed was a hit', isComplete(warm, made));
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
      readEvents(store).some(({ restored }) => (restored?.reflinked ?? 0) > 0),
    );
  const fd = (dir: string): string => join(dir, 'target/debug/fd');
  const version = (dir: string): string =>
    Bun.spawnSync([fd(dir), '--version'])
      .stdout.toString()
      .trim();
  claim(`both programs run: ${version(b)}`, version(a) === version(b) && version(b).startsWith('fd'));
  if (process.platform === 'linux') {
    console.log('\nWith executables cached (KACHE_CACHE_EXECUTABLES=1):');
    const third = build(c, true);
    show('Third checkout:', third);
    const fourth = build(d, true);
    show('Fourth:', fourth);
    claim(
      'no compiler and no linker made anything in the fourth',
      isComplete(fourth, third.summary.total_crates),
    );
    claim('its program is the third one to the byte', readFileSync(fd(c)).equals(readFileSync(fd(d))));
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
