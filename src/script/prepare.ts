// What is known of a run before it begins: its places, and the unit it is a run of.

import type { Call, Caller } from '../compile/call.ts';
import { identifyToolchain, processorIdentity } from '../compile/identify.ts';
import { scriptBehind } from '../compile/stand-in.ts';
import type { Environment, Settings } from '../core/config.ts';
import type { UnitId } from '../core/ids.ts';
import { PathMap } from '../rustc/path-map.ts';
import { cargoHome, isFromRegistry } from '../rustc/roots.ts';
import type { EntryInputs } from '../store/entries.ts';
import { readOutputs, SourceHashes, signatureNow } from '../store/hashes.ts';
import { openStore, type Store } from '../store/store.ts';
import { isExecutable, listDirectory, readText, realPath } from '../sys/files.ts';
import { hashFile, sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin } from '../sys/paths.ts';
import { loadSettings } from '../sys/settings.ts';
import type { Places } from './observation.ts';

/** Part of every unit: raise it whenever what enters a key changes. */
const RUN_VERSION = 'kache-run-1';

/** The process as a stand-in starts it. */
export interface ScriptInput {
  /** Where Cargo expects the build script. */
  readonly standIn: string;
  /** The build script. */
  readonly script: string;
  readonly args: readonly string[];
  readonly env: Environment;
  readonly cwd: string;
  readonly self: string;
  readonly caller: Caller;
}

export interface Run {
  readonly input: ScriptInput;
  readonly settings: Settings;
  readonly store: Store;
  readonly startedMs: number;
  readonly places: Places;
  /** Places of this target folder, which a run in another one does not share. */
  readonly map: PathMap;
  /** What the script is given: all of it is in the unit. */
  readonly env: Readonly<Record<string, string>>;
  /** SHA-256 of the script: the blob it is in the store. */
  readonly scriptHash: string;
  /** Of this machine, as uname(2) has it. */
  readonly hostName: string;
  readonly unit: UnitId;
  /** What is in the unit: names, and hashes of values. */
  readonly unitParts: EntryInputs['unit'];
  readonly hashes: SourceHashes;
}

/** Names of the terminal, the session and the shell, which differ from one window to the next: a watched run has none. */
const OF_A_SESSION =
  /^(OLDPWD|SHLVL|_|COLUMNS|LINES|WINDOWID|TMUX|TMUX_PANE|STY|LS_COLORS|TERM_SESSION_ID|SSH_(CLIENT|CONNECTION|TTY)|XDG_(SESSION_.*|ACTIVATION_TOKEN|VTNR|SEAT)|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|(VSCODE|DIRENV|KITTY|ALACRITTY|WEZTERM|ITERM|GHOSTTY|ZELLIJ|KONSOLE|TERM_PROGRAM|GNOME_TERMINAL)_?.*)$/;

/**
 * Names of one run in CI, and what it is about: other people's packages have no use for them. That there is a CI (`CI`,
 * `GITHUB_ACTIONS`, `GITLAB_CI`) they may know.
 */
const OF_A_CI_RUN =
  /^((GITHUB|RUNNER|ACTIONS|CI|BUILDKITE|CIRCLE)_(?!ACTIONS$).+|BUILD_(ID|NUMBER|TAG|URL))$/;

/** How much of the machine may be used, and kache itself: nothing of it is in what a script makes. */
const NOT_IN_THE_UNIT = /^(NUM_JOBS|RUSTC_WRAPPER|KACHE_.*)$/;

