// The kache binary, and what its commands print.
import { getExecOutput } from '@actions/exec';

export interface RunOptions {
  /** Statuses it may end with. */
  readonly allowed?: readonly number[];
  /** Where its settings are looked for from. */
  readonly cwd?: string;
}

export class Kache {
  readonly binary: string;

  constructor(binary: string) {
    this.binary = binary;
  }

  /** Standard output of a command. Throws with its last words when it ends with another status than those allowed. */
  async run(
    args: readonly string[],
    { allowed = [0], cwd = process.cwd() }: RunOptions = {},
  ): Promise<string> {
    const { exitCode, stdout, stderr } = await getExecOutput(this.binary, [...args], {
      cwd,
      silent: true,
      ignoreReturnCode: true,
    });
    if (allowed.includes(exitCode)) return stdout;
    const words = stderr.trim().split('\n').slice(-3).join(' ');
    throw new Error(words === '' ? `\`kache ${args[0]}\` ended with ${exitCode}` : words);
  }

  /** The one line of JSON that a command prints. */
  async json<T>(args: readonly string[], options?: RunOptions): Promise<T> {
    return JSON.parse(await this.run(args, options)) as T;
  }
}
