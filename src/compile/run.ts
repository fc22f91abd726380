// The real compiler, started once, with its output streamed as it comes.

import { parseLine, toTemplate, withRealPaths } from '../rustc/diagnostics.ts';
import { withoutIncremental } from '../rustc/flags.ts';
import type { Invocation } from '../rustc/invocation.ts';
import { sweepAsides } from '../sys/aside.ts';
import { type FileTime, fileTimeNow, waitPastWritten } from '../sys/clock.ts';
import { bestEffort, isOsError, lstat, removeFile } from '../sys/files.ts';
import type { OsError } from '../sys/libc.ts';
import { type ExitStatus, jobserverDescriptors, runChild, succeeded } from '../sys/process.ts';
import { type Call, toMicroseconds } from './call.ts';
import { placesBehind } from './externs.ts';

export interface Compiled {
  readonly status: ExitStatus;
  /** What it printed, as templates; undefined when that cannot be repeated (not UTF-8, or very much). */
  readonly stderr: readonly string[] | undefined;
  readonly stdout: readonly string[] | undefined;
  /** The file clock directly before the start. */
  readonly startedAt: FileTime;
  readonly compileMs: number;
  /** From its start until it announced the metadata, when it did. */
  readonly metadataMs: number | undefined;
}

/** Nothing that prints more than this is stored. */
const MAX_CAPTURED_CHARS = 8 * 1024 * 1024;

/**
 * Output files that share an inode with anything are unlinked, so that no compiler can write into the store through
 * them. Cheap enough to do before every compile, also those kache does not handle.
 */
export function protectStore(invocation: Invocation): void {
  const { outputs, outDir } = invocation;
  for (const name of [...outputs.files.map((file) => file.name), outputs.depInfo]) {
    if (name === undefined) continue;
    const path = `${outDir}/${name}`;
    // What cannot be removed cannot be written either: that is for the compiler to say.
    bestEffort(() => {
      if ((lstat(path)?.nlink ?? 1) > 1) removeFile(path);
    });
  }
}

export interface CompilerRunOptions {
  /** Hands on what the compiler printed; an error tells that nobody takes it any more. */
  readonly print: (fd: 1 | 2, bytes: Uint8Array) => void;
  /** Runs before an output is announced. */
  readonly onArtifact?: (emit: string, file: string) => void;
  /** Further arguments, last. */
  readonly more?: readonly string[];
}

/**
 * One run of the compiler, with the roots remapped and without incremental compilation. Whoever starts it, this process
 * or another, does so right after the constructor, first unlinks outputs that share an inode ({@link protectStore}), brings
 * here what the compiler prints, and then how it ended.
 */
export class CompilerRun {
  /** The program first. */
  readonly argv: readonly string[];
  readonly #startedAt: FileTime;
  readonly #from: number;
  readonly #stdout: Relay;
  readonly #stderr: Relay;
  #metadataMs: number | undefined;

  constructor(call: RelayedCall, { print, onArtifact = () => {}, more = [] }: CompilerRunOptions) {
    const { invocation, map } = call;
    sweepAsides(invocation.outDir);
    this.argv = [
      ...invocation.compiler,
      ...map.remapArguments(),
      ...withoutIncremental(invocation.args),
      ...more,
    ];
    const announced = (emit: string, file: string): void => {
      if (emit === 'metadata') this.#metadataMs = this.#elapsedMs();
      onArtifact(emit, file);
    };
    this.#stdout = new Relay(call, (bytes) => print(1, bytes), announced);
    this.#stderr = new Relay(call, (bytes) => print(2, bytes), announced);
    // A build script may have written into OUT_DIR in this very tick: a tick or two later its files are told from changed ones.
    if (invocation.env['OUT_DIR'] !== undefined) waitPastWritten();
    this.#startedAt = fileTimeNow();
    this.#from = performance.now();
  }

