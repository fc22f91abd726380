// Builds the native binary: `bun scripts/build.ts [--target bun-linux-arm64] [--outfile PATH]`. With `--faults`, the test
// build: another entry puts a C library that fails on demand before the same program.
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { $ } from 'bun';

const root = join(import.meta.dir, '..');
const { values } = parseArgs({
  options: {
    target: { type: 'string' },
    faults: { type: 'boolean', default: false },
    outfile: { type: 'string', default: join(root, 'dist', 'kache') },
  },
});

mkdirSync(dirname(values.outfile), { recursive: true });
// ESM with splitting and bytecode keeps everything behind a dynamic import free for the wrapper. Without the two
// autoload flags the binary would load `.env` and the `preload` of a `bunfig.toml` of the crate being compiled.
const flags = [
  '--compile',
  '--bytecode',
  '--format=esm',
  '--splitting',
  '--minify',
  // React for use, not for its development; and without the debugger that Ink could be asked to load.
  '--define=process.env.NODE_ENV="production"',
  '--external=react-devtools-core',
  '--no-compile-autoload-dotenv',
  '--no-compile-autoload-bunfig',
  ...(values.target === undefined ? [] : [`--target=${values.target}`]),
  `--outfile=${values.outfile}`,
];
const entry = values.faults ? join(root, 'test', 'support', 'faulty-main.ts') : join(root, 'src', 'main.ts');
await $`${process.execPath} build ${flags} ${entry}`.quiet();
console.log(`built ${values.outfile}`);
