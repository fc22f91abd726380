// What is known of a call before anything is looked up: its toolchain and roots, and what every key of it is made of.
import { packageOrigin, pathMapOf } from '../rustc/roots.ts';
import { findProgram, isScript, isVouchedFor, type Toolchain, throughProxy } from '../rustc/toolchain.ts';
import { basename } from '../sys/paths.ts';
import { type BypassReason, isClippy } from './bypass.ts';
import type { Call } from './call.ts';
import { folderOfCrates } from './crate-folders.ts';
import { linkClosure, resolveExterns } from './externs.ts';
import { identify, identifyToolchain } from './identify.ts';
import { type KeyBase, keyBase } from './key.ts';
import { type CannotFollow, linkStep } from './link.ts';

/** What a call begins with. */
type Start = Omit<Call, 'toolchain' | 'origin' | 'map' | 'phases'>;

/** Finds out which toolchain and which roots a call has; or why that cannot be. */
export function prepare(start: Start): Call | BypassReason {
  const { invocation, settings } = start;
  const toolchain = identifyToolchain(start);
  if (toolchain === undefined) return 'unsupported|toolchain';
  const unknown = programInFront(start, toolchain);
  if (unknown !== undefined) return `unsupported|in-front-of-rustc ${basename(unknown)}`;
  const folder = folderOfCrates(start);
  if (folder !== undefined) return `unsupported|crates-in-search-path ${folder}`;
  const origin = packageOrigin(invocation);
  const options = {
    normalizePaths: settings.normalizePaths,
    baseDirs: settings.baseDirs,
    sysroot: toolchain.sysroot,
  };
  const map = pathMapOf(invocation, origin, options);
  return { ...start, toolchain, origin, map, phases: {} };
}

/** A program between kache and rustc that may add flags by what it reads, and for which the user does not vouch. */
function programInFront({ invocation, settings }: Start, { isCompiler }: Toolchain): string | undefined {
  const { compiler, env, cwd } = invocation;
  const [first, second = first] = compiler;
  for (const name of [first, second]) {
    // The driver of clippy is keyed by its content.
    if (!isClippy(name) && isCompiler) continue;
    const found = findProgram(name, env, cwd) ?? name;
    const real = throughProxy(found, env) ?? found;
    if (isClippy(name) && !isScript(real)) continue;
    if (!isVouchedFor([found, real], settings.trustedCompilers)) return real;
  }
  return undefined;
}

/**
 * What every key of this call is made of; undefined when something it names cannot be read. `toStore`: whether what a
 * linker makes is to be stored; then why it cannot be may come back.
 */
export function baseOf(call: Call, toStore: boolean): KeyBase | CannotFollow | undefined {
  const identified = identify(call);
  const externs = resolveExterns(call);
  if (identified === undefined || externs === undefined) return undefined;
  if (call.invocation.outputs.unitKind !== 'linked')
    return keyBase(call, identified, { externs, linked: undefined, link: undefined });
  const linked = linkClosure(call.store, externs.paths);
  if (linked === undefined) return { why: 'library-of-unknown-origin' };
  const link = toStore ? linkStep(call) : undefined;
  if (link !== undefined && 'why' in link) return link;
  return keyBase(call, identified, { externs, linked, link });
}
