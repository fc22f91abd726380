// What kache itself takes for a miss: the calls of a cold build again, with a compiler that takes no time.
//   bun bench/miss-cost.ts [--application NAME] [--work-dir DIR]
import { copyFileSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { libraryCalls, median, meterIn, recorderIn, run } from './hit-cost.ts';
import { build, checkout } from './phases.ts';
import { kacheBinary } from './tools.ts';

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
  readonly cpuMs: number;
}

const meter = meterIn(workDir);
const misses: Miss[] = [];
for (const call of libraryCalls(calls)) {
  const { argv } = call;
  const crate = argv[argv.indexOf('--crate-name') + 1] ?? '';
  const extra = argv.find((arg) => arg.startsWith('extra-filename='))?.slice('extra-filename='.length);
  const outputBytes = ['rmeta', 'rlib'].reduce(
    (sum, type) => sum + statSync(join(deps, `lib${crate}${extra}.${type}`)).size,
    0,
  );
  const [alone, through]: [number[], number[]] = [[], []];
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const out = join(workDir, 'out');
    const again = (argv: readonly string[], salt: string): number => {
      rmSync(out, { recursive: true, force: true });
      mkdirSync(out);
      const args = argv.map((arg, at) => (argv[at - 1] === '--out-dir' ? out : arg));
      return run(meter, {
        cwd: call.cwd,
        argv: args,
        env: { ...call.env, RECORDED_DEPS: deps, KACHE_KEY_SALT: salt },
      }).cpuMs;
    };
    const args = [compiler, ...argv.slice(1)];
    alone.push(again(args, ''));
    // Nothing of what it makes is in the store yet, as in a cold build.
    rmSync(join(workDir, 'store', 'blobs'), { recursive: true, force: true });
    through.push(again([kacheBinary, ...args], `${repeat}`));
  }
  misses.push({ crate, outputBytes, cpuMs: median(through) - median(alone) });
}

misses.sort((a, b) => a.outputBytes - b.outputBytes);
const total = misses.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
for (const { crate, outputBytes, cpuMs } of misses)
  console.log(
    `${crate.padEnd(28)} ${(outputBytes / 1e6).toFixed(1).padStart(6)} MB ${cpuMs.toFixed(1).padStart(6)} ms`,
  );
console.log(
  `${application.name}: ${misses.length} misses, CPU of kache itself: median ${median(misses.map(({ cpuMs }) => cpuMs)).toFixed(1)} ms, all ${(total / 1000).toFixed(2)} s`,
);
rmSync(workDir, { recursive: true, force: true });
