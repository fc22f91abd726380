// Long work as a person sees it: after a second a line on the terminal says how far it is, and Ctrl-C ends it between two
// steps.
import { writeSync } from 'node:fs';
import { KacheError } from '../core/errors.ts';
import { Pace } from '../sys/pace.ts';

/** Shorter work says nothing. */
const SILENT_MS = 1000;

/** The error of work that was ended by a signal; the exit status is 128 and the signal's number, as shells have it. */
export class Interrupted extends KacheError {
  readonly status: number;

  constructor(what: string, signal: NodeJS.Signals) {
    super(
      'interrupted',
      `Cannot finish ${what}: interrupted. What was done holds; run it again for the rest.`,
    );
    this.status = signal === 'SIGINT' ? 130 : 143;
  }
}

export interface LongWork {
  readonly pace: Pace;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: string) => void;
}

/** Runs `work`, called `what` in messages ("the eviction"). The first signal ends it in order, a second one at once. */
export async function longWork<T>(what: string, work: (long: LongWork) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const handlers = (['SIGINT', 'SIGTERM'] as const).map(
    (name) => [name, () => controller.abort(new Interrupted(what, name))] as const,
  );
  for (const [name, handler] of handlers) process.once(name, handler);
  const line = new ProgressLine();
  const onProgress = (progress: string): void => line.show(progress);
  const { signal } = controller;
  try {
    return await work({ pace: new Pace({ onProgress, signal }), signal, onProgress });
  } finally {
    line.clear();
    for (const [name, handler] of handlers) process.off(name, handler);
  }
}

class ProgressLine {
  readonly #startedMs = performance.now();
  #shown = false;

  show(text: string): void {
    if (performance.now() - this.#startedMs < SILENT_MS || process.stderr.isTTY !== true) return;
    const width = Math.max(20, (process.stderr.columns ?? 80) - 1);
    writeSync(2, `\r\x1b[K${text.length > width ? `${text.slice(0, width - 1)}…` : text}`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) writeSync(2, '\r\x1b[K');
  }
}
