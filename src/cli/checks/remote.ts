// Checks of what works in the background and over the network.
import { remoteOf } from '../../core/config.ts';
import { KacheError } from '../../core/errors.ts';
import { pauseFile } from '../../daemon/protocol.ts';
import type { SessionStatus } from '../../daemon/session.ts';
import { describeFailure, isOutage } from '../../remote/backend.ts';
import { PROBE_NAME } from '../../remote/names.ts';
import { openRemote } from '../../remote/open.ts';
import type { Store } from '../../store/store.ts';
import { stat } from '../../sys/files.ts';
import type { LoadedSettings } from '../../sys/settings.ts';
import { queuedUploads, sessionState } from '../background.ts';
import { isNative } from '../binary.ts';
import { daemonStatus, remoteHere } from '../remote-here.ts';
import { serviceHere } from '../service-here.ts';
import { plural } from '../terminal.ts';
import { type Check, type Finding, fail, look, ok } from './check.ts';

/** More waiting uploads than this are more than a remote that answers leaves. */
const MANY = 1000;

const daemon: Check = {
  id: 'daemon',
  title: 'The daemon is as it should be',
  run: async ({ loaded, store }) => {
    if (store.kind !== 'store') return [];
    const hasRemote = remoteOf(loaded.settings) !== undefined;
    const state = await daemonState(loaded, store);
    return hasRemote ? [...state, ...queue(store), ...service(true)] : [...state, ...service(false)];
  },
};

async function daemonState(loaded: LoadedSettings, store: Store): Promise<Finding[]> {
  try {
    const status = await daemonStatus(loaded, store);
    if (status !== undefined)
      return [
        ok(`process ${status.pid}, version ${status.version}, ${plural(status.hits, 'hit')} answered`),
        ...status.sessions.map(sessionFinding),
      ];
  } catch (error) {
    if (!(error instanceof KacheError)) throw error;
    return [fail(error.message, error.hint ?? '')];
  }
  // It is started by the first compile that needs it; a pause says that this has failed.
  return [
    stat(pauseFile(store.layout.root)) === undefined
      ? ok('not running; a build starts it when it is of use')
      : look('a build could not start it', '`kache daemon run` shows why.'),
  ];
}

function sessionFinding(session: SessionStatus): Finding {
  const text = `${session.place}: ${sessionState(session)}`;
  return session.outage === null
    ? ok(text)
    : look(text, 'Builds go on without the remote. `kache daemon log` has the history.');
}

function queue(store: Store): Finding[] {
  const waiting = queuedUploads(store);
  if (waiting === 0) return [];
  const text = plural(waiting, 'upload waits', 'uploads wait');
  if (waiting < MANY) return [ok(text)];
  return [look(text, '`kache sync --push` uploads them now, and says why when it cannot.')];
}

/** The service, when one is installed: `kache init` and `kache daemon install` write it. */
function service(isNeeded: boolean): Finding[] {
  if (!isNative()) return [];
  const { path, state } = serviceHere();
  if (state === 'absent') return [];
  if (!isNeeded) return [ok(`${path} is installed; without a remote it answers hits only`)];
  return state === 'current'
    ? [ok(`${path} starts it when you log in`)]
    : [look(`${path} starts another program or store than this one`, 'Run `kache daemon install`.')];
}

const remote: Check = {
  id: 'remote',
  title: 'The remote is as it should be',
  run: ({ loaded }) => {
    const { settings } = loaded;
    if (settings.remote === undefined) return [ok('off: none is configured')];
    return settings.localOnly ? [ok('off: cache.local_only is on')] : remoteStates(loaded);
  },
};

async function remoteStates(loaded: LoadedSettings): Promise<Finding[]> {
  try {
    const config = remoteHere(loaded);
    const { read, write } = openRemote(config.remote, config.env);
    const findings: Finding[] = [];
    for (const place of new Set([read, ...(config.readonly ? [] : [write])])) {
      const answer = await place.get(PROBE_NAME, { maxBytes: 1024 });
      findings.push(
        isOutage(answer)
          ? fail(`${place.place}: ${describeFailure(answer)}`, REMEDIES[answer.kind])
          : ok(`${place.place} answers${config.readonly ? '; read-only' : ''}`),
      );
    }
    return findings;
  } catch (error) {
    if (!(error instanceof KacheError)) throw error;
    return [fail(error.message, error.hint ?? 'See docs/remote.md; `kache config list` shows the settings.')];
  }
}

const REMEDIES = {
  denied:
    'Check bucket, region, credentials and the clock. GetObject, PutObject, DeleteObject and ListBucket are needed: without ListBucket a missing object looks like a refusal.',
  throttled: 'Wait, or lower cache.s3_concurrency.',
  unavailable: 'Check the endpoint and the network. Builds go on without the remote meanwhile.',
} as const;

export const REMOTE_CHECKS: readonly Check[] = [daemon, remote];
