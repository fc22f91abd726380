// One tool at one application: its private directories, its environment, its builds.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Application } from './applications.ts';
import { endProcessesOf } from './background.ts';
import type { Helpers } from './helpers.ts';
import { type Environment, type Run, timed, tryCapture } from './process.ts';
import type { Failure, Results } from './results.ts';
import { copySources } from './sources.ts';
import type { Tool } from './tools.ts';

/** What every step needs; made once per run. */
export type Context = {
  work: string;
  /** The clean environment all builds start from. */
  environment: Environment;
  helpers: Helpers;
  results: Results;
  signal: AbortSignal;
  say: (line: string) => void;
};

export type Session = {
  context: Context;
  application: Application;
  tool: Tool;
  /** Clean sources to copy. */
  sources: string;
  /** Holds the store and all checkouts of this tool and no other. */
  root: string;
  store: string;
};

export function openSession(context: Context, application: Application, tool: Tool, base: string): Session {
  const folder = join(base, application.name);
  return {
    context,
    application,
    tool,
    sources: join(context.work, 'sources', application.name),
    root: join(folder, tool.name),
    store: join(folder, tool.storeOf, 'store'),
  };
}

/** The first directory; the others lie at another depth. */
export function firstDirectory(session: Session): string {
  return join(session.root, 'a');
}

export function otherDirectory(session: Session, number: number): string {
  return join(session.root, 'another', 'place', `b${number}`, 'checkout');
}

/** A fresh copy of the sources, nothing built. */
export function checkOut(session: Session, directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  copySources(session.sources, directory);
}

export function environmentFor(session: Session, checkout: string, extra: Environment = {}): Environment {
  const { tool, context } = session;
  return {
    ...context.environment,
    CARGO_INCREMENTAL: '0',
    ...(tool.wrapper === null ? {} : { RUSTC_WRAPPER: tool.wrapper }),
    ...tool.settings(session.store, checkout),
    ...extra,
  };
}

/** `cargo build` in a checkout, timed. What was written before is on disk before the clock starts. */
export function build(
  session: Session,
  checkout: string,
  options: { args?: string[]; extra?: Environment } = {},
): Promise<Run> {
  spawnSync('sync');
  return timed(['cargo', 'build', '--locked', '--offline', ...(options.args ?? [])], {
    cwd: checkout,
    env: environmentFor(session, checkout, options.extra),
    logs: logsOf(session),
    signal: session.context.signal,
  });
}

export function clean(session: Session, checkout: string): Promise<Run> {
  return timed(['cargo', 'clean', '--offline', '--quiet'], {
    cwd: checkout,
    env: environmentFor(session, checkout),
    logs: logsOf(session),
    signal: session.context.signal,
  });
}

/** What the built program prints, or null when it cannot run. */
export function runProgram(session: Session, checkout: string): string | null {
  const { name, args } = session.application.program;
  return tryCapture([join(checkout, 'target', 'debug', name), ...args], { env: session.context.environment });
}

export async function startTool(session: Session): Promise<void> {
  mkdirSync(session.store, { recursive: true });
  if (session.tool.start !== null) {
    runToolCommand(session, session.tool.start);
  }
}

/** Ends the tool's background processes; harmless when there are none. */
export function stopTool(session: Session): void {
  if (session.tool.stop !== null && existsSync(session.store)) {
    runToolCommand(session, session.tool.stop);
  }
  endProcessesOf(session.store);
}

function runToolCommand(session: Session, [program = '', ...args]: string[]): void {
  spawnSync(program, args, { env: environmentFor(session, session.root), stdio: 'ignore', timeout: 30_000 });
}

function logsOf(session: Session): string {
  const logs = join(session.context.work, 'logs');
  mkdirSync(logs, { recursive: true });
  return logs;
}

/** Notes a failure in the results and says it at once. */
export function fail(session: Session, step: string, run: { message: string; stderrTail: string }): void {
  const { application, tool, context } = session;
  const failure: Failure = { application: application.name, tool: tool.name, step, ...run };
  context.results.failures.push(failure);
  context.say(`FAILED: ${application.name}, ${tool.name}, ${step}: ${run.message}\n${run.stderrTail}`);
}
