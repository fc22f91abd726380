// Builds everything that is released, into dist/release: binaries, npm packages, licences, bill of materials, checksums.
// `bun release/build.ts [--version V] [--host] [--repository OWNER/NAME] [--out DIR]`; --host: this machine's platform only.
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import manifest from '../package.json' with { type: 'json' };
import { compile } from '../scripts/compile.ts';
import { bundledPackages, runtimeParts } from './bundled.ts';
import { licencesOf } from './licences.ts';
import { hostPlatform, looseName, PLATFORMS, programOf, targetOf } from './names.ts';
import { packMain, packPlatform } from './packages.ts';
import { runtimeFor, runtimeVersion } from './runtimes.ts';
import { sbomOf } from './sbom.ts';

const root = join(import.meta.dir, '..');
const { values } = parseArgs({
  options: {
    version: { type: 'string', default: manifest.version },
    host: { type: 'boolean', default: false },
    repository: { type: 'string' },
    out: { type: 'string', default: join(root, 'dist', 'release') },
  },
});
const { version } = manifest;
if (values.version !== version)
  throw new Error(
    `Cannot release "${values.version}": package.json says ${version}. Run \`npm run changelog -- ${values.version}\` and commit.`,
  );
if (Bun.version !== runtimeVersion())
  throw new Error(
    `Cannot build a release with Bun ${Bun.version}: package-lock.json has ${runtimeVersion()}. Run \`npm run release:build\`.`,
  );

const out = resolve(values.out);
rmSync(out, { recursive: true, force: true });
const staging = join(out, '.staging');
mkdirSync(staging, { recursive: true });
const platforms = values.host ? [hostPlatform()] : PLATFORMS;

const binaries = new Map<string, string>();
/** One a platform: code for another system is not in a bundle. */
const metafiles: string[] = [];
for (const platform of platforms) {
  // The same last part everywhere, because it is in the binary.
  const outfile = join(staging, 'binaries', looseName(platform), programOf(platform));
  const metafile = join(staging, `${looseName(platform)}.json`);
  metafiles.push(metafile);
  await compile({
    entry: join(root, 'src', 'main.ts'),
    outfile,
    target: targetOf(platform),
    runtime: await runtimeFor(platform),
    metafile,
  });
  binaries.set(platform.name, outfile);
  linkSync(outfile, join(out, looseName(platform)));
  console.log(`built   ${looseName(platform)}`);
}

const packages = bundledPackages(root, metafiles);
const runtime = runtimeParts();
const licences = licencesOf(packages, runtime);
writeFileSync(join(out, 'THIRD-PARTY-LICENSES.md'), licences);
writeFileSync(join(out, 'sbom.cdx.json'), await sbomOf({ version, packages, runtime }));

const release = { version, staging, out, licences, repository: values.repository };
for (const platform of platforms)
  console.log(`packed  ${await packPlatform(release, platform, binaries.get(platform.name) ?? '')}`);
console.log(`packed  ${await packMain(release)}`);

rmSync(staging, { recursive: true });
const sums = readdirSync(out)
  .sort()
  .map(
    (name) =>
      `${createHash('sha256')
        .update(readFileSync(join(out, name)))
        .digest('hex')}  ${name}\n`,
  );
writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));
console.log(`${sums.length} files in ${out}, with SHA256SUMS`);
