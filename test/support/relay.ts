// What stands in the daemon's place at the socket of launchers: a server that answers as a test says, and one that hands
// everything on to a real daemon while a test looks on, holds, changes or cuts.

/** A frame as it goes over the socket. */
export function framed(body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export const fieldsOf = (frame: Uint8Array): string[] => Buffer.from(frame).toString().split('\0');

/** Takes frames out of what arrives. */
class Frames {
  #received = Buffer.alloc(0);

  push(chunk: Uint8Array): Buffer[] {
    this.#received = Buffer.concat([this.#received, chunk]);
    const frames: Buffer[] = [];
    for (;;) {
      const end = this.#received.length < 4 ? 0 : 4 + this.#received.readUInt32LE(0);
      if (end === 0 || this.#received.length < end) return frames;
      frames.push(Buffer.from(this.#received.subarray(4, end)));
      this.#received = this.#received.subarray(end);
    }
  }
}

interface Side {
  readonly frames: Frames;
  count: number;
}

type Peer = Bun.Socket<Side>;

/** Answers launchers: `answer` gets a frame and its number on the connection, and does what it likes with the other side. */
export class FakeDaemon implements Disposable {
  readonly #listener: { stop(closeActive?: boolean): void };
  /** Frames of launchers so far. */
  asked = 0;

  constructor(
    socket: string,
    answer: (peer: Pick<Peer, 'write' | 'end'>, frame: Buffer, nth: number) => void,
  ) {
    this.#listener = Bun.listen<Side>({
      unix: socket,
      socket: {
        open: (peer) => {
          peer.data = { frames: new Frames(), count: 0 };
        },
        data: (peer, chunk) => {
          for (const frame of peer.data.frames.push(chunk)) {
            this.asked++;
            answer(peer, frame, ++peer.data.count);
          }
        },
      },
    });
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }
}

export interface Passing {
  readonly from: 'launcher' | 'daemon';
  /** Its number among those of this side and connection, from 1. */
  readonly nth: number;
  readonly frame: Buffer;
  /** The process of the launcher. */
  readonly pid: number;
  /** Which connection this is, from 1. */
  readonly connection: number;
}

type Pass = (passing: Passing) => Promise<Uint8Array | undefined> | Uint8Array | undefined;

/** One launcher, and the daemon behind it. */
class Line {
  readonly #launcher: Bun.Socket<Line>;
  /** Undefined when there is none: then this side hangs up, too. */
  readonly #daemon: Promise<Bun.Socket | undefined>;
  readonly #connection: number;
  readonly #pass: Pass;
  readonly #questions = new Frames();
  readonly #answers = new Frames();
  #asked = 0;
  #answered = 0;
  #pid = 0;
  /** What the launcher has said is handed on in its order, also when it is no more. */
  #turn: Promise<void> = Promise.resolve();

  constructor(launcher: Bun.Socket<Line>, options: { real: string; connection: number; pass: Pass }) {
    this.#launcher = launcher;
    this.#connection = options.connection;
    this.#pass = options.pass;
    this.#daemon = Bun.connect({
      unix: options.real,
      socket: { data: (_, chunk) => this.#fromDaemon(chunk), close: () => void launcher.end() },
    }).catch(() => {
      launcher.end();
      return undefined;
    });
  }

  fromLauncher(chunk: Uint8Array): void {
    for (const frame of this.#questions.push(chunk)) {
      if (this.#asked === 0) this.#pid = Number(fieldsOf(frame)[1]);
      const passed = this.#passed({ from: 'launcher', nth: ++this.#asked, frame });
      this.#turn = this.#turn.then(async () => {
        const on = await passed;
        if (on !== undefined) (await this.#daemon)?.write(framed(on));
      });
    }
  }

  async #fromDaemon(chunk: Uint8Array): Promise<void> {
    for (const frame of this.#answers.push(chunk)) {
      const on = await this.#passed({ from: 'daemon', nth: ++this.#answered, frame });
      if (on !== undefined) this.#launcher.write(framed(on));
    }
  }

  async #passed(seen: Omit<Passing, 'pid' | 'connection'>): Promise<Uint8Array | undefined> {
    return await this.#pass({ ...seen, pid: this.#pid, connection: this.#connection });
  }

  end(): void {
    this.#turn = this.#turn.then(async () => {
      (await this.#daemon)?.shutdown();
    });
  }
}

/** Hands frames on between launchers and the daemon at `real`; what `pass` returns goes on, undefined stays here. */
export class Relay implements Disposable {
  readonly #listener: { stop(closeActive?: boolean): void };
  #connections = 0;

  constructor({ socket, real }: { socket: string; real: string }, pass: Pass) {
    this.#listener = Bun.listen<Line>({
      unix: socket,
      socket: {
        open: (peer) => {
          peer.data = new Line(peer, { real, connection: ++this.#connections, pass });
        },
        data: (peer, chunk) => peer.data.fromLauncher(chunk),
        close: (peer) => peer.data.end(),
      },
    });
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }
}
