// The other way to keep a build between jobs: an archive of the whole target folder, as rust-cache does it. What belongs
// to members of the workspace is taken out first, and nothing is uploaded while the lock file stays as it is.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const run = (argv: readonly string[], cwd: string): string => {
  const done = Bun.spawnSync([...argv], { cwd, stderr: 'pipe' });
  if (done.exitCode !== 0)
    throw new Error(`Cannot run "${argv.join(' ')}": ${done.stderr.toString().slice(-800)}`);
  return done.stdout.toString();
};

/** What a key of the archive is made of, besides the toolchain: while it is the same, the archive is not written again. */
export const keyOf = (dir: string): string => readFileSync(join(dir, 'Cargo.lock'), 'utf8');

interface Metadata {
  readonly packages: readonly {
    readonly id: string;
    readonly name: string;
    readonly targets: readonly { readonly name: string }[];
  }[];
  readonly workspace_members: readonly string[];
}

/** Takes everything out of the target folder that is not a dependency's. */
function prune(dir: string): void {
  const metadata = JSON.parse(
    run(['cargo', 'metadata', '--format-version', '1', '--locked', '--offline'], dir),
  ) as Metadata;
  const kept = metadata.packages.filter(({ id }) => !metadata.workspace_members.includes(id));
  const packages = new Set(kept.map(({ name }) => name));
  const crates = new Set(kept.flatMap(({ targets }) => targets.map(({ name }) => name.replaceAll('-', '_'))));
  const isKept: Readonly<Record<string, (name: string) => boolean>> = {
    '.fingerprint': (name) => packages.has(withoutHash(name)),
    build: (name) => packages.has(withoutHash(name)),
    deps: (name) => crates.has(withoutHash(name)) || crates.has(withoutHash(name).replace(/^lib/, '')),
  };
  const profile = join(dir, 'target', 'debug');
  for (const name of readdirSync(profile)) {
    const keeps = isKept[name];
    if (keeps === undefined) rmSync(join(profile, name), { recursive: true });
    else
      for (const entry of readdirSync(join(profile, name)))
        if (!keeps(entry)) rmSync(join(profile, name, entry), { recursive: true });
  }
}

/** `libserde-0123456789abcdef.rlib` is `libserde`. */
const withoutHash = (name: string): string => name.slice(0, Math.max(name.lastIndexOf('-'), 0));

/** Writes the archive of a built checkout and returns its size. */
export function archive(dir: string, file: string): number {
  prune(dir);
  run(['tar', '--create', '--file', file, '--use-compress-program', 'zstdmt', 'target'], dir);
  return statSync(file).size;
}

/** Unpacks it into a checkout that was never built. */
export function unpack(file: string, dir: string): void {
  if (existsSync(join(dir, 'target'))) throw new Error(`Cannot unpack into ${dir}: it has a target folder.`);
  mkdirSync(dir, { recursive: true });
  run(['tar', '--extract', '--file', file, '--use-compress-program', 'unzstd'], dir);
}
