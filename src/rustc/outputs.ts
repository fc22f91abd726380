// Which files a call writes, by name, and what kind of unit that makes it.

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

const LIBRARY_TYPES = new Set(['lib', 'rlib']);
const STORED_EMITS = new Set(['dep-info', 'metadata', 'link']);

/** The outputs of a call, by rustc's naming rules (`lib<name><extra>.rlib`). */
export function planOutputs(asked: Asked, extraFilename: string): OutputPlan {
  const stem = `${asked.crateName}${extraFilename}`;
  const plain = asked.emit.length > 0 && asked.emit.every((kind) => STORED_EMITS.has(kind));
  const emits = (kind: string): boolean => asked.emit.includes(kind);
  const depInfo = emits('dep-info') ? `${stem}.d` : undefined;
  const isLibrary =
    !asked.isTest && asked.crateTypes.length > 0 && asked.crateTypes.every((type) => LIBRARY_TYPES.has(type));
  // Metadata alone involves no linker, whatever the crate type: this is how `cargo check` treats binaries.
  const linked = !isLibrary && emits('link');
  const files: PlannedOutput[] = [];
  if (emits('link')) files.push(...linkNames(asked, stem).map((name) => ({ kind: 'link' as const, name })));
  if (emits('metadata')) files.push({ kind: 'metadata', name: `lib${stem}.rmeta` });
  return { unitKind: !plain ? 'other' : linked ? 'linked' : 'library', files, depInfo };
}

function linkNames(asked: Asked, stem: string): string[] {
  if (asked.isTest) return [stem];
  const dynamic = process.platform === 'darwin' ? 'dylib' : 'so';
  return asked.crateTypes.flatMap((type) => {
    if (LIBRARY_TYPES.has(type)) return [`lib${stem}.rlib`];
    if (type === 'bin') return [stem];
    if (type === 'staticlib') return [`lib${stem}.a`];
    return [`lib${stem}.${dynamic}`];
  });
}

/** Whether a file is a dynamic library by its name: as an extern, a proc macro as a rule. */
export const isDynamicLibrary = (path: string): boolean => /\.(so|dylib|dll)$/.test(path);
