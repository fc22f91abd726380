// The stand-in of a build script: a few lines of sh where Cargo expects the program. They have kache look whether a run
// of it is known (src/script), and start it where kache is gone. The program lies beside.

import type { Settings } from '../core/config.ts';
import type { BlobId } from '../core/ids.ts';
import { findInList } from '../core/lists.ts';
import { readMemo, writeMemo } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import { asideOf, makeAside } from '../sys/aside.ts';
import { bestEffort, createFile, link, removeFile, rename, utf8 } from '../sys/files.ts';
import { isLinux } from '../sys/libc.ts';
import { basename } from '../sys/paths.ts';
import { type Call, isMutable } from './call.ts';

const ENDING = '.script';

/** A build script behind its stand-in. Recorded in target folders: never rename. */
export const scriptBehind = (standIn: string): string => `${standIn}${ENDING}`;

/** Whether it is a stand-in that calls this program, by the first of its arguments. */
export const isCallOfStandIn = (first: string | undefined): boolean => first?.endsWith(ENDING) === true;

/** Whether runs of a build script of this origin are to be kept. */
export const keepsRuns = ({ cacheBuildScripts, verifyRestores }: Settings, mutable: boolean): boolean =>
  isLinux &&
  verifyRestores === 'off' &&
  (cacheBuildScripts === 'all' || (cacheBuildScripts === 'dependencies' && !mutable));

/** The stand-in for the program `blob` of this call, to be put at `target`; undefined where the program stays there. */
export function standInFor(call: Call, blob: BlobId, target: string): string | undefined {
  const { invocation, settings, store } = call;
  const isScript =
    invocation.crateName.startsWith('build_script_') &&
    invocation.crateTypes.length === 1 &&
    invocation.crateTypes[0] === 'bin' &&
    !invocation.isTest &&
    invocation.outDir.includes('/build/');
  if (!isScript || !keepsRuns(settings, isMutable(call)) || whyNotWorth(store, blob) !== undefined)
    return undefined;
  return standIn(call.self, basename(scriptBehind(target)));
}

/**
 * Calls kache as it is called for a compiler: a version that knows nothing of stand-ins runs what it takes for an unknown one.
 * An empty file would run as a script of sh that does nothing.
 */
const standIn = (kache: string, script: string): string => `#!/bin/sh
# Put here by kache (cache.cache_build_scripts): the build script is the file beside this one that ends in .script.
kache=${quoted(kache)} script="\${0%/*}"/${quoted(script)}
case "$RUSTC_WRAPPER" in */${LAUNCHER}) [ -x "$RUSTC_WRAPPER" ] && kache="$RUSTC_WRAPPER" ;; esac
[ -f "$kache" ] && [ -x "$kache" ] && [ -s "$kache" ] && exec "$kache" "$script" "$0" "$@"
exec "$script" "$@"
`;

/** What asks the daemon first (src/launcher). */
const LAUNCHER = 'kache-launcher';

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Puts a stand-in before the build script that this call has just compiled. What cannot be put there is not needed. */
export function putStandIn(call: Call, outputs: readonly { kind: string; blob: BlobId }[]): void {
  const planned = findInList(call.invocation.outputs.files, ({ kind }) => kind === 'program');
  const stored = findInList(outputs, ({ kind }) => kind === 'program');
  if (planned === undefined || stored === undefined) return;
  const path = `${call.invocation.outDir}/${planned.name}`;
  const text = standInFor(call, stored.blob, path);
  if (text === undefined) return;
  bestEffort(() => {
    const aside = asideOf(path);
    removeFile(aside);
    makeAside(aside, () => createFile(aside, utf8(text), 0o755));
    // The program has its name until the stand-in takes it.
    removeFile(scriptBehind(path));
    link(path, scriptBehind(path));
    rename(aside, path);
  });
}

const worthMemo = (script: BlobId): string => `runs of ${script}`;

/** Why runs of the build script with these bytes are not kept; undefined when they are. */
export const whyNotWorth = (store: Store, script: BlobId): string | undefined =>
  readMemo<string>(store, 'unstored', worthMemo(script));

/** Has the next worktree run the script without a stand-in. */
export const noteNotWorth = (store: Store, script: BlobId, why: string): boolean =>
  writeMemo(store, 'unstored', worthMemo(script), why);
