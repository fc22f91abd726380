// The calls that are compiled in place, each with its reason. Policy is a choice; unsupported is what kache cannot be
// sure about.
import type { Settings } from '../core/config.ts';
import { findInList } from '../core/lists.ts';
import { lastOf } from '../rustc/flags.ts';
import { type Invocation, isRustcName, sourcePath } from '../rustc/invocation.ts';
import { targetsNativeCpu } from '../rustc/unit-parts.ts';
import { basename } from '../sys/paths.ts';

export type BypassReason = `policy|${string}` | `unsupported|${string}`;

/** Binaries, tests, dynamic libraries, proc macros: compiled in place unless executables are to be cached. */
export const LINKED = 'policy|linked-output';

/** Options whose effect a replay could not repeat, or that name files kache does not know: what has a path for its value, too. */
const UNREPEATABLE_Z =
  /^(time-|self-profile|print-|dump-|unpretty|llvm-time-trace|meta-stats|input-stats|nll-facts|emit-thin|remark-dir|codegen-backend|llvm-plugins|ls|no-codegen|no-analysis|parse-crate-root-only|incremental|split-dwarf|save-|profile-sample-use|metrics-dir|temps-dir|sanitizer-dataflow-abilist)|^(?!remap-cwd-prefix).*=.*\//;
const UNREPEATABLE_C = ['save-temps', 'remark', 'llvm-args', 'pgo-warn-missing-function'];

/** Crates rustc takes from its own sysroot when an extern has no path. */
const SYSROOT_CRATES = ['core', 'alloc', 'std', 'proc_macro', 'test'];

/** Why this call is not looked up at all; undefined when it is. */
export function bypassReason(invocation: Invocation, settings: Settings): BypassReason | undefined {
  return (
    userReason(invocation, settings) ??
    wrapperReason(invocation) ??
    flagReason(invocation) ??
    outputReason(invocation, settings)
  );
}

function userReason(invocation: Invocation, settings: Settings): BypassReason | undefined {
  if (settings.bypassCrates.includes(invocation.crateName)) return 'policy|bypass_crates';
  const argument = findInList(settings.bypassArgv, (item) => invocation.args.includes(item));
  if (argument !== undefined) return `policy|bypass_argv ${argument}`;
  const variable = findInList(settings.bypassEnv, (item) => {
    const [name, value] = [
      item.split('=')[0] ?? '',
      item.includes('=') ? item.slice(item.indexOf('=') + 1) : undefined,
    ];
    return value === undefined ? invocation.env[name] !== undefined : invocation.env[name] === value;
  });
  if (variable !== undefined) return `policy|bypass_env ${variable.split('=')[0]}`;
  if (settings.exclude.length === 0) return undefined;
  const source = sourcePath(invocation);
  const glob = settings.exclude.find(
    (item) => new Bun.Glob(item).match(source) || new Bun.Glob(item).match(invocation.source),
  );
  return glob === undefined ? undefined : `policy|exclude ${glob}`;
}

/** clippy-driver is rustc with lints. Another workspace wrapper may do anything, and nobody would see it. */
function wrapperReason(invocation: Invocation): BypassReason | undefined {
  const [program, second] = invocation.compiler;
  if (second === undefined)
    return isRustcName(program) || isClippy(program)
      ? undefined
      : `unsupported|compiler ${basename(program)}`;
  return isClippy(program) ? undefined : `unsupported|workspace-wrapper ${basename(program)}`;
}

export function isClippy(program: string): boolean {
  const name = basename(program);
  return name === 'clippy-driver' || name === 'clippy-driver.exe';
}

function flagReason(invocation: Invocation): BypassReason | undefined {
  const { parsed, env } = invocation;
  for (const flag of parsed.flags) {
    if (flag.name === '-Z' && UNREPEATABLE_Z.test((flag.value ?? '').replaceAll('_', '-')))
      return `unsupported|flag -Z ${flag.value}`;
    const option = flag.codegen;
    if (option !== undefined && UNREPEATABLE_C.includes(option.name))
      return `unsupported|flag -C ${option.name}`;
    if (flag.name === '--sysroot') return 'unsupported|flag --sysroot';
    if (flag.name === '--emit' && flag.value?.includes('=')) return 'unsupported|emit-path';
  }
  // It cannot be taken out of the file the caller wrote.
  if (parsed.codegen.has('incremental') && invocation.args.some((arg) => arg.startsWith('@')))
    return 'unsupported|argfile-incremental';
  // Unpacked debug info lies in files whose names only the compiler knows.
  const split = parsed.codegen.get('split-debuginfo');
  if (split === 'unpacked' && !isApple(lastOf(parsed, '--target') ?? process.platform))
    return 'unsupported|split-debuginfo=unpacked';
  if (env['RUST_TARGET_PATH'] !== undefined) return 'unsupported|RUST_TARGET_PATH';
  if (targetsNativeCpu(invocation) && process.platform !== 'linux') return 'unsupported|target-cpu=native';
  const pathless = findInList(
    invocation.externs,

    ({ path, name }) => path === undefined && !SYSROOT_CRATES.includes(name),
  );
  return pathless === undefined ? undefined : `unsupported|extern-without-path ${pathless.name}`;
}

const isApple = (target: string): boolean => target.includes('apple') || target.includes('darwin');

function outputReason(invocation: Invocation, settings: Settings): BypassReason | undefined {
  const { unitKind, depInfo } = invocation.outputs;
  if (unitKind === 'other') return 'unsupported|emit';
  // Without dep-info nobody knows what was read.
  if (depInfo === undefined) return 'unsupported|no-dep-info';
  return unitKind === 'linked' && !settings.cacheExecutables ? LINKED : undefined;
}
