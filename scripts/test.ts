// Every test: units first, then the command line and the end-to-end tests on the built binary. The last lines name what
// could not be run on this machine; with KACHE_TEST_REQUIRE=all that is a failure.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
const { exitCode } = Bun.spawnSync(
  [process.execPath, 'test', '--timeout', '120000', ...process.argv.slice(2)],
  {
    cwd: root,
    env: { ...process.env, KACHE_BINARY: binary, KACHE_TEST_NOT_RUN: notRun },
    stdio: ['ignore', 'inherit', 'inherit'],
  },
);
const left = existsSync(notRun) ? readFileSync(notRun, 'utf8').trim().split('\n') : [];
console.log(
  left.length === 0
    ? '\nEverything was run.'
    : `\nNot run on this machine:\n${left.map((line) => `  ${line}`).join('\n')}`,
);
rmSync(scratch, { recursive: true, force: true });
process.exit(exitCode ?? 1);
