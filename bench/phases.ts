// What is measured: one application built by one tool, cold, warm elsewhere, warm in place, again, and after an edit.
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
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
  /** Those of one turn were taken one behind the other: a machine is another one some minutes later. */
  readonly turn: number;
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
  forget(to);
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

/** One tool on one application, with all that it keeps from one phase to the next. Plain cargo has no warm ones. */
export class Course {
  readonly tool: Tool;
  readonly #application: Application;
  readonly #source: string;
  readonly #state: string;
  readonly #first: string;
  #turns = 0;

  constructor(
    application: Application,
    tool: Tool,
    { source, workDir }: { source: string; workDir: string },
  ) {
    this.tool = tool;
    this.#application = application;
    this.#source = source;
    this.#state = join(workDir, 'state', `${application.name}-${tool.name}`);
    forget(this.#state);
    mkdirSync(this.#state, { recursive: true });
    this.#first = checkout(source, join(this.#state, 'a'));
  }

  cold(): Sample {
    return this.#sample('cold', this.#build(this.#first));
  }

  /** The first build of a checkout that was never built, in a place of its own. */
  elsewhere(): Sample {
    const turn = this.#turns++;
    return { ...this.#sample('elsewhere', this.#build(checkout(this.#source, this.#place(turn)))), turn };
  }

  /** Builds the last such checkout again, the first one, and that: nothing is to be done. */
  again(): Sample {
    const last = this.#place(this.#turns - 1);
    const [again, ...more] = [last, this.#first, last].map((dir) => this.#build(dir)) as [Build, ...Build[]];
    return this.#sample('again', {
      ...again,
      units: more.reduce((sum, { units }) => sum + units, again.units),
    });
  }

  cleaned(): Sample {
    // Out of the checkout: what lies there may be looked for by a macro.
    renameSync(join(this.#first, 'target'), join(this.#state, 'target-of-a'));
    return this.#sample('cleaned', this.#build(this.#first));
  }

  leaf(): Sample {
    appendFileSync(
      join(this.#first, this.#application.leaf),
      '\n#[allow(dead_code)]\nfn edited_by_the_benchmark() -> u32 { 1 }\n',
    );
    return this.#sample('leaf', this.#build(this.#first));
  }

  end(): void {
    this.tool.stop?.(this.#state);
    if (!existsSync(join(this.#first, 'target')))
      throw new Error(`Cannot believe the build of ${this.#first}: it has no target folder.`);
    forget(this.#state);
  }

  #place(turn: number): string {
    return join(this.#state, 'another/place/for', `b${turn}`);
  }

  #build(dir: string): Build {
    return build(dir, this.tool.env(this.#state, { from: this.#first, to: dir }));
  }

  #sample(phase: Phase, run: Build): Sample {
    return { application: this.#application.name, tool: this.tool.name, phase, ...run, turn: 0 };
  }
}

/** One cold build more, into a store of its own. */
export function measureCold(
  application: Application,
  tool: Tool,
  { source, workDir, turn }: { source: string; workDir: string; turn: number },
): Sample {
  const state = join(workDir, 'state', `${application.name}-${tool.name}-cold`);
  forget(state);
  const dir = checkout(source, join(state, 'a'));
  const run = build(dir, tool.env(state, { from: dir, to: dir }));
  tool.stop?.(state);
  forget(state);
  return { application: application.name, tool: tool.name, phase: 'cold', ...run, turn };
}

export const cpuModel = (): string =>
  /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
