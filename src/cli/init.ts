// `kache init`: puts the native binary into Cargo's configuration, offers to cache linked outputs and, with a remote, the
// daemon as a service, and keeps everything else that is in those files.
import { lookUpKey, remoteOf, userConfigPath } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { isLinux } from '../sys/libc.ts';
import { askYesNo, canAsk } from './ask.ts';
import { isKache, nativePath } from './binary.ts';
import { buildSetting, cargoHome, configIn, configsFor, wrappersNamed } from './cargo-config.ts';
import { buildLauncher, isCurrentLauncher, launcherFor } from './launcher.ts';
import { settingsHere } from './open.ts';
import { installHere, type ServiceHere, serviceHere } from './service-here.ts';
import { print, style } from './terminal.ts';
import { lineOfKey, readToml, withValue, writeAtomically } from './toml.ts';

export interface InitOptions {
  readonly yes?: boolean;
  readonly check?: boolean;
  /** Put kache in the place of another wrapper. */
  readonly replace?: boolean;
  /** False: `--no-service`. */
  readonly service?: boolean;
  /** False: `--no-launcher`. */
  readonly launcher?: boolean;
}

/** One value in one file. */
interface Change {
  readonly path: string;
  readonly key: string;
  readonly value: unknown;
  readonly present: unknown;
}

/** Returns the exit status: with `check`, 1 when something would change; 1 when nothing was written that should have been. */
export async function init(options: InitOptions): Promise<number> {
  const launcher = options.launcher === false ? undefined : launcherFor(nativePath());
  const wrapper = wrapperChange(launcher?.path ?? nativePath());
  const executables = executablesChange();
  const plan = [wrapper, ...(executables.isDecided ? [] : [executables])].filter(isChange);
  const toCompile = launcher !== undefined && !isCurrentLauncher(launcher) ? launcher : undefined;
  if (toCompile !== undefined) {
    print(`The launcher, compiled by your rustc:`);
    print(style.green(`  + ${toCompile.path}`));
  }
  for (const change of plan) show(change);
  const service = plannedService(options);
  warnAboutRivals(wrapper);
  if (plan.length === 0 && toCompile === undefined && service === undefined) {
    print(`${style.green('ok')}  ${wrapper.path} has kache as rustc-wrapper already.`);
    return 0;
  }
  if (options.check === true) return 1;
  const accepted: Change[] = [];
  for (const change of plan) {
    const isWanted =
      change === wrapper ? await wantsWrapper(change, options) : await wantsExecutables(options);
    // Without the wrapper nothing else has an effect.
    if (!isWanted && change === wrapper) {
      print('Nothing was changed.');
      return 1;
    }
    accepted.push(isWanted ? change : { ...change, value: false });
  }
  const isLauncherWanted =
    toCompile !== undefined &&
    (plan.includes(wrapper) || options.yes === true || (await askOr('Compile the launcher anew?')));
  const isServiceWanted =
    service !== undefined && (options.yes === true || (await askOr('Install and start the service?')));
  if (plan.length === 0 && !isLauncherWanted && !isServiceWanted) {
    print('Nothing was changed.');
    return 0;
  }
  const problem = toCompile !== undefined && isLauncherWanted ? buildLauncher(toCompile) : undefined;
  if (problem !== undefined)
    print(`${style.yellow('note')}  No launcher: ${problem}. Every call starts ${nativePath()} instead.`);
  // Also where the configuration names the launcher already: what could not be compiled may not be there.
  const inPlaceOfLauncher = { ...wrapper, value: nativePath() };
  const written =
    problem === undefined ? accepted : [inPlaceOfLauncher, ...accepted.filter((one) => one !== wrapper)];
  for (const { path, key, value } of written) {
    const config = readToml(path);
    writeAtomically(path, withValue(config.text, config.table, { key, value }));
  }
  if (service !== undefined && isServiceWanted) installHere(service);
  print('Written. Every `cargo build` goes through kache now; `kache doctor` checks the rest.');
  return 0;
}

