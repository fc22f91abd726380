// The text form of everything small in the store: a first line with kind, version and checksum, then lines of JSON.
// A record whose checksum is wrong (torn by a power cut, bits flipped), or that cannot be read, reads as absent.
import { parseJson } from '../core/json.ts';
import { readableText } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';

/** Kind and version are under the checksum too: a flipped digit makes no record of another version. */
const headOf = (kind: string, body: string): string => `${kind} ${sha256(`${kind}\n${body}`).slice(0, 32)}`;

/** `lines` are values; the hot part of a record is its first line, which a reader can parse alone. */
export function encodeRecord(kind: string, lines: readonly unknown[]): string {
  const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  return `${headOf(kind, body)}\n${body}`;
}

/** The unparsed lines of a record, or undefined when it is missing, unreadable, of another kind or version, or damaged. */
export function readRecord(path: string, kind: string): string[] | undefined {
  const text = readableText(path);
  if (text === undefined) return undefined;
  const newline = text.indexOf('\n');
  const body = text.slice(newline + 1);
  if (text.slice(0, newline) !== headOf(kind, body)) return undefined;
  return body.split('\n').slice(0, -1);
}

/** One parsed line. The checksum vouches for its shape: only kache of this version wrote it. */
export const parseLine = <T>(line: string | undefined): T | undefined =>
  line === undefined ? undefined : (parseJson(line) as T | undefined);

/**
 * Whether a file is a whole record of the same sort in another version than `kind`: some kache can read it, so this one
 * neither replaces nor removes it. That the first line is kind, version and this checksum holds for every version.
 */
export function isForeignRecord(path: string, kind: string): boolean {
  const text = readableText(path) ?? '';
  const newline = text.indexOf('\n');
  const found = text.slice(0, text.indexOf(' '));
  const sort = kind.slice(0, kind.lastIndexOf('-') + 1);
  if (found === kind || !found.startsWith(sort) || !/^\d+$/.test(found.slice(sort.length))) return false;
  return text.slice(0, newline) === headOf(found, text.slice(newline + 1));
}
