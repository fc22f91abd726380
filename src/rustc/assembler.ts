// Files that the assembler reads for a compile: `.incbin` and `.include` in inline assembly. rustc does not report them.
import { readPieces } from '../sys/files.ts';

/** Where a directive may begin; assemblers do not mind its case. */
const BEGINNINGS = ['.inc', '.Inc', '.INC'];
/** A file is named behind it; `.include(` is a call. In source text the quote may be escaped. */
const DIRECTIVE = /^\.inc(bin\W|lude[ \t]+\\?["{])/i;
const LONGEST = 24;

/** What the literals of a proc macro hold that has files assembled. */
export const ASSEMBLING_LITERALS = ['.incbin', '.include "', '.include \\"'];

/** Looks for directives in text, or in what was made of it (metadata), that comes in pieces. */
export class DirectiveSearch {
  #found = false;
  #end: Uint8Array = new Uint8Array();

  get found(): boolean {
    return this.#found;
  }

  see(piece: Uint8Array): void {
    const seam = Buffer.concat([this.#end, piece.subarray(0, LONGEST)]);
    this.#found ||= hasDirective(seam) || hasDirective(piece);
    this.#end = piece.slice(-LONGEST);
  }
}

function hasDirective(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const beginning of BEGINNINGS)
    for (let at = text.indexOf(beginning); at >= 0; at = text.indexOf(beginning, at + 1))
      if (DIRECTIVE.test(text.toString('latin1', at, at + LONGEST))) return true;
  return false;
}

/** Whether a file may have the assembler read another one; not when it is gone. */
export function hasFilesAssembled(path: string): boolean {
  const search = new DirectiveSearch();
  readPieces(path, (piece) => search.see(piece));
  return search.found;
}
