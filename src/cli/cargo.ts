// `kache cargo …`: cargo once, with kache in front, no configuration touched.
import { KacheError } from '../core/errors.ts';
import { findProgram } from '../rustc/toolchain.ts';
import { isSupported, passThrough } from '../sys/pass-through.ts';
import { exec } from '../sys/process.ts';
import { nativePath } from './binary.ts';
import { isCurrentLauncher, launcherFor } from './launcher.ts';

/** Becomes cargo, or runs it where nothing is cached; its exit status is its own. */
export async function cargo(args: readonly string[]): Promise<never> {
  if (!isSupported)
    return passThrough(['cargo', ...args]).catch(() => {
      throw noCargo();
    });
  const launcher = launcherFor(nativePath());
  // Once is no reason to compile one.
  const wrapper = launcher !== undefined && isCurrentLauncher(launcher) ? launcher.path : nativePath();
  const program = findProgram('cargo', process.env, process.cwd());
  if (program === undefined) throw noCargo();
  return exec(program, ['cargo', ...args], { RUSTC_WRAPPER: wrapper });
}

const noCargo = (): KacheError =>
  new KacheError('no-cargo', 'Cannot run "cargo": there is none on PATH.', {
    hint: 'Install Rust from https://rustup.rs.',
  });
