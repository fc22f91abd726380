// The log of what went to and came from remotes: appended by whoever talks to one, bounded like the event log. It
// outlives the daemon, so reports know its work. Cold: no compiler call talks to a remote itself.
import {
  type PrefetchPlan,
  parseTransferLine,
  type TransferLine,
  type TransferRecord,
  timeOf,
} from '../core/transfers.ts';
import { appendFile, bestEffort, rename, stat, utf8 } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { tryLock } from '../sys/lock.ts';
import { linesOf, previousGeneration } from './event-log.ts';
import { logLimitBytes } from './eviction-trigger.ts';
import type { Store } from './store.ts';

/** A generation; two are kept, some forty thousand requests, and less in a small store. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Appends one line. Never fails: what is lost is a figure. */
export function logTransfer(
  store: Store,
  line: TransferRecord | PrefetchPlan,
  maxSizeBytes: number | undefined,
): void {
  const { transfers } = store.layout;
  bestEffort(() => {
    rotate(store, Math.min(MAX_BYTES, logLimitBytes(maxSizeBytes)));
    appendFile(transfers, utf8(`${JSON.stringify(line)}\n`));
  });
}

/** Of two that find it too long one renames it: the other would put a log of one line over the generation before. */
function rotate(store: Store, limitBytes: number): void {
  const { transfers } = store.layout;
  const isFull = (): boolean => (stat(transfers)?.size ?? 0) > limitBytes;
  if (!isFull()) return;
  using lock = tryLock(store.layout.lock(sha256('kache transfers')));
  if (lock !== undefined && isFull()) rename(transfers, previousGeneration(transfers));
}

/** Every line since `sinceMs` (milliseconds since the epoch), oldest first; torn lines are left out. */
export function readTransfers(store: Store, sinceMs = 0): TransferLine[] {
  return linesOf(store.layout.transfers)
    .flatMap((line) => parseTransferLine(line) ?? [])
    .filter((line) => timeOf(line) >= sinceMs);
}
