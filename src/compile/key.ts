// The cache key: the unit, and the content of everything one closure says it reads, as it is now.
import { Glob } from 'bun';
import type { CacheKey, Digest } from '../core/ids.ts';
import { filterList, mapList } from '../core/lists.ts';
import { packageDir } from '../rustc/invocation.ts';
import { nativeArchives } from '../rustc/native-libraries.ts';
import type { PathMap } from '../rustc/path-map.ts';
import type { Closure } from '../store/closures.ts';
import type { EntryInputs } from '../store/entries.ts';
import { SourceHashes } from '../store/hashes.ts';
import { listFolder } from '../store/trees.ts';
import { readText, stat } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, resolve } from '../sys/paths.ts';
import { type Call, isMutable } from './call.ts';
import type { LinkedLibraries, ResolvedExterns } from './externs.ts';
import type { Identified } from './identify.ts';
import { fromLinked, type LinkStep, linkInputs } from './link.ts';
import { MacroMentions, macroEnvironment, mentionedNames, type Source, sourceEnvironment } from './macros.ts';

/** What the keys of one unit share, whichever closure they are made with. */
export interface KeyBase extends Identified {
  readonly externs: ResolvedExterns;
  /** Present when proc macros can be reached. */
  readonly macros: MacroMentions | undefined;
  /** Names of the variables those macros mention. */
  readonly macroEnv: readonly string[];
  readonly sources: SourceHashes;
  /** Every library a linked output takes in; undefined for libraries. */
  readonly linked: LinkedLibraries | undefined;
  /** Present when a linker runs and its output may be stored. */
  readonly link: LinkStep | undefined;
}

/** Undefined when a macro's library is gone. */
export function keyBase(
  call: Call,
  identified: Identified,
  resolved: Pick<KeyBase, 'externs' | 'linked' | 'link'>,
): KeyBase | undefined {
  const { externs } = resolved;
  const macros = externs.macros.length === 0 ? undefined : MacroMentions.of(call, externs.macros);
  if (macros === undefined && externs.macros.length > 0) return undefined;
  return {
    ...identified,
    ...resolved,
    macros,
    macroEnv: macros === undefined ? [] : macroEnvironment(call, macros),
    // A registry package is compiled in its own folder, whichever checkout asks: its files are hashed once for all.
    sources: new SourceHashes(call.store, `${identified.unit} ${call.invocation.cwd}`),
  };
}

export interface ComputedKey {
  readonly key: CacheKey;
  /** The key without what only the linker sees: what stands for a linked output in the keys of its dependents. */
  readonly identity: CacheKey;
  /** For explanations: nothing on the way of a hit asks for it. */
  readonly inputs: () => EntryInputs;
}

/** Why a closure does not apply here and now. */
export interface NoKey {
  readonly why: string;
}

/** The key of a unit by one of its closures. */
export function computeKey(call: Call, base: KeyBase, closure: Closure): ComputedKey | NoKey {
  const { map } = call;
  const hashed = hashFiles(call, base, [...closure.files, ...closure.observed]);
  if ('why' in hashed) return hashed;
  for (const rooted of closure.absent) {
    const path = fromLinked(call, rooted);
    if (path === undefined || stat(path) !== undefined) return { why: `file-appeared ${rooted}` };
  }
  const bound = boundRoots(map, closure.bound);
  if (bound === undefined) return { why: 'root-missing' };
  const asked = base.macros === undefined ? [] : sourceEnvironment(call, hashed.sources);
  const env = keyedEnv(call, [...closure.env, ...base.macroEnv, ...asked], map.without(closure.bound));
  if (env === undefined) return { why: 'env-not-utf8' };
  const other = otherInputs(call, base, { closure, sources: hashed.sources });
  if ('why' in other) return other;
  const files: [string, Digest][] = [];
  // By names alone: no function is called for each comparison.
  for (const name of [...hashed.digests.keys()].sort()) {
    const digest = hashed.digests.get(name);
    if (digest !== undefined) files.push([name, digest]);
  }
  const libraries = base.linked === undefined ? null : [...base.linked.values()].sort();
  const compiled = sha256(
    JSON.stringify([base.unit, files, env, base.externs.keyed, bound, other.inputs, libraries]),
  ) as CacheKey;
  const link =
    base.link === undefined ? undefined : linkInputs(call, base.link, { closure, sources: base.sources });
  if (link !== undefined && 'why' in link) return link;
  const key = link === undefined ? compiled : (sha256(JSON.stringify([compiled, link.inputs])) as CacheKey);
  // A linker script of the project can change what a macro does; the system's libraries do not.
  const own = filterList(
    link?.inputs ?? [],
    ([name]) => name.startsWith('linked ') && !name.startsWith('linked /'),
  );
  const identity = own.length === 0 ? compiled : (sha256(JSON.stringify([compiled, own])) as CacheKey);
  const inputs = (): EntryInputs => ({
    ...unitInputs(base),
    identity,
    files,
    env: mapList(env, ([name, value]) => [name, value === null ? 'unset' : sha256(value).slice(0, 16)]),
    other: mapList([...behind(base), ...bound, ...other.inputs, ...(link?.inputs ?? [])], ([name, value]) => [
      name,
      sha256(value).slice(0, 16),
    ]),
  });
  return { key, identity, inputs };
}

