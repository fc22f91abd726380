// Which names a proc macro's code mentions. A macro that reads the variable or file called X holds the literal X in its
// read-only data, packed between other literals without a separator: so names are searched for, not split out.

/** ELF section flags: loaded into memory, and not code. */
const SHF_ALLOC = 2n;
const SHF_EXECINSTR = 4n;
const SHT_PROGBITS = 1;
const SHT_STRTAB = 3;

/** The parts of a dynamic library that can hold literals: an ELF64's read-only and initialised data, else all of it. */
export const literalSections = (library: Uint8Array): Uint8Array[] =>
  sections(
    library,
    (type, flags) => type === SHT_PROGBITS && (flags & (SHF_ALLOC | SHF_EXECINSTR)) === SHF_ALLOC,
  );

/** Those with the names of its functions. Debug info is none: it has the names of all there would be in std. */
const symbolSections = (library: Uint8Array): Uint8Array[] =>
  sections(library, (type, flags) => type === SHT_STRTAB && !(flags & SHF_ALLOC));

function sections(library: Uint8Array, isWanted: (type: number, flags: bigint) => boolean): Uint8Array[] {
  const view = new DataView(library.buffer, library.byteOffset, library.byteLength);
  const isElf64 =
    library.length > 64 && view.getUint32(0, false) === 0x7f454c46 && library[4] === 2 && library[5] === 1;
  if (!isElf64) return [library];
  const tableAt = Number(view.getBigUint64(40, true));
  const [size, count] = [view.getUint16(58, true), view.getUint16(60, true)];
  if (count === 0 || tableAt + size * count > library.length) return [library];
  const found: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const at = tableAt + index * size;
    if (!isWanted(view.getUint32(at + 4, true), view.getBigUint64(at + 8, true))) continue;
    const offset = Number(view.getBigUint64(at + 24, true));
    found.push(library.subarray(offset, offset + Number(view.getBigUint64(at + 32, true))));
  }
  return found;
}

/** Whether any of the sections holds `name`. */
export function mentions(sections: readonly Uint8Array[], name: string): boolean {
  return sections.some((section) =>
    Buffer.from(section.buffer, section.byteOffset, section.byteLength).includes(name),
  );
}

/**
 * Variables that every Rust program mentions through std, that differ between machines for no reason a macro could
 * mean, or that the UnitId holds already.
 */
const NOISE = new Set([
  'PATH',
  'HOME',
  'TMPDIR',
  'PWD',
  'OLDPWD',
  'SHLVL',
  '_',
  'RUST_BACKTRACE',
  'RUST_LIB_BACKTRACE',
  'RUST_MIN_STACK',
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
  'DYLD_FALLBACK_LIBRARY_PATH',
  'CARGO',
  'CARGO_MAKEFLAGS',
  'MAKEFLAGS',
  'MFLAGS',
  'CARGO_PRIMARY_PACKAGE',
  'CARGO_TARGET_DIR',
  'CARGO_BUILD_JOBS',
  'CARGO_INCREMENTAL',
  'NUM_JOBS',
]);

/** Names of the terminal, the session and the shell, which differ from one window to the next. */
export const OF_A_SESSION =
  /^(OLDPWD|SHLVL|_|WINDOWID|TMUX|TMUX_PANE|STY|LS_COLORS|TERM_SESSION_ID|SSH_(CLIENT|CONNECTION|TTY)|XDG_(SESSION_.*|ACTIVATION_TOKEN|VTNR|SEAT)|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|(VSCODE|DIRENV|KITTY|ALACRITTY|WEZTERM|ITERM|GHOSTTY|ZELLIJ|KONSOLE|TERM_PROGRAM|GNOME_TERMINAL)_?.*)$/;

/** What {@link enumeratesEnvironment} is remembered by, among the names that a macro mentions. */
export const WHOLE_ENVIRONMENT = '=';

/** Whether a macro goes through all variables, by its symbol table. By `vars_os` goes whoever starts a program, too. */
export const enumeratesEnvironment = (library: Uint8Array): boolean =>
  mentions(symbolSections(library), '3std3env4vars');

/** The variables of an environment a macro may be looking for. */
export const macroCandidates = (names: readonly string[]): string[] =>
  names.filter(
    (name) =>
      !NOISE.has(name) &&
      (!name.startsWith('CARGO_PKG_') || name === 'CARGO_PKG_README') &&
      !name.startsWith('KACHE_'),
  );
