// What the commands about the remote start with: the remote of the settings that hold here, and a session with it.
import { remoteOf } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { parseJson } from '../core/json.ts';
import { DaemonClient } from '../daemon/client.ts';
import { PROTOCOL_VERSION, type RemoteConfig, remoteConfig, socketPath } from '../daemon/protocol.ts';
import type { DaemonStatus } from '../daemon/server.ts';
import type { SessionStatus } from '../daemon/session.ts';
import type { Store } from '../store/store.ts';
import type { LoadedSettings } from '../sys/settings.ts';

/** The configured remote; without one, why there is none. */
export function remoteHere({ settings }: LoadedSettings): RemoteConfig {
  const remote = remoteOf(settings);
  if (remote !== undefined) return remoteConfig(settings, remote, process.env);
  if (settings.remote !== undefined) {
    throw new KacheError('local-only', 'Cannot use the remote: cache.local_only is on.', {
      hint: 'Unset KACHE_LOCAL_ONLY, or `kache config unset cache.local_only`.',
    });
  }
  throw new KacheError('no-remote', 'Cannot use a remote: none is configured.', {
    hint: 'Set KACHE_S3_BUCKET or KACHE_REMOTE_PATH, or cache.remote in the config file; see docs/remote.md.',
  });
}

/** How long the command line waits for a daemon to answer. */
const ANSWER_MS = 3_000;

/** One request to the daemon of this store; undefined when none runs, an error when it does not answer. */
export async function askDaemon(
  loaded: LoadedSettings,
  store: Store,
  request: string,
  waitMs = ANSWER_MS,
): Promise<string | undefined> {
  using daemon = await DaemonClient.connect(socketPath(store.layout.root, loaded.settings));
  if (daemon === undefined) return undefined;
  const untilMs = Date.now() + waitMs;
  const greeting = await daemon.ask(`kache ${PROTOCOL_VERSION}`, untilMs);
  // One that makes way for a newer program has ended already.
  if (greeting === 'restart') return undefined;
  const answer = greeting === undefined ? undefined : await daemon.ask(request, untilMs);
  // One that hangs up is about to end.
  if (answer !== undefined || Date.now() < untilMs) return answer;
  throw new KacheError('daemon-hangs', 'Cannot reach the daemon: it does not answer.', {
    hint: 'Run `kache daemon restart`.',
  });
}

export async function daemonStatus(
  loaded: LoadedSettings,
  store: Store,
  waitMs = ANSWER_MS,
): Promise<DaemonStatus | undefined> {
  const answer = await askDaemon(loaded, store, 'status', waitMs);
  const status = answer === undefined ? undefined : (parseJson(answer) as DaemonStatus | undefined);
  if (status === undefined) return undefined;
  return {
    ...status,
    hits: status.hits ?? 0,
    sessions: status.sessions.map((session) => ({ ...NOT_SAID, ...session })),
  };
}

/** What daemons before these words existed leave out. */
const NOT_SAID = {
  restsForMs: null,
  prefetching: { planned: 0, done: 0 },
  inFlight: 0,
  lastFailure: null,
} satisfies Partial<SessionStatus>;
