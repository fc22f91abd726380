// One call of the compiler as kache sees it: what is asked for, in which package, with which outputs.
import type { Environment } from '../core/config.ts';
import { findInList, mapList, someInList } from '../core/lists.ts';
import { readableText } from '../sys/files.ts';
import { basename, dirname, resolve } from '../sys/paths.ts';
import {
  type Extern,
  itemsOf,
  lastOf,
  parseArguments,
  parseExtern,
  parseSearchPath,
  type RustcArguments,
  valuesOf,
} from './flags.ts';
import { type OutputPlan, planOutputs } from './outputs.ts';

export interface Invocation {
  /** The program to run and what stands before rustc's own arguments: `[rustc]`, or `[clippy-driver, rustc]`. */
  readonly compiler: readonly [string, ...string[]];
  /** rustc's arguments as they were given. */
  readonly args: readonly string[];
  readonly parsed: RustcArguments;
  readonly env: Environment;
  readonly cwd: string;
  readonly crateName: string;
  readonly crateTypes: readonly string[];
  readonly isTest: boolean;
  /** The crate root as spelled on the command line. */
  readonly source: string;
  readonly emit: readonly string[];
  /** Absolute. */
  readonly outDir: string;
  readonly externs: readonly Extern[];
  readonly searchPaths: readonly { readonly kind: string; readonly dir: string }[];
  readonly outputs: OutputPlan;
}

/** Why a call is handed to the compiler as it is; the text before `|` is the category of the event. */
export interface NotACompile {
  readonly reason: `not-a-compile|${string}` | `unsupported|${string}`;
}

/** Variables under which rustc prints what no replay could repeat. */
const TRACING = ['RUSTC_LOG', 'RUSTC_LOG_ENTRY_EXIT'];

/** Reads one call. `argv` starts with the compiler. Never throws for anything a caller may have written. */
export function parseInvocation(
  argv: readonly string[],
  env: Environment,
  cwd: string,
): Invocation | NotACompile {
  const [program, second] = argv;
  if (program === undefined) return { reason: 'not-a-compile|no-arguments' };
  const wrapped = second !== undefined && !second.startsWith('-') && isRustcName(second);
  if (!wrapped && isCCompiler(program)) return { reason: 'not-a-compile|c-compiler' };
  const compiler: [string, ...string[]] = wrapped ? [program, second] : [program];
  const given = argv.slice(compiler.length);
  if (argv.join(' ').includes('\uFFFD')) return { reason: 'unsupported|not-utf8' };
  const args = expandArgFiles(given);
  if (args === undefined) return { reason: 'unsupported|argfile' };
  const parsed = parseArguments(args);
  if ('unknown' in parsed) return { reason: `unsupported|flag ${parsed.unknown.split('=')[0]}` };
  return parsedInvocation(parsed, { compiler, args: given, env, cwd });
}

/** Whether a path names rustc itself, under the names toolchains install it as. */
export function isRustcName(path: string): boolean {
  const name = basename(path);
  return name === 'rustc' || name === 'rustc.exe';
}

/** The cc crate calls C compilers through the wrapper once it knows its name. */
const isCCompiler = (program: string): boolean =>
  !isRustcName(program) &&
  /(^|-)(cc|c\+\+|gcc|g\+\+|clang|clang\+\+|clang-cl|cl|nvcc)(-[\d.]+)?(\.exe)?$/.test(basename(program));

interface Given {
  compiler: [string, ...string[]];
  args: readonly string[];
  env: Environment;
  cwd: string;
}

/** Options that ask rustc something instead of having it compile. */
const QUESTIONS = ['-h', '--help', '-V', '--version', '-vV', '-Vv', '--print', '--explain'];

function parsedInvocation(parsed: RustcArguments, given: Given): Invocation | NotACompile {
  const names = parsed.values;
  const question = findInList(QUESTIONS, (name) => names.has(name));
  if (question !== undefined) return { reason: `not-a-compile|${question}` };
  const [source, ...more] = parsed.inputs;
  if (source === undefined) return { reason: 'not-a-compile|no-input' };
  if (source === '-') return { reason: 'not-a-compile|stdin' };
  if (more.length > 0) return { reason: 'unsupported|several-inputs' };
  const crateName = lastOf(parsed, '--crate-name');
  const outDir = lastOf(parsed, '--out-dir');
  // Cargo always names both; probes of build scripts do not, and their results are thrown away.
  if (crateName === undefined || outDir === undefined || names.has('-o'))
    return { reason: 'not-a-compile|no-crate-name-or-out-dir' };
  if (someInList(TRACING, (name) => given.env[name] !== undefined)) return { reason: 'unsupported|tracing' };
  const emit = itemsOf(parsed, '--emit');
  // A harness of one's own is compiled without a type: rustc makes a program, unless the source says otherwise, and then
  // the program is missing afterwards.
  const asked = itemsOf(parsed, '--crate-type');
  const base = {
    ...given,
    parsed,
    crateName,
    crateTypes: asked.length === 0 ? ['bin'] : asked,
    isTest: names.has('--test'),
    packsDebugInfo: parsed.codegen.get('split-debuginfo') === 'packed' && hasDebugInfo(parsed),
    source,
    emit,
    outDir: resolve(given.cwd, outDir),
    externs: mapList(valuesOf(parsed, '--extern'), parseExtern),
    searchPaths: mapList(valuesOf(parsed, '-L'), parseSearchPath),
  };
  return { ...base, outputs: planOutputs(base, parsed.codegen.get('extra-filename') ?? '') };
}

/** Whether debug info is asked for at all. */
function hasDebugInfo(parsed: RustcArguments): boolean {
  const level = parsed.codegen.get('debuginfo');
  return level === undefined ? parsed.values.has('-g') : level !== '0' && level !== 'none';
}

/** `@file` arguments replaced by the file's lines, as rustc reads them; undefined when one cannot be read. */
function expandArgFiles(args: readonly string[]): readonly string[] | undefined {
  let named = false;
  for (const arg of args) named ||= arg.startsWith('@');
  if (!named) return args;
  const expanded: string[] = [];
  for (const arg of args) {
    if (!arg.startsWith('@')) {
      expanded.push(arg);
      continue;
    }
    const text = readableText(arg.slice(1));
    if (text === undefined || text.includes('\uFFFD')) return undefined;
    expanded.push(...text.split(/\r?\n/).filter((line) => line !== ''));
  }
  return expanded;
}

/** Where the package's manifest is: what Cargo says, else the folder rustc runs in. */
export const packageDir = (invocation: Invocation): string =>
  invocation.env['CARGO_MANIFEST_DIR'] ?? invocation.cwd;

/** The crate root, absolute. */
export const sourcePath = (invocation: Invocation): string => resolve(invocation.cwd, invocation.source);

/** Whether Cargo runs this compile from the workspace root: it then names the crate root relative to it. */
export const isWorkspaceMember = (invocation: Invocation): boolean => !invocation.source.startsWith('/');

/** The folder that holds the folder of outputs; for Cargo's classic layout `target/<profile>`'s parent. */
export const targetDir = (invocation: Invocation): string => dirname(dirname(invocation.outDir));
