// rustc's command line, read into a list of options in one spelling each. Order is kept: in rustc the last one wins.

/** One option in its long, separated form: `-Copt-level=3` and `-C opt-level=3` are both { name: '-C', value: 'opt-level=3' }. */
export interface Flag {
  readonly name: string;
  readonly value: string | undefined;
  /** For `-C name=value`: the name with dashes, and the value. */
  readonly codegen: { readonly name: string; readonly value: string | undefined } | undefined;
}

export interface RustcArguments {
  readonly flags: readonly Flag[];
  /** Arguments that are not options: the source file, as a rule exactly one. */
  readonly inputs: readonly string[];
  /** The values of each option, in order; an option without a value has an empty list. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** The value that wins for each `-C` option; the empty string for one given without a value. */
  readonly codegen: ReadonlyMap<string, string>;
}

/** Options that take a value, by every spelling, with the name they are known by here. */
const WITH_VALUE: Readonly<Record<string, string>> = {
  '--crate-name': '--crate-name',
  '--crate-type': '--crate-type',
  '--edition': '--edition',
  '--emit': '--emit',
  '--print': '--print',
  '--out-dir': '--out-dir',
  '--target': '--target',
  '--sysroot': '--sysroot',
  '--extern': '--extern',
  '--cfg': '--cfg',
  '--check-cfg': '--check-cfg',
  '--cap-lints': '--cap-lints',
  '--error-format': '--error-format',
  '--json': '--json',
  '--color': '--color',
  '--diagnostic-width': '--diagnostic-width',
  '--remap-path-prefix': '--remap-path-prefix',
  '--remap-path-scope': '--remap-path-scope',
  '--explain': '--explain',
  '--env-set': '--env-set',
  '--codegen': '-C',
  '--allow': '-A',
  '--warn': '-W',
  '--deny': '-D',
  '--forbid': '-F',
  '--force-warn': '--force-warn',
  '-C': '-C',
  '-Z': '-Z',
  '-L': '-L',
  '-l': '-l',
  '-o': '-o',
  '-A': '-A',
  '-W': '-W',
  '-D': '-D',
  '-F': '-F',
};

const WITHOUT_VALUE: Readonly<Record<string, true>> = {
  '-g': true,
  '-O': true,
  '-v': true,
  '--verbose': true,
  '--test': true,
  '-h': true,
  '--help': true,
  '-V': true,
  '--version': true,
  '-vV': true,
  '-Vv': true,
};

/** The options and inputs of an argument list, or the first argument that is none rustc documents. */
export function parseArguments(args: readonly string[]): RustcArguments | { unknown: string } {
  const flags: Flag[] = [];
  const inputs: string[] = [];
  const values = new Map<string, string[]>();
  const codegen = new Map<string, string>();
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? '';
    if (!arg.startsWith('-') || arg === '-') {
      inputs.push(arg);
      continue;
    }
    let name = WITH_VALUE[arg];
    let value: string | undefined;
    if (name !== undefined) {
      value = args[++at];
      if (value === undefined) return { unknown: arg };
    } else if (WITHOUT_VALUE[arg]) {
      name = arg;
    } else {
      // `--flag=value` and `-Xvalue`.
      const end = arg.startsWith('--') ? arg.indexOf('=') : 2;
      name = end < 0 ? undefined : WITH_VALUE[arg.slice(0, end)];
      if (name === undefined) return { unknown: arg };
      value = arg.slice(arg.startsWith('--') ? end + 1 : end);
    }
    const option = name === '-C' && value !== undefined ? codegenOption(value) : undefined;
    flags.push({ name, value, codegen: option });
    if (option !== undefined) codegen.set(option.name, option.value ?? '');
    const known = values.get(name);
    if (known === undefined) values.set(name, value === undefined ? [] : [value]);
    else if (value !== undefined) known.push(value);
  }
  return { flags, inputs, values, codegen };
}

/** `name=value` of a `-C`; underscores and dashes are the same to rustc. */
function codegenOption(text: string): { name: string; value: string | undefined } {
  const equals = text.indexOf('=');
  const name = (equals < 0 ? text : text.slice(0, equals)).replaceAll('_', '-');
  return { name, value: equals < 0 ? undefined : text.slice(equals + 1) };
}

/** Every value given for `name`, in order. */
export const valuesOf = (parsed: RustcArguments, name: string): readonly string[] =>
  parsed.values.get(name) ?? [];

/** The value that wins for `name`. */
export function lastOf(parsed: RustcArguments, name: string): string | undefined {
  const values = valuesOf(parsed, name);
  return values[values.length - 1];
}

/** The items of every comma-separated value given for `name`. */
export function itemsOf(parsed: RustcArguments, name: string): string[] {
  const items: string[] = [];
  for (const value of valuesOf(parsed, name)) for (const item of value.split(',')) items.push(item);
  return items;
}

/** `[options:]name[=path]` of one `--extern`. */
export interface Extern {
  readonly options: string;
  readonly name: string;
  readonly path: string | undefined;
}

export function parseExtern(value: string): Extern {
  const equals = value.indexOf('=');
  const left = equals < 0 ? value : value.slice(0, equals);
  const colon = left.indexOf(':');
  return {
    options: colon < 0 ? '' : left.slice(0, colon),
    name: left.slice(colon + 1),
    path: equals < 0 ? undefined : value.slice(equals + 1),
  };
}

const SEARCH_KINDS = ['dependency', 'crate', 'native', 'framework', 'all'];

/** `kind=dir` of one `-L`; without a kind, `all`. */
export function parseSearchPath(value: string): { kind: string; dir: string } {
  for (const kind of SEARCH_KINDS) {
    if (value.startsWith(kind) && value[kind.length] === '=')
      return { kind, dir: value.slice(kind.length + 1) };
  }
  return { kind: 'all', dir: value };
}

/** The same arguments without `-C incremental`, in any spelling: an incremental compile is neither cached nor repeatable. */
export function withoutIncremental(args: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const [arg, next] = [args[at] ?? '', args[at + 1] ?? ''];
    if ((arg === '-C' || arg === '--codegen') && next.startsWith('incremental')) at++;
    else if (!arg.startsWith('-Cincremental') && !arg.startsWith('--codegen=incremental')) kept.push(arg);
  }
  return kept;
}
