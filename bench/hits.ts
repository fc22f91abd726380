// What one hit costs: library calls captured in a warm build, then made again one by one, without cargo.
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cpuMsOf, processesOf } from './background.ts';
import { type Call, crateName, isLibrary, libraryOutputs, readCalls } from './calls.ts';
import { capture, type Environment } from './process.ts';
import { build, type Context, checkOut, fail, otherDirectory, type Session } from './session.ts';

const CRATES = 12;
const RUNS_PER_CRATE = 20;
const RUNS_OF_NOTHING = 100;

/** A number no warm build uses. */
const DIRECTORY = 1000;

/** Builds once more in a new directory to capture the calls, then measures some of the libraries. */
export async function measureHits(session: Session): Promise<boolean> {
  const calls = await captureLibraryCalls(session);
  if (calls === null) {
    return false;
  }
  const { application, tool, context } = session;
  const servers = processesOf(session.store);
  const before = cpuMsOf(servers);
  const chosen = evenly(calls, CRATES);
  for (const call of chosen) {
    const measured = replay(session, call);
    if (!existsSync(libraryOutputs(call).library)) {
      fail(session, `hit of ${crateName(call)}`, {
        message: 'the library did not come back',
        stderrTail: '',
      });
      return false;
    }
    context.results.hits.push({
      application: application.name,
      tool: tool.name,
      crate: crateName(call),
      ...measured,
    });
  }
  const hits = chosen.length * (RUNS_PER_CRATE + 1);
  const cpuMsPerHit = (cpuMsOf(servers) - before) / Math.max(1, hits);
  context.results.serverCpu.push({ application: application.name, tool: tool.name, hits, cpuMsPerHit });
  rmSync(otherDirectory(session, DIRECTORY), { recursive: true, force: true });
  context.say(`${application.name}: ${tool.name} replayed ${hits} hits`);
  return true;
}

async function captureLibraryCalls(session: Session): Promise<Call[] | null> {
  const { context, tool } = session;
  const folder = join(session.root, 'calls');
  const checkout = otherDirectory(session, DIRECTORY);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  checkOut(session, checkout);
  const extra: Environment = {
    RUSTC_WRAPPER: context.helpers.callRecorder,
    CALL_RECORDER_DIR: folder,
    CALL_RECORDER_TARGET: tool.wrapper ?? '',
  };
  const run = await build(session, checkout, { extra });
  if (run.kind === 'failed') {
    fail(session, 'capturing calls', run);
    return null;
  }
  return readCalls(folder).filter((call) => isLibrary(call) && existsSync(libraryOutputs(call).library));
}

/** One run to warm up, then the measured ones. */
function replay(session: Session, call: Call): Measured {
  const { wrapper } = session.tool;
  const environment: Environment = { ...call.environment, RUSTC_WRAPPER: wrapper ?? '' };
  for (const name of [
    'CARGO_MAKEFLAGS',
    'MAKEFLAGS',
    'MFLAGS',
    'CALL_RECORDER_DIR',
    'CALL_RECORDER_TARGET',
  ]) {
    delete environment[name];
  }
  const command = [...libraryOutputs(call).all, '--', wrapper ?? '', ...call.args];
  const place = { cwd: call.directory, env: environment };
  const { processMeter } = session.context.helpers;
  capture([processMeter, '1', ...command], place);
  return parseMeter(capture([processMeter, String(RUNS_PER_CRATE), ...command], place));
}

/** The start and end of a Bun program that does nothing. */
export function measureEmptyBun(context: Context, program: string): void {
  const command = [context.helpers.processMeter, String(RUNS_OF_NOTHING), '--', program];
  context.results.emptyBun = parseMeter(capture(command, { env: context.environment }));
}

type Measured = { cpuMs: number[]; wallMs: number[]; peakRssBytes: number };

function parseMeter(output: string): Measured {
  const runs = output.split('\n').map((line) => line.split(' ').map(Number));
  if (runs.some(([, , , status]) => status !== 0)) {
    throw new Error(`Cannot measure a hit: a run failed.\n${output}`);
  }
  return {
    cpuMs: runs.map(([cpu = 0]) => cpu / 1000),
    wallMs: runs.map(([, wall = 0]) => wall / 1000),
    peakRssBytes: Math.max(...runs.map(([, , rss = 0]) => rss * 1024)),
  };
}

/** At most `count` members, spread over the whole list. */
function evenly<T>(list: readonly T[], count: number): T[] {
  const step = Math.max(1, list.length / count);
  return list
    .filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step))
    .slice(0, count);
}
