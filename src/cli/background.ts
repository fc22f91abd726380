// The remote and the daemon as they are at this moment, for whoever shows them. Looking starts nothing, sends the remote
// nothing, and waits for a daemon for a given time only.
import { remoteOf } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { queuedByPlace } from '../daemon/server.ts';
import type { SessionStatus } from '../daemon/session.ts';
import { openRemote } from '../remote/open.ts';
import type { Store } from '../store/store.ts';
import type { LoadedSettings } from '../sys/settings.ts';
import { nextAsk } from './network.ts';
import { daemonStatus } from './remote-here.ts';

/** The remote by the settings that hold here. */
export type RemoteNow =
  | { readonly kind: 'off'; readonly why: string }
  | { readonly kind: 'wrong'; readonly why: string }
  | {
      readonly kind: 'on';
      readonly type: 's3' | 'filesystem';
      readonly place: string;
      readonly isReadonly: boolean;
    };

export type DaemonNow =
  | { readonly kind: 'none' }
  /** It listens, and does not answer. */
  | { readonly kind: 'hangs' }
  | {
      readonly kind: 'runs';
      readonly pid: number;
      readonly version: string;
      readonly uptimeMs: number;
      readonly residentBytes: number;
      readonly sessions: readonly SessionStatus[];
    };

export interface Background {
  readonly daemon: DaemonNow;
  /** Uploads that wait on disk, for any remote. */
  readonly queued: number;
}

export function remoteNow({ settings }: LoadedSettings): RemoteNow {
  const remote = remoteOf(settings);
  if (remote === undefined)
    return {
      kind: 'off',
      why: settings.remote === undefined ? 'none is configured' : 'cache.local_only is on',
    };
  try {
    const { place } = openRemote(remote, process.env).read;
    return { kind: 'on', type: remote.type, place, isReadonly: settings.remoteReadonly };
  } catch (error) {
    if (!(error instanceof KacheError)) throw error;
    return { kind: 'wrong', why: error.message };
  }
}

export const remoteType = (remote: RemoteNow): 'off' | 's3' | 'filesystem' =>
  remote.kind === 'on' ? remote.type : 'off';

export const queuedUploads = (store: Store): number =>
  queuedByPlace(store.layout.root).reduce((sum, { count }) => sum + count, 0);

export async function backgroundNow(
  loaded: LoadedSettings,
  store: Store,
  waitMs: number,
): Promise<Background> {
  return { daemon: await daemonNow(loaded, store, waitMs), queued: queuedUploads(store) };
}

async function daemonNow(loaded: LoadedSettings, store: Store, waitMs: number): Promise<DaemonNow> {
  try {
    const status = await daemonStatus(loaded, store, waitMs);
    if (status === undefined) return { kind: 'none' };
    const { pid, version, uptimeMs, residentBytes, sessions } = status;
    return { kind: 'runs', pid, version, uptimeMs, residentBytes, sessions };
  } catch (error) {
    if (error instanceof KacheError && error.code === 'daemon-hangs') return { kind: 'hangs' };
    throw error;
  }
}

/** How the remote does by what the daemon sees, in a few words. */
export function sessionState({ outage, restsForMs }: SessionStatus): string {
  if (outage === null) return 'answers';
  if (restsForMs === null) return `being asked again after: ${outage}`;
  return `resting, ${nextAsk(restsForMs)}: ${outage}`;
}
