// The daemon: one process per store that owns everything slow. It listens on a private socket, answers within its time,
// and ends by itself. Builds never depend on it.
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { KacheError } from '../core/errors.ts';
import { type CacheKey, parseDigest, type UnitId } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import type { Store } from '../store/store.ts';
import {
  appendFile,
  bestEffort,
  listDirectory,
  makeDirectory,
  removeFile,
  rename,
  stat,
  utf8,
} from '../sys/files.ts';
import { isLinux } from '../sys/libc.ts';
import { tryLock } from '../sys/lock.ts';
import { dirname } from '../sys/paths.ts';
import type { Build } from './builds.ts';
import { isPrivateFolder } from './client.ts';
import { LauncherServer, takeAway } from './launchers.ts';
import {
  type Answerer,
  type BuildInfo,
  configHash,
  daemonFolder,
  type Onlooker,
  PROTOCOL_VERSION,
  pauseFile,
  queueFolder,
  type RemoteConfig,
} from './protocol.ts';
import { Session, type SessionStatus } from './session.ts';
import { startClaim } from './start.ts';

export interface DaemonOptions {
  readonly store: Store;
  readonly socket: string;
  readonly self: string;
  /** Milliseconds without a request or work after which it ends; undefined: never. */
  readonly idleMs: number | undefined;
  readonly version: string;
  /** The remote of its own settings, when they name one. */
  readonly config: RemoteConfig | undefined;
  /** Where launchers ask, who decides, and who looks on. */
  readonly launchers:
    | { readonly socket: string; readonly answer: Answerer; readonly onlooker: Onlooker }
    | undefined;
}

export interface DaemonStatus {
  readonly pid: number;
  readonly version: string;
  readonly protocol: number;
  readonly uptimeMs: number;
  readonly residentBytes: number;
  /** Calls of launchers that were hits, and those whose outputs were stored for them. */
  readonly hits: number;
  readonly compiles: number;
  readonly sessions: readonly SessionStatus[];
}

const TICK_MS = 500;
/** Requests of builds. */
const WORK = ['prove', 'config', 'build', 'unit', 'closures', 'entry'];
/** Configurations kept, the least recently used goes first. */
const MAX_SESSIONS = 8;
const MAX_LINE = 1024 * 1024;
const MAX_LOG_BYTES = 1024 * 1024;
/** How long a stop waits for an upload that is under way: it can be taken up again. */
const STOP_WAIT_MS = 1_000;

export const lockFile = (root: string): string => `${daemonFolder(root)}/lock`;
export const logFile = (root: string): string => `${daemonFolder(root)}/log`;

interface Connection {
  received: string;
  session: Session | undefined;
  /** The configuration whose settings were asked for. */
  wanted: string | undefined;
  /** The file by which the other side shows that it can write to the store. */
  proof: string | undefined;
  build: Build | undefined;
  /** Requests of one connection are answered in order. */
  turn: Promise<void>;
}

/** Runs until it is told to stop, idle, or replaced. Undefined when another daemon has this store. */
export async function runDaemon(options: DaemonOptions): Promise<'ended' | undefined> {
  const { root } = options.store.layout;
  makeDirectory(daemonFolder(root), 0o700);
  using lock = tryLock(lockFile(root));
  if (lock === undefined) return undefined;
  writeFileSync(lockFile(root), `${process.pid}\n`);
  await new Daemon(options).run();
  return 'ended';
}