/** The run that is asked for; undefined where it is none to be kept. `ask` runs a short program, where one may be run. */
export function prepare(input: ScriptInput, ask: Call['ask']): Run | undefined {
  const startedMs = Date.now();
  const { env, cwd, standIn, script } = input;
  const { settings } = loadSettings(env, dirname(standIn));
  if (settings.disabled || settings.cacheBuildScripts === 'off' || settings.verifyRestores !== 'off')
    return undefined;
  const store = openStore(settings.cacheDir);
  if (store.kind === 'problem') return undefined;
  const [outDir, packageDir, rustc] = [env['OUT_DIR'], env['CARGO_MANIFEST_DIR'], env['RUSTC']];
  if (!outDir?.startsWith('/') || !packageDir?.startsWith('/') || rustc === undefined) return undefined;
  // `<target>/<profile>/build/<package>-<hash>/build-script-build`.
  const targetDir = dirname(dirname(dirname(dirname(standIn))));
  if (!isWithin(outDir, targetDir) || targetDir === '/') return undefined;
  // Programs resolve symbolic links: what they then look at would not be known for a place of this target folder.
  if (realPath(outDir) !== outDir || realPath(packageDir) !== packageDir) return undefined;
  // What an earlier run has left there may be an input of this one.
  if (listDirectory(outDir)?.length !== 0) return undefined;
  const isFixed = isFromRegistry(packageDir, { env });
  const given = environmentOf(env, { cwd, isFixed });
  const toolchain = identifyToolchain({ store, invocation: { compiler: [rustc], env, cwd }, ask });
  const scriptHash = knownHash(store, script) ?? hashFile(script);
  if (given === undefined || toolchain === undefined || scriptHash === undefined) return undefined;
  const roots = [
    { name: 'out', path: outDir },
    { name: 'target', path: targetDir },
    ...(isFixed ? [] : [{ name: 'pkg', path: packageDir }]),
  ];
  const map = new PathMap(roots.map((root) => ({ ...root, placeholder: undefined })));
  const parts: [name: string, value: string][] = [
    ['key version', RUN_VERSION],
    ['key salt', settings.keySalt],
    ['toolchain build', toolchain.identity],
    ['build script', scriptHash],
    ['arguments', JSON.stringify([map.tokenize(cwd), ...input.args.map((arg) => map.tokenize(arg))])],
    ...Object.entries(given)
      .filter(([name]) => !NOT_IN_THE_UNIT.test(name))
      .map(([name, value]): [string, string] => [`env ${name}`, map.tokenize(withoutJobserver(name, value))])
      .sort(),
    // What a program learns without opening a file: instructions, uname(2), whose process it is.
    ['this processor', processorIdentity()],
    ['kernel', `${readText('/proc/sys/kernel/osrelease')}`],
    ['user', JSON.stringify([process.getuid?.(), process.getgid?.(), process.umask()])],
  ];
  const unit = sha256(JSON.stringify(parts)) as UnitId;
  const named = [
    env['HOME'],
    cargoHome({ env }),
    env['RUSTUP_HOME'],
    env['TMPDIR'] ?? '/tmp',
    toolchain.sysroot,
    ...(env['PATH'] ?? '').split(':'),
  ];
  if (isFixed) named.push(packageDir, cwd);
  return {
    input,
    settings,
    store,
    startedMs,
    places: {
      outDir,
      targetDir,
      packageDir: isFixed ? undefined : packageDir,
      script,
      observer: observerOf(env),
      sysroot: toolchain.sysroot,
      named: named.filter((path): path is string => path?.startsWith('/') === true),
    },
    map,
    env: given,
    scriptHash,
    hostName: readText('/proc/sys/kernel/hostname')?.trim() ?? '',
    unit,
    unitParts: parts.map(([name, value]) => [name, sha256(value)]),
    hashes: new SourceHashes(store, `run of ${unit}`),
  };
}

/** Has the launcher that is in use watch: it stands before rustc, or in its usual place. */
function observerOf(env: Environment): string | undefined {
  const places = [env['RUSTC_WRAPPER'] ?? '', `${cargoHome({ env })}/bin/kache-launcher`];
  return places.find(
    (path) => path.startsWith('/') && basename(path) === 'kache-launcher' && isExecutable(path),
  );
}

/** The hash of a script that is as kache put it there. */
function knownHash(store: Store, script: string): string | undefined {
  const standIn = script.slice(0, -scriptBehind('').length);
  const [signature, identity, boot] = readOutputs(store, standIn)?.files[basename(standIn)] ?? [];
  const isKnown =
    boot === store.boot && signature === signatureNow(script) && /^[0-9a-f]{64}$/.test(identity ?? '');
  return isKnown ? identity : undefined;
}

/** Undefined when a value is no UTF-8: it could not be handed on as it is. */
function environmentOf(
  env: Environment,
  { cwd, isFixed }: { cwd: string; isFixed: boolean },
): Record<string, string> | undefined {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || OF_A_SESSION.test(name)) continue;
    if (isFixed && OF_A_CI_RUN.test(name)) continue;
    if (`${name}${value}`.includes('\uFFFD')) return undefined;
    given[name] = name === 'PWD' ? cwd : value;
  }
  return given;
}

/** Make's flags without those that say where its jobs are counted. */
const withoutJobserver = (name: string, value: string): string =>
  /^(CARGO_MAKEFLAGS|MAKEFLAGS|MFLAGS)$/.test(name)
    ? value.replace(/(^|\s)(-j\d*|--jobserver-(auth|fds)=\S+)(?=\s|$)/g, '').trim()
    : value;
