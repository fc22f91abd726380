// Deciding, without a daemon, that eviction is due: by the bytes written since its last run.
import { bestEffort, stat } from '../sys/files.ts';
import { startDetached } from '../sys/process.ts';
import { type Store, WRITTEN_UNIT_BYTES } from './store.ts';

/** Without a cap of one's own, eviction looks at the store after this much was written. */
const DEFAULT_STEP_BYTES = 512 * 1024 * 1024;

/** With a cap, after a twentieth of it. */
const stepBytes = (maxSizeBytes: number | undefined): number =>
  maxSizeBytes === undefined ? DEFAULT_STEP_BYTES : Math.min(DEFAULT_STEP_BYTES, maxSizeBytes / 20);

/** So many steps behind, nothing more is stored until eviction has run: the store cannot outgrow it. */
const MAX_STEPS_BEHIND = 4;

/** A generation of the event log; two are kept, some hundred thousand events, and less in a small store. */
export const logLimitBytes = (maxSizeBytes: number | undefined): number =>
  Math.max(64 * 1024, Math.min(32 * 1024 * 1024, (maxSizeBytes ?? Number.POSITIVE_INFINITY) / 20));

const writtenBytes = (store: Store): number => (stat(store.layout.written)?.size ?? 0) * WRITTEN_UNIT_BYTES;

/** Whether enough was written since the last run, or the log has grown by a quarter above its limit. */
export const isEvictionDue = (store: Store, maxSizeBytes: number | undefined): boolean =>
  writtenBytes(store) >= stepBytes(maxSizeBytes) ||
  (stat(store.layout.events)?.size ?? 0) >= 1.25 * logLimitBytes(maxSizeBytes);

/** Whether eviction does not keep up with what is written, or does not run at all. */
export const isEvictionBehind = (store: Store, maxSizeBytes: number | undefined): boolean =>
  writtenBytes(store) >= MAX_STEPS_BEHIND * stepBytes(maxSizeBytes);

/** Starts an eviction run in a process of its own when one is due; `self` is this program. */
export function startEviction(store: Store, self: string, maxSizeBytes: number | undefined): void {
  bestEffort(() => {
    if (!isEvictionDue(store, maxSizeBytes)) return;
    // What holds here is handed over; a config file that holds for the helper's own folder must not.
    const settings = {
      KACHE_CONFIG: '/dev/null',
      KACHE_CACHE_DIR: store.layout.root,
      // Also where there is none: this may be a process that was started for another call.
      KACHE_MAX_SIZE: maxSizeBytes === undefined ? '' : `${maxSizeBytes}`,
    };
    startDetached([self, 'gc', '--background'], settings);
  });
}
