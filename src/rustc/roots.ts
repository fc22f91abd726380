// Which roots a call has, and what stands in their place in outputs.
import { stat } from '../sys/files.ts';
import { dirname, isWithin } from '../sys/paths.ts';
import { PLACEHOLDER_BASE } from './diagnostics.ts';
import { type Invocation, isWorkspaceMember, packageDir, targetDir } from './invocation.ts';
import { PathMap, type Root } from './path-map.ts';

/** What of the settings and the machine the roots depend on. */
export interface RootOptions {
  readonly normalizePaths: boolean;
  readonly baseDirs: readonly string[];
  readonly sysroot: string;
}

/** Where the package of a call comes from. Registry, git and vendored packages are immutable by Cargo's contract. */
export type PackageOrigin = 'workspace' | 'registry' | 'vendored' | 'path';

export function packageOrigin(invocation: Invocation): PackageOrigin {
  if (isWorkspaceMember(invocation)) return 'workspace';
  const dir = packageDir(invocation);
  if (isFromRegistry(dir, invocation)) return 'registry';
  return stat(`${dir}/.cargo-checksum.json`) === undefined ? 'path' : 'vendored';
}

/** Whether a package lies where Cargo unpacks those of registries and git. */
export function isFromRegistry(dir: string, invocation: Pick<Invocation, 'env'>): boolean {
  const home = cargoHome(invocation);
  return home !== undefined && (isWithin(dir, `${home}/registry`) || isWithin(dir, `${home}/git`));
}

/** Cargo's own folder, which holds the packages of registries; undefined when the environment does not say. */
export function cargoHome({ env }: Pick<Invocation, 'env'>): string | undefined {
  const set = env['CARGO_HOME'];
  if (set?.startsWith('/')) return set;
  const home = env['HOME'];
  return home?.startsWith('/') ? `${home}/.cargo` : undefined;
}

/** Coverage and profiling tools read the sources by the paths in the output: such builds keep real ones. */
export const keepsRealPaths = ({ parsed }: Invocation): boolean =>
  parsed.codegen.has('instrument-coverage') || parsed.codegen.has('profile-generate');

/**
 * The roots of one call. With real paths wanted there is none: every path is then literal in key and output.
 * The workspace becomes `.`, as under Cargo's own `trim-paths`: backtraces and diagnostics read as without kache.
 */
export function pathMapOf(invocation: Invocation, origin: PackageOrigin, options: RootOptions): PathMap {
  if (!options.normalizePaths || keepsRealPaths(invocation)) return new PathMap([]);
  const { env, cwd } = invocation;
  const roots: Root[] = [];
  const add = (name: string, path: string | undefined, placeholder?: string): void => {
    if (path?.startsWith('/')) roots.push({ name, path: withoutEndSlashes(path), placeholder });
  };
  if (origin === 'workspace') add('ws', cwd, '.');
  if (origin === 'path') add('pkg', packageDir(invocation));
  if (origin === 'vendored') add('vendor', dirname(packageDir(invocation)), `${PLACEHOLDER_BASE}vendor`);
  const name = `${env['CARGO_PKG_NAME'] ?? invocation.crateName}-${env['CARGO_PKG_VERSION'] ?? '0'}`;
  add('out', env['OUT_DIR'], `${PLACEHOLDER_BASE}out/${name}`);
  const home = cargoHome(invocation);
  add('cargo-home', home, `${PLACEHOLDER_BASE}cargo`);
  // rustc asks the kernel for its folder and gets it without symbolic links.
  if (origin === 'registry' && home !== undefined && cwd !== packageDir(invocation)) {
    const inside = packageDir(invocation).slice(home.length);
    if (cwd.endsWith(inside))
      add('cargo-home-real', cwd.slice(0, -inside.length), `${PLACEHOLDER_BASE}cargo`);
  }
  for (const [index, dir] of options.baseDirs.entries())
    add(`base${index}`, dir, `${PLACEHOLDER_BASE}base${index}`);
  add('target', targetDir(invocation));
  add('sysroot', options.sysroot);
  add('home', env['HOME']);
  return new PathMap(roots);
}

function withoutEndSlashes(path: string): string {
  let end = path.length;
  while (end > 1 && path[end - 1] === '/') end--;
  return path.slice(0, end);
}
