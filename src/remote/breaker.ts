// Giving a remote that is out a rest: time lost on a remote that does not answer is lost once, not once for every object.
import {
  type Backend,
  type Failure,
  type GetOptions,
  isOutage,
  type Listed,
  type Outage,
  type PutOptions,
  type Unavailable,
} from './backend.ts';
import { PROBE_NAME } from './names.ts';

export interface BreakerOptions {
  /** Failures in a row before it opens; a time-out opens it at once. */
  readonly failures: number;
  readonly firstOpenMs: number;
  readonly maxOpenMs: number;
}

type State =
  | { readonly kind: 'closed' }
  | { readonly kind: 'open'; readonly untilMs: number; readonly why: Outage }
  /** The time is over, and one request is on its way to see whether the remote is back. */
  | { readonly kind: 'probing'; readonly why: Outage };

/**
 * Refuses at once while a remote is out. When its time is over a probe in the background finds out whether the remote
 * is back: no caller waits for it. A 404 is an answer, and never counts.
 */
export class Breaker implements Backend {
  readonly place: string;
  readonly #inner: Backend;
  readonly #options: BreakerOptions;
  #state: State = { kind: 'closed' };
  #failures = 0;
  #openMs: number;

  constructor(inner: Backend, options: BreakerOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#openMs = options.firstOpenMs;
    this.place = inner.place;
  }

  /** Why requests are refused now; undefined when they are not. Looking starts the probe when it is time. */
  get outage(): Outage | undefined {
    if (this.#state.kind === 'open' && Date.now() >= this.#state.untilMs) void this.#probe(this.#state.why);
    return this.#state.kind === 'closed' ? undefined : this.#state.why;
  }

  /**
   * Why requests are refused, and until when (milliseconds since the epoch; undefined while the remote is being asked
   * again). Unlike {@link outage}, looking starts nothing.
   */
  get rest(): { readonly why: Outage; readonly untilMs: number | undefined } | undefined {
    const state = this.#state;
    if (state.kind === 'closed') return undefined;
    return { why: state.why, untilMs: state.kind === 'open' ? state.untilMs : undefined };
  }

  get(name: string, options: GetOptions) {
    return this.#guarded(() => this.#inner.get(name, options));
  }
  has(name: string) {
    return this.#guarded(() => this.#inner.has(name));
  }
  async put(name: string, bytes: Uint8Array, options: PutOptions) {
    return this.#guarded(() => this.#inner.put(name, bytes, options));
  }
  async *list(prefix: string): AsyncIterable<Listed | Failure> {
    if (this.outage !== undefined) yield this.#refusal();
    else yield* this.#inner.list(prefix);
  }
  remove(name: string) {
    return this.#guarded(() => this.#inner.remove(name));
  }

  async #guarded<T extends { readonly kind: string }>(ask: () => Promise<T>): Promise<T | Unavailable> {
    if (this.outage !== undefined) return this.#refusal();
    const answer = await ask();
    this.#count(answer);
    return answer;
  }

  #refusal(): Unavailable {
    return { kind: 'unavailable', detail: 'the remote is given a rest', timedOut: false };
  }

  #count(answer: { readonly kind: string }): void {
    if (!isOutage(answer)) {
      this.#failures = 0;
      if (this.#state.kind === 'closed') this.#openMs = this.#options.firstOpenMs;
      return;
    }
    if (this.#state.kind !== 'closed') return;
    if (answer.kind === 'throttled') {
      this.#open(answer, answer.retryAfterMs);
      return;
    }
    this.#failures++;
    const lost = answer.kind === 'unavailable' && answer.timedOut;
    if (lost || this.#failures >= this.#options.failures) this.#open(answer, this.#openMs);
  }

  #open(why: Outage, ms: number): void {
    this.#state = { kind: 'open', untilMs: Date.now() + ms, why };
    this.#openMs = Math.min(this.#openMs * 2, this.#options.maxOpenMs);
    this.#failures = 0;
  }

  async #probe(why: Outage): Promise<void> {
    this.#state = { kind: 'probing', why };
    const answer = await this.#inner.has(PROBE_NAME);
    if (isOutage(answer))
      this.#open(answer, answer.kind === 'throttled' ? answer.retryAfterMs : this.#openMs);
    else this.#state = { kind: 'closed' };
  }
}
