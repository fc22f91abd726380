// A launcher as a server sees one, without a program: frames that are sent as a test likes.
import { expect } from 'bun:test';
import { LAUNCHER_PROTOCOL, placeSeenFromHere } from '../../src/daemon/launcher-calls.ts';

export const framed = (body: Uint8Array | string): Buffer => {
  const bytes = Buffer.from(body);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
};

/** A connection as a launcher has one; frames that came, and whether the other side has hung up. */
export class Peer {
  #received = Buffer.alloc(0);
  #changed = Promise.withResolvers<void>();
  #isClosed = false;
  readonly #socket: Bun.Socket;

  private constructor(connection: Bun.Socket) {
    this.#socket = connection;
  }

  static async connect(socket: string): Promise<Peer> {
    let peer: Peer | undefined;
    const connection = await Bun.connect({
      unix: socket,
      socket: {
        data: (_, chunk) => {
          if (peer === undefined) return;
          peer.#received = Buffer.concat([peer.#received, chunk]);
          peer.#wake();
        },
        close: () => {
          if (peer === undefined) return;
          peer.#isClosed = true;
          peer.#wake();
        },
      },
    });
    peer = new Peer(connection);
    return peer;
  }

  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  write(bytes: Uint8Array): void {
    expect(this.#socket.write(bytes)).toBe(bytes.length);
  }

  hangUp(): void {
    this.#socket.terminate();
  }

  /** The next frame; undefined when the server hung up instead. */
  async frame(): Promise<string | undefined> {
    for (;;) {
      const length = this.#received.length < 4 ? undefined : this.#received.readUInt32LE(0);
      if (length !== undefined && this.#received.length >= 4 + length) {
        const body = this.#received.subarray(4, 4 + length).toString();
        this.#received = this.#received.subarray(4 + length);
        return body;
      }
      if (this.#isClosed) return undefined;
      await this.#changed.promise;
    }
  }

  async closed(): Promise<void> {
    while (!this.#isClosed) await this.#changed.promise;
  }
}

export interface Told {
  readonly protocol?: string;
  readonly place?: string;
  readonly cwd?: string;
  readonly argc?: string;
  readonly argv?: readonly string[];
  readonly env?: readonly string[];
}

/** A call made in `dir`. */
export const requestIn = (dir: string, told: Told = {}): string => {
  const { argv = ['rustc', '--crate-name', 'a'], env = ['A=1'] } = told;
  const head = [told.protocol ?? LAUNCHER_PROTOCOL, '123', '45', told.place ?? placeSeenFromHere()];
  return [...head, told.cwd ?? dir, told.argc ?? `${argv.length}`, ...argv, ...env].join('\0');
};
