// The environment every build runs in: nothing of the caller's cargo, rustc or cache settings.
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Environment, tryCapture } from './process.ts';

const INHERITED = ['PATH', 'LANG', 'LC_ALL', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'USER', 'LOGNAME'];
const FOR_DOWNLOADS = /^(https?|all|no)_proxy$/i;

/**
 * An environment with a home directory of its own under `work`, so that no configuration of any tool is found,
 * and cargo's home at `cargoHome`, shared by all tools. The toolchain is the caller's.
 */
export function cleanEnvironment(caller: NodeJS.ProcessEnv, work: string, cargoHome: string): Environment {
  const home = join(work, 'home');
  const temporary = join(work, 'tmp');
  for (const directory of [home, temporary, cargoHome]) {
    mkdirSync(directory, { recursive: true });
  }
  const environment: Environment = {
    HOME: home,
    TMPDIR: temporary,
    CARGO_HOME: cargoHome,
    CARGO_TERM_COLOR: 'never',
  };
  for (const [name, value] of Object.entries(caller)) {
    if (value !== undefined && (INHERITED.includes(name) || FOR_DOWNLOADS.test(name))) {
      environment[name] = value;
    }
  }
  environment['RUSTUP_HOME'] = caller['RUSTUP_HOME'] ?? join(homedir(), '.rustup');
  const toolchain =
    caller['RUSTUP_TOOLCHAIN'] ?? tryCapture(['rustup', 'show', 'active-toolchain'])?.split(' ')[0];
  if (toolchain !== undefined) {
    environment['RUSTUP_TOOLCHAIN'] = toolchain;
  }
  return environment;
}

/** Throws when a build under `work`, or with `cargoHome`, would read someone's cargo configuration. */
export function requireNoCargoConfig(work: string, cargoHome: string): void {
  const candidates = ['config', 'config.toml'].map((name) => join(cargoHome, name));
  for (let directory = work; ; directory = dirname(directory)) {
    candidates.push(join(directory, '.cargo', 'config'), join(directory, '.cargo', 'config.toml'));
    if (directory === dirname(directory)) {
      break;
    }
  }
  const found = candidates.find((path) => existsSync(path));
  if (found !== undefined) {
    throw new Error(
      `Cannot measure with "${found}": cargo would read it. Choose another --work-dir or --cargo-home.`,
    );
  }
}