  /** Takes what the compiler has written to a descriptor, whole lines or not. */
  receive(fd: 1 | 2, chunk: Uint8Array): void {
    (fd === 1 ? this.#stdout : this.#stderr).receive(chunk);
  }

  /** The compiler has ended, and everything it printed was received. */
  end(ended: ExitStatus): Compiled {
    const compileMs = this.#elapsedMs();
    const captured = { stdout: this.#stdout.end(), stderr: this.#stderr.end() };
    const lost = this.#stdout.lost ?? this.#stderr.lost;
    const status = lost !== undefined && succeeded(ended) ? cannotPrint(lost) : ended;
    return { status, ...captured, startedAt: this.#startedAt, compileMs, metadataMs: this.#metadataMs };
  }

  #elapsedMs(): number {
    return toMicroseconds(performance.now() - this.#from);
  }
}

/** Starts the compiler as a child of this process; resolves when it has ended. */
export function runHere(run: CompilerRun, invocation: Invocation): Promise<ExitStatus> {
  protectStore(invocation);
  return runChild(run.argv, {
    descriptors: jobserverDescriptors(invocation.env['CARGO_MAKEFLAGS']),
    onStdout: (chunk) => run.receive(1, chunk),
    onStderr: (chunk) => run.receive(2, chunk),
  });
}

type RelayedCall = Pick<Call, 'invocation' | 'map' | 'store'>;

/** How rustc ends when what it has to say cannot be written. */
export const cannotPrint = (error: OsError): ExitStatus =>
  error.code === 'EPIPE' ? { kind: 'signalled', signal: 'SIGPIPE' } : { kind: 'exited', code: 101 };

/** Hands lines on as they come, with real paths, and keeps them as templates. No file system stops it: the compiler goes on. */
class Relay {
  readonly #call: RelayedCall;
  readonly #print: (bytes: Uint8Array) => void;
  readonly #onArtifact: (emit: string, file: string) => void;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #rest: Uint8Array = new Uint8Array();
  #lines: string[] | undefined = [];
  #captured = 0;
  #lost: OsError | undefined;

  constructor(
    call: RelayedCall,
    print: (bytes: Uint8Array) => void,
    onArtifact: (emit: string, file: string) => void,
  ) {
    this.#call = call;
    this.#print = print;
    this.#onArtifact = onArtifact;
  }

  receive(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      this.#relay(bytes.subarray(from, end + 1));
      from = end + 1;
    }
    this.#rest = bytes.slice(from);
  }

  #relay(line: Uint8Array): void {
    const text = this.#decode(line.subarray(0, -1));
    if (text === undefined) {
      this.#lines = undefined;
      this.#write(line);
      return;
    }
    const parsed = parseLine(text);
    if (parsed.kind === 'artifact') bestEffort(() => this.#onArtifact(parsed.emit, parsed.file));
    const { map } = this.#call;
    const shown = withRealPaths(text, map, () => placesBehind(this.#call));
    this.#write(shown === text ? line : new TextEncoder().encode(`${shown}\n`));
    this.#captured += text.length;
    if (this.#captured > MAX_CAPTURED_CHARS) this.#lines = undefined;
    this.#lines?.push(parsed.kind === 'artifact' ? `\0emit ${parsed.emit}` : toTemplate(text, map));
  }

  #decode(bytes: Uint8Array): string | undefined {
    try {
      const text = this.#decoder.decode(bytes);
      return text.includes('\0') ? undefined : text;
    } catch (error) {
      if (error instanceof TypeError) return undefined;
      throw error;
    }
  }

  /** The captured lines; a last line without its end is handed on but cannot be stored. */
  end(): readonly string[] | undefined {
    if (this.#rest.length === 0) return this.#lines;
    this.#write(this.#rest);
    return undefined;
  }

  /** Why something could not be handed on. */
  get lost(): OsError | undefined {
    return this.#lost;
  }

  #write(bytes: Uint8Array): void {
    if (this.#lost !== undefined) return;
    try {
      this.#print(bytes);
    } catch (error) {
      if (!isOsError(error)) throw error;
      this.#lost = error;
    }
  }
}
