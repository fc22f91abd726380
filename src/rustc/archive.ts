// The members of a static archive, to see whether rustc bundled native code into an rlib that it reports nowhere.

const MAGIC = '!<arch>\n';
const HEADER_BYTES = 60;
const latin1 = new TextDecoder('latin1');

/** A table of names that is longer is none that rustc writes. */
const MAX_NAMES_BYTES = 16 * 1024 * 1024;
const NOTHING = new Uint8Array();

/**
 * Looks in an rlib, whose bytes come in pieces, for members rustc did not generate itself: objects of a native library, or
 * the library whole.
 */
export class NativeSearch {
  #found: boolean | undefined = false;
  /** Where the next header begins, in bytes from the start; 0 before the magic was seen. */
  #next = 0;
  #seen = 0;
  /** What has been seen from the next header on, as far as it could not be read yet. */
  #begun = NOTHING;
  #longNames = '';

  /** Undefined when the bytes are not an archive of the System V or BSD kind. */
  get found(): boolean | undefined {
    return this.#next === 0 ? undefined : this.#found;
  }

  see(piece: Uint8Array): void {
    const bytes = this.#begun.length === 0 ? piece : Buffer.concat([this.#begun, piece]);
    const origin = this.#seen - this.#begun.length;
    this.#seen += piece.length;
    this.#begun = NOTHING;
    while (this.#found === false) {
      const at = this.#next - origin;
      if (at >= bytes.length) return;
      if (!this.#readMember(bytes.subarray(at))) {
        this.#begun = bytes.slice(at);
        return;
      }
    }
  }

  /** Reads what begins at the next header; false when more bytes are needed for that. */
  #readMember(bytes: Uint8Array): boolean {
    const view = (from: number, to: number): string => latin1.decode(bytes.subarray(from, to));
    if (this.#next === 0) {
      if (bytes.length < MAGIC.length) return false;
      if (view(0, MAGIC.length) === MAGIC) this.#next = MAGIC.length;
      else this.#found = undefined;
      return true;
    }
    if (bytes.length < HEADER_BYTES) return false;
    const size = Number(view(48, 58));
    let name = view(0, 16).trimEnd();
    const nameBytes = name === '//' ? size : name.startsWith('#1/') ? Number(name.slice(3)) : 0;
    const isRead = Number.isSafeInteger(size) && size >= 0 && nameBytes >= 0 && nameBytes <= MAX_NAMES_BYTES;
    if (!isRead || view(58, 60) !== '`\n') {
      this.#found = undefined;
      return true;
    }
    if (bytes.length < HEADER_BYTES + nameBytes) return false;
    const inBody = view(HEADER_BYTES, HEADER_BYTES + nameBytes);
    if (name === '//') this.#longNames = inBody;
    else if (name.startsWith('#1/')) name = inBody.replace(/\0+$/, '');
    else if (/^\/\d+$/.test(name))
      name = /^[^\n]*/.exec(this.#longNames.slice(Number(name.slice(1))))?.[0] ?? '';
    if (isOwnMember(name.replace(/\/$/, ''))) this.#next += HEADER_BYTES + size + (size % 2);
    else this.#found = true;
    return true;
  }
}

/** Symbol tables, the metadata, and the codegen units rustc wrote. */
const isOwnMember = (name: string): boolean =>
  name === '' ||
  name === '/' ||
  name === '//' ||
  name === '/SYM64' ||
  name.startsWith('__.SYMDEF') ||
  name === 'lib.rmeta' ||
  /\.rcgu\.(o|bc|dwo)$/.test(name);
