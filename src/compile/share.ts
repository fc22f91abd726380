// What of a finished compile may leave this machine. An output can hold the value of a variable its sources read, and a
// constant made of one goes on into everything that uses it: so what was read is remembered beside the outputs. Only the
// compile knows the values: its verdict is recorded with the entry, for whoever moves that later.
import { type Environment, remoteOf } from '../core/config.ts';
import type { CacheKey } from '../core/ids.ts';
import { someInList } from '../core/lists.ts';
import { placeId, queueFolder } from '../daemon/protocol.ts';
import type { Closure } from '../store/closures.ts';
import { type Entry, type EntryInputs, HOLDS_A_PATH } from '../store/entries.ts';
import { readMemo, writeMemo } from '../store/hashes.ts';
import { withParent } from '../store/store.ts';
import { appendFile, bestEffort } from '../sys/files.ts';
import { type Call, isMutable } from './call.ts';
import { readDepInfo } from './closure.ts';
import type { Output } from './contents.ts';
import type { KeyBase } from './key.ts';

/** Variables Cargo sets for every compile: the same in every checkout, or paths, which are looked for as such. */
export const CARGOS_OWN =
  /^(CARGO_(PKG_\w+|CRATE_NAME|BIN_NAME|MANIFEST_\w+|PRIMARY_PACKAGE|TARGET_TMPDIR|BIN_EXE_\S+|CFG_\w+|FEATURE_\w+)|OUT_DIR)$/;

/** Variables that by their name hold what nobody else may see. */
const SECRET_NAME = /TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|AUTH|DATABASE_URL|DSN/i;

/** A shorter value is in every output by chance. */
const MIN_VALUE_LENGTH = 6;

/** Settings of ours that are one of a few words, which stand in many a text. */
const OWN_WORDS = /^KACHE_(CACHE_BUILD_SCRIPTS|LINK_MODE|VERIFY_RESTORES)$/;

/**
 * The variable of an environment whose value stands in what would travel together with places of this machine, by `holds`:
 * none that everybody has, Cargo's own or one of `known` and no secret by its name, and none that is a place itself.
 */
export function variableIn(
  env: Environment,
  { known, holds }: { readonly known: RegExp; readonly holds: (value: string) => boolean },
): string | undefined {
  const isKnown = (name: string): boolean =>
    [CARGOS_OWN, OWN_WORDS, known].some((names) => names.test(name)) && !SECRET_NAME.test(name);
  return Object.keys(env).find((name) => {
    const value = env[name] ?? '';
    return !isKnown(name) && value.length >= MIN_VALUE_LENGTH && !value.startsWith('/') && holds(value);
  });
}

/** Where the files of a system lie, the same on every machine like it. */
const SYSTEM_PATH = /^\/(usr|lib|lib32|lib64|libx32|opt|nix|gnu|Library|Applications|System)(\/|$)/;

export const isSystemPath = (path: string): boolean => SYSTEM_PATH.test(path);

/** Names of variables: those a compile read itself, and those the libraries it took in have read. */
interface ReadNames {
  readonly own: readonly string[];
  readonly inherited: readonly string[];
}

const counts = (call: Call, name: string): boolean => !CARGOS_OWN.test(name) && !isShared(call, name);

/**
 * Remembers which variables the outputs of a compile may hold values of, beside what stands for each in the keys of its
 * dependents. Called as soon as the metadata is announced: dependents may be done before their dependency is.
 */
export function rememberRead(call: Call, { own, inherited }: ReadNames, identities: Iterable<string>): void {
  const read = [...new Set([...own, ...inherited])].sort();
  if (read.length > 0) for (const identity of identities) writeMemo(call.store, 'withheld', identity, read);
}

/** The variables a compile has read whose values may stand in what it made. */
export function readNames(call: Call, base: KeyBase): ReadNames {
  const { env } = call.invocation;
  const reported = readDepInfo(call)?.env ?? [];
  const own = reported.flatMap(({ name }) => (counts(call, name) && (env[name] ?? '') !== '' ? [name] : []));
  return { own, inherited: inheritedNames(call, base) };
}

