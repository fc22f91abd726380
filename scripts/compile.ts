// Compiles the program into one native binary: the flags are the same for every build there is.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { $ } from 'bun';

export interface Compilation {
  readonly entry: string;
  /** Its last part is inside the binary: the same name makes the same bytes. */
  readonly outfile: string;
  /** `bun-linux-arm64`; the machine's own when left out. */
  readonly target?: string | undefined;
  /** The runtime to put the program into; Bun's own file when left out. */
  readonly runtime?: string | undefined;
  /** Where to write what the bundle is made of. */
  readonly metafile?: string | undefined;
}

export async function compile({ entry, outfile, target, runtime, metafile }: Compilation): Promise<void> {
  mkdirSync(dirname(outfile), { recursive: true });
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
    ...(target === undefined ? [] : [`--target=${target}`]),
    ...(runtime === undefined ? [] : [`--compile-executable-path=${runtime}`]),
    ...(metafile === undefined ? [] : [`--metafile=${metafile}`]),
    `--outfile=${outfile}`,
  ];
  await $`${process.execPath} build ${flags} ${entry}`.quiet();
}
