// From a call to its UnitId: the toolchain that runs, the normalised arguments, the package, and the constant part of
// the environment. Nothing here opens a source file.
import type { Environment, Settings } from '../core/config.ts';
import type { UnitId } from '../core/ids.ts';
import { mapList } from '../core/lists.ts';
import { lastOf } from '../rustc/flags.ts';
import { type Invocation, sourcePath } from '../rustc/invocation.ts';
import type { PathMap } from '../rustc/path-map.ts';
import {
  findProgram,
  inspectToolchain,
  isCurrent,
  named,
  type Toolchain,
  type ToolchainRecord,
  throughProxy,
} from '../rustc/toolchain.ts';
import { canonicalFlags, targetsNativeCpu, unitEnvironment } from '../rustc/unit-parts.ts';
import type { EntryInputs } from '../store/entries.ts';
import { readMemo, SourceHashes, writeMemo } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import { readText, realPath } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { isClippy } from './bypass.ts';
import type { Call } from './call.ts';

/** Part of every UnitId: raise it whenever what enters a key changes. */
const KEY_VERSION = 'kache-key-3';

type Asking = Pick<Call, 'store' | 'ask'> & {
  readonly invocation: Pick<Invocation, 'compiler' | 'env' | 'cwd'>;
};

/** The toolchain behind the compiler of a call; undefined when it is no rustc that answers. */
export function identifyToolchain({ store, invocation, ask }: Asking): Toolchain | undefined {
  const rustc = invocation.compiler[invocation.compiler.length - 1] ?? '';
  const { env } = invocation;
  const found = findProgram(rustc, env, invocation.cwd);
  if (found === undefined) return undefined;
  // What a proxy starts depends on these two; without the first it depends on files only rustup knows.
  const memo = `${found} ${env['RUSTUP_TOOLCHAIN'] ?? ''} ${env['RUSTUP_HOME'] ?? ''}`;
  const known = readMemo<ToolchainRecord>(store, 'toolchain', memo);
  if (known !== undefined && isCurrent(known)) return known;
  const real = throughProxy(found, env);
  if (real === undefined) return behindProxy(store, found, ask);
  const record = identifyCompiler(store, real, ask);
  if (record !== undefined) writeMemo(store, 'toolchain', memo, named(found, record));
  return record;
}

/** What a proxy starts here, as only it knows: it is asked each time. */
function behindProxy(store: Store, proxy: string, ask: Call['ask']): ToolchainRecord | undefined {
  const sysroot = ask([proxy, '--print', 'sysroot'])?.trim();
  const rustc = sysroot === undefined ? undefined : realPath(`${sysroot}/bin/rustc`);
  return rustc === undefined ? undefined : identifyCompiler(store, rustc, ask);
}

/** What a compiler is, by its real path: it has several names, and is asked once. */
export function identifyCompiler(store: Store, rustc: string, ask: Call['ask']): ToolchainRecord | undefined {
  const known = readMemo<ToolchainRecord>(store, 'toolchain', rustc);
  if (known !== undefined && isCurrent(known)) return known;
  const record = inspectToolchain(rustc, ask);
  // A program in front of one may start another compiler for another toolchain that is asked for.
  if (record?.isCompiler === true) writeMemo(store, 'toolchain', rustc, record);
  return record;
}

export interface Identified {
  readonly unit: UnitId;
  /** The flags as they entered, for explanations. */
  readonly flags: readonly string[];
  /** Everything else that entered, for explanations: what may be a secret or is long, as a short hash. */
  readonly unitParts: () => EntryInputs['unit'];
}

/** What the identity of a unit is made of. */
export interface IdentityParts {
  readonly invocation: Invocation;
  readonly settings: Settings;
  readonly store: Store;
  readonly toolchain: Toolchain;
  readonly map: PathMap;
}

