// What differs between the inputs of two compiles, in the words of a developer. Pure: two records in, a list out, the
// most telling difference first.
import { crateOfFile } from '../rustc/outputs.ts';
import type { EntryInputs } from '../store/entries.ts';

export type CauseKind =
  | 'toolchain'
  | 'linker'
  | 'kache'
  | 'setting'
  | 'version'
  | 'checkout'
  | 'processor'
  | 'feature'
  | 'profile'
  | 'flag'
  | 'file'
  | 'folder'
  | 'env'
  | 'native-library'
  | 'extern'
  | 'package-id'
  // What is no difference between two records:
  | 'first-compile'
  | 'verified'
  | 'evicted'
  | 'damaged'
  | 'not-reproducible'
  | 'not-recorded'
  | 'not-kept';

export interface Difference {
  readonly kind: CauseKind;
  /** What it is about: a path, a name, an option. */
  readonly what: string;
  /** `changed`, `added`, `removed`, or from what to what; never the value of a variable. */
  readonly how: string;
}

/** A changed extern with the identities before and now: the way on to its own cause. */
export interface ExternDifference extends Difference {
  readonly kind: 'extern';
  readonly before: string | undefined;
  readonly now: string | undefined;
  /** File name of the library as it is now. */
  readonly file: string;
}

export const isExtern = (difference: Difference): difference is ExternDifference =>
  difference.kind === 'extern';

/** Causes before their consequences: a new toolchain changes every extern, a new feature the metadata. */
const ORDER: readonly CauseKind[] = [
  'toolchain',
  'linker',
  'kache',
  'version',
  'setting',
  'processor',
  'feature',
  'profile',
  'flag',
  'file',
  'checkout',
  'env',
  'folder',
  'native-library',
  'extern',
  'package-id',
];

/** Everything in which two compiles differ, the most telling first; empty when they are the same. */
export function differences(before: EntryInputs, now: EntryInputs): Difference[] {
  const found = [
    ...unitDifferences(before, now),
    ...flagDifferences(before.flags, now.flags),
    ...pairDifferences(before.files, now.files).map(([path, how]) => ({
      kind: 'file' as const,
      what: spelled(path),
      how,
    })),
    ...envDifferences(before, now),
    ...otherDifferences(before, now),
    ...externDifferences(before, now),
  ];
  // Cargo's own hash of a package follows from the rest; alone it means another source or folder of the package.
  const telling = found.filter(({ kind }) => kind !== 'package-id');
  return (telling.length > 0 ? telling : found).sort((a, b) => rankOf(a) - rankOf(b));
}

/** What closures hold: what was read. */
const READ: readonly CauseKind[] = ['file', 'folder', 'env', 'native-library', 'checkout'];

/**
 * A compiler reads something else only because something it reads has changed; and where macros are watched, what another
 * process opens meanwhile counts as read. So what is only more or less than before comes last.
 */
function rankOf({ kind, how }: Difference): number {
  const isConsequence = READ.includes(kind) && /^(added|removed|read now|no longer read)$/.test(how);
  return ORDER.indexOf(kind) + (isConsequence ? ORDER.length : 0);
}

