// A second user of this machine, for tests of what happens when two share a store. Needs root.
import { chmodSync, chownSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Somebody who owns nothing here: the ids need no entry in the password file. */
export const OTHER_USER = 54321;

/** Whether processes can be started as somebody else. */
export const canSwitchUser = (): boolean => process.getuid?.() === 0 && Bun.which('setpriv') !== null;

/** A command line that runs as the other user. */
export const asOtherUser = (argv: readonly string[]): string[] => [
  'setpriv',
  `--reuid=${OTHER_USER}`,
  `--regid=${OTHER_USER}`,
  '--clear-groups',
  ...argv,
];

/** Gives a tree to the other user; links are left as they are. */
export function giveToOtherUser(path: string): void {
  chownSync(path, OTHER_USER, OTHER_USER);
  if (!lstatSync(path).isDirectory()) return;
  chmodSync(path, 0o755);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (!entry.isSymbolicLink()) giveToOtherUser(join(path, entry.name));
  }
}
