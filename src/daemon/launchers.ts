// Calls of launchers. A launcher is a small program in front of this one (src/launcher): it tells its call, and puts the
// files of a hit in place or runs the compiler of a miss, or starts the wrapper. Deciding is done here, in a process that
// is warm, and so is storing. The grammar is in docs/daemon-protocol.md.
import { chmodSync } from 'node:fs';
import { bestEffort, removeFile, signatureOf, stat } from '../sys/files.ts';
import {
  fieldsOf,
  fieldsOfStep,
  parseCall,
  parseEnded,
  parseLine,
  parsePlaced,
  placeSeenFromHere,
} from './launcher-calls.ts';
import type {
  Answerer,
  Batch,
  CompileAnswer,
  Decision,
  FillAnswer,
  HitAnswer,
  InPlace,
  LaunchedCall,
  PlacedFile,
  Step,
} from './protocol.ts';

/** What is longer than this is for the wrapper. */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;

/** How long a launcher waits for an answer when all is there that is waited for. */
const DECIDED_WITHIN_MS = 2_000;

/** Units of a target folder that are looked up while the launcher has yet to put others in place. */
const MAX_AHEAD = 8;

const NOTHING = Buffer.alloc(0);

interface Connection {
  received: Buffer;
  /** What the launcher's side has not taken yet. */
  unsent: Buffer;
  isLast: boolean;
  /** What is done with the next frame; undefined: it is a call. */
  next: ((frame: Buffer) => void) | undefined;
  /** A compile the launcher runs. */
  compile: CompileAnswer | undefined;
  /** The file it has yet to show itself by. */
  proof: string | undefined;
}

type Peer = Bun.Socket<Connection>;

export interface LauncherServerOptions {
  readonly socket: string;
  readonly answer: Answerer;
  /** False when this program is not to answer any more: a newer one is there. */
  readonly isCurrent: () => boolean;
  readonly onRequest: (call: LaunchedCall) => void;
  readonly onAnswered: (kind: 'hit' | 'compile') => void;
  readonly log: (line: string) => void;
}

/** Listens for launchers until it is disposed of. The folder of the socket is this user's alone. */
export class LauncherServer implements Disposable {
  readonly #options: LauncherServerOptions;
  #listener: { stop(closeActive?: boolean): void };
  readonly #place = placeSeenFromHere();
  readonly #peers = new Set<Peer>();

  constructor(options: LauncherServerOptions) {
    this.#options = options;
    this.#listener = this.#listen();
  }

