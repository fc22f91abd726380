// Every test: units first, then the command line and the end-to-end tests on the built binary. The last lines name what
// could not be run on this machine; with KACHE_TEST_REQUIRE=all that is a failure.
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dir, '..');
const binary = process.env['KACHE_BINARY'] ?? join(root, 'dist', 'kache');
if (!existsSync(binary)) {
  console.error(`Cannot test "${binary}": it is not there. Run \`npm run build\` first.`);
  process.exit(1);
}
const scratch = mkdtempSync(join(tmpdir(), 'kache-tests-'));
const notRun = join(scratch, 'not-run');

/**
 * These wait most of the time for services that say nothing, or do one small thing after the other: they run beside the
 * others, and are summed up after them.
 */
const BESIDE = [
  'action',
  'remote-faults',
  'launcher-miss-faults',
  'build-scripts-faults',
  'build-scripts-stand-in.crash',
  'docs',
  'edits',
  'fingerprints',
  'fingerprints-found',
  'fingerprints-faults',
  'fingerprints-interrupted',
  'kill.crash',
  'refused',
  'storage-faults',
].map((name) => `test/e2e/${name}.test.ts`);

/** Runs `bun test`; resolves with its exit code. How long each file took is in `report` then. */
async function run(
  args: readonly string[],
  { output, report }: { output: 'inherit' | number; report: string },
): Promise<number> {
  const told = ['--reporter=junit', `--reporter-outfile=${report}`];
  const child = Bun.spawn([process.execPath, 'test', '--timeout', '120000', ...told, ...args], {
    cwd: root,
    env: { ...process.env, KACHE_BINARY: binary, KACHE_TEST_NOT_RUN: notRun },
    stdio: ['ignore', output, output],
  });
  return child.exited;
}

async function runAll(): Promise<number> {
  const log = join(scratch, 'beside');
  const beside = run(['--only-failures', ...BESIDE.map((file) => `./${file}`)], {
    output: openSync(log, 'a'),
    report: join(scratch, 'beside.xml'),
  });
  // A dot for each that passes: what failed, and why, is not lost among two thousand lines.
  const code = await run(['--dots', ...BESIDE.flatMap((file) => ['--path-ignore-patterns', file])], {
    output: 'inherit',
    report: join(scratch, 'others.xml'),
  });
  const besideCode = await beside;
  console.log(readFileSync(log, 'utf8'));
  console.log(`What took longest:\n${longest(['beside.xml', 'others.xml']).join('\n')}`);
  return code === 0 ? besideCode : code;
}

/** The files that took the most time, with seconds. */
function longest(reports: readonly string[]): string[] {
  const texts = reports
    .map((name) => join(scratch, name))
    .map((path) => (existsSync(path) ? readFileSync(path, 'utf8') : ''));
  return [...texts.join('').matchAll(/<testsuite name="(test\/[^"]+)" file="\1"[^>]* time="([\d.]+)"/g)]
    .map(([, file, seconds]) => ({ file, seconds: Number(seconds) }))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, 15)
    .map(({ file, seconds }) => `${seconds.toFixed(0).padStart(6)} s  ${file}`);
}

const args = process.argv.slice(2);
const only = { output: 'inherit', report: join(scratch, 'only.xml') } as const;
const exitCode = args.length === 0 ? await runAll() : await run(args, only);
const left = existsSync(notRun) ? readFileSync(notRun, 'utf8').trim().split('\n') : [];
console.log(
  left.length === 0
    ? '\nEverything was run.'
    : `\nNot run on this machine:\n${left.map((line) => `  ${line}`).join('\n')}`,
);
rmSync(scratch, { recursive: true, force: true });
process.exit(exitCode);
