// The stand-in of a build script: a program of five kilobytes where Cargo expects the script, which has kache look whether a
// run of it is known (src/script), and becomes the script where kache is gone. The script lies beside it.
import type { Settings } from '../core/config.ts';
import type { BlobId } from '../core/ids.ts';
import { findInList } from '../core/lists.ts';
import { placeCopy } from '../store/blobs.ts';
import { readMemo, writeMemo } from '../store/hashes.ts';
import { type Store, withParent } from '../store/store.ts';
import { asideOf, makeAside } from '../sys/aside.ts';
import { bestEffort, createFile, link, removeFile, rename, stat, utf8 } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { isLinux } from '../sys/libc.ts';
import { basename, dirname } from '../sys/paths.ts';
import { type Call, isMutable } from './call.ts';
import source from './stand-in.rs' with { type: 'text' };

const ENDING = '.script';

/** The name by which Cargo calls a build script: it is after the file without its ending, which may have underscores. */
export const calledName = (source: string): string =>
  `build-script-${basename(source).replace(/(?<=.)\.[^.]*$/, '')}`;

/** Where a build script lies behind its stand-in, which looks there: never rename. */
const scriptBehind = ({ invocation: { outDir, source } }: Pick<Call, 'invocation'>): string =>
  `${outDir}/${calledName(source)}${ENDING}`;

/** The output that a script behind a stand-in is, as the compiler calls it: its folder ends in the same digits. */
export function outputBehind(script: string): string {
  const dir = dirname(script);
  const crate = basename(script).slice(0, -ENDING.length).replaceAll('-', '_');
  return `${dir}/${crate}${dir.slice(dir.lastIndexOf('-'))}`;
}

/** Whether it is a stand-in that calls this program, by the first of its arguments. */
export const isCallOfStandIn = (first: string | undefined): boolean => first?.endsWith(ENDING) === true;

/** Whether runs of a build script of this origin are to be kept. */
export const keepsRuns = ({ cacheBuildScripts, verifyRestores }: Settings, mutable: boolean): boolean =>
  isLinux &&
  verifyRestores === 'off' &&
  (cacheBuildScripts === 'all' || (cacheBuildScripts === 'dependencies' && !mutable));

/** What goes where when a stand-in takes the place of a program. */
export interface StandIn {
  /** The stand-in, to be copied. */
  readonly program: string;
  readonly sizeBytes: number;
  /** Where the script goes. */
  readonly script: string;
}

/** The stand-in for the program `blob` of this call; undefined where the program stays in its place. */
export function standInFor(call: Call, blob: BlobId): StandIn | undefined {
  if (!isKeptScript(call)) return undefined;
  const why = whyNotWorth(call.store, blob);
  if (why !== undefined && !(why === QUICK && call.settings.cacheFingerprints)) return undefined;
  const program = standInOf(call.store);
  const sizeBytes = stat(program)?.size ?? 0;
  return sizeBytes === 0 ? undefined : { program, sizeBytes, script: scriptBehind(call) };
}

function isKeptScript(call: Call): boolean {
  const { invocation, settings } = call;
  const isScript =
    invocation.crateName.startsWith('build_script_') &&
    invocation.crateTypes.length === 1 &&
    invocation.crateTypes[0] === 'bin' &&
    !invocation.isTest &&
    invocation.outDir.includes('/build/');
  return isScript && keepsRuns(settings, isMutable(call));
}

const standInOf = (store: Store): string => store.layout.standIn(sha256(source).slice(0, 16));

/** Whether a stand-in may be needed that no rustc has been asked for yet. */
export const lacksStandIn = (call: Call): boolean => isKeptScript(call) && !hasStandIn(call.store);

export const hasStandIn = (store: Store): boolean => stat(standInOf(store)) !== undefined;

/** Has the compiler of this call make the stand-in, once for each store. Where it cannot the script stays in its place. */
export function makeStandIn({ store, invocation, ask }: Call): void {
  const rustc = invocation.compiler[invocation.compiler.length - 1] ?? '';
  const linker = invocation.parsed.codegen.get('linker');
  compileStandIn(store, [rustc, ...(linker === undefined ? [] : [`-Clinker=${linker}`])], ask);
}

/** Makes the stand-in by a compiler and its flags. */
export function compileStandIn(store: Store, rustc: readonly string[], ask: Call['ask']): void {
  const [text, made] = [store.temporaryPath(), store.temporaryPath()];
  const flags = [
    '--edition=2021',
    '-Copt-level=s',
    '-Cpanic=abort',
    '-Cstrip=symbols',
    '--crate-name=kache_stand_in',
  ];
  bestEffort(() => {
    withParent(text, () => createFile(text, utf8(source), 0o600));
    const done = ask([...rustc, ...flags, '-o', made, text]);
    removeFile(text);
    if (done !== undefined) store.moveIntoPlace(made, standInOf(store));
  });
}

/** Puts a stand-in before the build script that this call has just compiled. What cannot be put there is not needed. */
export function putStandIn(call: Call, outputs: readonly { kind: string; blob: BlobId }[]): void {
  const planned = findInList(call.invocation.outputs.files, ({ kind }) => kind === 'program');
  const stored = findInList(outputs, ({ kind }) => kind === 'program');
  if (planned === undefined || stored === undefined) return;
  if (lacksStandIn(call)) makeStandIn(call);
  const standIn = standInFor(call, stored.blob);
  if (standIn === undefined) return;
  const path = `${call.invocation.outDir}/${planned.name}`;
  bestEffort(() => {
    const aside = asideOf(path);
    removeFile(aside);
    makeAside(aside, () => placeCopy(call.store, standIn.program, aside));
    // The program has its name until the stand-in takes it.
    removeFile(standIn.script);
    link(path, standIn.script);
    rename(aside, path);
  });
}

/** Why runs that take no time are not kept: where Cargo's records are kept, they are. */
export const QUICK = 'quick';

const worthMemo = (script: BlobId): string => `runs of ${script}`;

/** Why runs of the build script with these bytes are not kept; undefined when they are. */
export const whyNotWorth = (store: Store, script: BlobId): string | undefined =>
  readMemo<string>(store, 'unstored', worthMemo(script));

/** Has the next worktree run the script without a stand-in. */
export const noteNotWorth = (store: Store, script: BlobId, why: string): boolean =>
  writeMemo(store, 'unstored', worthMemo(script), why);
