// What of a rustc call enters the UnitId, in one spelling. Every part says why it is there, or why it is not.
import type { Environment } from '../core/config.ts';
import { someInList } from '../core/lists.ts';
import type { Invocation } from './invocation.ts';
import type { PathMap } from './path-map.ts';

/** Options that say where outputs go or how messages look, or that enter the key by content elsewhere. */
const NOT_IDENTITY = new Set([
  '--out-dir', // where, not what
  '--color', // looks
  '--diagnostic-width', // looks
  '-L', // places to search; what is found there is keyed by content
  '--extern', // keyed by name and content
  '--remap-path-prefix', // handled below: its left side belongs to this machine
]);

/** `-C` options that do not reach the outputs' bytes, or that enter the key otherwise. */
const NOT_IDENTITY_CODEGEN = new Set([
  'incremental', // never handed to the compiler by kache
  'extra-filename', // file names only; dependents find each other by hash
  'profile-use', // a path; its content is keyed
]);

/** No linker runs for a library. */
const LINKER_CODEGEN = new Set(['linker', 'linker-flavor', 'link-arg', 'link-args']);

/**
 * The options of a call, normalised, in order: in rustc the last one wins and order can matter. One loop without calls,
 * as for the environment below.
 */
export function canonicalFlags(invocation: Invocation, map: PathMap): string[] {
  const isLibrary = invocation.outputs.unitKind === 'library';
  const result: string[] = [];
  for (const { name, value, codegen } of invocation.parsed.flags) {
    if (name === '--remap-path-prefix') result.push(`remap ${map.tokenize(value ?? '')}`);
    else if (NOT_IDENTITY.has(name) || NOT_IDENTITY_CODEGEN.has(codegen?.name ?? '')) continue;
    else if (codegen !== undefined && LINKER_CODEGEN.has(codegen.name)) {
      // A linker script in OUT_DIR: what it holds is keyed when the link has taken it in.
      if (!isLibrary) result.push(`-C ${codegen.name}=${map.tokenize(codegen.value ?? '')}`);
    } else if (codegen !== undefined)
      result.push(`-C ${codegen.name}${codegen.value === undefined ? '' : `=${codegen.value}`}`);
    // The set of outputs matters, the order they are asked for does not.
    else if (name === '--emit') result.push(`--emit ${(value ?? '').split(',').sort().join(',')}`);
    else result.push(value === undefined ? name : `${name} ${value}`);
  }
  return result;
}

/** Variables that change what the compiler does. */
const COMPILER = ['RUSTC_BOOTSTRAP', 'RUSTC_FORCE_INCREMENTAL', 'RUSTC_OVERRIDE_VERSION_STRING', 'SDKROOT'];

/**
 * The environment that is part of every unit, sorted by name: variables any code may read that are the same on every
 * machine for the same package, those that change what the compiler does, and `always`, the names (a trailing `*` matches) a
 * user asked for. Not the name of the README: Cargo sets it by looking whether there is one, and who reads it is known
 * from the dep-info and the macros' code.
 */
export function unitEnvironment(env: Environment, always: readonly string[]): (readonly [string, string])[] {
  const names: string[] = [];
  // One loop without calls: see core/lists.ts for what many small calls cost in a process this short.
  for (const name of Object.keys(env)) {
    const portable = name.startsWith('CARGO_PKG_')
      ? name !== 'CARGO_PKG_README'
      : name === 'CARGO_MANIFEST_LINKS' || name === 'CARGO_BIN_NAME';
    if (
      portable ||
      name.startsWith('CLIPPY_') ||
      name.endsWith('_DEPLOYMENT_TARGET') ||
      COMPILER.includes(name)
    )
      names.push(name);
    else if (always.length > 0 && matchesAny(name, always)) names.push(name);
  }
  const result: (readonly [string, string])[] = [];
  for (const name of names.sort()) result.push([name, env[name] ?? '']);
  return result;
}

const matchesAny = (name: string, patterns: readonly string[]): boolean =>
  someInList(patterns, (pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  );

/** Whether code is generated or tuned for the processor this runs on; then the processor is part of the key. */
export function targetsNativeCpu({ parsed }: Invocation): boolean {
  for (const { name, value, codegen } of parsed.flags) {
    if (codegen?.name === 'target-cpu' && codegen.value === 'native') return true;
    if (name === '-Z' && (value === 'tune-cpu=native' || value === 'tune_cpu=native')) return true;
  }
  return false;
}
