// The end of a call: its event, and what is left to do when its outputs are in place.
import { remoteOf } from '../core/config.ts';
import type { RestoredBytes } from '../core/events.ts';
import { type Entry, settleEntry } from '../store/entries.ts';
import { startEviction } from '../store/eviction-trigger.ts';
import { isOsError } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { type ExitStatus, succeeded } from '../sys/process.ts';
import { type Call, describe } from './call.ts';
import type { KeyBase } from './key.ts';
import { sizeOf } from './restore.ts';
import { rememberInputs } from './save.ts';
import { type EventBody, type Whose, writeEvent } from './write-event.ts';

/** Writes the event of a call. */
export function finish(
  call: Call,
  body: Pick<EventBody, 'result' | 'compiler_runs'> & Partial<EventBody>,
): void {
  const toolchain =
    remoteOf(call.settings) === undefined ? {} : { toolchain: sha256(call.toolchain.identity).slice(0, 8) };
  writeEvent(call, { ...describe(call), ...toolchain, ...body, phases: call.phases });
}

/** Why a call failed in here, as it stands in its event. */
export const whyFailed = (error: unknown): string =>
  `cache-failed|${isOsError(error) ? `${error.code} ${error.operation}` : error}`;

/** Writes the event of a call that failed in here when its compiler had ended. */
export const noteFailure = (
  call: Whose & Pick<Call, 'invocation'>,
  ended: ExitStatus,
  error: unknown,
): void =>
  writeEvent(call, {
    ...describe(call),
    result: succeeded(ended) ? 'skipped' : 'error',
    reason: whyFailed(error),
    compiler_runs: 1,
  });

/** What is left to do when the outputs of a hit are in place and announced. */
export function noteHit(
  call: Call,
  base: KeyBase,
  { entry, bytes }: { entry: Entry; bytes: RestoredBytes },
): void {
  const { origin } = entry;
  if (origin !== undefined) settleEntry(call.store, entry);
  finish(call, {
    result: origin === undefined ? 'local_hit' : `${origin}_hit`,
    compiler_runs: 0,
    compile_ms: entry.compileMs,
    size_bytes: sizeOf(entry),
    restored: bytes,
    cache_key: entry.key,
    unit_id: base.unit,
  });
  rememberInputs(base);
  evictIfDue(call);
}

/** Starts an eviction beside the build when one is due. */
export const evictIfDue = ({ store, self, settings }: Call): void =>
  startEviction(store, self, settings.maxSizeBytes);
