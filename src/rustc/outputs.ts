// Which files a call writes, by name, and what kind of unit that makes it.

import { mapList, someInList } from '../core/lists.ts';

export type OutputKind = 'link' | 'metadata';

export interface PlannedOutput {
  readonly kind: OutputKind;
  /** File name in the output folder. */
  readonly name: string;
}

export interface OutputPlan {
  /** Library: rlib and rmeta only. Linked: anything a linker makes. Other: emits kache does not store. */
  readonly unitKind: 'library' | 'linked' | 'other';
  /** What the call leaves behind besides the dep-info; for linked units the files others may name as extern. */
  readonly files: readonly PlannedOutput[];
  /** File name of the dep-info, undefined when none is asked for. */
  readonly depInfo: string | undefined;
}

interface Asked {
  readonly crateName: string;
  readonly crateTypes: readonly string[];
  readonly isTest: boolean;
  readonly emit: readonly string[];
}

const isLibraryType = (type: string): boolean => type === 'lib' || type === 'rlib';
const isStoredEmit = (kind: string): boolean => kind === 'dep-info' || kind === 'metadata' || kind === 'link';

/** The outputs of a call, by rustc's naming rules (`lib<name><extra>.rlib`). */
export function planOutputs(asked: Asked, extraFilename: string): OutputPlan {
  const { emit, crateTypes } = asked;
  const stem = `${asked.crateName}${extraFilename}`;
  const plain = emit.length > 0 && !someInList(emit, (kind) => !isStoredEmit(kind));
  const depInfo = emit.includes('dep-info') ? `${stem}.d` : undefined;
  const onlyLibraries = crateTypes.length > 0 && !someInList(crateTypes, (type) => !isLibraryType(type));
  // Metadata alone involves no linker, whatever the crate type: this is how `cargo check` treats binaries.
  const linked = (asked.isTest || !onlyLibraries) && emit.includes('link');
  const files: PlannedOutput[] = [];
  if (emit.includes('link')) for (const name of linkNames(asked, stem)) files.push({ kind: 'link', name });
  if (emit.includes('metadata')) files.push({ kind: 'metadata', name: `lib${stem}.rmeta` });
  return { unitKind: !plain ? 'other' : linked ? 'linked' : 'library', files, depInfo };
}

function linkNames(asked: Asked, stem: string): string[] {
  if (asked.isTest) return [stem];
  return mapList(asked.crateTypes, (type) => {
    if (isLibraryType(type)) return `lib${stem}.rlib`;
    if (type === 'bin') return stem;
    return `lib${stem}.${type === 'staticlib' ? 'a' : process.platform === 'darwin' ? 'dylib' : 'so'}`;
  });
}

/** Whether a file is a dynamic library by its name: as an extern, a proc macro as a rule. */
export const isDynamicLibrary = (path: string): boolean =>
  path.endsWith('.so') || path.endsWith('.dylib') || path.endsWith('.dll');
