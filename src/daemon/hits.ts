// Hits for launchers. A launcher is a small program in front of this one (src/launcher): it tells its call, puts the files
// of a hit in place and prints, or starts the wrapper. Deciding is done here, in a process that is warm; nothing outside
// the store is written here. The grammar is in docs/daemon-protocol.md.
import { chmodSync, readlinkSync, statSync } from 'node:fs';
import { removeFile, signatureOf, stat } from '../sys/files.ts';
import type { Answerer, HitAnswer, LaunchedCall, PlacedFile, PlacedWay } from './protocol.ts';

/** The first word of every request. Another form of request or answer is another word. */
export const LAUNCHER_PROTOCOL = 'kache-launcher-1';

/** A call of more than this is for the wrapper. */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;
/** How many calls of a build are not looked up, at most, after a row of its calls the store had nothing for. */
const MAX_PASSED = 15;

const NOTHING = Buffer.alloc(0);

const WAYS: Readonly<Record<string, PlacedWay>> = { r: 'reflinked', h: 'hardlinked', c: 'copied' };
const letterOf = (way: PlacedWay): string => way[0] ?? '';

interface Connection {
  received: Buffer;
  /** What the launcher's side has not taken yet. */
  unsent: Buffer;
  isLast: boolean;
  /** Waiting for the launcher to say that its files are in place. */
  answer: (HitAnswer & { readonly cwd: string }) | undefined;
}

export interface HitServerOptions {
  readonly socket: string;
  readonly answer: Answerer;
  /** False when this program is not to answer any more: a newer one is there. */
  readonly isCurrent: () => boolean;
  readonly onRequest: () => void;
  readonly onAnswered: () => void;
  readonly log: (line: string) => void;
}

/** Listens for launchers until it is disposed of. The folder of the socket is this user's alone. */
export class HitServer implements Disposable {
  readonly #options: HitServerOptions;
  readonly #listener: { stop(closeActive?: boolean): void };
  readonly #place = placeSeenFromHere();
  /** The process whose calls the next two count. */
  #build = 0;
  #absentInARow = 0;
  #toPass = 0;

  constructor(options: HitServerOptions) {
    this.#options = options;
    removeFile(options.socket);
    this.#listener = Bun.listen<Connection>({
      unix: options.socket,
      socket: {
        open: (peer) => {
          peer.data = { received: NOTHING, unsent: NOTHING, isLast: false, answer: undefined };
          peer.timeout(10);
        },
        timeout: (peer) => {
          peer.terminate();
        },
        data: (peer, chunk) => this.#receive(peer, chunk),
        drain: (peer) => flush(peer),
      },
    });
    chmodSync(options.socket, 0o600);
  }

  /** Whether launchers still find the socket: one that waited in vain takes it away. */
  get isReachable(): boolean {
    return stat(this.#options.socket) !== undefined;
  }

  [Symbol.dispose](): void {
    removeFile(this.#options.socket);
    this.#listener.stop(true);
  }

  #receive(peer: Bun.Socket<Connection>, chunk: Buffer): void {
    const { data } = peer;
    data.received = data.received.length === 0 ? Buffer.from(chunk) : Buffer.concat([data.received, chunk]);
    if (data.received.length < 4) return;
    const length = data.received.readUInt32LE(0);
    if (length > MAX_FRAME_BYTES) {
      peer.terminate();
      return;
    }
    if (data.received.length < 4 + length) return;
    const frame = data.received.subarray(4, 4 + length);
    data.received = data.received.subarray(4 + length);
    if (data.answer === undefined) this.#ask(peer, frame);
    else this.#settle(peer, data.answer, frame.toString());
  }

  /** The first frame of a connection: a call. */
  #ask(peer: Bun.Socket<Connection>, frame: Buffer): void {
    const call = this.#options.isCurrent() ? parseCall(frame, this.#place) : undefined;
    if (call !== undefined) this.#options.onRequest();
    const answer = call === undefined ? undefined : this.#lookUp(call);
    if (call === undefined || answer === undefined) {
      send(peer, ['no'], { isLast: true });
      return;
    }
    peer.data.answer = { ...answer, cwd: call.cwd };
    // It may take as long as its disk does; one that is killed hangs up.
    peer.timeout(0);
    send(peer, ['place', answer.proof, ...answer.files.flatMap(fieldsOf)], { isLast: false });
  }

  #lookUp(call: LaunchedCall): HitAnswer | undefined {
    if (call.caller.parentPid !== this.#build) {
      this.#build = call.caller.parentPid;
      this.#absentInARow = 0;
      this.#toPass = 0;
    }
    if (this.#toPass > 0) {
      this.#toPass--;
      return undefined;
    }
    const answer = this.#inFolder(call.cwd, () => this.#options.answer(call)) ?? 'none';
    if (answer === 'absent') {
      // A cold build asks in vain for each of its units: the longer that lasts, the fewer are looked up.
      this.#toPass = Math.min(2 ** this.#absentInARow++ - 1, MAX_PASSED);
      return undefined;
    }
    if (answer === 'none') return undefined;
    this.#absentInARow = 0;
    const texts = [
      answer.proof,
      answer.stdout,
      answer.stderr,
      ...answer.files.map((file) => fieldsOf(file).join('')),
    ];
    return texts.some((text) => text.includes('\0')) ? undefined : answer;
  }

  /** The second frame: `placed`, a letter for each file, and the state of each. */
  #settle(peer: Bun.Socket<Connection>, answer: HitAnswer & { readonly cwd: string }, text: string): void {
    const [verb, letters = '', ...states] = text.split('\0');
    const ways = [...letters].map((letter) => WAYS[letter]);
    const settled =
      takeAway(answer.proof) &&
      verb === 'placed' &&
      ways.length === answer.files.length &&
      this.#inFolder(answer.cwd, () => {
        // A launcher that has waited in vain is no more, and what came after it is not ours to remember.
        if (!answer.files.every(({ target }, at) => isContentOf(states[at], target))) return false;
        answer.settle(ways, states);
        return true;
      }) === true;
    if (!settled) {
      send(peer, ['no'], { isLast: true });
      return;
    }
    this.#options.onAnswered();
    send(peer, ['done', answer.stdout, answer.stderr], { isLast: true });
    this.#inFolder(answer.cwd, () => answer.note());
  }

  /** Runs a step where the call runs. Whatever goes wrong is the wrapper's to find: undefined then. */
  #inFolder<T>(cwd: string, step: () => T): T | undefined {
    try {
      process.chdir(cwd);
      return step();
    } catch (error) {
      this.#options.log(`a hit failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
      return undefined;
    } finally {
      // No folder of anybody's is kept in use.
      process.chdir('/');
    }
  }
}

