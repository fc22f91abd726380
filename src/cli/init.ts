// `kache init`: puts the native binary into Cargo's configuration, once, with everything else in there kept.
import { createInterface } from 'node:readline/promises';
import { KacheError } from '../core/errors.ts';
import { nativePath } from './binary.ts';
import { buildSetting, cargoHome, configIn } from './cargo-config.ts';
import { print, style } from './terminal.ts';
import { readToml, withValue, writeAtomically } from './toml.ts';

export interface InitOptions {
  readonly yes?: boolean;
  readonly check?: boolean;
}

/** Returns the exit status: with `check`, 1 when something would change. */
export async function init(options: InitOptions): Promise<number> {
  const wrapper = nativePath();
  const config = readToml(configIn(cargoHome()));
  const present = buildSetting(config, 'rustc-wrapper');
  warnAboutEnvironment(wrapper);
  if (present === wrapper) {
    print(`${style.green('ok')}  ${config.path} has kache as rustc-wrapper already.`);
    return 0;
  }
  print(`In ${config.path}, section [build]:`);
  if (present !== undefined) print(style.red(`  - rustc-wrapper = ${JSON.stringify(present)}`));
  print(style.green(`  + rustc-wrapper = ${JSON.stringify(wrapper)}`));
  if (options.check === true) return 1;
  if (options.yes !== true && !(await confirmed(present !== undefined))) {
    print('Nothing was changed.');
    return 1;
  }
  writeAtomically(
    config.path,
    withValue(config.text, config.table, { key: 'build.rustc-wrapper', value: wrapper }),
  );
  print('Written. Every `cargo build` goes through kache now; `kache doctor` checks the rest.');
  return 0;
}

function warnAboutEnvironment(wrapper: string): void {
  for (const name of ['RUSTC_WRAPPER', 'CARGO_BUILD_RUSTC_WRAPPER']) {
    const value = process.env[name];
    if (value !== undefined && value !== wrapper) {
      print(
        `${style.yellow('note')}  ${name}=${value} in the environment goes before Cargo's configuration.`,
      );
    }
  }
}

async function confirmed(replaces: boolean): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new KacheError('no-terminal', 'Cannot ask whether to go on: there is no terminal.', {
      hint: 'Say yes with `kache init -y`.',
    });
  }
  const prompt = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await prompt.question(replaces ? 'Replace the other wrapper? [y/N] ' : 'Write it? [Y/n] ');
  prompt.close();
  return answer.trim() === '' ? !replaces : /^y(es)?$/i.test(answer.trim());
}
