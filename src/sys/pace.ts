// Long work in steps: others get their turn, somebody is told how far it is, and it can be ended between two steps. Cold:
// no compiler call works so long.

export interface PaceOptions {
  /** Called a few times a second with what the current step is, in words. */
  readonly onProgress?: ((progress: string) => void) | undefined;
  /** Aborting ends the work at its next step, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Other work, a key press too, waits at most about this long. */
const TURN_MS = 8;
const TOLD_EVERY_MS = 100;

export class Pace {
  readonly #options: PaceOptions;
  #turnMs = performance.now();
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(options: PaceOptions = {}) {
    this.#options = options;
  }

  /** To be awaited between any two steps; `progress` is asked only when somebody is told. */
  async step(progress: () => string): Promise<void> {
    const now = performance.now();
    if (this.#options.onProgress !== undefined && now - this.#toldMs > TOLD_EVERY_MS) {
      this.#toldMs = now;
      this.#options.onProgress(progress());
    }
    if (now - this.#turnMs > TURN_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#turnMs = performance.now();
    }
    this.#options.signal?.throwIfAborted();
  }
}
