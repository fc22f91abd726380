// Which compiler really runs. A rustup proxy is looked through, `rustc -vV` is asked once per toolchain and remembered
// for as long as the compiler's files stay as they are.
import type { Environment } from '../core/config.ts';
import { someInList } from '../core/lists.ts';
import {
  type FileStat,
  isExecutable,
  listDirectory,
  readFile,
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

/** Whether every file a record was read from is as it was. */
export const isCurrent = (record: ToolchainRecord): boolean =>
  !someInList(record.files, ([path, state]) => signature(stat(path)) !== state);

/**
 * Asks a compiler for what it is. `rustc` is the real binary, `links` are the names it was found by; `run` starts it and
 * returns its stdout, or undefined when that failed. The result is undefined when this is no rustc.
 */
export function inspectToolchain(
  rustc: string,
  links: readonly string[],
  run: (argv: readonly string[]) => string | undefined,
): ToolchainRecord | undefined {
  const version = run([rustc, '-vV']);
  const sysroot = run([rustc, '--print', 'sysroot'])?.trim();
  const host = /^host: (.+)$/m.exec(version ?? '')?.[1];
  const release = /^release: (.+)$/m.exec(version ?? '')?.[1];
  if (version === undefined || sysroot === undefined || host === undefined || release === undefined)
    return undefined;
  const libraries = compilerLibraries(dirname(dirname(rustc)));
  const files = [...links, rustc, ...libraries].map((path) => [path, signature(stat(path))] as const);
  const pinned = /^commit-hash: [0-9a-f]{40}$/m.test(version);
  // A compiler built from a working tree says "unknown": then only its bytes, those of its std and of its linker tell it apart.
  const contents = pinned ? [] : [rustc, ...libraries, ...ownFiles(sysroot, host)];
  const known = new Map(files);
  for (const path of contents) known.set(path, signature(stat(path)));
  const digests = contents.map((path) => `${basename(path)} ${sha256(readFile(path) ?? '')}`);
  return { identity: [version, ...digests].join('\n'), host, release, sysroot, files: [...known] };
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
