// The closure of a compile that has just ended: what its dep-info names, what its macros opened, and which real paths
// its outputs hold.
import { ASSEMBLING_LITERALS, hasFilesAssembled } from '../rustc/assembler.ts';
import { type DepInfo, parseDepInfo } from '../rustc/dep-info.ts';
import { envUsage } from '../rustc/env-usage.ts';
import type { Invocation } from '../rustc/invocation.ts';
import { compressesSections } from '../rustc/linker.ts';
import { otherSpelling } from '../rustc/modules.ts';
import { asksForStatic, nativeArchives } from '../rustc/native-libraries.ts';
import type { Closure } from '../store/closures.ts';
import { isRegular, readFile, readText, stat } from '../sys/files.ts';
import { dirname, isWithin, resolve } from '../sys/paths.ts';
import type { Opened } from '../sys/watch.ts';
import { type Call, isMutable } from './call.ts';
import type { Output } from './contents.ts';
import type { KeyBase } from './key.ts';
import { linkedFiles } from './link.ts';
import type { Observation } from './observe.ts';

export interface FinishedCompile {
  readonly depInfo: DepInfo;
  readonly outputs: readonly Output[];
  readonly observation: Observation;
}

/** The dep-info the compiler wrote; undefined when it wrote none. */
export function readDepInfo({ invocation }: Call): DepInfo | undefined {
  const name = invocation.outputs.depInfo;
  const path = `${invocation.outDir}/${name}`;
  const info = name === undefined ? undefined : stat(path);
  // Whoever reads a pipe waits for its writer.
  const text = info !== undefined && isRegular(info) ? readText(path) : undefined;
  return text === undefined ? undefined : parseDepInfo(text);
}

/** The closure, or why there can be none that is sure. */
export function closureOf(
  call: Call,
  base: KeyBase,
  finished: FinishedCompile,
): Closure | { readonly skip: string } {
  const { map, invocation } = call;
  const { depInfo, outputs, observation } = finished;
  if (observation === 'unknown') return { skip: 'macro-reads-unknown' };
  if (depInfo.files.some((file) => file.includes('\uFFFD'))) return { skip: 'not-utf8' };
  if (mayAssembleFiles(call, base, finished)) return { skip: 'assembler-reads-files' };
  const natives = takesNatives(invocation, outputs);
  if (natives && nativeArchives(invocation).some(({ path }) => isThin(path))) return { skip: 'thin-archive' };
  const link =
    base.link === undefined ? undefined : linkedFiles(call, base.link, [...(base.linked?.keys() ?? [])]);
  if (link !== undefined && 'skip' in link) return link;
  const files = depInfo.files.map((file) => map.toRooted(file));
  const reported = new Set(depInfo.files.map((file) => resolve(invocation.cwd, file)));
  return {
    files,
    env: depInfo.env.map(({ name }) => name).sort(),
    bound: boundRoots(call, base, finished),
    absent: [...(isMutable(call) ? absentSpellings(call, files) : []), ...(link?.absent ?? [])],
    observed: observation.files.filter((path) => !reported.has(path)).map((path) => map.toRooted(path)),
    listed: listedFolders(call, base, { observation, reported }).map((path) => map.toRooted(path)),
    natives,
    ...(link === undefined ? {} : { linked: link.linked }),
  };
}

/** Folders that macros list, and that nobody watches: too large, or written while one builds. */
const UNWATCHED = /^(.*?\/)?(node_modules|target)\//;

/**
 * The folders macros opened. Of a file that is compiled in from one that is not watched, every folder up to that one: a macro
 * that takes in all there is (`include_dir!("target/site")`) takes in what is new there.
 */