/** Macros open files by their whole path: a file of the workspace reads like those the compiler names. */
const spelled = (rooted: string): string => rooted.replace(/<(ws|pkg)>\//, './');

type Pairs = readonly (readonly [name: string, value: string, ...unknown[]])[];

function pairDifferences(before: Pairs, now: Pairs): [name: string, how: string][] {
  const [old, fresh] = [new Map(before.map(([a, b]) => [a, b])), new Map(now.map(([a, b]) => [a, b]))];
  const found: [string, string][] = [];
  for (const [name, value] of fresh) {
    if (!old.has(name)) found.push([name, 'added']);
    else if (old.get(name) !== value) found.push([name, 'changed']);
  }
  for (const name of old.keys()) if (!fresh.has(name)) found.push([name, 'removed']);
  return found;
}

const UNIT_KINDS: Readonly<Record<string, readonly [CauseKind, string]>> = {
  'key version': ['kache', 'the version of the key'],
  'key salt': ['setting', 'cache.key_salt'],
  'files that flags name': ['flag', 'a file that a flag names (target spec, profile data, clippy.toml)'],
  roots: ['setting', 'the roots (workspace, OUT_DIR, CARGO_HOME, base_dirs)'],
  processor: ['processor', 'the processor of -C target-cpu=native'],
  'this processor': ['processor', 'the processor'],
  'build script': ['file', 'the build script itself'],
  arguments: ['setting', 'the arguments or the folder of the build script'],
  kernel: ['setting', 'the kernel, or the name of this machine'],
  user: ['setting', 'the user, or their umask'],
};

function unitDifferences(before: EntryInputs, now: EntryInputs): Difference[] {
  const value = (inputs: EntryInputs, name: string): string =>
    inputs.unit.find(([part]) => part === name)?.[1] ?? '';
  const found: Difference[] = [];
  const changed = pairDifferences(before.unit, now.unit);
  const names = new Set(changed.map(([name]) => name));
  if (names.has('toolchain') || names.has('toolchain build')) {
    const [from, to] = [value(before, 'toolchain'), value(now, 'toolchain')];
    const how = from === to ? 'another build or host' : `${from} -> ${to}`;
    found.push({ kind: 'toolchain', what: 'rustc', how });
  }
  const isVersion = (name: string): boolean => name.startsWith('env CARGO_PKG_VERSION');
  if (changed.some(([name]) => isVersion(name)))
    found.push({ kind: 'version', what: 'the package', how: 'changed' });
  if (names.has('crate root')) {
    const how = `${value(before, 'crate root')} -> ${value(now, 'crate root')}`;
    found.push({ kind: 'flag', what: 'crate root', how });
  }
  for (const [name, how] of changed) {
    const known = UNIT_KINDS[name];
    if (known !== undefined) found.push({ kind: known[0], what: known[1], how });
    else if (name.startsWith('env ') && !isVersion(name))
      found.push({ kind: 'env', what: name.slice('env '.length), how });
  }
  return found;
}

/** `-C` options that a profile of Cargo.toml sets. */
const PROFILE = new Set([
  'opt-level',
  'debuginfo',
  'debug-assertions',
  'overflow-checks',
  'lto',
  'linker-plugin-lto',
  'embed-bitcode',
  'panic',
  'codegen-units',
  'strip',
  'split-debuginfo',
  'rpath',
]);

function flagDifferences(before: readonly string[], now: readonly string[]): Difference[] {
  const [gone, come] = [without(before, now), without(now, before)];
  if (gone.length === 0 && come.length === 0)
    return before.join('\n') === now.join('\n')
      ? []
      : [{ kind: 'flag', what: 'the order of the flags', how: 'changed' }];
  const found: Difference[] = [];
  for (const flag of come) {
    const name = optionOf(flag);
    const twin = name === undefined ? undefined : gone.find((other) => optionOf(other) === name);
    if (twin !== undefined) gone.splice(gone.indexOf(twin), 1);
    found.push(
      twin === undefined ? named(flag, 'added') : named(flag, `${settingOf(twin)} -> ${settingOf(flag)}`),
    );
  }
  return [...found, ...gone.map((flag) => named(flag, 'removed'))];
}

/** What is in `list` more often than in `other`. */
function without(list: readonly string[], other: readonly string[]): string[] {
  const rest = [...other];
  return list.filter((item) => {
    const at = rest.indexOf(item);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

/** The name of an option that is given once: two values of it are a change, not a removal and an addition. */
function optionOf(flag: string): string | undefined {
  const codegen = /^-C ([\w-]+)/.exec(flag);
  if (codegen !== null) return codegen[0];
  return /^--(edition|crate-type|emit|target|cap-lints|error-format|json|check-cfg)/.exec(flag)?.[0];
}

const settingOf = (flag: string): string =>
  /^-C [\w-]+=(.*)$/.exec(flag)?.[1] ?? /^\S+ (.*)$/.exec(flag)?.[1] ?? 'on';

function named(flag: string, how: string): Difference {
  const feature = /^--cfg feature="(.*)"$/.exec(flag)?.[1];
  if (feature !== undefined) return { kind: 'feature', what: feature, how };
  const codegen = /^-C ([\w-]+)/.exec(flag)?.[1];
  if (codegen === 'metadata')
    return { kind: 'package-id', what: "Cargo's own hash of the package (-C metadata)", how: 'changed' };
  if (flag.startsWith('--check-cfg'))
    return { kind: 'flag', what: 'the declared cfgs (--check-cfg)', how: 'changed' };
  if (codegen !== undefined && PROFILE.has(codegen)) return { kind: 'profile', what: codegen, how };
  const isChange = how.includes(' -> ');
  return { kind: 'flag', what: isChange ? (optionOf(flag) ?? flag) : flag, how };
}

function envDifferences(before: EntryInputs, now: EntryInputs): Difference[] {
  const value = (inputs: EntryInputs, name: string): string | undefined =>
    inputs.env.find(([one]) => one === name)?.[1];
  return pairDifferences(before.env, now.env).map(([what, how]) => {
    if (how !== 'changed') return { kind: 'env', what, how: how === 'added' ? 'read now' : 'no longer read' };
    const state =
      value(now, what) === 'unset' ? 'unset' : value(before, what) === 'unset' ? 'set' : 'changed';
    return { kind: 'env', what, how: state };
  });
}

/** A dependency that is the same, on top of something that is not: its sources are of the same length, in other words. */
const behind = (label: string): ExternDifference => ({
  kind: 'extern',
  what: label.replace(/^.*:/, ''),
  how: 'is built on something that changed',
  before: undefined,
  now: undefined,
  file: '',
});

function otherDifferences(before: EntryInputs, now: EntryInputs): Difference[] {
  const changed = new Set(pairDifferences(before.externs, now.externs).map(([label]) => `behind ${label}`));
  const found = pairDifferences(before.other, now.other).filter(([what]) => !changed.has(what));
  return found.map(([what, how]) => {
    if (what.startsWith('root '))
      return {
        kind: 'checkout',
        what: what.slice('root '.length),
        how: how === 'changed' ? 'another folder' : how,
      };
    if (what.startsWith('behind ')) return behind(what.slice('behind '.length));
    if (what === 'linker') return { kind: 'linker', what, how };
    const prefix = /^(native|linked) /.exec(what)?.[0];
    if (prefix !== undefined)
      return { kind: 'native-library', what: spelled(what.slice(prefix.length)), how };
    if (what.startsWith("linker's ")) return { kind: 'env', what: what.slice("linker's ".length), how };
    if (what.startsWith('extra ')) return { kind: 'file', what: what.slice('extra '.length), how };
    if (what === 'kache.toml') return { kind: 'file', what, how };
    return { kind: 'folder', what: spelled(what), how };
  });
}

function externDifferences(before: EntryInputs, now: EntryInputs): ExternDifference[] {
  return pairDifferences(before.externs, now.externs).map(([label, how]) => {
    const old = before.externs.find(([name]) => name === label);
    const fresh = now.externs.find(([name]) => name === label);
    const file = fresh?.[2] ?? old?.[2] ?? '';
    const what = label === file ? crateOfFile(file) : label.replace(/^.*:/, '');
    return { kind: 'extern', what, how, before: old?.[1], now: fresh?.[1], file };
  });
}

/** One line for a person. `crate` is whose difference it is. */
export function describeDifference({ kind, what, how }: Difference, crate: string): string {
  switch (kind) {
    case 'toolchain':
      return `toolchain: ${how}`;
    case 'version':
      return `version of ${crate} ${how}`;
    case 'feature':
      return `feature ${what} of ${crate} ${how}`;
    case 'profile':
      return `profile: ${what} ${how}`;
    case 'flag':
      return `flag: ${what} ${how}`;
    case 'env':
      return `variable ${what} ${how}`;
    case 'file':
      return `file ${what} ${how}`;
    case 'folder':
      return `${what} ${how}`;
    case 'native-library':
      return `native library ${what} ${how}`;
    case 'extern':
      return `dependency ${what} ${how}`;
    case 'checkout':
      return `${crate} holds the path of its ${what === 'ws' ? 'checkout' : what}, and this is ${how}`;
    case 'first-compile':
    case 'verified':
    case 'evicted':
    case 'damaged':
    case 'not-reproducible':
    case 'not-recorded':
    case 'not-kept':
      return what;
    default:
      return `${what} ${how}`;
  }
}
