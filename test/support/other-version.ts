// Records as another version of kache would have written them: the same lines under another number.
import { readFileSync } from 'node:fs';
import { encodeRecord } from '../../src/store/records.ts';

/** The text of the record at `path` with its version moved by `steps`. */
export function asVersion(path: string, steps: number): string {
  const [head = '', ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
  const [kind = ''] = head.split(' ');
  const version = Number(kind.slice(kind.lastIndexOf('-') + 1)) + steps;
  return encodeRecord(
    kind.replace(/\d+$/, `${version}`),
    lines.map((line): unknown => JSON.parse(line)),
  );
}
