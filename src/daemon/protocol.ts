// What the wrapper and the daemon say to each other: lines over a private socket. The grammar is in
// docs/daemon-protocol.md; words are read by other versions: never rename, only add.
import type { Environment, RemoteSettings, Settings } from '../core/config.ts';
import { sha256 } from '../sys/hash.ts';
import type { ExitStatus } from '../sys/process.ts';

/** The first line of a connection never changes its form; everything behind it may with this number. */
export const PROTOCOL_VERSION = 1;

/** How long a compile waits for the daemon to come up. */
export const START_WAIT_MS = 1_000;
/** After a daemon that did not come up or did not answer, compiles do without it for so long. */
export const PAUSE_MS = 60_000;

/** The remote as a build has configured it: all a daemon needs to know that was started with another environment. */
export interface RemoteConfig {
  readonly remote: RemoteSettings;
  readonly readonly: boolean;
  readonly compressionLevel: number;
  readonly concurrency: number;
  readonly prefetch: boolean;
  readonly prefetchMaxKeys: number;
  readonly prefetchMaxBytes: number;
  readonly maxSizeBytes: number | undefined;
  readonly env: Readonly<Record<string, string>>;
}

const CREDENTIALS_AND_NETWORK = /^(AWS_\w+|HOME|NODE_EXTRA_CA_CERTS|(HTTPS?|NO)_PROXY|(https?|no)_proxy)$/;

export function remoteConfig(settings: Settings, remote: RemoteSettings, env: Environment): RemoteConfig {
  const kept: Record<string, string> = {};
  for (const name of Object.keys(env)) {
    const value = env[name];
    if (value !== undefined && CREDENTIALS_AND_NETWORK.test(name)) kept[name] = value;
  }
  return {
    remote,
    readonly: settings.remoteReadonly,
    compressionLevel: settings.compressionLevel,
    concurrency: settings.remoteConcurrency,
    prefetch: settings.prefetch,
    prefetchMaxKeys: settings.prefetchMaxKeys,
    prefetchMaxBytes: settings.prefetchMaxBytes,
    maxSizeBytes: settings.maxSizeBytes,
    env: kept,
  };
}

/** Tells configurations apart, credentials included. Goes over the socket and nowhere else. */
export const configHash = (config: RemoteConfig): string => sha256(JSON.stringify(config));

/** The place that is written to, without credentials: names the queue on disk. */
export const placeId = ({ type, bucket, endpoint, path, writePrefix }: RemoteSettings): string =>
  sha256(JSON.stringify([type, bucket ?? '', endpoint ?? '', path ?? '', writePrefix])).slice(0, 32);

export const daemonFolder = (root: string): string => `${root}/daemon`;
export const queueFolder = (root: string, place: string): string => `${root}/daemon/queue/${place}`;
/** There while compiles do without the daemon; its mtime says since when. */
export const pauseFile = (root: string): string => `${root}/daemon/pause`;

/** A path of a socket has little room: 104 bytes on macOS, 108 on Linux; some is for the name of the second one. */
const MAX_SOCKET_PATH = 96;

export function socketPath(root: string, settings: Pick<Settings, 'socketPath'>): string {
  if (settings.socketPath !== undefined) return settings.socketPath;
  const inside = `${root}/daemon/socket`;
  return inside.length <= MAX_SOCKET_PATH
    ? inside
    : `/tmp/kache-${process.getuid?.() ?? 0}/${sha256(root).slice(0, 16)}`;
}

/** Where launchers ask for hits. */
export const hitSocketPath = (root: string, settings: Pick<Settings, 'socketPath'>): string =>
  `${socketPath(root, settings)}-hits`;

/** A build as the wrapper knows it. */
export interface BuildInfo {
  /** Of Cargo. */
  readonly pid: number;
  readonly outDir: string;
  readonly cwd: string;
  /** The first digits of the hash of the toolchain's identity. */
  readonly toolchain: string;
}

/** Answers to `unit`, `closures` and `entry`. */
export type Availability =
  /** What was asked for is in the store now. */
  | 'found'
  /** Entries that the list of the build names for the unit are. */
  | 'listed'
  /** The remote does not have it. */
  | 'absent'
  /** Not known in the time there was, or the remote is out: compile. */
  | 'later';

/** A compiler call as a launcher tells it. */
export interface LaunchedCall {
  /** The compiler first. */
  readonly argv: readonly string[];
  readonly env: Environment;
  readonly cwd: string;
  readonly caller: { readonly pid: number; readonly parentPid: number; readonly foreseen?: true };
}

/** A file that a launcher puts in place: it makes it aside, and renames it when all are there. */
export type PlacedFile = { readonly aside: string; readonly target: string } & (
  | {
      readonly kind: 'blob';
      readonly source: string;
      readonly sizeBytes: number;
      /** The ways to try, in this order. */
      readonly ways: readonly PlacedWay[];
      readonly mode: number;
    }
  | { readonly kind: 'text'; readonly text: string }
);

