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
  'docs',
  'fingerprints',
  'fingerprints-found',
  'fingerprints-faults',
  'fingerprints-interrupted',
  'kill.crash',
  'refused',
  'storage-faults',
].map((name) => `test/e2e/${name}.test.ts`);

/** Runs `bun test`; resolves with its exit code. */
async function run(args: readonly string[], output: 'inherit' | number): Promise<number> {
  const child = Bun.spawn([process.execPath, 'test', '--timeout', '120000', ...args], {
    cwd: root,
    env: { ...process.env, KACHE_BINARY: binary, KACHE_TEST_NOT_RUN: notRun },
    stdio: ['ignore', output, output],
  });
  return child.exited;
}

async function runAll(): Promise<number> {
  const log = join(scratch, 'beside');
  const beside = run(['--only-failures', ...BESIDE.map((file) => `./${file}`)], openSync(log, 'a'));
  // A dot for each that passes: what failed, and why, is not lost among two thousand lines.
  const code = await run(
    ['--dots', ...BESIDE.flatMap((file) => ['--path-ignore-patterns', file])],
    'inherit',
  );
  const besideCode = await beside;
  console.log(readFileSync(log, 'utf8'));
  return code === 0 ? besideCode : code;
}

const args = process.argv.slice(2);
const exitCode = args.length === 0 ? await runAll() : await run(args, 'inherit');
const left = existsSync(notRun) ? readFileSync(notRun, 'utf8').trim().split('\n') : [];
console.log(
  left.length === 0
    ? '\nEverything was run.'
    : `\nNot run on this machine:\n${left.map((line) => `  ${line}`).join('\n')}`,
);
rmSync(scratch, { recursive: true, force: true });
process.exit(exitCode);
