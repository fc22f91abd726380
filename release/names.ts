// What is published under which name: everything is derived from `packages.json`, the one place to change the scope.
import { existsSync } from 'node:fs';
import data from './packages.json' with { type: 'json' };

export interface Platform {
  /** Of the npm package. */
  readonly name: string;
  /** As `process.platform` has it. */
  readonly os: string;
  /** As `process.arch` has it. */
  readonly cpu: string;
  /** On Linux only. */
  readonly libc?: string;
  /** The npm package with Bun's runtime for it. */
  readonly runtime: string;
}

export const MAIN: string = data.main;
export const PLATFORMS: readonly Platform[] = data.platforms;

/** The program inside its package. */
export const programOf = ({ os }: Platform): string => (os === 'win32' ? 'kache.exe' : 'kache');

/** The package's folder inside that of its scope: `kache-linux-x64`. */
export const folderOf = ({ name }: Platform): string => name.slice(name.indexOf('/') + 1);

/** What the program is called where all of them lie in one folder. */
export const looseName = (platform: Platform): string =>
  `${folderOf(platform)}${platform.os === 'win32' ? '.exe' : ''}`;

/** The target in Bun's words: `bun-linux-arm64-musl`. */
export const targetOf = ({ os, cpu, libc }: Platform): string =>
  `bun-${os === 'win32' ? 'windows' : os}-${cpu}${libc === 'musl' ? '-musl' : ''}`;

/** The dynamic loader whose presence says which C library a Linux has. */
export const loaderOf = ({ os, cpu, libc }: Platform): string | undefined => {
  if (os !== 'linux') return undefined;
  if (libc === 'musl') return `/lib/ld-musl-${cpu === 'x64' ? 'x86_64' : 'aarch64'}.so.1`;
  return cpu === 'x64' ? '/lib64/ld-linux-x86-64.so.2' : '/lib/ld-linux-aarch64.so.1';
};

/** The platform this runs on; glibc goes first, as many systems have musl beside it. */
export function hostPlatform(): Platform {
  const found = PLATFORMS.find((platform) => {
    const loader = loaderOf(platform);
    const fits = platform.os === process.platform && platform.cpu === process.arch;
    return fits && (loader === undefined || existsSync(loader));
  });
  if (found === undefined)
    throw new Error(
      `Cannot name a package for "${process.platform} ${process.arch}": none is published. Build with \`npm run build\`.`,
    );
  return found;
}
