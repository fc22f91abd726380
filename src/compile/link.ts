// The link step as part of a key: the linker, and the content of every file a link took in besides Rust libraries.
import type { Environment } from '../core/config.ts';
import { lastOf } from '../rustc/flags.ts';
import {
  candidateNames,
  dependencyFileArguments,
  inspectLinker,
  isCurrentLinker,
  type LinkerRecord,
  type LinkRequest,
  linkRequest,
  parseLinkDependencies,
} from '../rustc/linker.ts';
import { nativeFolders } from '../rustc/native-libraries.ts';
import { isOfToolchain, isScript } from '../rustc/toolchain.ts';
import type { Closure } from '../store/closures.ts';
import { readMemo, SourceHashes, writeMemo } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import { asideOf } from '../sys/aside.ts';
import {
  bestEffort,
  isRegular,
  makeDirectory,
  readFile,
  readText,
  realPath,
  removeFile,
  stat,
} from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, dirname, resolve } from '../sys/paths.ts';
import type { Call } from './call.ts';

export interface LinkStep {
  readonly request: LinkRequest;
  readonly linker: LinkerRecord;
  /** Hashes of files that belong to the system, shared by all links with this linker. */
  readonly system: SourceHashes;
  /** Where the linker of this call writes what it read. */
  readonly dependencyFile: string;
}

/** Why the inputs of a link cannot be known. */
export interface CannotFollow {
  readonly why: string;
}

/** The link step of a call; undefined when no linker runs. */
export function linkStep(call: Call): LinkStep | CannotFollow | undefined {
  const { invocation, store } = call;
  if (invocation.outputs.links === 0) return undefined;
  const request = linkRequest(invocation, lastOf(invocation.parsed, '--target') ?? call.toolchain.host);
  if ('why' in request) return request;
  const linker = identifyLinker(store, request, { ...invocation, ask: call.ask });
  if ('why' in linker) return linker;
  return {
    request,
    linker,
    system: new SourceHashes(store, `system files of ${memoOf(request, invocation.env)}`),
    dependencyFile: asideOf(`${invocation.outDir}/link.d`, call.caller.pid),
  };
}

type Asked = Pick<LinkRequest, 'program' | 'choice'>;

const memoOf = ({ program, choice }: Asked, env: Environment): string =>
  `driver ${program} ${choice.join(' ')} ${env['PATH'] ?? ''} ${env['COMPILER_PATH'] ?? ''}`;

/** What a linker is, asked once for as long as its files stay as they are. */
export function identifyLinker(
  store: Store,
  asked: Asked,
  { env, cwd, ask }: Pick<Call['invocation'], 'env' | 'cwd'> & Pick<Call, 'ask'>,
): LinkerRecord | CannotFollow {
  const known = readMemo<LinkerRecord>(store, 'toolchain', memoOf(asked, env));
  if (known !== undefined && isCurrentLinker(known)) return known;
  const linker = inspectLinker(asked, { env, cwd, run: ask, contentOf: programContent });
  if (!('why' in linker)) writeMemo(store, 'toolchain', memoOf(asked, env), linker);
  return linker;
}

function programContent(path: string): { digest: string; isScript: boolean } | undefined {
  const bytes = readFile(path);
  return bytes === undefined ? undefined : { digest: sha256(bytes), isScript: isScript(path) };
}

/** Has the linker of a compile say what it read, into a file that is gone at the end of the scope. */
export class LinkReport implements Disposable {
  readonly #file: string | undefined;

  constructor(step: LinkStep | undefined) {
    const file = step?.dependencyFile;
    // A linker that cannot write there fails.
    const isPlace = file !== undefined && bestEffort(() => makeDirectory(dirname(file)));
    this.#file = isPlace ? file : undefined;
  }

  /** What rustc is given for it. */
  get arguments(): readonly string[] {
    return this.#file === undefined ? [] : dependencyFileArguments(this.#file);
  }

  [Symbol.dispose](): void {
    const file = this.#file;
    if (file !== undefined) bestEffort(() => removeFile(file));
  }
}

