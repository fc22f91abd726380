// Runs that were put in place before Cargo asked for them. Where Cargo asks all the same, its target folder is new to the
// script: it finds an empty OUT_DIR, as it would without us.
import type { Step } from '../daemon/protocol.ts';
import { lstat, readText, removeFile, utf8 } from '../sys/files.ts';
import { dirname } from '../sys/paths.ts';
import { startOf } from '../sys/process-table.ts';
import { emptyTree } from './outputs.ts';

/** In the hidden folder of what is kache's own. */
const noteIn = (outDir: string): string => `${dirname(outDir)}/.kache/filled`;

/** A process, and no later one of its number. */
const named = (pid: number): string => `${pid} ${startOf(pid)}`;

/** Notes, before anything is put there, for which Cargo an OUT_DIR is filled. */
export const filledNote = (outDir: string, cargo: number): Step => ({
  kind: 'new',
  path: noteIn(outDir),
  bytes: utf8(named(cargo)),
});

/** Empties an OUT_DIR that was filled for the Cargo that asks for the run now, or only in part. */
export function emptyFilled(outDir: string | undefined, cargo: number): void {
  const note = outDir?.startsWith('/') === true ? readText(noteIn(outDir)) : undefined;
  if (outDir === undefined || note === undefined) return;
  const isWhole = lstat(`${dirname(outDir)}/output`) !== undefined;
  if (isWhole && note !== named(cargo)) return;
  emptyTree(outDir);
  removeFile(noteIn(outDir));
}
