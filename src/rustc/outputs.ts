// Which files a call writes, by name, and what kind of unit that makes it.

import { filterList, mapList, someInList } from '../core/lists.ts';
import { basename } from '../sys/paths.ts';

/** What an output is; `link` is the rlib, as rustc's `--emit` calls it. */
export type OutputKind = 'link' | 'metadata' | 'program' | 'dylib' | 'staticlib' | 'dwp';

export interface PlannedOutput {
  readonly kind: OutputKind;
  /** File name in the output folder. */
  readonly name: string;
}

/** The word by which rustc announces an output. */
export const emitOf = (kind: OutputKind): string => (kind === 'metadata' ? 'metadata' : 'link');

export interface OutputPlan {
  /** Library: rlib and rmeta only. Linked: anything a linker makes. Other: emits kache does not store. */
  readonly unitKind: 'library' | 'linked' | 'other';
  /** What the call leaves behind besides the dep-info. */
  readonly files: readonly PlannedOutput[];
  /** File name of the dep-info, undefined when none is asked for. */
  readonly depInfo: string | undefined;
  /** How many times the linker runs; a staticlib needs none. */
  readonly links: number;
}

interface Asked {
  /** Debug info goes into a file beside each linked output. */
  readonly packsDebugInfo: boolean;
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
  const files = emit.includes('link') ? linkOutputs(asked, stem) : [];
  const driven = filterList(files, ({ kind }) => kind === 'program' || kind === 'dylib');
  if (asked.packsDebugInfo) for (const { name } of driven) files.push({ kind: 'dwp', name: `${name}.dwp` });
  if (emit.includes('metadata')) files.push({ kind: 'metadata', name: `lib${stem}.rmeta` });
  return { unitKind: !plain ? 'other' : linked ? 'linked' : 'library', files, depInfo, links: driven.length };
}

function linkOutputs(asked: Asked, stem: string): PlannedOutput[] {
  if (asked.isTest) return [{ kind: 'program', name: stem }];
  return mapList(asked.crateTypes, (type): PlannedOutput => {
    if (isLibraryType(type)) return { kind: 'link', name: `lib${stem}.rlib` };
    if (type === 'bin') return { kind: 'program', name: stem };
    if (type === 'staticlib') return { kind: 'staticlib', name: `lib${stem}.a` };
    return { kind: 'dylib', name: `lib${stem}.${process.platform === 'darwin' ? 'dylib' : 'so'}` };
  });
}

/** The crate a library is, by its file name: `libserde-0a1b2c.rmeta` is `serde`. */
export const crateOfFile = (path: string): string =>
  basename(path)
    .replace(/\.[a-z]+$/, '')
    .replace(/^lib/, '')
    .replace(/-[0-9a-f]+$/, '');

/** Whether a file is a dynamic library by its name: as an extern, a proc macro as a rule. */
export const isDynamicLibrary = (path: string): boolean =>
  path.endsWith('.so') || path.endsWith('.dylib') || path.endsWith('.dll');
