// Starting the daemon from a compiler call: a process of its own that holds nothing of this one's. It ends by itself when
// another has the store.
import type { Environment, Settings } from '../core/config.ts';
import { openStore, type Store, withParent } from '../store/store.ts';
import { bestEffort, createFile, isOsError, removeFile, stat } from '../sys/files.ts';
import { startDetached } from '../sys/process.ts';
import { loadSettings } from '../sys/settings.ts';
import { daemonFolder, hitSocketPath, socketPath } from './protocol.ts';

/** Starts the daemon of a store; `self` is this program. */
export function startDaemon(store: Store, settings: Settings, self: string): void {
  const { root } = store.layout;
  startDetached([self, 'daemon', 'run', '--background'], {
    KACHE_CACHE_DIR: root,
    KACHE_SOCKET_PATH: socketPath(root, settings),
    KACHE_DAEMON_IDLE_TIMEOUT: `${settings.daemonIdleSecs}`,
  });
}

/** A daemon that has not come up by then will not. */
const START_MS = 5_000;

/** There from when somebody has started a daemon until that has ended in good order; old ones count for nothing. */
export const startClaim = (root: string): string => `${daemonFolder(root)}/starting`;

interface Launched {
  /** Where a launcher asked in vain; undefined without one. */
  readonly askedAt?: string | undefined;
  readonly env: Environment;
  readonly self: string;
}

/**
 * Sees to it that launchers find somebody who answers: the daemon of the user's own store, whatever store the call itself
 * uses. The calls of one build start one daemon, not as many as there are calls before it listens. Whether one is there, or
 * is coming.
 */
export function startAnswering({ askedAt, env, self }: Launched): boolean {
  if (askedAt === undefined) return false;
  if (stat(askedAt) !== undefined) return true;
  const { settings } = loadSettings(env, '/');
  const store = openStore(settings.cacheDir);
  if (store.kind === 'problem' || hitSocketPath(store.layout.root, settings) !== askedAt) return false;
  return bestEffort(() => {
    const claim = startClaim(store.layout.root);
    const claimed = stat(claim);
    if (claimed !== undefined && Math.abs(Date.now() - claimed.mtimeSec * 1000) < START_MS) return;
    removeFile(claim);
    try {
      withParent(claim, () => createFile(claim, new Uint8Array(), 0o600));
    } catch (error) {
      if (isOsError(error, 'EEXIST')) return;
      throw error;
    }
    startDaemon(store, settings, self);
  });
}

/** How long a build waits for the daemon: what that does not see of a build is not known of the next one. */
const AWAITED_MS = 1_000;
const LOOK_EVERY_MS = 5;

/** Waits until somebody listens where a launcher asked in vain. */
export function awaitAnswering({ askedAt }: Pick<Launched, 'askedAt'>): void {
  for (let waitedMs = 0; askedAt !== undefined && waitedMs < AWAITED_MS; waitedMs += LOOK_EVERY_MS) {
    if (stat(askedAt) !== undefined) return;
    Bun.sleepSync(LOOK_EVERY_MS);
  }
}
