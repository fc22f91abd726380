// Talking to the daemon: one connection, one line out, one line back. Never waits beyond its deadline.
import { stat } from '../sys/files.ts';
import { dirname } from '../sys/paths.ts';

/** Whether nobody else can put a socket there: credentials go over it. */
export function isPrivateFolder(path: string): boolean {
  const info = stat(path);
  return info !== undefined && info.uid === process.getuid?.() && (info.mode & 0o022) === 0;
}

/** A connection to the daemon. Disposing closes it. */
export class DaemonClient implements Disposable {
  readonly #socket: { write(text: string): number; end(): void };
  readonly #lines: Lines;

  private constructor(socket: { write(text: string): number; end(): void }, lines: Lines) {
    this.#socket = socket;
    this.#lines = lines;
  }

  /** Undefined when nobody listens there, or somebody else could. */
  static async connect(path: string): Promise<DaemonClient | undefined> {
    if (!isPrivateFolder(dirname(path))) return undefined;
    const lines = new Lines();
    try {
      const socket = await Bun.connect({
        unix: path,
        socket: {
          data: (_, chunk) => lines.receive(chunk),
          close: () => lines.close(),
          error: () => lines.close(),
        },
      });
      return new DaemonClient(socket, lines);
    } catch (error) {
      // No such file, or no listener behind it: both are an Error with a code.
      if (error instanceof Error && 'code' in error) return undefined;
      throw error;
    }
  }

  /** The next line the daemon says, or undefined when it says none by `deadlineMs` (ms since the epoch). */
  async ask(request: string, deadlineMs: number): Promise<string | undefined> {
    this.#socket.write(`${request}\n`);
    return this.#lines.next(deadlineMs);
  }

  [Symbol.dispose](): void {
    this.#socket.end();
  }
}

/** Splits what comes into lines and hands each to whoever waits. */
class Lines {
  readonly #decoder = new TextDecoder();
  readonly #ready: string[] = [];
  #rest = '';
  #closed = false;
  #waiting: ((line: string | undefined) => void) | undefined;

  receive(chunk: Uint8Array): void {
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    for (let end = this.#rest.indexOf('\n'); end >= 0; end = this.#rest.indexOf('\n')) {
      this.#ready.push(this.#rest.slice(0, end));
      this.#rest = this.#rest.slice(end + 1);
    }
    this.#hand();
  }

  close(): void {
    this.#closed = true;
    this.#hand();
  }

  async next(deadlineMs: number): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#waiting = resolve;
    const timer = setTimeout(() => resolve(undefined), Math.max(0, deadlineMs - Date.now()));
    this.#hand();
    const line = await promise;
    this.#waiting = undefined;
    clearTimeout(timer);
    return line;
  }

  #hand(): void {
    if (this.#waiting === undefined) return;
    if (this.#ready.length > 0) this.#waiting?.(this.#ready.shift());
    else if (this.#closed) this.#waiting?.(undefined);
    else return;
    this.#waiting = undefined;
  }
}
