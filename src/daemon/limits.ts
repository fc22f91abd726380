// What bounds the daemon: transfers at once, bytes in memory, and the time compiles wait in vain.

/** Lets so many in at once; those who matter more go first, then whoever came first. */
export class Gate {
  readonly #places: number;
  readonly #waiting: { readonly urgent: boolean; readonly enter: () => void }[] = [];
  #inside = 0;

  constructor(places: number) {
    this.#places = places;
  }

  /** Resolves to what is disposed to leave. */
  async enter(urgent: boolean): Promise<Disposable> {
    if (this.#inside >= this.#places) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const entry = { urgent, enter: resolve };
      const firstPatient = this.#waiting.findIndex((other) => !other.urgent);
      if (urgent && firstPatient >= 0) this.#waiting.splice(firstPatient, 0, entry);
      else this.#waiting.push(entry);
      await promise;
    } else this.#inside++;
    return { [Symbol.dispose]: () => this.#leave() };
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#inside--;
    else next.enter();
  }
}

/** Hands out bytes of memory; who asks for more than there is waits, and gets at most the whole. */
export class ByteBudget {
  readonly #total: number;
  #free: number;
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = [];

  constructor(totalBytes: number) {
    this.#total = totalBytes;
    this.#free = totalBytes;
  }

  async take(bytes: number): Promise<Disposable> {
    const wanted = Math.min(bytes, this.#total);
    if (this.#waiting.length > 0 || wanted > this.#free) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push({ bytes: wanted, enter: resolve });
      await promise;
    } else this.#free -= wanted;
    return { [Symbol.dispose]: () => this.#give(wanted) };
  }

  #give(bytes: number): void {
    this.#free += bytes;
    for (
      let next = this.#waiting[0];
      next !== undefined && next.bytes <= this.#free;
      next = this.#waiting[0]
    ) {
      this.#waiting.shift();
      this.#free -= next.bytes;
      next.enter();
    }
  }
}

/** Compiles wait in vain for so long in all within the window; then they do not wait until it has passed. */
export const VAIN_BUDGET_MS = 10_000;
export const VAIN_WINDOW_MS = 5 * 60_000;

/** How long compiles may still wait for a remote that has not been worth it. */
export class Patience {
  readonly #spent: { readonly atMs: number; readonly ms: number }[] = [];

  /** Milliseconds a compile may wait now, at most `wantedMs`. */
  allowance(wantedMs: number, nowMs = Date.now()): number {
    while ((this.#spent[0]?.atMs ?? nowMs) < nowMs - VAIN_WINDOW_MS) this.#spent.shift();
    const spent = this.#spent.reduce((sum, { ms }) => sum + ms, 0);
    return Math.max(0, Math.min(wantedMs, VAIN_BUDGET_MS - spent));
  }

  /** Notes a wait that ended without an answer. */
  lost(ms: number, nowMs = Date.now()): void {
    this.#spent.push({ atMs: nowMs, ms });
  }
}

/** Names that are not there, for a short while: a bounded number of them. */
export class NegativeMemory {
  readonly #until = new Map<string, number>();
  readonly #lastsMs: number;
  readonly #max: number;

  constructor(lastsMs: number, max: number) {
    this.#lastsMs = lastsMs;
    this.#max = max;
  }

  has(name: string): boolean {
    return (this.#until.get(name) ?? 0) > Date.now();
  }

  add(name: string): void {
    this.#until.delete(name);
    this.#until.set(name, Date.now() + this.#lastsMs);
    // Insertion order is age: the first is the oldest.
    if (this.#until.size > this.#max)
      for (const oldest of this.#until.keys()) return void this.#until.delete(oldest);
  }

  forget(name: string): void {
    this.#until.delete(name);
  }
}