  #listen(): { stop(closeActive?: boolean): void } {
    const { socket } = this.#options;
    removeFile(socket);
    const listener = Bun.listen<Connection>({
      unix: socket,
      socket: {
        open: (peer) => {
          peer.data = {
            received: NOTHING,
            unsent: NOTHING,
            isLast: false,
            next: undefined,
            compile: undefined,
            proof: undefined,
          };
          peer.timeout(10);
          this.#peers.add(peer);
        },
        timeout: (peer) => {
          peer.terminate();
        },
        data: (peer, chunk) => this.#receive(peer, chunk),
        drain: (peer) => flush(peer),
        close: (peer) => {
          this.#peers.delete(peer);
          const { proof } = peer.data;
          // Made by one that was killed before it said so.
          if (proof !== undefined) bestEffort(() => removeFile(proof));
          this.#letGo(peer);
        },
      },
    });
    chmodSync(socket, 0o600);
    return listener;
  }

  /** Whether launchers still find the socket: one that waited in vain takes it away. */
  get isReachable(): boolean {
    return stat(this.#options.socket) !== undefined;
  }

  /** Puts the socket back; compiles that are followed already go on. */
  listenAgain(): void {
    this.#listener.stop(false);
    this.#listener = this.#listen();
  }

  /** Whether a launcher runs a compiler whose outputs are to be stored here. */
  get isBusy(): boolean {
    for (const { data } of this.#peers) if (data.compile !== undefined) return true;
    return false;
  }

  [Symbol.dispose](): void {
    removeFile(this.#options.socket);
    this.#listener.stop(true);
    for (const peer of [...this.#peers]) peer.terminate();
  }

  #receive(peer: Peer, chunk: Buffer): void {
    const { data } = peer;
    data.received = data.received.length === 0 ? Buffer.from(chunk) : Buffer.concat([data.received, chunk]);
    while (data.received.length >= 4 && !data.isLast) {
      const length = data.received.readUInt32LE(0);
      if (length > MAX_FRAME_BYTES) {
        peer.terminate();
        return;
      }
      if (data.received.length < 4 + length) return;
      const frame = data.received.subarray(4, 4 + length);
      data.received = data.received.subarray(4 + length);
      if (data.next === undefined) this.#ask(peer, frame);
      else data.next(frame);
    }
  }

  /** The first frame of a connection: a call. */
  #ask(peer: Peer, frame: Buffer): void {
    const call = this.#options.isCurrent() ? parseCall(frame, this.#place) : undefined;
    if (call === undefined) {
      end(peer, ['no']);
      return;
    }
    this.#options.onRequest(call);
    const { cwd } = call;
    const answer = this.#inFolder(cwd, () => this.#options.answer(call)) ?? 'none';
    if (typeof answer === 'string' || answer.kind !== 'later') {
      this.#decided(peer, answer, call);
      return;
    }
    // Nothing is to be said meanwhile, however long it takes.
    peer.timeout(0);
    peer.data.next = () => peer.terminate();
    send(peer, ['wait', `${answer.withinMs + DECIDED_WITHIN_MS}`]);
    const decided = (decision: Decision): void => {
      if (this.#peers.has(peer)) this.#decided(peer, decision, call);
    };
    answer
      .answer((step) => this.#inFolder(cwd, step))
      .then(decided, (error) => {
        this.#failed(error);
        decided('none');
      });
  }

  #decided(peer: Peer, answer: Decision, call: LaunchedCall): void {
    if (typeof answer === 'string' || !isSendable(answer)) {
      end(peer, [answer === 'learn' ? 'learn' : 'no']);
      return;
    }
    // It may take as long as its disk or its compiler does; one that is killed hangs up.
    peer.timeout(0);
    peer.data.proof = answer.proof;
    if (answer.kind === 'hit') {
      peer.data.next = (placed) => this.#settle(peer, { answer, call }, placed);
      send(peer, ['place', answer.proof, ...answer.files.flatMap(fieldsOf)]);
      return;
    }
    if (answer.kind === 'fill') {
      peer.data.next = () => this.#fill(peer, answer);
      send(peer, ['fill', answer.proof, ...answer.steps.flatMap(fieldsOfStep)]);
      return;
    }
    peer.data.compile = answer;
    peer.data.next = () => this.#begin(peer, { answer, call });
    send(peer, ['compile', answer.proof, answer.lock ?? '']);
  }

  /** The second frame of a hit. */
  #settle(peer: Peer, { answer, call }: Carried<HitAnswer>, frame: Buffer): void {
    const placed = parsePlaced(frame);
    const settled =
      isProven(peer) &&
      placed !== undefined &&
      this.#inFolder(call.cwd, () => {
        if (!areInPlace(answer.files, placed)) return false;
        answer.settle(placed.ways, placed.states);
        return true;
      }) === true;
    if (!settled) {
      end(peer, ['no']);
      return;
    }
    this.#options.onAnswered('hit');
    end(peer, ['done', answer.stdout, answer.stderr]);
    this.#inFolder(call.cwd, () => answer.note());
  }

  /**
   * The second frame of a filling: the launcher can write to the store, and has the locks. One unit is looked up at a time;
   * others are answered in between.
   */
  #fill(peer: Peer, answer: FillAnswer): void {
    const step = <T>(run: () => T): T | undefined => this.#inFolder('/', run);
    const filling = isProven(peer) ? step(() => answer.begin()) : undefined;
    if (filling === undefined) {
      end(peer, ['no']);
      return;
    }
    const sent: Batch[] = [];
    const give = (batch: Batch): void => {
      const fields = batch.steps.flatMap(fieldsOfStep);
      if (fields.some(holdsNul)) {
        goOnBehind(batch, undefined);
        return;
      }
      sent.push(batch);
      send(peer, ['put', ...fields]);
    };
    const goOnBehind = (batch: Batch, files: InPlace | undefined): void => {
      const follows = step(() => batch.carriedOut(files));
      if (follows !== undefined) give(follows);
      goOn();
    };
    let isDue = false;
    const goOn = (): void => {
      if (!isDue) setImmediate(lookUp);
      isDue = true;
    };
    const lookUp = (): void => {
      isDue = false;
      if (!this.#peers.has(peer) || peer.data.isLast) return;
      const batch = sent.length < MAX_AHEAD ? step(() => filling.next() ?? 'none') : 'none';
      if (batch === 'none') {
        if (sent.length === 0) end(peer, ['done']);
        return;
      }
      // What a unit has thrown is its own.
      if (batch !== undefined && batch !== 'not-this') give(batch);
      goOn();
    };
    peer.data.next = (frame) => {
      const batch = sent.shift();
      const placed = step(() => batch && inPlaceOf(batch, frame));
      if (batch === undefined) peer.terminate();
      else goOnBehind(batch, placed);
    };
    goOn();
  }

  /** The second frame of a compile: the launcher can write to the store, has the lock, and is about to start the compiler. */
  #begin(peer: Peer, compile: Carried<CompileAnswer>): void {
    const { answer, call } = compile;
    const begun = isProven(peer) ? this.#inFolder(call.cwd, () => answer.begin()) : undefined;
    if (begun === undefined || [...begun.argv, ...begun.outputs].some(holdsNul)) {
      end(peer, ['no']);
      this.#letGo(peer);
      return;
    }
    const { argv, outputs } = begun;
    peer.data.next = (frame) => this.#follow(peer, { ...compile, outputs: outputs.length }, frame);
    send(peer, ['start', `${argv.length}`, ...argv, ...outputs]);
  }

  /** Every further frame: what the compiler printed, and how it ended. */
  #follow(
    peer: Peer,
    { answer, call, outputs }: Carried<CompileAnswer> & { readonly outputs: number },
    frame: Buffer,
  ): void {
    const line = parseLine(frame, outputs);
    if (line !== undefined) {
      const printed = this.#inFolder(call.cwd, () => answer.receive(line));
      // Without an answer the launcher prints what it has, and does without us from there on.
      if (printed === undefined) peer.terminate();
      else sendBytes(peer, printed);
      return;
    }
    const ended = parseEnded(frame);
    if (ended !== undefined) {
      this.#inFolder(call.cwd, () => answer.end(ended.status, ended.states));
      this.#options.onAnswered('compile');
    }
    end(peer, [ended === undefined ? 'no' : 'done']);
    this.#letGo(peer);
  }

  /** Nobody comes back to the compile of a connection. */
  #letGo(peer: Peer): void {
    const { compile } = peer.data;
    peer.data.compile = undefined;
    if (compile !== undefined) this.#inFolder('/', () => compile[Symbol.dispose]());
  }

  /** Runs a step where the call runs. Whatever goes wrong is the wrapper's to find: undefined then. */
  #inFolder<T>(cwd: string, step: () => T): T | undefined {
    try {
      process.chdir(cwd);
      return step();
    } catch (error) {
      this.#failed(error);
      return undefined;
    } finally {
      // No folder of anybody's is kept in use.
      process.chdir('/');
    }
  }

  #failed(error: unknown): void {
    this.#options.log(`a call failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
  }
}

