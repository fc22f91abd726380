// The link step of a call: which program links, what that program is, and which files a link took in. rustc reports
// none of it; the linker does, when asked for a dependency file.
import type { Environment } from '../core/config.ts';
import { findInList, mapList, someInList } from '../core/lists.ts';
import { readText, realPath, signatureOf, stat } from '../sys/files.ts';
import { basename, dirname, resolve } from '../sys/paths.ts';
import type { Invocation } from './invocation.ts';
import { nativeFolders } from './native-libraries.ts';
import { findProgram } from './toolchain.ts';

/** Variables by which compiler drivers and linkers find files or change what they write. */
const LINKER_ENVIRONMENT = [
  'LIBRARY_PATH',
  'COMPILER_PATH',
  'GCC_EXEC_PREFIX',
  'LD_RUN_PATH',
  'SOURCE_DATE_EPOCH',
  'CCC_OVERRIDE_OPTIONS',
  'GNUTARGET',
];

/** Arguments that put programs, plugins or arguments in the linker's way that nobody would see. */
const OPAQUE =
  /^(@|-B|--?sysroot|-isysroot|--library-path|-Y|--?specs|-wrapper|--ld-path|-plugin|--plugin|-fplugin|-flto|-load-pass-plugin|--load-pass-plugin)/;

/** Arguments that have the linker write more files than its output, or print. */
const SIDE_EFFECT =
  /^(-o|--output|-M$|-Map|--?Map|--print-|--cref|--trace|-t$|--verbose|-v$|--dependency-file|--reproduce|--time-trace|--thinlto|--lto-obj-path|-save-temps|--save-temps|-dump|--out-implib|--why-|--stats)/;

/** Drivers that speak gcc's language, by the last part of their name. */
const DRIVER = /(^|-)(cc|c\+\+|gcc|g\+\+|clang|clang\+\+)(-[\d.]+)?$/;

/** Targets rustc links with `cc` unless told otherwise. */
const LINKED_BY_CC = /-linux-(gnu|musl)/;

/** What rustc calls there. */
export const DEFAULT_LINKER = 'cc';

/** What a call asks of its linker. */
export interface LinkRequest {
  /** As given, or rustc's default. */
  readonly program: string;
  /** The `-fuse-ld` that was given, if any. */
  readonly choice: readonly string[];
  /** Folders the linker is told to search, absolute, in order. */
  readonly folders: readonly string[];
  /** Everything in its arguments that may name a file, absolute: not every linker reports every file it was told to read. */
  readonly mentioned: readonly string[];
  /** Variables the linker may read. */
  readonly env: readonly (readonly [name: string, value: string | null])[];
}

/** The link step, or why its inputs could not be known. `target` is the triple that is compiled for. */
export function linkRequest(invocation: Invocation, target: string): LinkRequest | { readonly why: string } {
  const { parsed, env, cwd } = invocation;
  if (invocation.outputs.links > 1) return { why: 'several-links' };
  if (!LINKED_BY_CC.test(target)) return { why: `linker-of ${target}` };
  const program = parsed.codegen.get('linker') ?? DEFAULT_LINKER;
  if (!DRIVER.test(basename(program))) return { why: `linker ${basename(program)}` };
  const flavor = parsed.codegen.get('linker-flavor');
  if (flavor !== undefined && !flavor.endsWith('cc')) return { why: `linker-flavor ${flavor}` };
  // What rustc puts in leads from the output to the toolchain: right at this depth only.
  if (!/^(n|no|off|false)$/.test(parsed.codegen.get('rpath') ?? 'no')) return { why: 'rpath' };
  if (parsed.codegen.get('linker-plugin-lto')?.includes('/')) return { why: 'linker-plugin-lto' };
  const words = linkerWords(invocation);
  const refused = findInList(words, (word) => OPAQUE.test(word) || SIDE_EFFECT.test(word));
  if (refused !== undefined) return { why: `link-arg ${refused.split('=')[0]}` };
  const choice: string[] = [];
  const folders = nativeFolders(invocation);
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word.startsWith('-fuse-ld=')) choice.push(word);
    else if (word === '-L') folders.push(resolve(cwd, words[++at] ?? ''));
    else if (word.startsWith('-L')) folders.push(resolve(cwd, word.slice(2)));
  }
  return {
    program,
    choice,
    folders,
    mentioned: mapList(words, (word) => resolve(cwd, word.replace(/^(-[^=]*=|-T)/, ''))),
    env: mapList(LINKER_ENVIRONMENT, (name) => [name, env[name] ?? null] as const),
  };
}

/** Every word the linker gets through `-C link-arg` and its kin, freed of the driver's `-Wl,` and `-Xlinker`. */
function linkerWords({ parsed }: Invocation): string[] {
  const words: string[] = [];
  const add = (argument: string): void => {
    if (argument.startsWith('-Wl,')) for (const word of argument.slice(4).split(',')) words.push(word);
    else if (argument !== '-Xlinker') words.push(argument);
  };
  for (const { codegen } of parsed.flags) {
    if (codegen?.name === 'link-arg') add(codegen.value ?? '');
    else if (codegen?.name === 'link-args') for (const word of (codegen.value ?? '').split(' ')) add(word);
  }
  return words;
}

/** Whether literals of the inputs may stand compressed in what is linked, where no search finds them. */
export const compressesSections = (invocation: Invocation): boolean =>
  someInList(linkerWords(invocation), (word) => /^(--?compress-debug-sections|-gz)/.test(word));

