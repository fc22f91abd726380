// The environment Cargo gave a build script, as far as the shell that runs its stand-in has changed it.
import type { Environment } from '../core/config.ts';
import type { Changes } from '../sys/process.ts';

/** What a shell sets by itself. */
const SET_BY_SHELLS = ['PWD', 'OLDPWD', 'SHLVL', '_'];

/** A name that every shell takes over. Of others (`CC_x86_64-unknown-linux-gnu`) some hand nothing on. */
const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** How to make the environment `env` again what it was before the shell; `parent` is that of Cargo. */
export function changesBack(env: Environment, parent: Environment | undefined): Changes {
  if (parent === undefined) return {};
  const changes: Record<string, string | undefined> = {};
  for (const name of SET_BY_SHELLS) changes[name] = parent[name];
  for (const [name, value] of Object.entries(parent))
    if (!PLAIN_NAME.test(name) && env[name] === undefined) changes[name] = value;
  // What cannot be written down as it was stays as it is.
  return Object.fromEntries(
    Object.entries(changes).filter(([name, value]) => !`${name}${value}`.includes('\uFFFD')),
  );
}
