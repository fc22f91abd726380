// The timed phases of one tool at one application. Each returns whether the tool can go on.
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Run } from './process.ts';
import type { Phase, UntouchedSample } from './results.ts';
import {
  build,
  checkOut,
  clean,
  fail,
  firstDirectory,
  otherDirectory,
  runProgram,
  type Session,
  startTool,
} from './session.ts';

export type Turn = { round: number; repeat: number };

type Measured = { run: Run; phase: Phase; turn: Turn };

/**
 * First directory, empty store. A floor makes its recording here, in the first round only and untimed, because
 * recording is no work a user would wait for.
 */
export async function cold(session: Session, turn: Turn): Promise<boolean> {
  const { tool } = session;
  const directory = firstDirectory(session);
  if (tool.storeOf !== tool.name || (tool.role === 'floor' && turn.round > 0)) {
    return true;
  }
  rmSync(session.root, { recursive: true, force: true });
  await startTool(session);
  checkOut(session, directory);
  const run = await build(session, directory);
  if (tool.role === 'floor') {
    return run.kind === 'succeeded' || failed(session, 'recording', run);
  }
  return note(session, { run, phase: 'cold', turn });
}

/** A directory never seen before, at another depth. */
export async function warmElsewhere(session: Session, turn: Turn): Promise<boolean> {
  const directory = otherDirectory(session, turn.repeat);
  checkOut(session, directory);
  const run = await build(session, directory);
  if (turn.repeat > 0) {
    rmSync(directory, { recursive: true, force: true });
  }
  return note(session, { run, phase: 'warm-elsewhere', turn });
}

/** The first directory again, after `cargo clean`. */
export async function warmSameDirectory(session: Session, turn: Turn): Promise<boolean> {
  const directory = firstDirectory(session);
  if (session.tool.role === 'floor' && turn.repeat === 0) {
    checkOut(session, directory);
  }
  const cleaned = await clean(session, directory);
  if (cleaned.kind === 'failed') {
    return failed(session, 'cargo clean', cleaned);
  }
  return note(session, { run: await build(session, directory), phase: 'warm-same-directory', turn });
}

/** A new function at the end of one file, then a build in the first directory. */
export async function editedLeaf(session: Session, turn: Turn): Promise<boolean> {
  const directory = firstDirectory(session);
  const name = `added_by_the_benchmark_${turn.round}_${turn.repeat}`;
  const code = `\n#[allow(dead_code)]\npub fn ${name}() -> usize {\n    ${turn.round + turn.repeat}\n}\n`;
  appendFileSync(join(directory, session.application.editedFile), code);
  return note(session, { run: await build(session, directory), phase: 'edited-leaf', turn });
}

/** Builds again where everything is built: in the second directory, in the first, and in the second again. */
export async function untouched(session: Session, turn: Turn): Promise<boolean> {
  const second = otherDirectory(session, 0);
  const steps: [UntouchedSample['directory'], string][] = [
    ['second', second],
    ['first', firstDirectory(session)],
    ['second again', second],
  ];
  for (const [directory, path] of steps) {
    if (!isBuilt(session, directory)) {
      continue;
    }
    const run = await build(session, path, { args: ['--message-format=json'] });
    if (run.kind === 'failed') {
      return failed(session, 'second build', run);
    }
    const artifacts = parseArtifacts(run.stdout);
    session.context.results.untouched.push({
      application: session.application.name,
      tool: session.tool.name,
      round: turn.round,
      directory,
      units: artifacts.filter((artifact) => !artifact.fresh).length,
    });
    if (session.tool.role === 'baseline' && !agreesWithManifest(session, artifacts)) {
      return false;
    }
  }
  return true;
}

/** Plain cargo builds in the first directory only; a floor's first directory may hold an earlier round. */
function isBuilt(session: Session, directory: UntouchedSample['directory']): boolean {
  if (session.tool.role === 'baseline') {
    return directory === 'first';
  }
  return session.tool.role !== 'floor' || directory === 'second';
}

/** A program restored from a cache must print what a plainly built one prints. */
export function sameProgram(session: Session, expected: string | null): boolean {
  const printed = runProgram(session, otherDirectory(session, 0));
  if (printed !== null && printed === expected) {
    return true;
  }
  const message = `the program printed ${JSON.stringify(printed)}, not ${JSON.stringify(expected)}`;
  return failed(session, 'running the program', { message, stderrTail: '' });
}

type Artifact = { fresh: boolean; package: string };

function parseArtifacts(stdout: string): Artifact[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line): { reason?: string; fresh?: boolean; package_id?: string } => JSON.parse(line))
    .filter((message) => message.reason === 'compiler-artifact')
    .map((message) => ({ fresh: message.fresh === true, package: message.package_id ?? '' }));
}

function agreesWithManifest(session: Session, artifacts: Artifact[]): boolean {
  const { application } = session;
  const packages = new Set(artifacts.map((artifact) => artifact.package)).size;
  if (artifacts.length === application.units && packages === application.packages) {
    return true;
  }
  const found = `${packages} packages and ${artifacts.length} units`;
  const message = `found ${found}, expected ${application.packages} and ${application.units}`;
  return failed(session, 'checking what was built', { message, stderrTail: '' });
}

function note(session: Session, { run, phase, turn }: Measured): boolean {
  if (run.kind === 'failed') {
    return failed(session, phase, run);
  }
  const { application, tool, context } = session;
  context.results.builds.push({
    application: application.name,
    tool: tool.name,
    phase,
    ...turn,
    wallMs: run.wallMs,
    cpuMs: run.cpuMs,
  });
  context.say(
    `${application.name}, round ${turn.round + 1}: ${tool.name} ${phase} ${(run.wallMs / 1000).toFixed(2)} s`,
  );
  return true;
}

function failed(session: Session, step: string, run: { message: string; stderrTail: string }): false {
  fail(session, step, run);
  return false;
}
