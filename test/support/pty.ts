// A program on a terminal of its own: what it shows, keys pressed, and how it ended.

export interface PtyOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export class Pty implements Disposable {
  #text = '';
  #waiting: (() => void)[] = [];
  readonly #process: Bun.Subprocess;

  constructor(argv: readonly string[], options: PtyOptions) {
    const decoder = new TextDecoder();
    this.#process = Bun.spawn([...argv], {
      cwd: options.cwd,
      env: { TERM: 'xterm-256color', ...options.env },
      terminal: {
        cols: 100,
        rows: 30,
        data: (_terminal, bytes) => {
          this.#text += decoder.decode(bytes, { stream: true });
          for (const wake of this.#waiting.splice(0)) wake();
        },
      },
    });
  }

  /** Everything shown so far, escape sequences included. */
  get text(): string {
    return this.#text;
  }

  get pid(): number {
    return this.#process.pid;
  }

  press(keys: string): void {
    this.#process.terminal?.write(keys);
  }

  /** Waits until `wanted` stands in what was shown. */
  async until(wanted: string | RegExp): Promise<void> {
    const there = (): boolean =>
      typeof wanted === 'string' ? this.#text.includes(wanted) : wanted.test(this.#text);
    while (!there()) {
      const more = new Promise<'more'>((resolve) => this.#waiting.push(() => resolve('more')));
      const ended = this.#process.exited.then(() => 'ended' as const);
      if ((await Promise.race([more, ended])) === 'ended' && !there())
        throw new Error(`it ended without showing ${wanted}: ${JSON.stringify(this.#text)}`);
    }
  }

  /** The exit status, or the signal that ended it. */
  async ended(): Promise<number | string> {
    await this.#process.exited;
    return this.#process.signalCode ?? this.#process.exitCode ?? -1;
  }

  [Symbol.dispose](): void {
    this.#process.kill('SIGKILL');
  }
}
