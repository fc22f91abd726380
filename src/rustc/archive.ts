// The members of a static archive, to see whether rustc bundled native code into an rlib that it reports nowhere.

const MAGIC = '!<arch>\n';
const HEADER_BYTES = 60;
const latin1 = new TextDecoder('latin1');

/**
 * Whether an rlib holds members rustc did not generate itself: objects of a native library, or the library whole.
 * Undefined when the bytes are not an archive of the System V or BSD kind.
 */
export function bundlesNativeCode(rlib: Uint8Array): boolean | undefined {
  if (latin1.decode(rlib.subarray(0, MAGIC.length)) !== MAGIC) return undefined;
  const view = (from: number, to: number): string => latin1.decode(rlib.subarray(from, to));
  let longNames = '';
  for (let at = MAGIC.length; at + HEADER_BYTES <= rlib.length; ) {
    const size = Number(view(at + 48, at + 58));
    if (!(size >= 0 && Number.isFinite(size)) || view(at + 58, at + 60) !== '`\n') return undefined;
    const body = at + HEADER_BYTES;
    let name = view(at, at + 16).trimEnd();
    if (name === '//') longNames = view(body, body + size);
    else if (name.startsWith('#1/')) name = view(body, body + Number(name.slice(3))).replace(/\0+$/, '');
    else if (/^\/\d+$/.test(name)) name = /^[^\n]*/.exec(longNames.slice(Number(name.slice(1))))?.[0] ?? '';
    if (!isOwnMember(name.replace(/\/$/, ''))) return true;
    at = body + size + (size % 2);
  }
  return false;
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
