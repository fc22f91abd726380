// A real terminal to drive: tmux with a server, a size and a shell of its own.
import { notRun } from './required.ts';

/** Whether tmux is here; says that it is not run where it is missing. */
export function hasTmux(): boolean {
  const found = Bun.which('tmux') !== null;
  if (!found) notRun('the monitor on a real terminal', 'tmux is not installed');
  return found;
}

export interface TmuxOptions {
  readonly columns: number;
  readonly rows: number;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export class Tmux implements Disposable {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #server = `kache-test-${process.pid}-${crypto.randomUUID().slice(0, 8)}`;

  constructor({ columns, rows, cwd, env }: TmuxOptions) {
    // The search path is always that of whoever asks for the session.
    this.#env = { ...process.env, PATH: env['PATH'] ?? process.env['PATH'] };
    const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    const size = ['-x', `${columns}`, '-y', `${rows}`];
    this.#run(
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      ...size,
      '-c',
      cwd,
      ...variables,
      "env PS1='$ ' bash --norc --noprofile",
    );
  }

  #run(...args: readonly string[]): string {
    const done = Bun.spawnSync(['tmux', '-u', '-L', this.#server, ...args], { env: this.#env });
    if (done.exitCode !== 0) throw new Error(`Cannot run "tmux ${args[0]}": ${done.stderr.toString()}`);
    return done.stdout.toString();
  }

  /** Types text as it is. */
  type(text: string): void {
    this.#run('send-keys', '-l', text);
  }

  /** Presses keys by tmux's names: `Enter`, `Escape`, `Down`, `C-c`. */
  press(...keys: readonly string[]): void {
    this.#run('send-keys', ...keys);
  }

  resize(columns: number, rows: number): void {
    this.#run('resize-window', '-x', `${columns}`, '-y', `${rows}`);
  }

  /** The screen as text; with `styled`, with its escape sequences. */
  screen(styled = false): string {
    return this.#run('capture-pane', '-p', ...(styled ? ['-e'] : []));
  }

  /** One of tmux's variables: `cursor_flag`, `alternate_on`. */
  variable(name: string): string {
    return this.#run('display-message', '-p', `#{${name}}`).trim();
  }

  /** The screen once it matches; an error with the last one when it does not in time. */
  async until(pattern: RegExp | ((screen: string) => boolean), withinMs = 60_000): Promise<string> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const screen = this.screen();
      if (typeof pattern === 'function' ? pattern(screen) : pattern.test(screen)) return screen;
      if (performance.now() > deadline) throw new Error(`${pattern} did not appear:\n${screen}`);
      await Bun.sleep(30);
    }
  }

  [Symbol.dispose](): void {
    Bun.spawnSync(['tmux', '-L', this.#server, 'kill-server']);
  }
}
