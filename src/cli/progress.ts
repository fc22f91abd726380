// A line on stderr that says how far something is, where a person looks; nothing anywhere else.

/** Shown only when it takes longer than a second. */
const AFTER_MS = 1_000;
const EVERY_MS = 100;

export class Progress implements Disposable {
  readonly #what: string;
  readonly #total: number;
  readonly #startedMs = Date.now();
  readonly #isShown = process.stderr.isTTY === true;
  #done = 0;
  #paintedMs = 0;

  constructor(what: string, total: number) {
    this.#what = what;
    this.#total = total;
  }

  step(): void {
    this.#done++;
    const now = Date.now();
    if (!this.#isShown || now - this.#startedMs < AFTER_MS || now - this.#paintedMs < EVERY_MS) return;
    this.#paintedMs = now;
    const width = 30;
    const full = Math.round((this.#done / Math.max(this.#total, 1)) * width);
    const bar = `${'#'.repeat(Math.min(full, width))}${'.'.repeat(Math.max(width - full, 0))}`;
    process.stderr.write(`\r${this.#what} [${bar}] ${this.#done}/${this.#total}`);
  }

  [Symbol.dispose](): void {
    if (this.#paintedMs > 0) process.stderr.write('\r\x1b[K');
  }
}
