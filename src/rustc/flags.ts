// rustc's command line, read into a list of options in one spelling each. Order is kept: in rustc the last one wins.

/** One option in its long, separated form: `-Copt-level=3` and `-C opt-level=3` are both { name: '-C', value: 'opt-level=3' }. */
export interface Flag {
  readonly name: string;
  readonly value: string | undefined;
}

export interface RustcArguments {
  readonly flags: readonly Flag[];
  /** Arguments that are not options: the source file, as a rule exactly one. */
  readonly inputs: readonly string[];
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

const WITHOUT_VALUE = new Set([
  '-g',
  '-O',
  '-v',
  '--verbose',
  '--test',
  '-h',
  '--help',
  '-V',
  '--version',
  '-vV',
  '-Vv',
]);

/** The options and inputs of an argument list, or the first argument that is none rustc documents. */
export function parseArguments(args: readonly string[]): RustcArguments | { unknown: string } {
  const flags: Flag[] = [];
  const inputs: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? '';
    if (!arg.startsWith('-') || arg === '-') {
      inputs.push(arg);
      continue;
    }
    if (WITHOUT_VALUE.has(arg)) {
      flags.push({ name: arg, value: undefined });
      continue;
    }
    const name = WITH_VALUE[arg];
    if (name !== undefined) {
      const value = args[++at];
      if (value === undefined) return { unknown: arg };
      flags.push({ name, value });
      continue;
    }
    const attached = parseAttached(arg);
    if (attached === undefined) return { unknown: arg };
    flags.push(attached);
  }
  return { flags, inputs };
}

/** `--flag=value` and `-Xvalue`. */
function parseAttached(arg: string): Flag | undefined {
  if (arg.startsWith('--')) {
    const equals = arg.indexOf('=');
    const name = equals < 0 ? undefined : WITH_VALUE[arg.slice(0, equals)];
    return name === undefined ? undefined : { name, value: arg.slice(equals + 1) };
  }
  const name = WITH_VALUE[arg.slice(0, 2)];
  return name === undefined ? undefined : { name, value: arg.slice(2) };
}

/** The value of `-C name=value`; underscores and dashes are the same to rustc. */
export function codegenOption(flag: Flag): { name: string; value: string | undefined } | undefined {
  if (flag.name !== '-C' || flag.value === undefined) return undefined;
  const equals = flag.value.indexOf('=');
  const name = (equals < 0 ? flag.value : flag.value.slice(0, equals)).replaceAll('_', '-');
  return { name, value: equals < 0 ? undefined : flag.value.slice(equals + 1) };
}

/** Every value given for `name`, in order. */
export const valuesOf = (parsed: RustcArguments, name: string): string[] =>
  parsed.flags.flatMap((flag) => (flag.name === name && flag.value !== undefined ? [flag.value] : []));

/** The value that wins for `name`. */
export const lastOf = (parsed: RustcArguments, name: string): string | undefined =>
  valuesOf(parsed, name).at(-1);

/** The value that wins for `-C name`; an option given without a value is the empty string. */
export function codegenValue(parsed: RustcArguments, name: string): string | undefined {
  let found: string | undefined;
  for (const flag of parsed.flags) {
    const option = codegenOption(flag);
    if (option?.name === name) found = option.value ?? '';
  }
  return found;
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

/** `kind=dir` of one `-L`; without a kind, `all`. */
export function parseSearchPath(value: string): { kind: string; dir: string } {
  const match = /^(dependency|crate|native|framework|all)=(.*)$/s.exec(value);
  return { kind: match?.[1] ?? 'all', dir: match?.[2] ?? value };
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