class Daemon {
  readonly #options: DaemonOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #startedMs = Date.now();
  /** The binary as it was at the start. */
  readonly #binary: string;
  #activeMs = Date.now();
  #launchers: LauncherServer | undefined;
  readonly #answered = { hit: 0, compile: 0 };

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#binary = this.#binaryNow();
  }

  async run(): Promise<void> {
    const { socket, store, config, version, launchers } = this.#options;
    makeDirectory(dirname(socket), 0o700);
    if (!isPrivateFolder(dirname(socket))) {
      throw new KacheError('socket-open', `Cannot listen on "${socket}": others can write to its folder.`, {
        hint: 'Name a place only you can write to with KACHE_SOCKET_PATH.',
      });
    }
    removeFile(socket);
    const listener = Bun.listen<Connection>({
      unix: socket,
      socket: {
        open: (peer) => {
          peer.data = {
            received: '',
            session: undefined,
            wanted: undefined,
            proof: undefined,
            build: undefined,
            turn: Promise.resolve(),
          };
        },
        data: (peer, chunk) => this.#receive(peer, chunk.toString()),
      },
    });
    chmodSync(socket, 0o600);
    this.#launchers = this.#listenForLaunchers();
    removeFile(pauseFile(store.layout.root));
    if (config !== undefined) this.#session(configHash(config), config);
    this.#log(`started, version ${version}, process ${process.pid}`);
    const timer = setInterval(() => this.#tick(), TICK_MS);
    const end = (): void => this.#ended.resolve();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, end);
    await this.#ended.promise;
    clearInterval(timer);
    // First the name: whoever comes now starts another one.
    removeFile(socket);
    bestEffort(() => removeFile(startClaim(store.layout.root)));
    this.#launchers?.[Symbol.dispose]();
    this.#lookOn(() => launchers?.onlooker.tick());
    // The answer that ends us has to be on its way.
    await Bun.sleep(10);
    listener.stop(true);
    for (const session of this.#sessions.values()) session.stop();
    const untilMs = Date.now() + STOP_WAIT_MS;
    while (Date.now() < untilMs && [...this.#sessions.values()].some(({ isBusy }) => isBusy))
      await Bun.sleep(20);
    this.#log('ended');
  }

  #listenForLaunchers(): LauncherServer | undefined {
    const { launchers } = this.#options;
    if (launchers === undefined || !isLinux) return undefined;
    return this.#orLog(() => this.#launcherServer(launchers));
  }

  /** A name that is too long for a socket, no descriptors: launchers start kache then, and remotes go on. */
  #orLog<T>(listen: () => T): T | undefined {
    try {
      return listen();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
      this.#log(`launchers are not answered: ${error.message}`);
      return undefined;
    }
  }

  #launcherServer(launchers: NonNullable<DaemonOptions['launchers']>): LauncherServer {
    return new LauncherServer({
      ...launchers,
      isCurrent: () => {
        const isCurrent = this.#binaryNow() === this.#binary;
        if (!isCurrent) this.#ended.resolve();
        return isCurrent;
      },
      onRequest: (call) => {
        this.#activeMs = Date.now();
        this.#lookOn(() => launchers.onlooker.asked(call));
      },
      onAnswered: (kind) => {
        this.#answered[kind]++;
      },
      log: (line) => this.#log(line),
    });
  }

  #receive(peer: Bun.Socket<Connection>, text: string): void {
    const connection = peer.data;
    connection.received += text;
    if (connection.received.length > MAX_LINE) {
      peer.end();
      return;
    }
    const lines = connection.received.split('\n');
    connection.received = lines.pop() ?? '';
    for (const line of lines) {
      connection.turn = connection.turn.then(async () => {
        peer.write(`${await this.#answer(connection, line)}\n`);
      });
    }
  }

  async #answer(connection: Connection, line: string): Promise<string> {
    const space = line.indexOf(' ');
    const [verb, rest] = space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)];
    // Who only looks keeps nobody from ending.
    if (WORK.includes(verb)) this.#activeMs = Date.now();
    try {
      switch (verb) {
        case 'kache':
          return this.#greet(connection, rest);
        case 'prove':
          connection.proof = this.#options.store.temporaryPath();
          return connection.proof;
        case 'config':
          return this.#configure(connection, rest);
        case 'build':
          return this.#build(connection, rest);
        case 'unit':
        case 'closures':
        case 'entry':
          return await this.#lookUp(connection, verb, rest);
        case 'status':
          // Whoever looks sees what builds have left.
          this.#lookOn(() => this.#options.launchers?.onlooker.tick());
          return JSON.stringify(this.#status());
        case 'stop':
          this.#ended.resolve();
          return 'ok';
        default:
          return 'unknown';
      }
    } catch (error) {
      this.#log(`failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
      return 'failed';
    }
  }

  /** `kache <protocol version> [<config hash>]`. */
  #greet(connection: Connection, rest: string): string {
    const [version, hash] = rest.split(' ');
    const wanted = Number(version);
    // The other side is newer, or this program was replaced: the next one is started from what is there now.
    if (wanted > PROTOCOL_VERSION || this.#binaryNow() !== this.#binary) {
      this.#log('ending for a newer program');
      this.#ended.resolve();
      return 'restart';
    }
    if (wanted !== PROTOCOL_VERSION) return 'refused';
    if (hash === undefined) return 'ok';
    connection.session = this.#sessions.get(hash);
    connection.wanted = hash;
    return connection.session === undefined ? 'configure' : 'ok';
  }

  /** `config <JSON>`: the settings behind the hash of the greeting. What a remote has comes into the store. */
  #configure(connection: Connection, json: string): string {
    const config = parseJson(json) as RemoteConfig | undefined;
    const { proof } = connection;
    if (
      proof === undefined ||
      !takeAway(proof) ||
      config === undefined ||
      connection.wanted !== configHash(config)
    )
      return 'refused';
    connection.session = this.#session(connection.wanted, config);
    return 'ok';
  }

  #session(hash: string, config: RemoteConfig): Session {
    const { store, self } = this.#options;
    const session = new Session(config, { store, self, log: (line) => this.#log(line) });
    this.#sessions.set(hash, session);
    const idle = [...this.#sessions]
      .filter(([, { isBusy }]) => !isBusy)
      .sort(([, a], [, b]) => a.usedMs - b.usedMs);
    for (const [old] of idle.slice(0, Math.max(0, this.#sessions.size - MAX_SESSIONS)))
      this.#sessions.delete(old);
    this.#log(`serves ${session.remote.read.place}${config.readonly ? ', read-only' : ''}`);
    return session;
  }

  #build({ session }: { session: Session | undefined } & Connection, json: string): string {
    const info = parseJson(json) as BuildInfo | undefined;
    if (session === undefined || typeof info?.pid !== 'number') return 'refused';
    return session.build(info) === undefined ? 'refused' : 'ok';
  }

  /** `unit <id> <ms> <build pid>`, `closures <id> <ms>`, `entry <key>[,<key>…] <ms>`. */
  async #lookUp({ session }: Connection, verb: 'unit' | 'closures' | 'entry', rest: string): Promise<string> {
    const [names = '', ms = '', pid] = rest.split(' ');
    const ids = names.split(',').map((name) => parseDigest<CacheKey>(name));
    const [first] = ids;
    const waitMs = Number(ms);
    if (session === undefined || first === undefined || !Number.isFinite(waitMs)) return 'refused';
    if (verb === 'entry') return session.entry(ids.filter((id) => id !== undefined).slice(0, 16), waitMs);
    const unit = first as string as UnitId;
    if (verb === 'closures') return session.closures(unit, waitMs);
    return session.unit(unit, session.buildOf(Number(pid)), waitMs);
  }

  #tick(): void {
    bestEffort(() => this.#work());
  }

  #work(): void {
    const { launchers, idleMs } = this.#options;
    // Of several configurations of one place the one used last uploads.
    const uploader = new Map<string, Session>();
    for (const session of this.#sessions.values()) {
      if (session.config.readonly) continue;
      if ((uploader.get(session.place)?.usedMs ?? 0) <= session.usedMs) uploader.set(session.place, session);
    }
    this.#lookOn(() => launchers?.onlooker.tick());
    for (const session of this.#sessions.values()) session.tick(uploader.get(session.place) === session);
    const isBusy =
      this.#launchers?.isBusy === true ||
      launchers?.onlooker.isBusy === true ||
      [...this.#sessions.values()].some((session) => session.isBusy);
    if (isBusy) this.#activeMs = Date.now();
    if (idleMs !== undefined && Date.now() - this.#activeMs > idleMs) {
      this.#log('ending: idle');
      this.#ended.resolve();
    }
    // Another store's clean-up, or a person: without its folder it is nobody's daemon.
    if (stat(this.#options.socket) === undefined) this.#ended.resolve();
    else if (this.#launchers?.isReachable === false) {
      // A launcher has waited in vain, and took it for dead.
      const served = this.#launchers;
      this.#orLog(() => served.listenAgain());
    }
  }

  /** No call, and no tick, fails for what only looks on. */
  #lookOn(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#log(`failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    }
  }

  #status(): DaemonStatus {
    return {
      pid: process.pid,
      version: this.#options.version,
      protocol: PROTOCOL_VERSION,
      uptimeMs: Date.now() - this.#startedMs,
      residentBytes: process.memoryUsage.rss(),
      hits: this.#answered.hit,
      compiles: this.#answered.compile,
      sessions: [...this.#sessions.values()].map((session) => session.status()),
    };
  }

  #binaryNow(): string {
    try {
      const info = statSync(this.#options.self);
      return `${info.ino} ${info.size} ${info.mtimeMs}`;
    } catch (error) {
      if (error instanceof Error && 'code' in error) return 'gone';
      throw error;
    }
  }

  #log(line: string): void {
    const path = logFile(this.#options.store.layout.root);
    bestEffort(() => {
      if ((stat(path)?.size ?? 0) > MAX_LOG_BYTES) rename(path, `${path}.1`);
      appendFile(path, utf8(`${new Date().toISOString()} ${line}\n`));
    });
  }
}

/** Keys that wait for each place of a store, also for places this daemon has no settings of. */
export function queuedByPlace(root: string): { place: string; count: number }[] {
  return (listDirectory(`${daemonFolder(root)}/queue`) ?? []).map(({ name }) => ({
    place: name,
    count: (listDirectory(queueFolder(root, name)) ?? []).length,
  }));
}
