// Which folder Cargo builds a package in, where that can be told for certain: that of the workspace, which is not always
// the one with the nearest lockfile.
import { workspaceRoot } from '../daemon/build-identity.ts';
import { readText } from '../sys/files.ts';
import { dirname } from '../sys/paths.ts';

/** What of a manifest says where a workspace is. */
interface Manifest {
  readonly package?: { readonly workspace?: unknown };
  readonly workspace?: { readonly exclude?: unknown };
}

/** The root of the workspace of a Cargo that works in `cwd`: the folder of its lockfile. Undefined where there is a doubt. */
export function certainRoot(cwd: string): string | undefined {
  const root = workspaceRoot([cwd]);
  const [nearest, ...above] = manifestsAbove(cwd);
  if (root === undefined || nearest === undefined || nearest.manifest?.package?.workspace !== undefined)
    return undefined;
  const at = [nearest, ...above].findIndex(({ folder }) => folder === root);
  const [own, ...others] = [nearest, ...above].slice(at);
  const between = [nearest, ...above].slice(0, at);
  if (at < 0 || own?.manifest === undefined || !between.every(isMember)) return undefined;
  // A package that is no workspace may be a member of one above it; whether it is one of that below it, that one says.
  if (own.manifest.workspace === undefined) return at === 0 && others.every(isMember) ? root : undefined;
  return at > 0 && own.manifest.workspace.exclude !== undefined ? undefined : root;
}

interface Found {
  readonly folder: string;
  /** Undefined when it cannot be read as what it should be. */
  readonly manifest: Manifest | undefined;
}

/** Whether a manifest is none of a workspace's root. */
const isMember = ({ manifest }: Found): boolean => manifest !== undefined && manifest.workspace === undefined;

/** The manifests of a folder and those above it, nearest first. */
function manifestsAbove(cwd: string): Found[] {
  const found: Found[] = [];
  for (let folder = cwd; folder !== '/'; folder = dirname(folder)) {
    const text = readText(`${folder}/Cargo.toml`);
    if (text !== undefined) found.push({ folder, manifest: parsed(text) });
  }
  return found;
}

function parsed(text: string): Manifest | undefined {
  try {
    return Bun.TOML.parse(text) as Manifest;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
