// What may go wrong without harm to the job, and how long it may take.
import * as core from '@actions/core';

/** The result of `run`; undefined, with a warning, when it throws or takes longer than `limitMs`. */
export async function attempt<T>(
  what: string,
  run: () => Promise<T>,
  limitMs = 10 * 60_000,
): Promise<T | undefined> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`it took longer than ${limitMs / 1000} s`)), limitMs);
  try {
    return await Promise.race([run(), late]);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    core.warning(`kache: Cannot ${what}: ${why}. The build goes on without it.`);
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
