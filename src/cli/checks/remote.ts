// Checks of what works in the background and over the network.
import { remoteOf } from '../../core/config.ts';
import { KacheError } from '../../core/errors.ts';
import { pauseFile } from '../../daemon/protocol.ts';
import { queuedByPlace } from '../../daemon/server.ts';
import { describeFailure, isOutage } from '../../remote/backend.ts';
import { PROBE_NAME } from '../../remote/names.ts';
import { openRemote } from '../../remote/open.ts';
import type { Store } from '../../store/store.ts';
import { stat } from '../../sys/files.ts';
import type { LoadedSettings } from '../../sys/settings.ts';
import { daemonStatus, remoteHere } from '../remote-here.ts';
import { type Check, type Finding, fail, look, ok } from './check.ts';

/** More than this many uploads that wait are said. */
const MANY = 1000;

const daemon: Check = {
  id: 'daemon',
  title: 'The daemon is as it should be',
  run: async ({ loaded, store }) => {
    if (remoteOf(loaded.settings) === undefined) return [ok('off: nothing needs one')];
    if (store.kind !== 'store') return [];
    return [await daemonState(loaded, store), ...queue(store)];
  },
};

async function daemonState(loaded: LoadedSettings, store: Store): Promise<Finding> {
  try {
    const status = await daemonStatus(loaded, store);
    if (status !== undefined) return ok(`process ${status.pid}, version ${status.version}`);
  } catch (error) {
    if (!(error instanceof KacheError)) throw error;
    return fail(error.message, error.hint ?? '');
  }
  // It is started by the first compile that needs it; a pause says that this has failed.
  return stat(pauseFile(store.layout.root)) === undefined
    ? ok('not running; a build starts it')
    : look('a build could not start it', '`kache daemon run` shows why.');
}

function queue(store: Store): Finding[] {
  const waiting = queuedByPlace(store.layout.root).reduce((sum, { count }) => sum + count, 0);
  if (waiting < MANY) return [];
  return [
    look(`${waiting} uploads wait`, '`kache sync --push` uploads them now, and says why when it cannot.'),
  ];
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
