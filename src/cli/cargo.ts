// `kache cargo …`: cargo once, with kache in front, no configuration touched.
import { KacheError } from '../core/errors.ts';
import { findProgram } from '../rustc/toolchain.ts';
import { exec } from '../sys/process.ts';
import { nativePath } from './binary.ts';

/** Becomes cargo; its exit status and signals are its own. */
export function cargo(args: readonly string[]): never {
  const wrapper = nativePath();
  const program = findProgram('cargo', process.env, process.cwd());
  if (program === undefined) {
    throw new KacheError('no-cargo', 'Cannot run "cargo": there is none on PATH.', {
      hint: 'Install Rust from https://rustup.rs.',
    });
  }
  return exec(program, ['cargo', ...args], { RUSTC_WRAPPER: wrapper });
}
