// Calls of the wrapper without cargo, with a compiler that a test can hold: it says when it has been started, and waits
// to be let go.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Env, KACHE, type Lab } from './lab.ts';
import { processesOf } from './launcher.ts';

/** Waits for something another process does, without a fixed delay. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 120_000; !condition(); await Bun.sleep(2)) {
    if (Date.now() > deadline) throw new Error(`not within two minutes: ${what}`);
  }
}

/** The processes of this binary that work with a store, helpers that outlive their call included. */
export const processesLeft = (store: string): number[] => processesOf(KACHE, store);

/** Stops the daemon, also the one that the last call has begun to start: until it listens, nobody can ask it to end. */
export const stopDaemon = (lab: Lab): Promise<void> =>
  until('the daemon has ended', () => {
    lab.run([KACHE, 'daemon', 'stop']);
    return processesLeft(lab.store).length === 0;
  });

/** rustc behind a gate: compiles wait until it is opened, questions do not. */
export class HeldCompiler implements Disposable {
  readonly path: string;
  readonly #dir: string;

  constructor(lab: Lab) {
    this.#dir = mkdtempSync(lab.path('held-'));
    mkdirSync(join(this.#dir, 'started'));
    this.path = join(this.#dir, 'rustc');
    writeFileSync(
      this.path,
      `#!/bin/sh
case " $* " in *" --crate-name "*)
  : > '${this.#dir}'/started/$$
  while [ ! -e '${this.#dir}/open' ]; do sleep 0.01; done;;
esac
exec rustc "$@"
`,
    );
    chmodSync(this.path, 0o755);
  }

  /** How many compiles were started. */
  get started(): number {
    return readdirSync(join(this.#dir, 'started')).length;
  }

  open(): void {
    writeFileSync(join(this.#dir, 'open'), '');
  }

  /** Whoever waits must not outlive a test that failed. */
  [Symbol.dispose](): void {
    if (existsSync(this.#dir)) this.open();
  }
}

export interface CrateCall {
  /** The package's folder, with `src/lib.rs` in it. */
  readonly dir: string;
  readonly compiler: string;
  readonly metadata?: string;
  readonly env?: Env;
}

/** The arguments cargo would give for a library without dependencies. */
export const libraryArguments = ({ dir, compiler, metadata = 'm' }: CrateCall): string[] => [
  compiler,
  ...['--crate-name', 'held', '--edition=2021', 'src/lib.rs', '--crate-type', 'lib'],
  ...['--emit=dep-info,metadata,link', '-C', `metadata=${metadata}`, '-C', `extra-filename=-${metadata}`],
  ...['--out-dir', join(dir, 'target/debug/deps')],
];

/** Starts the wrapper on one library crate. */
export function startCall(lab: Lab, call: CrateCall) {
  mkdirSync(join(call.dir, 'target/debug/deps'), { recursive: true });
  return Bun.spawn([lab.wrapper(), ...libraryArguments(call)], {
    cwd: call.dir,
    env: lab.env({
      CARGO_MANIFEST_DIR: call.dir,
      CARGO_PKG_NAME: 'held',
      CARGO_PKG_VERSION: '1.0.0',
      ...call.env,
    }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** How many processes sleep in the kernel until a lock of the store is free. */
export function lockWaiters(lab: Pick<Lab, 'store'>): number {
  const dir = join(lab.store, 'locks');
  const inodes = readdirSync(dir).flatMap(
    (name) => statSync(join(dir, name), { throwIfNoEntry: false })?.ino ?? [],
  );
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .filter((line) => line.includes('-> FLOCK') && inodes.some((inode) => line.includes(`:${inode} `)))
    .length;
}
