// The npm packages: one for each platform with the native binary as its own command, and the main one, which depends
// on all of them and whose command becomes the binary that could be installed.
import { chmodSync, copyFileSync, linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { $ } from 'bun';
import { folderOf, loaderOf, MAIN, PLATFORMS, type Platform, programOf } from './names.ts';

const root = join(import.meta.dir, '..');

export interface Release {
  readonly version: string;
  /** Where package folders are laid out. */
  readonly staging: string;
  /** Where tarballs go. */
  readonly out: string;
  /** `owner/name` on GitHub, which npm wants to see in what is published from there. */
  readonly repository: string | undefined;
  readonly licences: string;
}

/** Returns the name of the tarball. */
export function packPlatform(release: Release, platform: Platform, binary: string): Promise<string> {
  const { name, os, cpu, libc } = platform;
  const program = `bin/${programOf(platform)}`;
  const folder = lay(release, name, {
    'package.json': json({
      ...common(release, name),
      description: `The kache binary for ${os} ${cpu}${libc === undefined ? '' : ` (${libc})`}`,
      os: [os],
      cpu: [cpu],
      ...(libc === undefined ? {} : { libc: [libc] }),
      bin: { kache: program },
      preferUnplugged: true,
    }),
    'README.md': `# ${name}\n\nThe native binary of [${MAIN}](https://www.npmjs.com/package/${MAIN}) for one platform. It can be installed by itself.\n`,
    'THIRD-PARTY-LICENSES.md': release.licences,
  });
  mkdirSync(join(folder, 'bin'));
  linkSync(binary, join(folder, program));
  return pack(release, folder);
}

/** Returns the name of the tarball. */
export function packMain(release: Release): Promise<string> {
  const folder = lay(release, MAIN, {
    'package.json': json({
      ...common(release, MAIN),
      description: 'A content-addressed build cache for Rust',
      keywords: ['rust', 'cargo', 'rustc-wrapper', 'build-cache'],
      bin: { kache: 'bin/kache' },
      optionalDependencies: Object.fromEntries(PLATFORMS.map(({ name }) => [name, release.version])),
    }),
    'README.md': `# ${MAIN}\n\nA content-addressed build cache for Rust.\n\n    npm install -g ${MAIN}\n    kache init\n\n\`kache init\` puts it into Cargo's configuration.\n`,
    'bin/kache': COMMAND,
  });
  chmodSync(join(folder, 'bin/kache'), 0o755);
  return pack(release, folder);
}

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

const common = ({ version, repository }: Release, name: string): object => ({
  name,
  version,
  license: 'Apache-2.0',
  ...(repository === undefined
    ? {}
    : { repository: { type: 'git', url: `git+https://github.com/${repository}.git` } }),
  publishConfig: { access: 'public' },
});

function lay({ staging }: Release, name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(staging, name);
  rmSync(folder, { recursive: true, force: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  return folder;
}

/** npm itself packs: it knows what a package may hold, and stamps every file with one and the same time. */
const pack = async ({ out }: Release, folder: string): Promise<string> =>
  (await $`npm pack --silent --ignore-scripts --pack-destination ${out}`.cwd(folder).text()).trim();

/** All names share one scope: packages that are installed together lie in one folder. */
const SCOPE = MAIN.slice(0, MAIN.indexOf('/'));

/**
 * The command of the main package. Package managers put the binaries below it or beside it; one that ignores `libc`
 * installs two, and then the loader that is there decides.
 */
const COMMAND = `#!/bin/sh
# Becomes the native binary. It stands in front of no compile: \`kache init\` puts another program there.
self=$(readlink -f -- "$0")
main=\${self%/bin/kache}
for packages in "$main/node_modules/${SCOPE}" "\${main%/*}"; do
  for candidate in \\
${PLATFORMS.map((platform) => `    ${folderOf(platform)}/bin/${programOf(platform)}:${loaderOf(platform) ?? '/'}`).join(' \\\n')}
  do
    binary=$packages/\${candidate%%:*}
    if [ -x "$binary" ] && [ -e "\${candidate#*:}" ]; then exec "$binary" "$@"; fi
  done
done
echo "kache: Cannot find the binary for $(uname -sm): its package is not installed beside ${MAIN}. Install with optional dependencies, or install that package by its own name." >&2
exit 127
`;
