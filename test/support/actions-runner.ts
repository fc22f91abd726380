// Runs the action's steps as GitHub's runner does: node 24, the inputs with their defaults, and the files through which a
// step speaks to the job.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { notRun } from './required.ts';

const ROOT = join(import.meta.dir, '..', '..');

interface ActionFile {
  readonly inputs: Readonly<Record<string, { readonly default?: string; readonly description: string }>>;
  readonly outputs: Readonly<Record<string, { readonly description: string }>>;
  readonly runs: { readonly using: string; readonly main: string; readonly post: string };
}

export const ACTION = Bun.YAML.parse(readFileSync(join(ROOT, 'action.yml'), 'utf8')) as ActionFile;

const NODE_VERSION = '24.21.0';

/** A node of the version that action.yml names: the one on PATH, else one from npm, fetched once. */
export function node24(): string | undefined {
  const onPath = Bun.which('node');
  if (onPath !== null && Bun.spawnSync([onPath, '--version']).stdout.toString().startsWith('v24.'))
    return onPath;
  const root = join(ROOT, 'node_modules', '.cache', `node-${NODE_VERSION}`);
  const binary = join(root, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(binary)) return binary;
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'package.json'), '{"allowScripts":{"node":true}}');
  const installed = Bun.spawnSync(['npm', 'install', '--no-progress', `node@${NODE_VERSION}`], { cwd: root });
  if (existsSync(binary)) return binary;
  notRun('steps of the action', `no node 24: ${installed.stderr.toString().trim().split('\n').at(-1)}`);
  return undefined;
}

export interface JobOptions {
  /** A folder of its own for the job, with the workspace in it. */
  readonly root: string;
  readonly node: string;
  readonly env: Readonly<Record<string, string>>;
  readonly matrix?: unknown;
  readonly with?: Readonly<Record<string, string>>;
}

export interface StepResult {
  readonly status: number | null;
  readonly log: string;
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
}

/** One job with one use of the action. What steps export is in {@link env} from then on. */
export class Job {
  readonly workspace: string;
  env: Record<string, string>;
  readonly #options: JobOptions;
  #state: Record<string, string> = {};
  #steps = 0;

  constructor(options: JobOptions) {
    this.#options = options;
    this.workspace = join(options.root, 'workspace');
    const [temp, tools] = [join(options.root, 'temp'), join(options.root, 'tools')];
    for (const folder of [this.workspace, temp, tools]) mkdirSync(folder, { recursive: true });
    this.env = {
      GITHUB_WORKSPACE: this.workspace,
      RUNNER_TEMP: temp,
      RUNNER_TOOL_CACHE: tools,
      RUNNER_OS: 'Linux',
      RUNNER_ARCH: 'X64',
      GITHUB_ACTIONS: 'true',
      GITHUB_SERVER_URL: 'https://github.com',
      GITHUB_WORKFLOW: 'ci',
      GITHUB_JOB: 'build',
      ...options.env,
    };
  }

  main(inputs: Readonly<Record<string, string>> = {}): Promise<StepResult> {
    return this.#step('main', inputs, 'success');
  }

  post(status: 'success' | 'failure' = 'success'): Promise<StepResult> {
    return this.#step('post', {}, status);
  }

  /** What a `run:` step does. */
  async run(argv: readonly string[]): Promise<{ status: number; output: string }> {
    const child = Bun.spawn([...argv], {
      cwd: this.workspace,
      env: this.env,
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { status: await child.exited, output: out + err };
  }

  async #step(
    stage: 'main' | 'post',
    inputs: Readonly<Record<string, string>>,
    status: string,
  ): Promise<StepResult> {
    const folder = join(this.#options.root, `step-${this.#steps++}`);
    mkdirSync(folder, { recursive: true });
    const files = Object.fromEntries(
      ['ENV', 'PATH', 'OUTPUT', 'STATE', 'STEP_SUMMARY'].map((name) => {
        writeFileSync(join(folder, name), '');
        return [`GITHUB_${name}`, join(folder, name)];
      }),
    );
    const given = { ...this.#options.with, ...inputs };
    const defaults = Object.entries(ACTION.inputs).map(([name, { default: text = '' }]) => [
      name,
      this.#evaluate(text, status),
    ]);
    const values = { ...Object.fromEntries(defaults), ...given };
    const child = Bun.spawn([this.#options.node, join(ROOT, ACTION.runs[stage])], {
      cwd: this.workspace,
      env: {
        ...this.env,
        ...files,
        ...named('INPUT_', values, (name) => name.replaceAll(' ', '_').toUpperCase()),
        ...named('STATE_', this.#state),
      },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    const exit = await child.exited;
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
    this.#state = { ...this.#state, ...assignments(read('STATE')) };
    this.env = { ...this.env, ...assignments(read('ENV')) };
    const added = read('PATH')
      .split('\n')
      .filter((line) => line !== '');
    this.env['PATH'] = [...added.reverse(), this.env['PATH']].join(':');
    const outputs = assignments(read('OUTPUT'));
    const summary = read('STEP_SUMMARY');
    rmSync(folder, { recursive: true });
    return { status: exit, log: out + err, outputs, summary };
  }

  /** The expressions that defaults in action.yml use. */
  #evaluate(text: string, status: string): string {
    return text.replace(/\$\{\{ (.*?) \}\}/g, (_, expression: string) => {
      if (expression === 'github.token') return this.#options.env['GITHUB_TOKEN'] ?? '';
      if (expression === 'toJSON(matrix)') return JSON.stringify(this.#options.matrix ?? null);
      if (expression === 'job.status') return status;
      throw new Error(`no such expression: ${expression}`);
    });
  }
}

const named = (
  prefix: string,
  values: Readonly<Record<string, string>>,
  spell = (name: string): string => name,
): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}${spell(name)}`, value]));

/** The lines of an environment file: `name=value`, and `name<<mark` with everything up to the mark. */
function assignments(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const match of text.matchAll(/^([^=\n]+?)(?:<<(.+)\n([\s\S]*?)\n?\2$|=(.*)$)/gm))
    values[match[1] ?? ''] = match[3] ?? match[4] ?? '';
  return values;
}
