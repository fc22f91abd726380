// This program: its version, its path, and whether it is the compiled one.

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
