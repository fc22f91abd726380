// Other versions of kache: records as one would have written them, the same lines under another number; and one that is
// built from changed sources.
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeRecord } from '../../src/store/records.ts';
import type { Lab } from './lab.ts';

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

/** Every kind of record some versions later. */
export const LATER_RECORDS = [[/'kache-(entry|inputs|unit|memo)-\d+'/g, "'kache-$1-99'"]] as const;

/** This kache, built once more with its sources changed; fails where a change finds nothing to change. */
export function changedKache(lab: Lab, changes: readonly (readonly [RegExp, string])[]): string {
  const root = join(import.meta.dir, '../..');
  const copy = lab.path('changed');
  for (const part of ['src', 'scripts', 'package.json'])
    cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const left = new Set(changes.map(([from]) => from));
  for (const entry of readdirSync(join(copy, 'src'), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    const text = readFileSync(path, 'utf8');
    const changed = changes.reduce((before, [from, to]) => {
      const after = before.replace(from, to);
      if (after !== before) left.delete(from);
      return after;
    }, text);
    if (changed !== text) writeFileSync(path, changed);
  }
  if (left.size > 0) throw new Error(`Cannot make another version: nothing matches ${[...left].join(', ')}.`);
  const binary = join(copy, 'kache');
  const built = lab.run([process.execPath, 'scripts/build.ts', '--outfile', binary], { cwd: copy });
  if (built.status !== 0) throw new Error(`Cannot build another version: ${built.stderr}`);
  return binary;
}
