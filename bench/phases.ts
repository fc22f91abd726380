// What is measured: one application built by one tool, cold, warm elsewhere, warm in place, again, and after an edit.
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Application } from './applications.ts';
import { forget, type Tool } from './tools.ts';

export const PHASES = ['cold', 'elsewhere', 'again', 'cleaned', 'leaf'] as const;
export type Phase = (typeof PHASES)[number];

export interface Sample {
  readonly application: string;
  readonly tool: string;
  readonly phase: Phase;
  readonly seconds: number;
  /** Of the whole machine, which does nothing else: servers and daemons of the tools count. */
  readonly cpuSeconds: number;
  /** Units cargo compiled or took from the tool in this phase; 0 means it found nothing to do. */
  readonly units: number;
}

/** The environment of a developer with nothing configured. */
export function baseEnv(): Record<string, string> {
  const kept = ['PATH', 'HOME', 'CARGO_HOME', 'RUSTUP_HOME', 'RUSTUP_TOOLCHAIN', 'TMPDIR', 'LANG'];
  return Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name] ?? '']])),
  );
}

export interface Build {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly units: number;
}

export function build(dir: string, env: Record<string, string>): Build {
  const cpuBefore = machineCpuSeconds();
  const from = performance.now();
  const done = Bun.spawnSync(['cargo', 'build', '--offline', '--locked', '--message-format=json'], {
    cwd: dir,
    env: { ...baseEnv(), ...env },
  });
  const seconds = (performance.now() - from) / 1000;
  if (done.exitCode !== 0) throw new Error(`Cannot build ${dir}: ${done.stderr.toString().slice(-1500)}`);
  const units = done.stdout
    .toString()
    .split('\n')
    .filter((line) => line.includes('"reason":"compiler-artifact"') && line.includes('"fresh":false')).length;
  return { seconds, cpuSeconds: machineCpuSeconds() - cpuBefore, units };
}

const TICKS_PER_SECOND = 100;

/** User, nice, system, and interrupts, since the boot. */
function machineCpuSeconds(): number {
  const [, ...ticks] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/ +/).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = ticks;
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

export const checkout = (source: string, to: string): string => {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(dirname(to), { recursive: true });
  cpSync(source, to, { recursive: true });
  return to;
};

/** A build by plain cargo that is not measured: what comes first pays for cold caches of the disk. */
export function warmUp(source: string, workDir: string): void {
  const dir = checkout(source, join(workDir, 'state', 'warm-up'));
  build(dir, { CARGO_INCREMENTAL: '0' });
  forget(dir);
}

/** How many checkouts that were never built are built from the store; what takes half a second is not told from noise by one. */
const WARM_PLACES = 3;

/** All phases of one tool on one application; plain cargo has no warm ones. */
export function measure(
  application: Application,
  tool: Tool,
  { source, workDir }: { source: string; workDir: string },
): Sample[] {
  const state = join(workDir, 'state', `${application.name}-${tool.name}`);
  forget(state);
  mkdirSync(state, { recursive: true });
  const a = checkout(source, join(state, 'a'));
  const b = checkout(source, join(state, 'another/place/for', 'b'));
  const sample = (phase: Phase, run: Build): Sample => ({
    application: application.name,
    tool: tool.name,
    phase,
    ...run,
  });
  const inA = tool.env(state, { from: a, to: a });
  const inB = tool.env(state, { from: a, to: b });
  const samples = [sample('cold', build(a, inA))];
  if (tool.name !== 'plain') {
    samples.push(sample('elsewhere', build(b, inB)));
    const again = [build(b, inB), build(a, inA), build(b, inB)];
    samples.push(
      sample('again', {
        seconds: again[0]?.seconds ?? 0,
        cpuSeconds: again[0]?.cpuSeconds ?? 0,
        units: again.reduce((sum, { units }) => sum + units, 0),
      }),
    );
    for (let place = 1; place < WARM_PLACES; place++) {
      const further = checkout(source, join(state, 'another/place/for', `b${place}`));
      samples.push(sample('elsewhere', build(further, tool.env(state, { from: a, to: further }))));
    }
    rmSync(join(a, 'target'), { recursive: true, force: true });
    samples.push(sample('cleaned', build(a, inA)));
  }
  if (!tool.name.startsWith('floor')) {
    appendFileSync(
      join(a, application.leaf),
      '\n#[allow(dead_code)]\nfn edited_by_the_benchmark() -> u32 { 1 }\n',
    );
    samples.push(sample('leaf', build(a, inA)));
  }
  tool.stop?.(state);
  if (!existsSync(join(a, 'target')))
    throw new Error(`Cannot believe the build of ${a}: it has no target folder.`);
  forget(state);
  return samples;
}

/** One cold build more, into a store of its own. */
export function measureCold(
  application: Application,
  tool: Tool,
  { source, workDir }: { source: string; workDir: string },
): Sample {
  const state = join(workDir, 'state', `${application.name}-${tool.name}-cold`);
  forget(state);
  const dir = checkout(source, join(state, 'a'));
  const run = build(dir, tool.env(state, { from: dir, to: dir }));
  tool.stop?.(state);
  forget(state);
  return { application: application.name, tool: tool.name, phase: 'cold', ...run };
}

export const cpuModel = (): string =>
  /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
