// A program on a terminal of its own, with what it writes and how long it takes to answer a key.
import { existsSync, readFileSync } from 'node:fs';

export interface PtyOptions {
  readonly columns: number;
  readonly rows: number;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Time on the clock, and of a processor: the second does not depend on what else the machine does. */
export interface Took {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** Processor time of a process's main thread; not a number where the system does not tell. */
function cpuMs(pid: number): number {
  const path = `/proc/${pid}/schedstat`;
  return existsSync(path) ? Number(readFileSync(path, 'utf8').split(' ')[0]) / 1e6 : Number.NaN;
}

export class Pty implements AsyncDisposable {
  readonly #child: Bun.Subprocess;
  readonly #decoder = new TextDecoder();
  readonly #startedMs = performance.now();
  #output = '';
  #arrived: () => void = () => {};

  constructor(argv: readonly string[], options: PtyOptions) {
    this.#child = Bun.spawn([...argv], {
      env: { ...options.env, TERM: 'xterm-256color' },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      terminal: {
        cols: options.columns,
        rows: options.rows,
        data: (_terminal, bytes) => {
          this.#output += this.#decoder.decode(bytes, { stream: true });
          this.#arrived();
        },
      },
    });
  }

  /** Everything written so far. */
  get output(): string {
    return this.#output;
  }

  /** Until the output behind `from` matches. Fails when it does not within the time, or the program ends. */
  async until(pattern: RegExp, { from = 0, withinMs = 60_000 } = {}): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!pattern.test(this.#output.slice(from))) {
      const left = deadline - performance.now();
      if (left <= 0)
        throw new Error(
          `${pattern} did not appear in ${JSON.stringify(this.#output.slice(from).slice(-2000))}`,
        );
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#arrived = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
  }

  write(keys: string): void {
    this.#child.terminal?.write(keys);
  }

  /** Types a key and waits for its answer on the terminal. */
  async answer(key: string, pattern: RegExp): Promise<Took> {
    const from = this.#output.length;
    const start = this.#now();
    this.write(key);
    await this.until(pattern, { from });
    return this.since(start);
  }

  /** What it took from a moment on, from its start without one. */
  since(from: Took = { wallMs: this.#startedMs, cpuMs: 0 }): Took {
    const now = this.#now();
    return { wallMs: now.wallMs - from.wallMs, cpuMs: now.cpuMs - from.cpuMs };
  }

  #now(): Took {
    return { wallMs: performance.now(), cpuMs: cpuMs(this.#child.pid) };
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
    this.#child.terminal?.close();
  }
}
