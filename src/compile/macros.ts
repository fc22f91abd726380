// What proc macros read that the compiler does not report: the environment variables their code mentions, and the names
// of files they may look for.
import type { Digest } from '../core/ids.ts';
import { packageDir } from '../rustc/invocation.ts';
import {
  enumeratesEnvironment,
  literalSections,
  macroCandidates,
  mentions,
  OF_A_SESSION,
  WHOLE_ENVIRONMENT,
} from '../rustc/macro-code.ts';
import { readMemo, writeMemo } from '../store/hashes.ts';
import { listFolder, listTree } from '../store/trees.ts';
import { readFile, readText } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, resolve } from '../sys/paths.ts';
import type { Call } from './call.ts';
import { identityOf } from './externs.ts';

/** Folders with more folders than this below them are not looked through. */
export const MAX_FOLDERS = 4096;

const SKIPPED = new Set(['.git', '.hg', '.svn', '.jj', 'node_modules', 'target']);

/** Whether a folder is no place for macros to read: version control, build output, other people's packages. */
export const skipFolder =
  (outDir: string) =>
  (path: string, name: string): boolean =>
    SKIPPED.has(name) || outDir.startsWith(`${path}/`);

/** Which names the code of each macro mentions: searched once per macro and name, then remembered. */
export class MacroMentions {
  readonly #call: Call;
  readonly #macros: readonly { readonly path: string; readonly identity: string }[];

  private constructor(call: Call, macros: readonly { path: string; identity: string }[]) {
    this.#call = call;
    this.#macros = macros;
  }

  /** Undefined when a macro's library is gone. */
  static of(call: Call, paths: readonly string[]): MacroMentions | undefined {
    const found = paths.map((path) => identityOf(call.store, path));
    return found.every((macro) => macro !== undefined) ? new MacroMentions(call, found) : undefined;
  }

  /** Stands for the code of all of them. */
  get identity(): string {
    return this.#macros
      .map(({ identity }) => identity)
      .sort()
      .join(' ');
  }

  /** The names among `names` that some macro mentions. */
  mentioned(names: readonly string[]): Set<string> {
    const result = new Set<string>();
    for (const macro of this.#macros) {
      const known = readMemo<Record<string, 0 | 1>>(this.#call.store, 'macros', macro.identity) ?? {};
      const unknown = names.filter((name) => known[name] === undefined);
      if (unknown.length > 0) this.#search(macro, known, unknown);
      for (const name of names) if (known[name] === 1) result.add(name);
    }
    return result;
  }

  #search(
    macro: { path: string; identity: string },
    known: Record<string, 0 | 1>,
    names: readonly string[],
  ): void {
    const library = readFile(macro.path) ?? new Uint8Array();
    const sections = literalSections(library);
    for (const name of names)
      known[name] = (name === WHOLE_ENVIRONMENT ? enumeratesEnvironment(library) : mentions(sections, name))
        ? 1
        : 0;
    writeMemo(this.#call.store, 'macros', macro.identity, known);
  }
}

/** The variables of the current environment that reachable macros mention, or all where one goes through it; sorted. */
export function macroEnvironment(call: Call, macros: MacroMentions): string[] {
  const candidates = macroCandidates(Object.keys(call.invocation.env));
  const mentioned = macros.mentioned([WHOLE_ENVIRONMENT, ...candidates]);
  return mentioned.delete(WHOLE_ENVIRONMENT)
    ? candidates.filter((name) => !OF_A_SESSION.test(name)).sort()
    : [...mentioned].sort();
}

/** A source file of the unit with the hash of its present content. */
export type Source = readonly [path: string, digest: Digest];

/**
 * The names near a package that a macro could look for without opening anything: those below the package and in the
 * workspace root that the macros' code or the crate's own sources mention. Undefined when there are too many to list.
 */
export function mentionedNames(
  call: Call,
  macros: MacroMentions,
  sources: readonly Source[],
): readonly string[] | undefined {
  const { invocation, store } = call;
  const home = packageDir(invocation);
  const options = { skip: skipFolder(invocation.outDir), maxFolders: MAX_FOLDERS, nested: false };
  const tree = listTree(store, home, options);
  if (tree === undefined) return undefined;
  const names = tree.names.map((name) => `package/${name}`);
  if (home !== invocation.cwd) {
    const isSkipped = skipFolder(invocation.outDir);
    for (const name of listFolder(store, invocation.cwd) ?? []) {
      const isFolder = name.endsWith('/');
      if (
        isFolder
          ? isSkipped(`${invocation.cwd}/${name.slice(0, -1)}`, name.slice(0, -1))
          : name.endsWith('.rs')
      )
        continue;
      names.push(`workspace/${name}`);
    }
  }
  return filterMentioned(call, { names, macros, sources });
}

function filterMentioned(
  call: Call,
  asked: { names: readonly string[]; macros: MacroMentions; sources: readonly Source[] },
): readonly string[] {
  const { store, invocation } = call;
  const input = sha256(JSON.stringify([asked.names, asked.macros.identity, asked.sources]));
  const memo = `mentioned ${invocation.crateName} ${invocation.isTest} ${packageDir(invocation)} ${invocation.outDir}`;
  const known = readMemo<{ input: string; names: string[] }>(store, 'trees', memo);
  if (known?.input === input) return known.names;
  const stems = [...new Set(asked.names.map(stemOf))];
  const mentioned = asked.macros.mentioned(stems);
  const texts = asked.sources.map(([path]) => readText(resolve(invocation.cwd, path)) ?? '');
  for (const stem of stems) if (texts.some((text) => text.includes(stem))) mentioned.add(stem);
  const names = asked.names.filter((name) => mentioned.has(stemOf(name)));
  writeMemo(store, 'trees', memo, { input, names });
  return names;
}

/** `.env` stays, `query-1.json` becomes `query-1`: code may put the extension on by itself. */
function stemOf(name: string): string {
  const base = basename(name.endsWith('/') ? name.slice(0, -1) : name);
  const dot = base.indexOf('.', 1);
  return dot < 0 ? base : base.slice(0, dot);
}

/**
 * The variables of the current environment that a crate's own sources name: a macro may be told what to read
 * (`dotenv!("URL")`, `include_dir!("$DATA")`). A name counts as a whole word; one that is no word, wherever it stands.
 * Sorted.
 */
export function sourceEnvironment(call: Call, sources: readonly Source[]): readonly string[] {
  const { store, invocation } = call;
  const candidates = macroCandidates(Object.keys(invocation.env)).sort();
  const input = sha256(JSON.stringify(['any name', candidates, sources]));
  const memo = `variables ${invocation.crateName} ${invocation.isTest} ${packageDir(invocation)} ${invocation.outDir}`;
  const known = readMemo<{ input: string; names: string[] }>(store, 'trees', memo);
  if (known?.input === input) return known.names;
  const isWord = (name: string): boolean => /^\w+$/.test(name);
  const others = candidates.filter((name) => !isWord(name));
  // One pattern of all names: splitting the sources into words took thirty times as long.
  const pattern = new RegExp(`\\b(?:${candidates.filter(isWord).join('|')})\\b`, 'g');
  const found = new Set<string>();
  for (const [path] of sources) {
    const text = readText(resolve(invocation.cwd, path)) ?? '';
    for (const name of text.match(pattern) ?? []) found.add(name);
    for (const name of others) if (text.includes(name)) found.add(name);
  }
  const names = candidates.filter((name) => found.has(name));
  writeMemo(store, 'trees', memo, { input, names });
  return names;
}