/** A linker, and the state of the files it was read from. */
export interface LinkerRecord {
  /** Contents of driver and linker, and what the driver says of itself. */
  readonly identity: string;
  /** Where it searches for libraries, in order, after the folders it is given. */
  readonly folders: readonly string[];
  readonly files: readonly (readonly [path: string, signature: string])[];
}

/** What {@link inspectLinker} needs of the world. */
export interface LinkerSurroundings {
  readonly env: Environment;
  readonly cwd: string;
  /** stdout of a program, undefined when it fails. */
  readonly run: (argv: readonly string[]) => string | undefined;
  /** SHA-256 of a program, and whether it is a script; undefined when it cannot be read. */
  readonly contentOf: (path: string) => { readonly digest: string; readonly isScript: boolean } | undefined;
}

/** What the linker of a request is; or why its links cannot be followed. Starts the driver a few times. */
export function inspectLinker(
  request: Pick<LinkRequest, 'program' | 'choice'>,
  around: LinkerSurroundings,
): LinkerRecord | { readonly why: string } {
  const driver = findProgram(request.program, around.env, around.cwd);
  if (driver === undefined) return { why: `linker-missing ${request.program}` };
  const ask = (...questions: string[]): string =>
    around.run([driver, ...request.choice, ...questions])?.trim() ?? '';
  const version = ask('--version');
  const linkerVersion = ask('-Wl,--version').split('\n')[0] ?? '';
  const configured = mapList([...version.matchAll(/^Configuration file: (.+)$/gm)], ([, path = '']) => path);
  const paths = new Set([driver, realPath(driver) ?? driver]);
  const chosen = mapList(request.choice, programOfChoice);
  for (const name of ['collect2', 'ld', ...ownLinker(linkerVersion), ...chosen]) {
    const path = findProgram(ask(`-print-prog-name=${name}`) || name, around.env, around.cwd);
    if (path !== undefined && stat(path) !== undefined) paths.add(realPath(path) ?? path);
  }
  const contents = new Set<string>();
  for (const path of paths) {
    const content = around.contentOf(path);
    // A script may start anything.
    if (content === undefined || content.isScript) return { why: `linker-is-a-script ${basename(path)}` };
    contents.add(content.digest);
  }
  for (const path of configured) {
    const text = readText(path);
    // One that names another one is not followed.
    if (text === undefined || /@|--config/.test(text))
      return { why: `linker-configuration ${basename(path)}` };
    contents.add(text);
  }
  // A linker that cannot say what it read cannot be followed, and one that does not know the option would fail.
  if (!ask('-Wl,--help').includes('--dependency-file')) return { why: 'linker-without-dependency-file' };
  const folders = /^libraries: =(.*)$/m.exec(ask('-print-search-dirs'))?.[1]?.split(':') ?? [];
  return {
    identity: [version.split('\n')[0], linkerVersion, ...contents].join(' '),
    folders: [...new Set(folders.map((dir) => realPath(dir)).filter((dir) => dir !== undefined))],
    files: [...paths, ...configured, ...CONFIGURATIONS].map((path) => [path, stateOf(path)] as const),
  };
}

/** Where configurations of clang appear. */
const CONFIGURATIONS = ['/etc/clang'];

/** What a driver calls by itself that was built to call another linker than `ld`. */
function ownLinker(version: string): string[] {
  if (/\bLLD\b/.test(version)) return ['ld.lld'];
  return version.startsWith('mold ') ? ['ld.mold'] : [];
}

/** `-fuse-ld=mold` is `ld.mold`; clang takes a path too. */
const programOfChoice = (choice: string): string => {
  const name = choice.slice('-fuse-ld='.length);
  return name.includes('/') ? name : `ld.${name}`;
};

function stateOf(path: string): string {
  const info = stat(path);
  return info === undefined ? 'absent' : signatureOf(info);
}

/** Whether a linker's files are as they were. */
export const isCurrentLinker = (record: LinkerRecord): boolean =>
  !someInList(record.files, ([path, state]) => stateOf(path) !== state);

/** The rustc arguments that make the linker write what it read to `path`. They change nothing in its output. */
export const dependencyFileArguments = (path: string): string[] => [
  '-Clink-arg=-Xlinker',
  `-Clink-arg=--dependency-file=${path}`,
];

/**
 * The files a link took in, from the linker's dependency file (GNU ld, lld and mold write the same make rule). What rustc
 * wrote for this link only, below `outDir` or `temporaryDir`, is left out: it comes from what is keyed otherwise.
 */
export function parseLinkDependencies(
  text: string,
  places: { readonly cwd: string; readonly outDir: string; readonly temporaryDir: string },
): string[] {
  const end = text.indexOf('\n\n');
  const files = new Set<string>();
  for (const line of text
    .slice(0, end < 0 ? text.length : end)
    .split('\n')
    .slice(1)) {
    const spelled = line
      .replace(/ \\$/, '')
      .trim()
      .replace(/\\([ #])/g, '$1')
      .replaceAll('$$', '$');
    if (spelled === '') continue;
    const path = resolve(places.cwd, spelled);
    const dir = dirname(path);
    const isObject = path.endsWith('.rcgu.o') && dir === places.outDir;
    const isScratch =
      /^rustc[A-Za-z0-9]{6}$/.test(basename(dir)) &&
      [places.outDir, places.temporaryDir].includes(dirname(dir));
    if (!isObject && !isScratch) files.add(path);
  }
  return [...files];
}

/** The names under which a linker may have looked for a file it took, in the order it prefers them. */
export function candidateNames(path: string): string[] {
  const name = basename(path);
  const library = /^(lib.+?)\.(a|so)(\.[\d.]+)?$/.exec(name)?.[1];
  return library === undefined ? [name] : [`${library}.so`, `${library}.a`];
}
