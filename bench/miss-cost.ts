// What kache itself takes for a miss: the calls of a cold build again, with a compiler that takes no time.
//   bun bench/miss-cost.ts [--application NAME] [--work-dir DIR]
import { copyFileSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { type Call, daemonOf, libraryCalls, median, meterIn, recorderIn, run, usedBy } from './hit-cost.ts';
import { build, checkout } from './phases.ts';
import { kacheBinary, launcherIn, stopDaemon } from './tools.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    application: { type: 'string', default: 'fd-find' },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-miss-cost-${process.pid}`) },
  },
});
const REPEATS = 7;

const workDir = values['work-dir'];
const application = APPLICATIONS.find(({ name }) => name === values.application);
if (application === undefined)
  throw new Error(`Cannot find "${values.application}" in bench/applications.ts.`);
const calls = join(workDir, 'calls');
mkdirSync(workDir, { recursive: true });
const app = checkout(fetchApplication(application, workDir), join(workDir, 'app'));
const env = { KACHE_CACHE_DIR: join(workDir, 'store') };
build(app, { ...env, RUSTC_WRAPPER: recorderIn(workDir, calls) });

const deps = join(workDir, 'deps');
// Links into the store become files of their own.
mkdirSync(deps);
const compiler = join(workDir, 'rustc');
Bun.spawnSync(['cp', '-a', '--no-preserve=links', `${app}/target/debug/deps/.`, deps]);
Bun.spawnSync([
  'rustc',
  '-O',
  '-o',
  join(workDir, 'recorded-rustc'),
  join(import.meta.dir, 'recorded-rustc.rs'),
]);
copyFileSync(join(workDir, 'recorded-rustc'), compiler);

interface Miss {
  readonly crate: string;
  readonly outputBytes: number;
  /** Of the compiler alone, of kache in front of it, and of the launcher in front of both; each time of the whole. */
  readonly alone: number[];
  readonly wrapped: number[];
  readonly launched: number[];
}

const meter = meterIn(workDir);
const store = join(workDir, 'store');
const launcher = launcherIn(join(workDir, 'cargo'), store);
const misses = libraryCalls(calls).map((call): Miss & { readonly call: Call } => {
  const { argv } = call;
  const crate = argv[argv.indexOf('--crate-name') + 1] ?? '';
  const extra = argv.find((arg) => arg.startsWith('extra-filename='))?.slice('extra-filename='.length);
  const outputBytes = ['rmeta', 'rlib'].reduce(
    (sum, type) => sum + statSync(join(deps, `lib${crate}${extra}.${type}`)).size,
    0,
  );
  return { crate, outputBytes, alone: [], wrapped: [], launched: [], call };
});

/** Plays a call into an empty folder; with another salt nothing of it is in the store. */
function play({ call }: { readonly call: Call }, front: readonly string[], salt: string): number {
  const out = join(workDir, 'out');
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out);
  // Nothing of what it makes is in the store yet, as in a cold build.
  rmSync(join(store, 'blobs'), { recursive: true, force: true });
  const argv = [...front, compiler, ...call.argv.slice(1)];
  return run(meter, {
    cwd: call.cwd,
    argv: argv.map((arg, at) => (argv[at - 1] === '--out-dir' ? out : arg)),
    env: { ...call.env, RECORDED_DEPS: deps, KACHE_KEY_SALT: salt, KACHE_TRUSTED_COMPILERS: compiler },
  }).cpuMs;
}

// The first time the daemon has to learn what this compiler is.
if (misses[0] !== undefined) play(misses[0], [kacheBinary], 'first');
const daemon: number[] = [];
for (let repeat = 0; repeat < REPEATS; repeat++) {
  for (const miss of misses) {
    miss.alone.push(play(miss, [], ''));
    miss.wrapped.push(play(miss, [kacheBinary], `w${repeat}`));
  }
  const { pid, compiles } = daemonOf(store);
  const before = usedBy(pid);
  for (const miss of misses) miss.launched.push(play(miss, [launcher], `l${repeat}`));
  const now = daemonOf(store);
  if (now.pid !== pid || now.compiles - compiles !== misses.length)
    throw new Error(
      `The daemon stored ${now.compiles - compiles} of ${misses.length} compiles: these are not its costs.`,
    );
  daemon.push(usedBy(pid).cpuMs - before.cpuMs);
  console.error(`${repeat + 1} of ${REPEATS}`);
}
const { rssMb } = usedBy(daemonOf(store).pid);
stopDaemon(store);

misses.sort((a, b) => a.outputBytes - b.outputBytes);
const own = (kind: 'wrapped' | 'launched', miss: Miss): number => median(miss[kind]) - median(miss.alone);
const sumOf = (kind: 'wrapped' | 'launched'): number =>
  misses.reduce((sum, miss) => sum + own(kind, miss), 0);
const ms = (value: number): string => value.toFixed(1).padStart(6);
for (const miss of misses)
  console.log(
    `${miss.crate.padEnd(28)} ${ms(miss.outputBytes / 1e6)} MB ${ms(own('wrapped', miss))} ms, launcher ${ms(own('launched', miss))} ms`,
  );
const each = (totalMs: number): string => `${(totalMs / misses.length).toFixed(1)} ms each`;
console.log(
  `${application.name}: ${misses.length} misses, CPU besides the compiler's
  kache itself         ${each(sumOf('wrapped'))}, ${(sumOf('wrapped') / 1000).toFixed(2)} s in all
  behind the launcher  ${each(sumOf('launched') + median(daemon))}: launcher ${each(sumOf('launched'))}, daemon ${each(median(daemon))}
                       (${each(daemon[0] ?? 0)} when it has just started; ${rssMb.toFixed(0)} MB resident in the end), ${((sumOf('launched') + median(daemon)) / 1000).toFixed(2)} s in all`,
);
rmSync(workDir, { recursive: true, force: true });
