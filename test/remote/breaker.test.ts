// Trying again, and giving a remote a rest: against a backend whose answers are chosen.
import { expect, test } from 'bun:test';
import type { Backend, Failure } from '../../src/remote/backend.ts';
import { Breaker } from '../../src/remote/breaker.ts';
import { retrying } from '../../src/remote/retry.ts';

/** Answers what `next` says, and counts. */
class Chosen implements Backend {
  readonly place = 'chosen';
  asked = 0;
  next: Failure = { kind: 'not-found' };
  async #answer(): Promise<Failure> {
    this.asked++;
    return this.next;
  }
  get = () => this.#answer();
  has = () => this.#answer();
  put = async () => ({ kind: 'done' }) as const;
  remove = () => this.#answer();
  async *list() {}
}

const GET = { maxBytes: 1 };
const TIMED_OUT: Failure = { kind: 'unavailable', detail: 'no answer', timedOut: true };
const REFUSED: Failure = { kind: 'unavailable', detail: 'refused', timedOut: false };
const OPTIONS = { failures: 3, firstOpenMs: 30, maxOpenMs: 60 };

async function until(condition: () => boolean): Promise<void> {
  for (const endMs = Date.now() + 10_000; !condition(); await Bun.sleep(2))
    if (Date.now() > endMs) throw new Error('it did not come to be');
}

test('a 404 is an answer: it never opens the breaker', async () => {
  const inner = new Chosen();
  const breaker = new Breaker(inner, OPTIONS);
  for (let index = 0; index < 20; index++) expect((await breaker.get('a', GET)).kind).toBe('not-found');
  expect([inner.asked, breaker.outage]).toEqual([20, undefined]);
});

test('a time-out opens it at once, three refusals do, and nobody is asked while it is open', async () => {
  for (const [failure, count] of [
    [TIMED_OUT, 1],
    [REFUSED, 3],
    [{ kind: 'denied', detail: '403' }, 3],
  ] as const) {
    const inner = new Chosen();
    const breaker = new Breaker(inner, { ...OPTIONS, firstOpenMs: 60_000 });
    inner.next = failure;
    for (let index = 0; index < 10; index++) await breaker.get('a', GET);
    expect([failure, inner.asked]).toEqual([failure, count]);
    expect(breaker.outage).toEqual(failure);
  }
});

test('successes in between keep it closed', async () => {
  const inner = new Chosen();
  const breaker = new Breaker(inner, OPTIONS);
  for (let index = 0; index < 12; index++) {
    inner.next = index % 3 === 2 ? { kind: 'not-found' } : REFUSED;
    await breaker.get('a', GET);
  }
  expect([inner.asked, breaker.outage]).toEqual([12, undefined]);
});

test('when its time is over one probe finds out, in the background, and it closes within seconds', async () => {
  const inner = new Chosen();
  const breaker = new Breaker(inner, OPTIONS);
  inner.next = TIMED_OUT;
  await breaker.get('a', GET);
  expect(breaker.outage).toBeDefined();
  // Still out: each look after its time costs the remote one request, and no caller a wait.
  await until(() => breaker.outage !== undefined && inner.asked >= 3);
  inner.next = { kind: 'not-found' };
  await until(() => breaker.outage === undefined);
  expect((await breaker.get('a', GET)).kind).toBe('not-found');
});

test('too many requests: it stays away as long as it was told, and no longer', async () => {
  const inner = new Chosen();
  const breaker = new Breaker(inner, OPTIONS);
  inner.next = { kind: 'throttled', retryAfterMs: 50 };
  await breaker.get('a', GET);
  const asked = inner.asked;
  expect((await breaker.get('a', GET)).kind).toBe('unavailable');
  expect(inner.asked).toBe(asked);
  inner.next = { kind: 'not-found' };
  await until(() => breaker.outage === undefined);
});

test('what passes quickly is tried again, what does not is not', async () => {
  for (const [failure, asked] of [
    [REFUSED, 3],
    [TIMED_OUT, 1],
    [{ kind: 'denied', detail: '' }, 1],
    [{ kind: 'not-found' }, 1],
    [{ kind: 'corrupt', detail: '' }, 1],
    [{ kind: 'throttled', retryAfterMs: 1 }, 3],
    [{ kind: 'throttled', retryAfterMs: 60_000 }, 1],
  ] as const) {
    const inner = new Chosen();
    inner.next = failure;
    await retrying(inner, { attempts: 3, firstWaitMs: 1 }).get('a', GET);
    expect([failure, inner.asked]).toEqual([failure, asked]);
  }
});
