// Files that the assembler reads for a compile: `.incbin` and `.include` in inline assembly. rustc does not report them.

/** Where a directive may begin; assemblers do not mind its case. */
const BEGINNINGS = ['.inc', '.Inc', '.INC'];
/** A file is named behind it; `.include(` is a call. In source text the quote may be escaped. */
const DIRECTIVE = /^\.inc(bin\b|lude[ \t]+\\?["{])/i;
const LONGEST = 24;

/** Whether text, or what was made of it (metadata, the literals of a macro), may have the assembler read a file. */
export function hasFilesAssembled(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const beginning of BEGINNINGS)
    for (let at = text.indexOf(beginning); at >= 0; at = text.indexOf(beginning, at + 1))
      if (DIRECTIVE.test(text.toString('latin1', at, at + LONGEST))) return true;
  return false;
}

/** What the literals of a proc macro hold that has files assembled. */
export const ASSEMBLING_LITERALS = ['.incbin', '.include "', '.include \\"'];