/** The UnitId; undefined when a file the flags name (target spec, profile, clippy) cannot be read. */
export function identify(parts: IdentityParts): Identified | undefined {
  const { invocation, settings, map, toolchain } = parts;
  const files = flagFiles(parts);
  if (files === undefined) return undefined;
  const flags = canonicalFlags(invocation, map);
  const crateRoot = map.toRooted(sourcePath(invocation));
  // What stands in the outputs in place of real paths.
  const placeholders = mapList(map.roots, (root) => `${root.name} ${root.placeholder ?? ''}`).sort();
  const environment = unitEnvironment(invocation.env, settings.keyEnvVars);
  const processor = targetsNativeCpu(invocation) ? processorIdentity() : null;
  const { keySalt } = settings;
  const identity = [
    KEY_VERSION,
    keySalt,
    toolchain.identity,
    flags,
    files,
    crateRoot,
    placeholders,
    environment,
    processor,
  ];
  const unitParts = (): EntryInputs['unit'] => [
    ['key version', KEY_VERSION],
    ['key salt', short(keySalt ?? '')],
    ['toolchain', toolchain.identity.split('\n')[0] ?? ''],
    ['toolchain build', short(toolchain.identity)],
    ['files that flags name', short(JSON.stringify(files))],
    ['crate root', crateRoot],
    // The folder of a build script is called after the version, which is told by itself.
    ['roots', placeholders.join(', ').replace(/\bout [^,]*/, 'out')],
    ['processor', short(processor ?? '')],
    ...mapList(environment, ([name, value]) => [`env ${name}`, short(value)] as const),
  ];
  return { unit: sha256(JSON.stringify(identity)) as UnitId, flags, unitParts };
}

const short = (text: string): string => sha256(text).slice(0, 16);

/** Content hashes of the files that flags name, and of the driver in front of rustc. */
function flagFiles({ invocation, store }: IdentityParts): string[] | undefined {
  const { parsed, compiler, env, cwd } = invocation;
  const paths: string[] = [];
  const target = lastOf(parsed, '--target');
  if (target?.endsWith('.json')) paths.push(target);
  for (const flag of parsed.flags) {
    const option = flag.codegen;
    if (option?.name === 'profile-use' && option.value !== undefined) paths.push(option.value);
  }
  const program = isClippy(compiler[0]) ? findProgram(compiler[0], env, cwd) : undefined;
  const driver = program === undefined ? undefined : throughProxy(program, env);
  if (isClippy(compiler[0])) {
    if (driver === undefined) return undefined;
    paths.push(driver, ...clippyConfigs(env));
  }
  if (paths.length === 0) return [];
  const hashes = new SourceHashes(store, `flags ${paths.join(' ')}`);
  const digests = paths.map((path) => hashes.hash(path.startsWith('/') ? path : `${cwd}/${path}`));
  hashes.remember();
  return digests.every((digest) => digest !== undefined) ? digests : undefined;
}

/** Clippy takes the first `clippy.toml` or `.clippy.toml` from the package upward, and reports it only when there is one. */
function clippyConfigs(env: Environment): string[] {
  let dir = env['CLIPPY_CONF_DIR'] ?? env['CARGO_MANIFEST_DIR'] ?? '';
  const found: string[] = [];
  while (dir.startsWith('/')) {
    for (const name of ['.clippy.toml', 'clippy.toml']) {
      if (readText(`${dir}/${name}`) !== undefined) found.push(`${dir}/${name}`);
    }
    if (found.length > 0) return found;
    dir = dir.slice(0, dir.lastIndexOf('/'));
  }
  return found;
}

/** The processor as far as LLVM's `native` can see it: model and features, from the first block of /proc/cpuinfo. */
export function processorIdentity(): string {
  const block = (readText('/proc/cpuinfo') ?? '').split('\n\n')[0] ?? '';
  const telling =
    /^(vendor_id|cpu family|model|stepping|flags|CPU implementer|CPU architecture|CPU variant|CPU part|Features)\s*:/;
  return block
    .split('\n')
    .filter((line) => telling.test(line))
    .join('\n');
}
