// Bundles the action into action/dist, which is what a workflow runs: `bun scripts/action.ts`. With `--check`, nothing is
// written and the status is 1 when what is there is not what the sources give.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

const root = join(import.meta.dir, '..');
const dist = join(root, 'action', 'dist');

interface Metafile {
  readonly inputs: Readonly<Record<string, unknown>>;
}

/** What stands in action/dist: the bundle and the licences of what is in it. */
function bundle(): Record<string, string> {
  const scratch = mkdtempSync(join(tmpdir(), 'kache-action-'));
  try {
    const [outfile, metafile] = [join(scratch, 'action.mjs'), join(scratch, 'meta.json')];
    const { exitCode, stderr } = Bun.spawnSync(
      [
        ...[process.execPath, 'build', '--target=node', '--format=esm', '--minify'],
        // A package looks for a Windows program beside itself; the folder would be that of whoever builds.
        '--define=__dirname="."',
        ...[`--metafile=${metafile}`, `--outfile=${outfile}`, join('action', 'src', 'entry.ts')],
      ],
      { cwd: root },
    );
    if (exitCode !== 0) throw new Error(`Cannot bundle the action: ${stderr}`);
    const { inputs } = JSON.parse(readFileSync(metafile, 'utf8')) as Metafile;
    return { 'action.mjs': readFileSync(outfile, 'utf8'), 'licenses.txt': licences(Object.keys(inputs)) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The licence of every package that a file of the bundle comes from. */
function licences(files: readonly string[]): string {
  const folders = new Set(
    files.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []),
  );
  const texts = [...folders].sort().map((folder) => {
    const path = join(root, folder);
    const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
    const file = [...new Bun.Glob('LICEN[SC]E*').scanSync({ cwd: path })].sort()[0];
    const text = file === undefined ? '' : `\n\n${readFileSync(join(path, file), 'utf8').trim()}`;
    return `${name} ${version} (${license})${text}\n`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

const wanted = bundle();
if (process.argv.includes('--check')) {
  const stale = Object.entries(wanted).filter(([name, text]) => {
    const file = join(dist, name);
    return !existsSync(file) || readFileSync(file, 'utf8') !== text;
  });
  if (stale.length > 0) {
    const names = stale.map(([name]) => relative(root, join(dist, name))).join(', ');
    console.error(`Cannot use "${names}": older than action/src. Run \`npm run action:build\`.`);
    process.exit(1);
  }
} else {
  for (const [name, text] of Object.entries(wanted)) {
    mkdirSync(dirname(join(dist, name)), { recursive: true });
    writeFileSync(join(dist, name), text);
  }
  console.log(`bundled ${relative(root, dist)}/action.mjs`);
}
