// The one check before a commit: types, lint and format, architecture, unit tests. Stops at the first that fails.
import { join } from 'node:path';

const root = join(import.meta.dir, '..');
const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
const UNIT = ['core', 'sys', 'rustc', 'store', 'compile', 'tui', 'remote', 'daemon', 'action', 'release'].map(
  (name) => `./test/${name}`,
);

const steps: readonly (readonly [string, readonly string[]])[] = [
  ['types', [bin('tsc'), '--noEmit']],
  ['lint and format', [bin('biome'), 'check', '.']],
  ['settings documented', [process.execPath, 'scripts/settings-table.ts', '--check']],
  ['action bundled', [process.execPath, 'scripts/action.ts', '--check']],
  ['changelog fragments', [process.execPath, 'release/changelog.ts', '--check']],
  ['architecture', [process.execPath, 'test', '--timeout', '60000', './test/architecture.test.ts']],
  ['unit tests', [process.execPath, 'test', '--timeout', '60000', ...UNIT]],
];

for (const [name, argv] of steps) {
  console.log(`\n== ${name}`);
  const { exitCode } = Bun.spawnSync([...argv], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (exitCode !== 0) {
    console.error(`\ncheck failed: ${name}`);
    process.exit(1);
  }
}
console.log('\ncheck passed');
