// Files that the assembler reads for a compile: `.incbin` and `.include` in inline assembly. rustc does not report them.
import { readPieces } from '../sys/files.ts';
import { isDynamicLibrary } from './outputs.ts';

/** Where a directive may begin; assemblers do not mind its case. */
const BEGINNINGS = ['.inc', '.Inc', '.INC'];
/**
 * A file is named behind it; `.include(` is a call. In source text quotes and tabs may be escaped. A quote right behind it
 * ends a literal as a rule, unless it is escaped or a path begins there.
 */
const DIRECTIVE = /^\.inc(bin\W|lude((([ \t]|\\t)+\\?["{])|\\"|"(\w|\.{0,2}\/)))/i;
const LONGEST = 24;

/** What the literals of a proc macro hold that has files assembled. */
export const ASSEMBLING_LITERALS = ['.incbin', '.include "', '.include \\"'];

/** Looks for something shorter than {@link LONGEST} in bytes that come in pieces. */
export class PieceSearch {
  readonly #isIn: (bytes: Buffer) => boolean;
  #found = false;
  #end: Uint8Array = new Uint8Array();

  constructor(isIn: (bytes: Buffer) => boolean) {
    this.#isIn = isIn;
  }

  get found(): boolean {
    return this.#found;
  }

  see(piece: Uint8Array): void {
    const seam = Buffer.concat([this.#end, piece.subarray(0, LONGEST)]);
    this.#found ||= this.#isIn(seam) || this.#isIn(Buffer.from(piece.buffer, piece.byteOffset, piece.length));
    this.#end = piece.slice(-LONGEST);
  }
}

/** Looks for directives in text, or in what was made of it. */
export class DirectiveSearch extends PieceSearch {
  constructor() {
    super(hasDirective);
  }
}

/**
 * Looks in a library for what would have a user of it assemble files. The metadata of a dynamic one is packed: unless it is
 * a proc macro, whose literals are searched by themselves, it may hold anything.
 */
export class CarrierSearch {
  readonly #isDynamic: boolean;
  readonly #search: PieceSearch;

  constructor(path: string) {
    this.#isDynamic = isDynamicLibrary(path);
    this.#search = new PieceSearch(this.#isDynamic ? declaresMacros : hasDirective);
  }

  get found(): boolean {
    return this.#search.found !== this.#isDynamic;
  }

  see(piece: Uint8Array): void {
    this.#search.see(piece);
  }
}

const declaresMacros = (bytes: Buffer): boolean => bytes.includes('rustc_proc_macro_decls');

function hasDirective(text: Buffer): boolean {
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
