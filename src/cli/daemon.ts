// `kache daemon …`: running, starting, stopping and looking at the background process.

import { existsSync, readFileSync } from 'node:fs';
import { answer } from '../answer.ts';
import { remoteOf } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { DaemonClient } from '../daemon/client.ts';
import {
  type Answerer,
  hitSocketPath,
  PROTOCOL_VERSION,
  remoteConfig,
  socketPath,
} from '../daemon/protocol.ts';
import {
  type DaemonOptions,
  type DaemonStatus,
  lockFile,
  logFile,
  queuedByPlace,
  runDaemon,
} from '../daemon/server.ts';
import { serviceFor, uninstallService } from '../daemon/service.ts';
import type { SessionStatus } from '../daemon/session.ts';
import { Filler, isFirstQuestion } from '../fingerprints/fill.ts';
import { FingerprintKeeper } from '../fingerprints/keep.ts';
import { answerRun, isRunCall } from '../script/answer.ts';
import type { Store } from '../store/store.ts';
import { tryLock } from '../sys/lock.ts';
import { startDetached } from '../sys/process.ts';
import type { LoadedSettings } from '../sys/settings.ts';
import { sessionState } from './background.ts';
import { nativePath, version } from './binary.ts';
import { openHere, settingsHere } from './open.ts';
import { askDaemon, daemonStatus } from './remote-here.ts';
import { installHere, ran, serviceHere } from './service-here.ts';
import { formatBytes, formatMs, print, printJson, style, table } from './terminal.ts';

const DEFAULT_IDLE_MS = 10 * 60_000;

/** `daemon run`: becomes the daemon. With `background` as the wrapper starts it; otherwise it runs until stopped. */
export async function daemonRun(options: { background?: boolean }): Promise<number> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const { settings } = loaded;
  const remote = remoteOf(settings);
  const idleMs = settings.daemonIdleSecs > 0 ? settings.daemonIdleSecs * 1000 : DEFAULT_IDLE_MS;
  const daemon: DaemonOptions = {
    store,
    socket: socketPath(store.layout.root, settings),
    self: process.execPath,
    idleMs: options.background === true || settings.daemonIdleSecs > 0 ? idleMs : undefined,
    version: version(),
    config: remote === undefined ? undefined : remoteConfig(settings, remote, process.env),
    launchers: {
      socket: hitSocketPath(store.layout.root, settings),
      answer: answererFor(process.execPath),
      onlooker: new FingerprintKeeper(),
    },
  };
  let ended = await runDaemon(daemon);
  // Whoever has the store may be about to end: it makes way for this program, or was only looking.
  for (const untilMs = Date.now() + TAKE_OVER_MS; ended === undefined && Date.now() < untilMs; ) {
    if (await answers(daemon.socket)) break;
    await Bun.sleep(20);
    ended = await runDaemon(daemon);
  }
  if (ended !== undefined || options.background === true) return 0;
  throw new KacheError('daemon-running', 'Cannot run the daemon: another one has this store.', {
    hint: 'Run `kache daemon stop` first.',
  });
}

/** Who decides what launchers do; `self` is this program. */
function answererFor(self: string): Answerer {
  const filler = new Filler();
  return (call) => {
    if (isFirstQuestion(call)) return filler.answer(call, self);
    return isRunCall(call) ? answerRun(call, self) : answer(call, self);
  };
}

const TAKE_OVER_MS = 3_000;

/** Whether a daemon listens that does not make way for this program. */
async function answers(socket: string): Promise<boolean> {
  using client = await DaemonClient.connect(socket);
  const greeting = await client?.ask(`kache ${PROTOCOL_VERSION}`, Date.now() + 500);
  return greeting !== undefined && greeting !== 'restart';
}

const START_MS = 5_000;

export async function daemonStart(): Promise<void> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  if ((await daemonStatus(loaded, store)) !== undefined) {
    print('The daemon is running already.');
    return;
  }
  startDetached([nativePath(), 'daemon', 'run', '--background'], {
    KACHE_CACHE_DIR: store.layout.root,
    KACHE_SOCKET_PATH: socketPath(store.layout.root, loaded.settings),
  });
  for (const untilMs = Date.now() + START_MS; Date.now() < untilMs; await Bun.sleep(20)) {
    const status = await daemonStatus(loaded, store);
    if (status === undefined) continue;
    print(`The daemon runs, process ${status.pid}.`);
    return;
  }
  throw new KacheError('daemon-start', 'Cannot start the daemon: it does not come up.', {
    hint: `See ${logFile(store.layout.root)}, or run \`kache daemon run\` to see why.`,
  });
}

