// TOML files that belong to people: read with the place of what is wrong, changed with comments and layout kept.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { parse, patch } from '@decimalturn/toml-patch';
import type { Table } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';

/** What is wrong with a text that is no TOML, and in which line; undefined when it is. */
export function tomlProblem(text: string): { readonly line: number; readonly message: string } | undefined {
  try {
    Bun.TOML.parse(text);
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message.replace(/^TOML Parse error: /, '') : String(error);
    return { message, line: lineOfProblem(text) };
  }
}

/** The runtime's parser does not say where; this one does. */
function lineOfProblem(text: string): number {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Error && 'line' in error && typeof error.line === 'number') return error.line;
  }
  return 1;
}

/** Parses for a person: a broken file is named, with line and what the parser says. */
export function parseToml(path: string, text: string): Table {
  const problem = tomlProblem(text);
  if (problem === undefined) return Bun.TOML.parse(text) as Table;
  throw new KacheError(
    'bad-toml',
    `Cannot read "${path}:${problem.line}": it is not TOML (${problem.message}).`,
    { hint: 'Mend the file; nothing was changed.' },
  );
}

export function readToml(path: string): {
  readonly path: string;
  readonly text: string;
  readonly table: Table;
} {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return { path, text, table: parseToml(path, text) };
}

/** The line (from 1) that sets a dotted key, or opens the section of that name; undefined when no line does so alone. */
export function lineOfKey(text: string, key: string): number | undefined {
  let section = '';
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[+\s*([^\]]+?)\s*\]+/.exec(line)?.[1];
    if (header !== undefined) section = plain(header);
    const name = header === undefined ? /^\s*([^=#]+?)\s*=/.exec(line)?.[1] : undefined;
    const here =
      name === undefined ? section : [section, plain(name)].filter((part) => part !== '').join('.');
    if ((header !== undefined || name !== undefined) && (here === key || here.startsWith(`${key}.`)))
      return index + 1;
  }
  return undefined;
}

/** A dotted key without quotes and spaces. */
const plain = (key: string): string => key.replace(/["'\s]/g, '');

/** The text with one value set; comments and layout stay. Undefined removes the value. */
export function withValue(text: string, table: Table, change: { key: string; value: unknown }): string {
  const next = structuredClone(table) as Record<string, unknown>;
  const parts = change.key.split('.');
  const last = parts.pop() ?? '';
  let at = next;
  for (const part of parts) {
    if (typeof at[part] !== 'object' || at[part] === null) at[part] = {};
    at = at[part] as Record<string, unknown>;
  }
  if (change.value === undefined) delete at[last];
  else at[last] = change.value;
  const changed = patch(text, next);
  return changed === '' || changed.endsWith('\n') ? changed : `${changed}\n`;
}

/** Replaces a file in one step, behind a symbolic link too, and keeps its mode. */
export function writeAtomically(path: string, text: string): void {
  const real = existsSync(path) ? realpathSync(path) : path;
  mkdirSync(dirname(real), { recursive: true });
  const aside = `${real}.kache-${process.pid}`;
  writeFileSync(aside, text, existsSync(real) ? { mode: statSync(real).mode & 0o7777 } : {});
  renameSync(aside, real);
}