export type PlacedWay = 'reflinked' | 'hardlinked' | 'copied';

/** A hit, and what is to be done on either side. */
export interface HitAnswer {
  readonly kind: 'hit';
  /** A name in the store. Who makes a file of it can write to the store: what it says of its own files is recorded. */
  readonly proof: string;
  readonly files: readonly PlacedFile[];
  /** To be printed when every file is in its place. */
  readonly stdout: string;
  readonly stderr: string;
  /**
   * Every file is in its place, each by one of its ways (a text by none), and was in this state there (signatureOf).
   * Before anything is printed.
   */
  readonly settle: (ways: readonly (PlacedWay | undefined)[], states: readonly string[]) => void;
  /** What nobody waits for. */
  readonly note: () => void;
}

/** States of outputs as the launcher sees them (signatureOf; undefined: there is none). */
export type States = readonly (string | undefined)[];

/** A compile that the launcher runs and the daemon stores. Disposing of it lets go of what it holds, at any time. */
export interface CompileAnswer extends Disposable {
  readonly kind: 'compile';
  /** As for a hit. */
  readonly proof: string;
  /** The lock that the launcher must have, from here to its end; undefined: none. */
  readonly lock: string | undefined;
  /**
   * The compiler is about to be started: with these arguments, the program first; it writes the files `outputs`.
   * Undefined: somebody has compiled this meanwhile.
   */
  readonly begin: () => { readonly argv: readonly string[]; readonly outputs: readonly string[] } | undefined;
  /** The compiler has written this, and has its outputs in these states; returns what to print. */
  readonly receive: (printed: { fd: 1 | 2; bytes: Uint8Array; states: States }) => Uint8Array;
  /** It has ended, and left its outputs in these states. */
  readonly end: (status: ExitStatus, states: States) => void;
}

/** One thing that a launcher does in a target folder, with its own rights and umask. */
export type Step =
  | PlacedFile
  /** Makes a folder, and those above it. */
  | { readonly kind: 'folder'; readonly path: string }
  /** Makes a file that must not be there. */
  | { readonly kind: 'new'; readonly path: string; readonly bytes: Uint8Array }
  /** Gives a file a second name. */
  | { readonly kind: 'link'; readonly from: string; readonly path: string }
  /** Takes a lock as Cargo does, to the end of the connection; fails where another has it. */
  | { readonly kind: 'lock'; readonly path: string }
  /** Removes a folder with all that is in it, if it is there. */
  | { readonly kind: 'remove'; readonly path: string };

/** Steps that are carried out in their order; behind one that fails none is. Files that follow each other come together or not. */
export interface Batch {
  readonly steps: readonly Step[];
  /** Every step is done, each file in its way and state; undefined: not every one. Returns what is to follow. */
  readonly carriedOut: (files: InPlace | undefined) => Batch | undefined;
}

/** How the files of a batch came into their places, in their order, and in which states they are there (signatureOf). */
export interface InPlace {
  readonly ways: readonly (PlacedWay | undefined)[];
  readonly states: readonly string[];
}

/** A target folder to be filled, unit by unit. */
export interface Filling {
  /**
   * Looks one unit up: what is to be done for it. Undefined: there is none, before something that is under way has been
   * carried out.
   */
  readonly next: () => Batch | 'not-this' | undefined;
}

/** A target folder that the launcher is to fill. */
export interface FillAnswer {
  readonly kind: 'fill';
  /** As for a hit. */
  readonly proof: string;
  /** What it begins with. */
  readonly steps: readonly Step[];
  /** That is done. Undefined: somebody has built there meanwhile. */
  readonly begin: () => Filling | undefined;
}

/** What a launcher is to do for a call; `none`: become a wrapper; `learn`: have a wrapper find out, and ask again. */
export type Decision = HitAnswer | CompileAnswer | FillAnswer | 'learn' | 'none';

/** A remote has to be asked first. */
export interface LaterAnswer {
  readonly kind: 'later';
  /** Milliseconds it takes at most, but for the decision itself. */
  readonly withinMs: number;
  /** `inFolder` runs a step where the call runs; undefined: it failed. */
  readonly answer: (inFolder: <T>(step: () => T) => T | undefined) => Promise<Decision>;
}

export type Answer = Decision | LaterAnswer;
export type Answerer = (call: LaunchedCall) => Answer;

/** Who looks on at the calls of launchers, and does something when their build has ended. */
export interface Onlooker {
  /** A call begins. */
  asked(call: LaunchedCall): void;
  /** Called once or twice a second, and at the end. */
  tick(): void;
  /** Whether a build goes on. */
  readonly isBusy: boolean;
}
