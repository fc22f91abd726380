// Deciding, without a daemon, that eviction is due: by the bytes written since its last run.
import { bestEffort, stat } from '../sys/files.ts';
import { startDetached } from '../sys/process.ts';
import { type Store, WRITTEN_UNIT_BYTES } from './store.ts';

/** Without a cap of one's own, eviction looks at the store after this much was written. */
const DEFAULT_STEP_BYTES = 512 * 1024 * 1024;

/** Eviction also starts a new generation of the event log. */
const MAX_LOG_BYTES = 40 * 1024 * 1024;

/** With a cap, after a twentieth of it: the store is never further above than that plus what is being written. */
const stepBytes = (maxSizeBytes: number | undefined): number =>
  maxSizeBytes === undefined ? DEFAULT_STEP_BYTES : Math.min(DEFAULT_STEP_BYTES, maxSizeBytes / 20);

/** Starts an eviction run in a process of its own when one is due; `self` is this program. */
export function startEviction(store: Store, self: string, maxSizeBytes: number | undefined): void {
  bestEffort(() => {
    const written = (stat(store.layout.written)?.size ?? 0) * WRITTEN_UNIT_BYTES;
    if (written < stepBytes(maxSizeBytes) && (stat(store.layout.events)?.size ?? 0) < MAX_LOG_BYTES) return;
    // The helper has another working directory, where another config file may hold: it is told what holds here.
    const cap = maxSizeBytes === undefined ? {} : { KACHE_MAX_SIZE: `${maxSizeBytes}` };
    startDetached([self, 'gc', '--background'], { KACHE_CACHE_DIR: store.layout.root, ...cap });
  });
}
