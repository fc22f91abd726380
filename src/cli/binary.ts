// This program: its version, its path, and whether it is the compiled one.
import { basename } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };
import { KacheError } from '../core/errors.ts';

export const version = (): string => manifest.version;

/** Whether this is the native binary and not the runtime with a script. */
export const isNative = (): boolean => /^(\/\$bunfs|B:[\\/]~BUN)[\\/]/.test(import.meta.path);

/** The absolute path to put in front of rustc. */
export function nativePath(): string {
  if (isNative()) return process.execPath;
  throw new KacheError(
    'not-native',
    `Cannot use "${process.execPath}" as a compiler wrapper: it is the runtime, not the kache binary.`,
    {
      hint: 'Build it with `npm run build` and run dist/kache.',
    },
  );
}

/** What stands in the place of this binary in front of rustc (src/launcher). */
export const LAUNCHER_NAME = 'kache-launcher';

/** Whether a program is called kache, or is its launcher, in whatever folder. */
export const isKache = (program: string): boolean => /^kache(-launcher)?(\.exe)?$/.test(basename(program));
