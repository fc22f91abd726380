// Which compiler really runs. A rustup proxy is looked through, `rustc -vV` is asked once per toolchain and remembered
// for as long as the compiler's files stay as they are.
import type { Environment } from '../core/config.ts';
import { someInList } from '../core/lists.ts';
import {
  type FileStat,
  isExecutable,
  listDirectory,
  readFile,
  readStart,
  realPath,
  signatureOf,
  stat,
} from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin, resolve } from '../sys/paths.ts';

/** What the compiler of one call is, as far as its outputs depend on it. */
export interface Toolchain {
  /** `rustc -vV`, and content hashes where that does not pin the compiler. */
  readonly identity: string;
  readonly host: string;
  readonly release: string;
  readonly sysroot: string;
  /** Whether the program is rustc itself. One in front of it may add flags, by what it reads, and nobody would see them. */
  readonly isCompiler: boolean;
}

/**
 * Whether a file came with the compiler, so that its identity stands for it. Not all of the sysroot did: that of a
 * distribution's compiler is `/usr`.
 */
export const isOfToolchain = ({ sysroot }: Pick<Toolchain, 'sysroot'>, path: string): boolean =>
  isWithin(path, `${sysroot}/lib/rustlib`) ||
  (dirname(path) === `${sysroot}/lib` && /^lib(rustc_driver|LLVM|std)[-.]/.test(basename(path)));

/** A toolchain with the state of the files it was read from. */
export interface ToolchainRecord extends Toolchain {
  readonly files: readonly (readonly [path: string, signature: string])[];
}

/** Finds a program as execvp(3) does; undefined when there is none. */
export function findProgram(name: string, env: Environment, cwd: string): string | undefined {
  if (name.includes('/')) return resolve(cwd, name);
  for (const dir of (env['PATH'] ?? '/usr/local/bin:/bin:/usr/bin').split(':')) {
    const path = resolve(cwd, `${dir === '' ? '.' : dir}/${name}`);
    if (isExecutable(path)) return path;
  }
  return undefined;
}

/** The program behind a rustup proxy; undefined when the proxy alone knows (no RUSTUP_TOOLCHAIN in the environment). */
export function throughProxy(path: string, env: Environment): string | undefined {
  const real = realPath(path);
  if (real === undefined || !isProxy(path, real)) return real;
  const toolchain = env['RUSTUP_TOOLCHAIN'];
  if (toolchain === undefined) return undefined;
  const home = env['RUSTUP_HOME'] ?? `${env['HOME']}/.rustup`;
  const prefix = toolchain.startsWith('/') ? toolchain : `${home}/toolchains/${toolchain}`;
  return realPath(`${prefix}/bin/${basename(path)}`);
}

/** Proxies are links to `rustup`, symbolic or hard. */
function isProxy(path: string, real: string): boolean {
  if (basename(real).startsWith('rustup')) return true;
  const rustup = stat(`${dirname(path)}/rustup`);
  return rustup !== undefined && rustup.ino === stat(real)?.ino;
}

const signature = (info: FileStat | undefined): string => (info === undefined ? 'absent' : signatureOf(info));

/** Whether every file a record was read from is as it was; not that of a version that noted less. */
export const isCurrent = (record: ToolchainRecord): boolean =>
  record.isCompiler !== undefined &&
  !someInList(record.files, ([path, state]) => signature(stat(path)) !== state);

/** The record of a compiler for a name it was found by: another one may have the name tomorrow. */
export const named = (name: string, record: ToolchainRecord): ToolchainRecord => ({
  ...record,
  files: [[name, signature(stat(name))], ...record.files],
});

/**
 * Asks a compiler for what it is. `rustc` is the real binary; `run` starts it and returns its stdout, or undefined when
 * that failed. The result is undefined when this is no rustc.
 */
export function inspectToolchain(
  rustc: string,
  run: (argv: readonly string[]) => string | undefined,
): ToolchainRecord | undefined {
  const version = run([rustc, '-vV']);
  const sysroot = run([rustc, '--print', 'sysroot'])?.trim();
  const host = /^host: (.+)$/m.exec(version ?? '')?.[1];
  const release = /^release: (.+)$/m.exec(version ?? '')?.[1];
  if (version === undefined || sysroot === undefined || host === undefined || release === undefined)
    return undefined;
  const isCompiler = isItself(rustc, sysroot);
  const libraries = compilerLibraries(sysroot);
  const pinned = /^commit-hash: [0-9a-f]{40}$/m.test(version);
  // A compiler built from a working tree says "unknown": then only its bytes, those of its std and of its linker tell it apart.
  const contents = new Set([
    ...(isCompiler ? [] : [rustc]),
    ...(pinned ? [] : [rustc, ...libraries, ...ownFiles(sysroot, host)]),
  ]);
  const files = new Set([rustc, `${sysroot}/bin/rustc`, ...libraries, ...contents]);
  const digests = [...contents].map((path) => `${basename(path)} ${sha256(readFile(path) ?? '')}`);
  // The same commit, built by somebody else, has another std, and neither takes a library of the other.
  const sizes = [...libraries, ...ownFiles(sysroot, host).filter((path) => STD.test(basename(path)))];
  return {
    identity: [version, ...digests, ...sizes.map((path) => `${basename(path)} ${stat(path)?.size}`)].join(
      '\n',
    ),
    isCompiler,
    host,
    release,
    sysroot,
    files: [...files].map((path) => [path, signature(stat(path))] as const),
  };
}

/** What every crate is built on; a component that is added later is not among them. */
const STD = /^lib(core|alloc|std|proc_macro|test)-[0-9a-f]+\.(rlib|so|dylib)$/;

/** Whether a program is the compiler of the sysroot that it names, and no script. */
function isItself(rustc: string, sysroot: string): boolean {
  const [own, asked] = [stat(`${sysroot}/bin/rustc`), stat(rustc)];
  const isSame = own !== undefined && own.ino === asked?.ino && own.dev === asked.dev;
  return isSame && !isScript(rustc);
}

/** Whether the user says of a program in front of rustc that its content tells what it does; under one of its names. */
export const isVouchedFor = (names: readonly string[], globs: readonly string[]): boolean =>
  someInList(globs, (glob) => someInList(names, (name) => new Bun.Glob(glob).match(name)));

/** Whether a program has an interpreter. */
export function isScript(program: string): boolean {
  const [hash, bang] = readStart(program, 2);
  return hash === 0x23 && bang === 0x21;
}

const compilerLibraries = (prefix: string): string[] =>
  (listDirectory(`${prefix}/lib`) ?? [])
    .filter(({ name }) => /^lib(rustc_driver|LLVM)/.test(name))
    .map(({ name }) => `${prefix}/lib/${name}`)
    .sort();

/** The standard library, and the linker that comes with it. */
function ownFiles(sysroot: string, host: string): string[] {
  const files: string[] = [];
  for (const below of ['lib', 'bin', 'bin/gcc-ld']) {
    const dir = `${sysroot}/lib/rustlib/${host}/${below}`;
    for (const { name, kind } of listDirectory(dir) ?? []) if (kind === 'file') files.push(`${dir}/${name}`);
  }
  return files.sort();
}
