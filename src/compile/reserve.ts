// One process compiles, the others wait and use the result. The lock dies with its holder.
import type { CacheKey, Digest } from '../core/ids.ts';
import { sourcePath } from '../rustc/invocation.ts';
import { lockStore } from '../store/store.ts';
import { sha256 } from '../sys/hash.ts';
import type { FileLock } from '../sys/lock.ts';
import type { Call } from './call.ts';
import type { KeyBase } from './key.ts';

/**
 * Waits until nobody else compiles this, and takes the build lock: on the predicted key, or, when nothing is recorded
 * yet, on the unit with the content of its root file and its externs. Undefined where locks cannot be had: then two
 * processes may compile the same, and both are right.
 */
export const reserve = (call: Call, base: KeyBase, predicted: CacheKey | undefined): FileLock | undefined =>
  lockStore(call.store, predicted ?? firstCompile(call, base));

/** Where the build lock is, for a process that takes it by itself. */
export const lockPath = (call: Call, base: KeyBase, predicted: CacheKey | undefined): string =>
  call.store.layout.lock(predicted ?? firstCompile(call, base));

const firstCompile = (call: Call, base: KeyBase): Digest =>
  sha256(
    JSON.stringify([base.unit, base.sources.hash(sourcePath(call.invocation)) ?? null, base.externs.keyed]),
  );
