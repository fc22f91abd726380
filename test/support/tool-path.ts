// A PATH that holds chosen programs and nothing else.
import { mkdirSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What cargo needs to build, beside itself and rustc. */
export const C_COMPILER = ['cc', 'gcc', 'as', 'ld', 'ar'] as const;

/** Makes `folder`, with links to the programs, by name or by path; what this machine does not have is left out. */
export function toolPath(folder: string, programs: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  for (const program of programs) {
    const found = Bun.which(program);
    if (found !== null) symlinkSync(found, join(folder, basename(program)));
  }
  return folder;
}
