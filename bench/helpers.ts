// The small Rust programs of the suite, compiled when it starts.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { capture, type Environment } from './process.ts';

export type Helpers = {
  replayFloor: string;
  callRecorder: string;
  processMeter: string;
};

export function compileHelpers(work: string, environment: Environment): Helpers {
  const directory = join(work, 'helpers');
  mkdirSync(directory, { recursive: true });
  const compile = (name: string): string => {
    const output = join(directory, name);
    const source = join(import.meta.dir, 'helpers', `${name}.rs`);
    capture(['rustc', '--edition=2021', '-O', '-o', output, source], { cwd: work, env: environment });
    return output;
  };
  return {
    replayFloor: compile('replay-floor'),
    callRecorder: compile('call-recorder'),
    processMeter: compile('process-meter'),
  };
}

/** A compiled Bun program that does nothing: what every hit of kache pays before its first line. */
export function compileEmptyBun(work: string): string {
  const source = join(work, 'empty.ts');
  const output = join(work, 'helpers', 'empty-bun');
  writeFileSync(source, 'export {};\n');
  const flags = ['--compile', '--bytecode', '--format=esm', '--minify'];
  const isolation = ['--no-compile-autoload-dotenv', '--no-compile-autoload-bunfig'];
  capture([process.execPath, 'build', ...flags, ...isolation, source, '--outfile', output], { cwd: work });
  return output;
}