/** The daemon as a service, where that is of use and not there yet; says in the plan why it is not offered. */
function plannedService({ service: isOffered }: InitOptions): ServiceHere | undefined {
  if (isOffered === false) return undefined;
  if (remoteOf(settingsHere().settings) === undefined) {
    print(style.dim('No background service: without a remote, builds start the daemon when it is of use.'));
    return undefined;
  }
  const here = serviceHere();
  if (here.state === 'current') return undefined;
  if (here.manager === undefined) {
    print(style.dim('No background service: nothing here manages services; builds start the daemon.'));
    return undefined;
  }
  print(`The daemon as a service of yours, in ${here.path}:`);
  print(style.green(`  + ${here.service.enable.map((argv) => argv.join(' ')).join('\n  + ')}`));
  return here;
}

const isChange = ({ present, value }: Change): boolean => present !== value;

function wrapperChange(value: string): Change {
  const config = readToml(configIn(cargoHome()));
  const present = buildSetting(config, 'rustc-wrapper');
  return { path: config.path, key: 'build.rustc-wrapper', value, present };
}

/** Recommended on Linux. Whoever has decided, either way and wherever, is not asked again. */
function executablesChange(): Change & { readonly isDecided: boolean } {
  const named = process.env['KACHE_CONFIG'];
  const path = named === undefined || named === '' ? userConfigPath(process.env) : named;
  if (path === undefined)
    throw new KacheError('no-home', 'Cannot find a place for the config file: HOME is not set.', {
      hint: 'Name one with KACHE_CONFIG.',
    });
  const key = 'cache.cache_executables';
  const present = lookUpKey(readToml(path).table, key);
  return { path, key, value: true, present, isDecided: present !== undefined };
}

function show({ path, key, value, present }: Change): void {
  const [section, name] = [key.slice(0, key.lastIndexOf('.')), key.slice(key.lastIndexOf('.') + 1)];
  print(`In ${path}, section [${section}]:`);
  if (present !== undefined) print(style.red(`  - ${name} = ${JSON.stringify(present)}`));
  print(style.green(`  + ${name} = ${JSON.stringify(value)}`));
}

async function wantsWrapper({ path, present }: Change, options: InitOptions): Promise<boolean> {
  const isOther = typeof present === 'string' ? present !== '' && !isKache(present) : present !== undefined;
  if (isOther && options.replace !== true) {
    if (options.yes !== true && canAsk())
      return askYesNo(
        `Replace ${JSON.stringify(present)}? Only one wrapper can stand in front of rustc.`,
        false,
      );
    throw new KacheError(
      'other-wrapper',
      `Cannot put kache into "${path}": ${JSON.stringify(present)} is the rustc-wrapper already.`,
      { hint: 'Put kache in its place with `kache init -y --replace`; it can stay as KACHE_FALLBACK.' },
    );
  }
  return options.yes === true || askOr('Write this?');
}

const wantsExecutables = async (options: InitOptions): Promise<boolean> =>
  options.yes === true
    ? isLinux
    : askOr('Cache binaries, tests and build scripts too? (recommended on Linux)', isLinux);

function askOr(question: string, preset = true): Promise<boolean> {
  if (canAsk()) return askYesNo(question, preset);
  throw new KacheError('no-terminal', 'Cannot ask whether to go on: there is no terminal.', {
    hint: 'Say yes with `kache init -y`.',
  });
}

/** Places that go before the file that is written: a variable, or a configuration nearer to here. */
function warnAboutRivals({ path, value }: Change): void {
  const place = { configs: configsFor(process.cwd()), env: process.env, cwd: process.cwd() };
  for (const { from, value: other } of wrappersNamed(place)) {
    if (from === path) return;
    if (other === value) continue;
    const config = place.configs.find((one) => one.path === from);
    const line = config === undefined ? undefined : lineOfKey(config.text, 'build.rustc-wrapper');
    print(
      `${style.yellow('note')}  ${from}${line === undefined ? '' : `:${line}`} names ${other === '' ? 'no wrapper' : other} and goes before ${path}.`,
    );
  }
}
