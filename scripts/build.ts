// Builds the native binary: `bun scripts/build.ts [--target bun-linux-arm64] [--outfile PATH]`. With `--faults`, the test
// build: another entry puts a C library that fails on demand before the same program.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compile } from './compile.ts';

const root = join(import.meta.dir, '..');
const { values } = parseArgs({
  options: {
    target: { type: 'string' },
    faults: { type: 'boolean', default: false },
    outfile: { type: 'string', default: join(root, 'dist', 'kache') },
  },
});
const entry = values.faults ? join(root, 'test', 'support', 'faulty-main.ts') : join(root, 'src', 'main.ts');
await compile({ entry, outfile: values.outfile, target: values.target });
console.log(`built ${values.outfile}`);
