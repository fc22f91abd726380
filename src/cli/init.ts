// `kache init`: puts the native binary into Cargo's configuration, offers to cache linked outputs, to keep runs of build
// scripts and, with a remote, the daemon as a service, and keeps everything else that is in those files.
import { lookUpKey, remoteOf, userConfigPath } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { isLinux } from '../sys/libc.ts';
import { askYesNo, canAsk } from './ask.ts';
import { isKache, nativePath } from './binary.ts';
import { buildSetting, cargoHome, configIn, configsFor, wrappersNamed } from './cargo-config.ts';
import { buildLauncher, isCurrentLauncher, type Launcher, launcherFor } from './launcher.ts';
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

/** A setting of kache that one may decline. */
interface Offer extends Change {
  readonly declined: unknown;
}

/** Returns the exit status: with `check`, 1 when something would change; 1 when nothing was written that should have been. */
export async function init(options: InitOptions): Promise<number> {
  const launcher = options.launcher === false ? undefined : launcherFor(nativePath());
  const wrapper = wrapperChange(launcher?.path ?? nativePath());
  const executables = executablesOffer();
  const scripts = scriptsOffer(launcher, executables);
  const isAsking = options.yes !== true && options.check !== true && canAsk();
  const offers = [executables, ...(isAsking ? [scripts] : [])].filter((one) => one !== undefined);
  const plan = [wrapper, ...offers.filter(({ present }) => present === undefined)].filter(isChange);
  const toCompile = launcher !== undefined && !isCurrentLauncher(launcher) ? launcher : undefined;
  if (toCompile !== undefined) {
    print(`The launcher, compiled by your rustc:`);
    print(style.green(`  + ${toCompile.path}`));
  }
  for (const change of plan) {
    if (change === scripts) print(WHAT_RUNS_ARE);
    show(change);
  }
  if (scripts !== undefined && !isAsking) print(style.dim(HOW_RUNS_ARE_KEPT));
  const service = plannedService(options);
  warnAboutRivals(wrapper);
  if (plan.length === 0 && toCompile === undefined && service === undefined) {
    print(`${style.green('ok')}  ${wrapper.path} has kache as rustc-wrapper already.`);
    return 0;
  }
  if (options.check === true) return 1;
  const accepted: Change[] = [];
  // Without the wrapper nothing else has an effect.
  if (plan.includes(wrapper) && !(await wantsWrapper(wrapper, options))) {
    print('Nothing was changed.');
    return 1;
  }
  if (plan.includes(wrapper)) accepted.push(wrapper);
  if (plan.includes(executables)) accepted.push(decided(executables, await wantsExecutables(options)));
  const hasScripts = !accepted.some(({ key, value }) => key === executables.key && value === false);
  if (scripts !== undefined && plan.includes(scripts) && hasScripts)
    accepted.push(decided(scripts, await askYesNo('Keep what build scripts of dependencies make?', false)));
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
    problem === undefined
      ? accepted
      : [inPlaceOfLauncher, ...accepted.filter(({ key }) => ![wrapper.key, scripts?.key].includes(key))];
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

/** Recommended on Linux. Whoever has decided, either way, is not asked again. */
function executablesOffer(): Offer {
  const named = process.env['KACHE_CONFIG'];
  const path = named === undefined || named === '' ? userConfigPath(process.env) : named;
  if (path === undefined)
    throw new KacheError('no-home', 'Cannot find a place for the config file: HOME is not set.', {
      hint: 'Name one with KACHE_CONFIG.',
    });
  return offer(path, { key: 'cache.cache_executables', value: true, declined: false });
}

const offer = (path: string, { key, value, declined }: Pick<Offer, 'key' | 'value' | 'declined'>): Offer => ({
  ...{ path, key, value, declined },
  present: lookUpKey(readToml(path).table, key),
});

const decided = (one: Offer, isWanted: boolean): Change => ({
  ...one,
  value: isWanted ? one.value : one.declined,
});

/** Where it can work, and nobody has decided about it. */
function scriptsOffer(launcher: Launcher | undefined, executables: Offer): Offer | undefined {
  if (launcher === undefined || executables.present === false) return undefined;
  const scripts = offer(executables.path, {
    key: 'cache.cache_build_scripts',
    value: 'dependencies',
    declined: 'off',
  });
  return scripts.present === undefined ? scripts : undefined;
}

const WHAT_RUNS_ARE =
  'What build scripts of dependencies make, such as compiled C code, is put back in another checkout, when\n' +
  'everything a run was seen to look at is as it was. Each is watched for that, by ptrace(2), the first time:';

const HOW_RUNS_ARE_KEPT =
  'Not kept: what build scripts make. `kache config set cache.cache_build_scripts dependencies` keeps it.';

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
