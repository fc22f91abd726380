// How the command line speaks: tables, colour where a person looks, errors with a remedy.
import { KacheError } from '../core/errors.ts';
import { formatBytes, formatMs } from '../core/quantities.ts';
import { OsError } from '../sys/libc.ts';
import { Interrupted } from './long-work.ts';

export { formatBytes, formatMs };

const colour = process.stdout.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
const paint = (code: number) => (text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
export const style = { bold: paint(1), dim: paint(2), red: paint(31), green: paint(32), yellow: paint(33) };

export function print(line = ''): void {
  console.log(line);
}

/** Something worth knowing that is not the answer: on stderr. */
export function note(text: string): void {
  console.error(`kache: ${text}`);
}

export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}

/** Columns padded to their widest cell; those named in `right` are aligned to the right. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Local time, `2026-11-25 13:24:40`. */
export const formatTime = (ms: number): string => {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60e3).toISOString().slice(0, 19).replace('T', ' ');
};

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;

export const percent = (part: number, whole: number): number =>
  whole === 0 ? 0 : Math.round((part / whole) * 1000) / 10;

/** `5m`, `3h`, `12d`: how long ago, in its largest unit. */
export function formatAge(ageMs: number): string {
  const minutes = Math.max(0, Math.floor(ageMs / 60e3));
  if (minutes < 60) return `${minutes}m`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)}h` : `${Math.floor(minutes / (24 * 60))}d`;
}

/** `1 entry`, `2 entries`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Prints an error for a person and returns the exit status for it. */
export function reportError(error: unknown): number {
  if (error instanceof KacheError) {
    console.error(`kache: ${error.message}`);
    if (error.hint !== undefined) console.error(`       ${error.hint}`);
    if (error instanceof Interrupted) return error.status;
    if (error.code === 'cancelled') return 130;
    return error.code === 'usage' ? 2 : 1;
  }
  if (error instanceof OsError) {
    console.error(`kache: ${error.message}.`);
    return 1;
  }
  throw error;
}