/** Removes a file; false when there is none. */
export function takeAway(path: string): boolean {
  const isThere = stat(path) !== undefined;
  removeFile(path);
  return isThere;
}

/** Whether a file is the one that was in this state: links that come and go move its ctime. */
function isContentOf(state: string | undefined, path: string): boolean {
  const info = stat(path);
  const withoutCtime = (signature: string): string => signature.slice(0, signature.lastIndexOf(':'));
  return info !== undefined && state !== undefined && withoutCtime(signatureOf(info)) === withoutCtime(state);
}

/** What makes paths mean the same to two processes: their mount namespace and their root, as each sees its own. */
export function placeSeenFromHere(): string {
  const { dev, ino } = statSync('/', { bigint: true });
  return `${readlinkSync('/proc/self/ns/mnt')} ${dev} ${ino}`;
}

/** Names that lead every process to something of its own: `/dev/stdin`, `/proc/self/fd/3`. */
const OWN_OF_A_PROCESS = /(^|=)\/(dev|proc)\//;

/** A call from its frame; undefined when it is none of ours to answer. */
function parseCall(frame: Uint8Array, place: string): LaunchedCall | undefined {
  const text = decode(frame);
  const [protocol, pid, parentPid, from, cwd, count, ...rest] = text?.split('\0') ?? [];
  const argc = Number(count);
  if (protocol !== LAUNCHER_PROTOCOL || from !== place || cwd === undefined || !(argc <= rest.length))
    return undefined;
  const env: Record<string, string> = Object.create(null);
  for (const line of rest.slice(argc)) {
    const at = line.indexOf('=');
    const name = line.slice(0, at);
    // What two values of one name mean is not for us to guess.
    if (at <= 0 || name in env) return undefined;
    env[name] = line.slice(at + 1);
  }
  const argv = rest.slice(0, argc);
  if (argv.some((arg) => OWN_OF_A_PROCESS.test(arg))) return undefined;
  return { argv, env, cwd, caller: { pid: Number(pid), parentPid: Number(parentPid) } };
}

/** Undefined for what is not UTF-8: the wrapper passes such a call through byte for byte. */
function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

const fieldsOf = (file: PlacedFile): string[] =>
  file.kind === 'text'
    ? ['text', file.text, file.aside, file.target]
    : [
        'blob',
        file.source,
        `${file.sizeBytes}`,
        file.ways.map(letterOf).join(''),
        file.mode.toString(8),
        file.aside,
        file.target,
      ];

/** Sends a frame, as far as the other side takes it now; the rest follows by itself. */
function send(
  peer: Bun.Socket<Connection>,
  fields: readonly string[],
  { isLast }: { isLast: boolean },
): void {
  const body = Buffer.from(fields.join('\0'));
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32LE(body.length, 0);
  body.copy(frame, 4);
  peer.data.unsent = frame;
  peer.data.isLast = isLast;
  flush(peer);
}

function flush(peer: Bun.Socket<Connection>): void {
  const { data } = peer;
  const written = data.unsent.length === 0 ? 0 : peer.write(data.unsent);
  if (written < 0) return;
  data.unsent = data.unsent.subarray(written);
  if (data.unsent.length === 0 && data.isLast) peer.end();
}