/** The inputs that are known before any closure: what a first compile can be compared by. */
export function unitInputs(base: KeyBase): EntryInputs {
  const { keyed, paths } = base.externs;
  const externs: [string, string, string][] = [];
  let at = 0;
  for (const [name, identity] of keyed) {
    const path = identity === 'sysroot' ? '' : (paths[at++] ?? '');
    externs.push([name, identity, basename(path)]);
  }
  // What a link takes in by way of others goes by its file: two versions of a crate have one name.
  for (const [path, identity] of base.linked ?? [])
    if (!paths.includes(path)) externs.push([basename(path), identity, basename(path)]);
  return { identity: '', unit: base.unitParts(), flags: base.flags, externs, files: [], env: [], other: [] };
}

const behind = ({ externs }: KeyBase): [name: string, value: string][] =>
  mapList(externs.keyed, ([name, , digest]) => [`behind ${name}`, `${digest}`]);

/** A rooted path as an absolute one of this checkout. */
function here(call: Call, rooted: string): string | undefined {
  const path = call.map.fromRooted(rooted);
  return path === undefined ? undefined : resolve(call.invocation.cwd, path);
}

interface HashedFiles {
  /** By rooted path. */
  readonly digests: Map<string, Digest>;
  readonly sources: Source[];
}

function hashFiles(call: Call, base: KeyBase, rooted: readonly string[]): HashedFiles | NoKey {
  const result: HashedFiles = { digests: new Map(), sources: [] };
  for (const name of rooted) {
    const path = here(call, name);
    const digest = path === undefined ? undefined : base.sources.hash(path);
    if (path === undefined || digest === undefined) return { why: `file-missing ${name}` };
    result.digests.set(name, digest);
    if (name.endsWith('.rs')) result.sources.push([path, digest]);
  }
  return result;
}

/** The real paths a path-bound unit depends on. */
function boundRoots(map: PathMap, names: readonly string[]): [string, string][] | undefined {
  const bound: [string, string][] = [];
  for (const name of [...names].sort()) {
    const root = map.rootCalled(name);
    if (root === undefined) return undefined;
    bound.push([`root ${name}`, root.path]);
  }
  return bound;
}

/** Names and values, paths of free roots as tokens; unset is null. Undefined when a value is no UTF-8. */
function keyedEnv(call: Call, names: readonly string[], map: PathMap): [string, string | null][] | undefined {
  const env: [string, string | null][] = [];
  for (const name of [...names].sort()) {
    if (env[env.length - 1]?.[0] === name) continue;
    const value = call.invocation.env[name];
    if (value?.includes('\uFFFD')) return undefined;
    env.push([name, value === undefined ? null : map.tokenize(value)]);
  }
  return env;
}

type Inputs = { readonly inputs: [name: string, value: string][] };

/** Everything that is neither a reported file nor a variable. */
function otherInputs(
  call: Call,
  base: KeyBase,
  read: { closure: Closure; sources: Source[] },
): Inputs | NoKey {
  const inputs: [string, string][] = [];
  for (const rooted of read.closure.listed) {
    const path = here(call, rooted);
    const names = path === undefined ? undefined : listFolder(call.store, path);
    if (names === undefined) return { why: `folder-missing ${rooted}` };
    inputs.push([`names in ${rooted}`, JSON.stringify(names)]);
  }
  if (base.macros !== undefined && isMutable(call)) {
    const names = mentionedNames(call, base.macros, read.sources);
    if (names === undefined) return { why: 'too-many-folders' };
    inputs.push(['names macros may look for', JSON.stringify(names)]);
  }
  if (read.closure.natives) {
    for (const { folder, name, path } of nativeArchives(call.invocation)) {
      const digest = base.sources.hash(path);
      if (digest === undefined) return { why: `native-library-missing ${name}` };
      inputs.push([`native ${folder} ${name}`, digest]);
    }
  }
  const extra = extraInputs(call, base);
  return 'why' in extra ? extra : { inputs: [...inputs, ...extra.inputs] };
}

/** Files a package names itself, in `extra_inputs` of its own kache.toml. */
function extraInputs(call: Call, base: KeyBase): Inputs | NoKey {
  const home = packageDir(call.invocation);
  const text = isMutable(call) ? readText(`${home}/kache.toml`) : undefined;
  if (text === undefined) return { inputs: [] };
  const patterns = extraPatterns(text);
  if (patterns === undefined) return { why: 'kache.toml-invalid' };
  const inputs: [string, string][] = [['kache.toml', sha256(text)]];
  const names = patterns.flatMap((pattern) => [...new Glob(pattern).scanSync({ cwd: home, dot: true })]);
  for (const name of [...new Set(names)].sort()) {
    inputs.push([`extra ${name}`, base.sources.hash(`${home}/${name}`) ?? 'missing']);
  }
  return { inputs };
}

/** Undefined when the file is no TOML or the list no list: then nobody knows what the package meant. */
function extraPatterns(text: string): string[] | undefined {
  try {
    const { extra_inputs: patterns = [] } = Bun.TOML.parse(text) as { extra_inputs?: unknown };
    return Array.isArray(patterns) && patterns.every((item) => typeof item === 'string')
      ? patterns
      : undefined;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