/** What of a closure only a link has. */
export type Linked = Required<Pick<Closure, 'linked' | 'absent'>>;

/**
 * What the link that has just ended took in. `libraries` are the Rust libraries known to be in it: a further one means
 * that its inputs are not known.
 */
export function linkedFiles(
  call: Call,
  step: LinkStep,
  libraries: readonly string[],
): Linked | { readonly skip: string } {
  const { invocation, toolchain } = call;
  const text = readText(step.dependencyFile);
  if (text === undefined) return { skip: 'no-link-dependencies' };
  if (text.includes('\uFFFD')) return { skip: 'not-utf8' };
  const files = parseLinkDependencies(text, {
    cwd: invocation.cwd,
    outDir: invocation.outDir,
    temporaryDir: invocation.env['TMPDIR'] ?? '/tmp',
  });
  const known = new Set(libraries.map((path) => realPath(path) ?? path));
  const [linked, absent]: [Set<string>, Set<string>] = [new Set(), new Set()];
  for (const path of [...files, ...step.request.mentioned.filter(isFile)]) {
    // The toolchain's own files are part of its identity.
    if (isOfToolchain(toolchain, path)) continue;
    if (known.has(realPath(path) ?? path)) continue;
    if (path.endsWith('.rlib')) return { skip: `unknown-library-in-link ${basename(path)}` };
    linked.add(toLinked(call, path));
    // What was there and not taken may be, when it is another file.
    for (const other of earlierCandidates(step, path))
      (isFile(other) ? linked : absent).add(toLinked(call, other));
  }
  return { linked: [...linked], absent: [...absent] };
}

function isFile(path: string): boolean {
  const info = stat(path);
  return info !== undefined && isRegular(info);
}

/** Where the linker would have found another file instead of `path`, had there been one it can use. */
function earlierCandidates({ request, linker }: LinkStep, path: string): string[] {
  const dir = realPath(dirname(path));
  const names = candidateNames(path);
  const earlier: string[] = [];
  for (const folder of [...request.folders, ...linker.folders]) {
    const isHere = realPath(folder) === dir;
    for (const name of names) {
      if (isHere && name === basename(path)) break;
      earlier.push(`${folder}/${name}`);
    }
    if (isHere) return earlier;
  }
  // Named by its path: nobody searched for it.
  return [];
}

/** A file in a folder given by `-L` is known by the folder's place in the call, any other by its rooted path. */
function toLinked(call: Call, path: string): string {
  const folder = nativeFolders(call.invocation).indexOf(dirname(path));
  return folder < 0 ? call.map.toRooted(path) : `-L${folder}/${basename(path)}`;
}

/** The inverse of {@link toLinked}; undefined when this call has no such folder or root. */
export function fromLinked(call: Call, linked: string): string | undefined {
  if (!linked.startsWith('-L')) {
    const path = call.map.fromRooted(linked);
    return path === undefined ? undefined : resolve(call.invocation.cwd, path);
  }
  const slash = linked.indexOf('/');
  const folder = nativeFolders(call.invocation)[Number(linked.slice(2, slash))];
  return folder === undefined ? undefined : `${folder}${linked.slice(slash)}`;
}

/** What a link adds to the key, as names and values; or which of its files is gone. */
export function linkInputs(
  call: Call,
  step: LinkStep,
  hashed: { readonly closure: Closure; readonly sources: SourceHashes },
): { readonly inputs: readonly [name: string, value: string][] } | CannotFollow {
  const { linked } = hashed.closure;
  if (linked === undefined) return { why: 'link-unknown' };
  const inputs: [string, string][] = [['linker', step.linker.identity]];
  for (const [name, value] of step.request.env)
    inputs.push([`linker's ${name}`, value === null ? 'unset' : call.map.tokenize(value)]);
  for (const name of linked) {
    const path = fromLinked(call, name);
    const hashes = name.startsWith('/') ? step.system : hashed.sources;
    const digest = path === undefined ? undefined : hashes.hash(path);
    if (digest === undefined) return { why: `file-missing ${name}` };
    inputs.push([`linked ${name}`, digest]);
  }
  return { inputs };
}
