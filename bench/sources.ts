// The sources of an application: downloaded once through cargo, copied for every build directory.
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Application } from './applications.ts';
import { capture, type Environment } from './process.ts';

/** Puts a clean copy of the application under `work` and downloads its dependencies. Returns the copy's path. */
export function prepareSources(application: Application, work: string, environment: Environment): string {
  const target = join(work, 'sources', application.name);
  mkdirSync(target, { recursive: true });
  copySources(published(application, work, environment), target);
  capture(['cargo', 'fetch', '--locked', '--quiet'], { cwd: target, env: environment });
  return target;
}

/** Copies a source tree, without what would change the toolchain or cargo's settings. */
export function copySources(from: string, to: string): void {
  const left = ['target', '.cargo', '.cargo-ok', 'rust-toolchain', 'rust-toolchain.toml'];
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true, filter: (path) => path === from || !left.includes(basename(path)) });
  if (!existsSync(join(to, 'Cargo.lock'))) {
    throw new Error(`Cannot build "${from}": it has no Cargo.lock. Choose a version published with one.`);
  }
}

/** Where the application's own files are: in this repository, or where cargo unpacked them. */
function published(application: Application, work: string, environment: Environment): string {
  const { source, name } = application;
  if (source.kind === 'folder') {
    return join(import.meta.dir, source.path);
  }
  const crate = `${name}@${source.version}`;
  capture(['cargo', 'info', '--quiet', '--registry', 'crates-io', crate], { cwd: work, env: environment });
  const registry = join(environment['CARGO_HOME'] ?? '', 'registry', 'src');
  for (const index of readdirSync(registry)) {
    const unpacked = join(registry, index, `${name}-${source.version}`);
    if (existsSync(join(unpacked, 'Cargo.toml'))) {
      return unpacked;
    }
  }
  throw new Error(`Cannot find "${crate}" under "${registry}": cargo info did not unpack it.`);
}
