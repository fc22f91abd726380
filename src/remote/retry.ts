// Trying again after refusals that pass quickly.
import { type Backend, type Failure, isOutage } from './backend.ts';

export interface RetryOptions {
  /** How often a request is made, at most. */
  readonly attempts: number;
  /** Before the second attempt, doubled for each further one, with up to as much again by chance. */
  readonly firstWaitMs: number;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again after refusals that pass quickly; not after a time-out, and not longer than a remote asks for. */
export function retrying(backend: Backend, { attempts, firstWaitMs }: RetryOptions): Backend {
  const again = async <T extends { readonly kind: string }>(
    ask: () => Promise<T | Failure>,
  ): Promise<T | Failure> => {
    for (let attempt = 1; ; attempt++) {
      const answer = await ask();
      const waitMs = waitAfter(answer, firstWaitMs * 2 ** (attempt - 1));
      if (waitMs === undefined || attempt >= attempts) return answer;
      await sleep(waitMs * (1 + Math.random()));
    }
  };
  return {
    place: backend.place,
    get: (name, options) => again(() => backend.get(name, options)),
    has: (name) => again(() => backend.has(name)),
    put: async (name, bytes, options) => {
      const answer = await again(() => backend.put(name, bytes, options));
      return answer.kind === 'not-found' ? { kind: 'denied', detail: 'the place is gone' } : answer;
    },
    list: (prefix) => backend.list(prefix),
    remove: (name) => again(() => backend.remove(name)),
  };
}

const MAX_THROTTLE_WAIT_MS = 2_000;

function waitAfter(answer: { readonly kind: string }, waitMs: number): number | undefined {
  if (!isOutage(answer) || answer.kind === 'denied') return undefined;
  if (answer.kind === 'throttled')
    return answer.retryAfterMs <= MAX_THROTTLE_WAIT_MS ? Math.max(answer.retryAfterMs, waitMs) : undefined;
  return answer.timedOut ? undefined : waitMs;
}
