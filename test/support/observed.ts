// A laboratory for the observer of src/launcher: the launcher, little programs in C, and what its log says of a run.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compileLauncher } from './launcher.ts';
import { notRun } from './required.ts';

/** Only Linux has an observer. */
export const isLinux = process.platform === 'linux';

/** A record of the log: kind, state, path; `lost` and `ended` have no state. */
export type Record = readonly [kind: string, state: string, what: string];

export interface Observed {
  readonly status: number | null;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly records: readonly Record[];
  /** Why the log is not the whole. */
  readonly lost: readonly string[];
}

export interface ObserveOptions {
  readonly cwd?: string;
  readonly env?: Readonly<{ [name: string]: string | undefined }>;
  readonly stdin?: string;
}

export class ObserverLab implements Disposable {
  /** Without links, as the log calls it. */
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), 'kache-observer-')));
  readonly launcher = isLinux
    ? compileLauncher(this.root, { kache: '/nonexistent', socket: '/nonexistent' })
    : 'there is none';

  constructor() {
    if (!isLinux) notRun('the observer', 'it is there for Linux only');
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  write(name: string, text: string, mode = 0o644): string {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text, { mode });
    return this.path(name);
  }

  /** Compiles a program in C, for Linux, and returns its path. */
  compile(name: string, source: string, flags: readonly string[] = []): string {
    if (!isLinux) return this.path(name);
    const file = this.write(`${name}.c`, source);
    const made = Bun.spawnSync(['cc', '-w', '-pthread', ...flags, '-o', this.path(name), file]);
    if (made.exitCode !== 0) throw new Error(made.stderr.toString());
    return this.path(name);
  }

  /** The words that run a program under the observer, and its log. */
  command(argv: readonly string[]): { readonly words: string[]; readonly log: string } {
    const [program = '', ...args] = argv;
    const log = mkdtempSync(this.path('log-'));
    return {
      words: [this.launcher, '--observe', join(log, 'log'), program, program, ...args],
      log: join(log, 'log'),
    };
  }

  observe(argv: readonly string[], { cwd = this.root, env = {}, stdin = '' }: ObserveOptions = {}): Observed {
    const { words, log } = this.command(argv);
    const done = Bun.spawnSync(words, { cwd, env: { ...process.env, ...env }, stdin: Buffer.from(stdin) });
    return {
      status: done.exitCode,
      signal: done.signalCode?.toString(),
      stdout: done.stdout.toString(),
      stderr: done.stderr.toString(),
      ...readLog(log),
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** The records of a log; bytes that are no UTF-8 become U+FFFD. */
export function readLog(log: string): Pick<Observed, 'records' | 'lost'> {
  const fields = existsSync(log) ? readFileSync(log, 'utf8').split('\0') : [];
  const records: Record[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [kind = '', what = ''] = [fields[at], fields[at + 1]];
    const hasState = kind === 'saw' || kind === 'listed' || kind === 'wrote';
    records.push(hasState ? [kind, what.slice(0, 1), what.slice(1)] : [kind, '', what]);
  }
  return { records, lost: records.filter(([kind]) => kind === 'lost').map(([, , why]) => why) };
}
