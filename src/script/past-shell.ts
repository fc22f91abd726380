// The environment Cargo gave a build script, as far as the shell that runs its stand-in has changed it.
import type { Caller } from '../compile/call.ts';
import type { Environment } from '../core/config.ts';
import { readableText } from '../sys/files.ts';
import type { Changes } from '../sys/process.ts';

/** What a shell sets by itself. */
const SET_BY_SHELLS = ['PWD', 'OLDPWD', 'SHLVL', '_'];

/** A name that every shell takes over. Of others (`CC_x86_64-unknown-linux-gnu`) some hand nothing on. */
const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * How to make an environment again what it was before the shell, by what the process that started the shell has. Undefined
 * where nobody can see that.
 */
export function changesBack({
  env,
  caller,
}: {
  readonly env: Environment;
  readonly caller: Caller;
}): Changes | undefined {
  const own = variablesOf(caller.pid);
  const before = variablesOf(caller.parentPid);
  // The numbers of processes are those of the caller's namespace.
  if (before === undefined || own?.get('OUT_DIR') !== env['OUT_DIR']) return undefined;
  const changes: Record<string, string | undefined> = {};
  for (const name of SET_BY_SHELLS) changes[name] = before.get(name);
  for (const [name, value] of before)
    if (!PLAIN_NAME.test(name) && env[name] === undefined) changes[name] = value;
  return changes;
}

/** What a process was started with, besides what cannot be written down as it was. */
function variablesOf(pid: number): Map<string, string> | undefined {
  const text = readableText(`/proc/${pid}/environ`);
  const pairs = text?.split('\0').filter((pair) => pair.indexOf('=') > 0 && !pair.includes('\uFFFD'));
  return pairs === undefined
    ? undefined
    : new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}