/** An answer on its way, and the call it is for. */
interface Carried<A> {
  readonly answer: A;
  readonly call: LaunchedCall;
}

/** No field may hold what ends one. */
function isSendable(answer: Exclude<Decision, string>): boolean {
  if (answer.kind === 'fill') return ![answer.proof, ...answer.steps.flatMap(fieldsOfStep)].some(holdsNul);
  const texts =
    answer.kind === 'compile'
      ? [answer.proof, answer.lock ?? '']
      : [answer.proof, answer.stdout, answer.stderr, ...answer.files.map((file) => fieldsOf(file).join(''))];
  return !texts.some(holdsNul);
}

const holdsNul = (text: string): boolean => text.includes('\0');

/** What a launcher says of the files of a batch; undefined when they are not all there. */
function inPlaceOf({ steps }: Batch, frame: Uint8Array): InPlace | undefined {
  const placed = parsePlaced(frame);
  return placed !== undefined && areInPlace(steps.filter(isFile), placed) ? placed : undefined;
}

const isFile = (step: Step): step is PlacedFile => step.kind === 'blob' || step.kind === 'text';

/**
 * Whether files are as the launcher says: one that has waited in vain is no more, and what came after it is not ours to
 * remember.
 */
const areInPlace = (files: readonly PlacedFile[], { ways, states }: InPlace): boolean =>
  ways.length === files.length && files.every(({ target }, at) => isContentOf(states[at], target));

/** Whether a launcher has made the file by which it shows that it can write to the store. */
function isProven({ data }: Peer): boolean {
  const { proof } = data;
  data.proof = undefined;
  return proof !== undefined && takeAway(proof);
}

/** Removes a file; false when there is none, or it stays. */
export function takeAway(path: string): boolean {
  let isGone = false;
  bestEffort(() => {
    isGone = removeFile(path);
  });
  return isGone;
}

/** Whether a file is the one that was in this state: links that come and go move its ctime. */
function isContentOf(state: string | undefined, path: string): boolean {
  const info = stat(path);
  const withoutCtime = (signature: string): string => signature.slice(0, signature.lastIndexOf(':'));
  return info !== undefined && state !== undefined && withoutCtime(signatureOf(info)) === withoutCtime(state);
}

const send = (peer: Peer, fields: readonly string[]): void => sendBytes(peer, Buffer.from(fields.join('\0')));

/** Sends the last frame. */
function end(peer: Peer, fields: readonly string[]): void {
  peer.data.isLast = true;
  send(peer, fields);
}

/** Sends a frame, as far as the other side takes it now; the rest follows by itself. */
function sendBytes(peer: Peer, body: Uint8Array): void {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(body.length, 0);
  peer.data.unsent = Buffer.concat([peer.data.unsent, length, body]);
  flush(peer);
}

function flush(peer: Peer): void {
  const { data } = peer;
  const written = data.unsent.length === 0 ? 0 : peer.write(data.unsent);
  if (written < 0) return;
  data.unsent = data.unsent.subarray(written);
  if (data.unsent.length === 0 && data.isLast) peer.end();
}
