// The text form of everything small in the store: a first line with kind, version and checksum, then lines of JSON.
// A record whose checksum is wrong (torn by a power cut, bits flipped), or that cannot be read, reads as absent.
import { parseJson } from '../core/json.ts';
import { readableText, readStart } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';

/** `lines` are values; the hot part of a record is its first line, which a reader can parse alone. */
export function encodeRecord(kind: string, lines: readonly unknown[]): string {
  const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  return `${kind} ${sha256(body).slice(0, 32)}\n${body}`;
}

/** The unparsed lines of a record, or undefined when it is missing, unreadable, of another kind or version, or damaged. */
export function readRecord(path: string, kind: string): string[] | undefined {
  const text = readableText(path);
  if (text === undefined) return undefined;
  const newline = text.indexOf('\n');
  const body = text.slice(newline + 1);
  if (text.slice(0, newline) !== `${kind} ${sha256(body).slice(0, 32)}`) return undefined;
  return body.split('\n').slice(0, -1);
}

/** One parsed line. The checksum vouches for its shape: only kache of this version wrote it. */
export const parseLine = <T>(line: string | undefined): T | undefined =>
  line === undefined ? undefined : (parseJson(line) as T | undefined);

/**
 * Whether a file is a record of the same sort in another version than `kind`: some kache can read it, so this one neither
 * replaces nor removes it.
 */
export function isForeignRecord(path: string, kind: string): boolean {
  const start = new TextDecoder().decode(readStart(path, kind.length + 8));
  const sort = kind.slice(0, kind.lastIndexOf('-') + 1);
  return start.startsWith(sort) && /^\d+ /.test(start.slice(sort.length)) && !start.startsWith(`${kind} `);
}