const STOP_MS = 5_000;

/** Asks it to end and waits until it has; one that does not answer is ended by a signal. */
export async function daemonStop(): Promise<void> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  if (!isLocked(store)) {
    print('No daemon runs.');
    return;
  }
  const pid = pidOf(store);
  let hangs = false;
  try {
    await askDaemon(loaded, store, 'stop');
  } catch (error) {
    if (!(error instanceof KacheError) || error.code !== 'daemon-hangs') throw error;
    hangs = true;
  }
  if (await isGone(store, hangs ? 0 : STOP_MS)) {
    print('The daemon has ended.');
    return;
  }
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  if (pid === undefined || !(await isGone(store, STOP_MS)))
    throw new KacheError('daemon-stop', 'Cannot stop the daemon: it does not end.', {
      hint: `Its process id is in ${logFile(store.layout.root)}.`,
    });
  print('The daemon did not answer and was ended; its queue is on disk.');
}

const isLocked = (store: Store): boolean => {
  if (!existsSync(lockFile(store.layout.root))) return false;
  using lock = tryLock(lockFile(store.layout.root));
  return lock === undefined;
};

async function isGone(store: Store, ms: number): Promise<boolean> {
  for (const untilMs = Date.now() + ms; ; await Bun.sleep(20)) {
    if (!isLocked(store)) return true;
    if (Date.now() >= untilMs) return false;
  }
}

/** The process id the daemon wrote into its lock. */
function pidOf(store: Store): number | undefined {
  const pid = Number(readFileSync(lockFile(store.layout.root), 'utf8').trim());
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

export async function daemonRestart(): Promise<void> {
  await daemonStop();
  await daemonStart();
}

/** Returns the exit status: 1 when none runs. */
export async function daemonStatusCommand(options: { json?: boolean }): Promise<number> {
  const loaded: LoadedSettings = settingsHere();
  const store = openHere(loaded);
  const status = await daemonStatus(loaded, store);
  const queued = queuedByPlace(store.layout.root);
  if (options.json === true) printJson({ running: status !== undefined, ...status, queued });
  else if (status === undefined) print(`No daemon runs. ${waiting(queued)}`);
  else show(status, queued);
  return status === undefined ? 1 : 0;
}

const waiting = (queued: readonly { count: number }[]): string =>
  `${queued.reduce((sum, { count }) => sum + count, 0)} uploads wait.`;

function show(status: DaemonStatus, queued: readonly { count: number }[]): void {
  print(
    `${style.bold('Running')}, process ${status.pid}, version ${status.version}, for ${formatMs(status.uptimeMs)}, ${formatBytes(status.residentBytes)} resident, ${status.hits} hits and ${status.compiles} misses answered. ${waiting(queued)}`,
  );
  for (const session of status.sessions) showSession(session);
}

function showSession(session: SessionStatus): void {
  print(style.bold(session.place) + (session.readonly ? ' (read-only)' : ''));
  print(
    table([
      ['  state', sessionState(session)],
      [
        '  requests',
        `${session.requests}, ${session.inFlight} under way, ${session.failures} failed${lastFailure(session)}`,
      ],
      [
        '  downloaded',
        `${session.downloads.entries} entries, ${session.downloads.prefetched} of them prefetched; ${formatBytes(session.downloadedBytes)}`,
      ],
      [
        '  uploaded',
        `${session.uploads.uploaded} entries, ${formatBytes(session.uploadedBytes)}; ${session.queued} wait`,
      ],
    ]),
  );
}

const lastFailure = ({ lastFailure: last }: SessionStatus): string =>
  last === null ? '' : `, the last ${formatMs(Date.now() - last.atMs)} ago: ${last.why}`;

export function daemonLog(): void {
  const store = openHere();
  const path = logFile(store.layout.root);
  print(existsSync(path) ? readFileSync(path, 'utf8').trimEnd() : 'The daemon has not run yet.');
}

/** `daemon install`: the daemon as a service of this user. */
export function daemonInstall(): number {
  const here = serviceHere();
  const isStarted = installHere(here);
  print(`Wrote ${here.path}.`);
  return isStarted ? 0 : 1;
}

export function daemonUninstall(): void {
  const service = serviceFor(process.platform, process.execPath, process.env);
  print(uninstallService(service, ran) ? `Removed ${service.path}.` : 'No service is installed.');
}
