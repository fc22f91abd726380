// A machine of its own: home, store, Cargo home and checkout in one folder. Two of them share nothing but a remote.
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import type { DaemonStatus } from '../../src/daemon/server.ts';
import type { SessionStatus } from '../../src/daemon/session.ts';
import { type CargoResult, type Env, KACHE, Lab } from './lab.ts';

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Machine implements AsyncDisposable {
  readonly lab = new Lab();
  readonly #remote: Env;
  readonly #hidden: string | undefined;

  /** `hidden`: a folder this machine cannot see, where mounts can be made. */
  constructor(remote: Env, hidden?: string) {
    this.#remote = remote;
    this.#hidden = hidden;
    mkdirSync(this.lab.path('cargo'), { recursive: true });
  }

  env(changes: Env = {}): Env {
    return { CARGO_HOME: this.lab.path('cargo'), ...this.#remote, ...changes };
  }

  /** A checkout of `source` at this path below the machine's own folder. */
  checkout(source: string, ...parts: string[]): string {
    const dir = this.lab.path(...parts);
    cpSync(source, dir, { recursive: true, filter: (path) => !path.startsWith(join(source, 'target')) });
    return dir;
  }

  async cargo(dir: string, args: readonly string[], changes: Env = {}): Promise<CargoResult> {
    const before = this.lab.events().length;
    const env = { RUSTC_WRAPPER: KACHE, ...changes };
    const ran = await this.run(['cargo', ...args], env, dir);
    return { ...ran, events: this.lab.events().slice(before) };
  }

  kache(args: readonly string[], changes: Env = {}, cwd = this.lab.root): Promise<Ran> {
    return this.run([KACHE, ...args], changes, cwd);
  }

  /** Runs a program without holding up the servers of this process. */
  async run(argv: readonly string[], changes: Env = {}, cwd = this.lab.root): Promise<Ran> {
    const child = Bun.spawn(this.#unseen(argv), {
      cwd,
      env: this.lab.env(this.env(changes)),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { status: await child.exited, stdout, stderr };
  }

  /** The command with the hidden folder out of sight, in a mount namespace of its own. */
  #unseen(argv: readonly string[]): string[] {
    if (this.#hidden === undefined) return [...argv];
    return ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none "$0" && exec "$@"', this.#hidden, ...argv];
  }

  async status(changes: Env = {}): Promise<DaemonStatus & { readonly running: boolean }> {
    return JSON.parse((await this.kache(['daemon', 'status', '--json'], changes)).stdout);
  }

  /** Waits until the daemon has nothing to upload and, unless told otherwise, no build to wait for. */
  async settled(
    changes: Env = {},
    isSettled = ({ builds }: SessionStatus): boolean => builds === 0,
  ): Promise<DaemonStatus> {
    for (const untilMs = Date.now() + 300_000; Date.now() < untilMs; await Bun.sleep(200)) {
      const status = await this.status(changes);
      if (status.running && status.sessions.every((session) => session.queued === 0 && isSettled(session)))
        return status;
    }
    throw new Error(`the daemon does not come to rest: ${(await this.kache(['daemon', 'log'])).stdout}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kache(['daemon', 'stop']);
    this.lab[Symbol.dispose]();
  }
}

/** Whether this process may make mount namespaces. */
export const canHide = (): boolean =>
  Bun.spawnSync(['unshare', '--mount', 'true'], { stdout: 'ignore', stderr: 'ignore' }).exitCode === 0;

/** What was compiled and stored, what came back, by crate name and kind. */
export function outcomes(events: readonly CompileEvent[]): Map<string, string> {
  return new Map(
    events
      .filter(({ crate_types }) => crate_types !== undefined)
      .map(({ crate_name, crate_types, crate_version, result, out_dir }) => [
        `${crate_name} ${crate_version} ${crate_types} ${out_dir?.includes('/build/') === true ? 'build' : ''}`,
        result,
      ]),
  );
}
