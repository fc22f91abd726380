// The module rule of Rust that a list of read files does not show: `a.rs` and `a/mod.rs` exclude each other.

/** The path whose existence would make the compiler refuse `file` as a module; undefined for files that have none. */
export function otherSpelling(file: string): string | undefined {
  if (file.endsWith('/mod.rs')) return `${file.slice(0, -'/mod.rs'.length)}.rs`;
  return file.endsWith('.rs') ? `${file.slice(0, -'.rs'.length)}/mod.rs` : undefined;
}