/** Puts an entry that may leave this machine into the daemon's queue, one empty file, when there is a place for it. */
export function queueUpload(call: Call, key: CacheKey): void {
  const place = uploadPlace(call);
  if (place === undefined) return;
  const path = `${queueFolder(call.store.layout.root, place)}/${key}`;
  bestEffort(() => withParent(path, () => appendFile(path, new Uint8Array())));
}

/** Everything of a compile that would travel, and the variables it may hold values of. */
interface Made {
  readonly entry: Entry;
  readonly closure: Closure;
  readonly inputs: EntryInputs;
  readonly outputs: readonly Output[];
  readonly names: ReadNames;
}

/**
 * Why a compile stays on this machine, as it stands in the event; undefined when it may leave. A path is the reason only
 * where no variable is.
 */
export function whyWithheld(call: Call, base: KeyBase, made: Made): string | undefined {
  // Everything that is uploaded besides the outputs.
  const text = JSON.stringify([made.entry, made.closure, made.inputs]);
  return variableHeld(call, base, { ...made, text }) ?? pathHeld(call, { ...made, text });
}

type Told = Made & { readonly text: string };

function variableHeld(call: Call, base: KeyBase, { names, outputs, text }: Told): string | undefined {
  const { env } = call.invocation;
  const { own, inherited } = names;
  const [first] = own;
  if (first !== undefined && isMutable(call)) return `variable ${first}`;
  const unknown = inherited.find((name) => env[name] === undefined);
  if (unknown !== undefined) return `variable ${unknown}`;
  for (const [name, value] of suspects(call, base, names))
    if (text.includes(value) || outputs.some((output) => output.holds(value))) return `variable ${name}`;
  return undefined;
}

/** Variables whose values may stand in what a compile makes, and those values, as far as they stand nowhere by chance. */
function suspects(call: Call, base: KeyBase, { own, inherited }: ReadNames): (readonly [string, string])[] {
  const { env } = call.invocation;
  const mentioned = base.macroEnv.filter((name) => counts(call, name));
  const secret = Object.keys(env).filter((name) => SECRET_NAME.test(name) && counts(call, name));
  return [...new Set([...own, ...inherited, ...mentioned, ...secret])]
    .map((name) => [name, env[name] ?? ''] as const)
    .filter(([, value]) => value.length >= MIN_VALUE_LENGTH);
}

/** What is looked for in the outputs of a compile, to say whether they may leave this machine. */
export const textsToWithhold = (call: Call, base: KeyBase, names: ReadNames): string[] =>
  suspects(call, base, names).map(([, value]) => value);

function pathHeld({ map }: Call, { closure, text }: Told): string | undefined {
  // Without roots real paths are everywhere.
  if (map.roots.length === 0) return HOLDS_A_PATH;
  if (foreignPath(closure) !== undefined) return 'names-a-path';
  if (map.tokenize(text) !== text) return 'messages-hold-a-path';
  return closure.bound.length > 0 ? HOLDS_A_PATH : undefined;
}

/** The place this call uploads to; undefined when it does not. */
function uploadPlace({ settings }: Call): string | undefined {
  const remote = remoteOf(settings);
  return remote === undefined || settings.remoteReadonly ? undefined : placeId(remote);
}

const isShared = ({ settings }: Call, name: string): boolean =>
  someInList(settings.sharedEnvVars, (pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  );

/** Variables whose values the libraries this compile took in may hold. */
function inheritedNames(call: Call, base: KeyBase): string[] {
  const names = new Set<string>();
  const identities = base.linked?.values() ?? base.externs.keyed.map(([, identity]) => identity);
  for (const identity of identities) {
    for (const name of readMemo<readonly string[]>(call.store, 'withheld', identity) ?? [])
      if (!isShared(call, name)) names.add(name);
  }
  return [...names];
}

/** A path no root covers and no system has: where something lies on this machine. */
function foreignPath({ files, observed, listed, absent, linked = [] }: Closure): string | undefined {
  const own = [...files, ...observed, ...listed].find((path) => path.startsWith('/'));
  return own ?? [...absent, ...linked].find((path) => path.startsWith('/') && !SYSTEM_PATH.test(path));
}
