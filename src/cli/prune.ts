// `kache sync --prune`: removing from a remote what is old, or what is above a size. For stores without lifecycle rules.
import { KacheError } from '../core/errors.ts';
import { parseSizeBytes } from '../core/quantities.ts';
import type { RemoteConfig } from '../daemon/protocol.ts';
import { describeFailure, type Listed } from '../remote/backend.ts';
import { parseName, REMOTE_VERSION } from '../remote/names.ts';
import type { Remote } from '../remote/open.ts';
import { durationMs } from './open.ts';
import { Progress } from './progress.ts';
import { formatBytes, print } from './terminal.ts';

export interface PruneOptions {
  readonly maxAge?: string;
  readonly maxSize?: string;
  readonly dryRun?: boolean;
  readonly allowPartial?: boolean;
}

/** What goes: everything older than the age, then the oldest until the rest fits. Objects not kache's stay. Pure. */
export function planPrune(
  objects: readonly Listed[],
  limits: { readonly maxAgeMs: number; readonly maxBytes: number; readonly nowMs: number },
): Listed[] {
  const own = objects
    .filter(({ name }) => parseName(name) !== undefined)
    .sort((a, b) => a.modifiedMs - b.modifiedMs);
  let bytes = own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const doomed: Listed[] = [];
  for (const object of own) {
    const old = limits.nowMs - object.modifiedMs > limits.maxAgeMs;
    if (!old && bytes <= limits.maxBytes) break;
    doomed.push(object);
    bytes -= object.sizeBytes;
  }
  return doomed;
}

export async function prune(remote: Remote, config: RemoteConfig, options: PruneOptions): Promise<number> {
  if (config.readonly) throw new KacheError('readonly', 'Cannot prune: cache.remote_readonly is on.');
  if (options.maxAge === undefined && options.maxSize === undefined)
    throw new KacheError('usage', 'Cannot prune without a limit: give --max-age or --max-size.');
  const maxBytes = options.maxSize === undefined ? Number.POSITIVE_INFINITY : parseSizeBytes(options.maxSize);
  if (maxBytes === undefined)
    throw new KacheError('usage', `Cannot read the size "${options.maxSize}": expected 10GiB or 500MB.`);
  const maxAgeMs = options.maxAge === undefined ? Number.POSITIVE_INFINITY : durationMs(options.maxAge);
  const objects: Listed[] = [];
  for await (const item of remote.write.list(`${REMOTE_VERSION}/`)) {
    if ('kind' in item) {
      console.error(`kache: Cannot list ${remote.write.place}: ${describeFailure(item)}.`);
      return 1;
    }
    objects.push(item);
  }
  const doomed = planPrune(objects, { maxAgeMs, maxBytes, nowMs: Date.now() });
  const bytes = doomed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (options.dryRun === true) {
    print(`${doomed.length} objects of ${objects.length}, ${formatBytes(bytes)}, would be removed.`);
    return 0;
  }
  using progress = new Progress('removing', doomed.length);
  let failed = 0;
  for (const { name } of doomed) {
    const answer = await remote.write.remove(name);
    if (answer.kind !== 'done' && answer.kind !== 'not-found') failed++;
    progress.step();
  }
  print(
    `Removed ${doomed.length - failed} objects of ${objects.length}, ${formatBytes(bytes)}${failed > 0 ? `; ${failed} could not be` : ''}.`,
  );
  return failed > 0 && options.allowPartial !== true ? 1 : 0;
}