function listedFolders(
  { invocation }: Call,
  { macros }: KeyBase,
  read: { observation: Opened; reported: ReadonlySet<string> },
): string[] {
  const listed = new Set(read.observation.folders);
  const root = invocation.cwd;
  if (macros !== undefined)
    for (const path of read.reported) {
      if (!isWithin(path, root) || path.endsWith('.rs') || isWithin(path, dirname(invocation.outDir)))
        continue;
      const unwatched = UNWATCHED.exec(path.slice(root.length + 1))?.[0];
      if (unwatched === undefined) continue;
      const above: string[] = [];
      for (let dir = dirname(path); dir.length > root.length + unwatched.length; dir = dirname(dir))
        above.push(dir);
      // What lies beside Cargo's own output comes and goes.
      if (!above.some((dir) => stat(`${dir}/.fingerprint`) !== undefined))
        for (const dir of above) listed.add(dir);
    }
  return [...listed];
}

/**
 * Whether the assembler may have read a file for inline assembly: by the crate's own sources and what its macros opened,
 * by the literals of those macros, or by what its externs hold. Nobody says which one.
 */
function mayAssembleFiles(call: Call, base: KeyBase, finished: FinishedCompile): boolean {
  const { externs, macros } = base;
  if (externs.assembles || (macros?.mentioned(ASSEMBLING_LITERALS).size ?? 0) > 0) return true;
  const read = [...finished.depInfo.files, ...(finished.observation as Opened).files];
  return read.some((path) => hasFilesAssembled(resolve(call.invocation.cwd, path)));
}

function takesNatives(invocation: Invocation, outputs: readonly Output[]): boolean {
  if (asksForStatic(invocation)) return true;
  // What a dynamic library took in unbundled (`static:-bundle`) is in none of its externs, and a macro runs it.
  return outputs.some(
    (output) =>
      output.kind === 'staticlib' ||
      output.kind === 'dylib' ||
      (output.kind === 'link' && output.bundlesNative !== false),
  );
}

/** A thin archive names its members instead of holding them. */
const isThin = (path: string): boolean =>
  new TextDecoder().decode(readFile(path)?.subarray(0, 8)) === '!<thin>\n';

/** The other spelling of every module file that does not exist; the crate root has none. */
function absentSpellings(call: Call, files: readonly string[]): string[] {
  return files.slice(1).flatMap((rooted) => {
    const other = otherSpelling(rooted);
    const path = other === undefined ? undefined : call.map.fromRooted(other);
    if (other === undefined || path === undefined) return [];
    return stat(resolve(call.invocation.cwd, path)) === undefined ? [other] : [];
  });
}

/**
 * The roots whose real path went into the outputs. Literal bytes prove it; where outputs hold bit-packed code (LLVM
 * bitcode) or a variable is used in other ways than to include a file, it is assumed; where they are compressed, of all.
 */
function boundRoots(call: Call, base: KeyBase, finished: FinishedCompile): string[] {
  const { map, invocation } = call;
  if (compressesSections(invocation)) return map.roots.map(({ name }) => name).sort();
  const bound = new Set<string>();
  for (const { name, path } of map.roots)
    if (finished.outputs.some((output) => output.holds(path))) bound.add(name);
  const conclusive = showsLiterals(invocation);
  const bind = (value: string | undefined): void => {
    for (const name of map.rootsIn(value ?? '')) bound.add(name);
  };
  for (const { name } of finished.depInfo.env) {
    const value = invocation.env[name];
    if (value === undefined || map.rootsIn(value).length === 0) continue;
    const usage = envUsage(name, sourceTexts(finished.depInfo, invocation.cwd));
    if (usage === 'elsewhere' || (usage === 'unmentioned' && !conclusive)) bind(value);
  }
  if (!conclusive) for (const name of base.macroEnv) bind(invocation.env[name]);
  return [...bound].sort();
}

const sourceTexts = (depInfo: DepInfo, cwd: string): string[] =>
  depInfo.files.filter((file) => file.endsWith('.rs')).map((file) => readText(resolve(cwd, file)) ?? '');

/** Whether every string constant stands in the outputs as plain bytes. */
const showsLiterals = (invocation: Invocation): boolean =>
  !invocation.parsed.codegen.has('linker-plugin-lto') &&
  !invocation.parsed.flags.some(({ name }) => name === '-Z');
