// The shapes of what comes from a remote, checked field by field: a record that is not exactly one is none.
import { parseDigest } from '../core/ids.ts';
import type { Closure } from '../store/closures.ts';
import type { Entry, EntryInputs, StoredOutput } from '../store/entries.ts';

type Check = (value: unknown) => boolean;

const MAX_TEXT = 64 * 1024;
const MAX_ITEMS = 100_000;

/** Text without a line break or a NUL, of bounded length. */
const text: Check = (value) => typeof value === 'string' && value.length <= MAX_TEXT && !/[\n\0]/.test(value);
/** One line of what a compiler printed, as a template: NUL marks its tokens. */
const line: Check = (value) =>
  typeof value === 'string' && value.length <= 8 * 1024 * 1024 && !value.includes('\n');
const digest: Check = (value) => typeof value === 'string' && parseDigest(value) !== undefined;
const flag: Check = (value) => typeof value === 'boolean';
const count: Check = (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const whole: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
const listOf =
  (item: Check, max = MAX_ITEMS): Check =>
  (value) =>
    Array.isArray(value) && value.length <= max && value.every(item);
const tuple =
  (length: number): Check =>
  (value) =>
    Array.isArray(value) && value.length === length && value.every(text);
const pair = tuple(2);

/** An object with these fields and no others; those in `optional` may be absent. */
const shape =
  (fields: Readonly<Record<string, Check>>, optional: Readonly<Record<string, Check>> = {}): Check =>
  (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const given = value as Record<string, unknown>;
    for (const name of Object.keys(given)) {
      const check = Object.hasOwn(fields, name)
        ? fields[name]
        : Object.hasOwn(optional, name)
          ? optional[name]
          : undefined;
      if (check?.(given[name]) !== true) return false;
    }
    return Object.keys(fields).every((name) => Object.hasOwn(given, name));
  };

// A field that is added to one of these has to be added here: the compiler asks for it.
type Fields<T, Left extends keyof T = never> = Readonly<Record<Exclude<keyof T, Left>, Check>>;

const output = shape({
  kind: oneOf('link', 'metadata', 'program', 'dylib', 'staticlib', 'dwp'),
  blob: digest,
  sizeBytes: whole,
  mode: oneOf(0o644, 0o755),
} satisfies Fields<StoredOutput>);

/** The tree that a run of a build script made. The names in it are looked at where it is put back. */
const outputOfRun = shape({
  kind: oneOf('out-dir', 'out-file'),
  blob: digest,
  sizeBytes: whole,
  mode: (value) => whole(value) && (value as number) <= 0o777,
} satisfies Fields<StoredOutput>);

const outputsOfCompile = listOf(output, 16);
const outputsOfRun = listOf(outputOfRun);

const entry = shape({
  key: digest,
  unit: digest,
  crateName: text,
  crateVersion: text,
  crateTypes: text,
  createdMs: count,
  compileMs: count,
  outputs: (value) => outputsOfCompile(value) || outputsOfRun(value),
  stderr: listOf(line),
  stdout: listOf(line),
} satisfies Fields<Entry, 'origin'>);

const inputs = shape({
  identity: text,
  unit: listOf(pair),
  flags: listOf(text),
  files: listOf(pair),
  env: listOf(pair),
  externs: listOf(tuple(3)),
  other: listOf(pair),
} satisfies Fields<EntryInputs>);

const closure = shape(
  {
    files: listOf(text),
    env: listOf(text),
    bound: listOf(text),
    absent: listOf(text),
    observed: listOf(text),
    listed: listOf(text),
    natives: flag,
  } satisfies Fields<Closure, 'linked'>,
  { linked: listOf(text) },
);

export const isEntry = (value: unknown): value is Entry => entry(value);
export const isInputs = (value: unknown): value is EntryInputs => inputs(value);
export const isClosure = (value: unknown): value is Closure => closure(value);
export const isDigest = (value: unknown): value is string => digest(value);
export const isCount = (value: unknown): value is number => count(value);
