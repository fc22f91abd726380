// The terminal as a place to paint whole frames on: the other screen, one line at a time and only those that changed.
// Ink's own way either erases the frame before each next one, which flickers, or must leave the last line free.
import { Writable } from 'node:stream';

const ENTER = '\x1b[?1049h\x1b[?25l\x1b[2J';
const LEAVE = '\x1b[0m\x1b[?25h\x1b[?1049l';
/** What is between them is shown at once, where a terminal knows them. */
const [BEGIN, END] = ['\x1b[?2026h', '\x1b[?2026l'];

/** What of a terminal is needed. */
export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  write(text: string): unknown;
}

/** Takes a frame with each write. Disposing it gives the terminal back as it was. */
export class Surface extends Writable implements Disposable {
  readonly isTTY = true;
  readonly #terminal: Terminal;
  #painted: readonly string[] = [];
  #isLeft = false;

  constructor(terminal: Terminal) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
    terminal.write(ENTER);
  }

  /** Some terminals do not know their size. */
  get columns(): number {
    return this.#terminal.columns || 80;
  }

  get rows(): number {
    return this.#terminal.rows || 24;
  }

  /** After a change of size nothing is where it was. */
  forget(): void {
    this.#painted = [];
    this.#terminal.write('\x1b[2J');
  }

  override _write(frame: unknown, _encoding: BufferEncoding, done: () => void): void {
    if (typeof frame === 'string' && frame !== '' && !this.#isLeft) this.#paint(frame.split('\n'));
    done();
  }

  #paint(lines: readonly string[]): void {
    let text = '';
    for (let at = 0; at < Math.max(lines.length, this.#painted.length); at++) {
      const line = lines[at] ?? '';
      if (line === this.#painted[at]) continue;
      // Erasing behind a full line would erase its last character.
      const rest = Bun.stringWidth(line) < this.columns ? '\x1b[K' : '';
      text += `\x1b[${at + 1};1H${line}${rest}`;
    }
    this.#painted = lines;
    if (text !== '') this.#terminal.write(BEGIN + text + END);
  }

  [Symbol.dispose](): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#terminal.write(LEAVE);
  }
}
