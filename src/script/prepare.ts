// What is known of a run before it begins: its places, and the unit it is a run of.

import type { Call, Caller } from '../compile/call.ts';
import { identifyToolchain, processorIdentity } from '../compile/identify.ts';
import { outputBehind } from '../compile/stand-in.ts';
import type { Environment, Settings } from '../core/config.ts';
import type { UnitId } from '../core/ids.ts';
import { OF_A_SESSION } from '../rustc/macro-code.ts';
import { PathMap } from '../rustc/path-map.ts';
import { cargoHome, isFromRegistry } from '../rustc/roots.ts';
import type { EntryInputs } from '../store/entries.ts';
import { readOutputs, SourceHashes, signatureNow } from '../store/hashes.ts';
import { openStore, type Store } from '../store/store.ts';
import { isExecutable, listDirectory, lstat, readText, realPath } from '../sys/files.ts';
import { hashFile, sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin, resolve } from '../sys/paths.ts';
import { identityOf } from '../sys/process-table.ts';
import { loadSettings } from '../sys/settings.ts';
import type { Places } from './observation.ts';

/** Part of every unit: raise it whenever what enters a key changes. */
const RUN_VERSION = 'kache-run-2';

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
  /** Paths that must not be in what a run makes. */
  readonly unshared: readonly string[];
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
  const artifactDir = artifactDirOf(env, targetDir, dirname(dirname(dirname(standIn))));
  const apart = artifactDir === undefined ? [] : [artifactDir];
  // A way that leads up from a place behind a link leads somewhere else than its name says.
  if ([outDir, packageDir, ...apart].some((path) => realPath(path) !== path)) return undefined;
  // What an earlier run has left there may be an input of this one.
  if (listDirectory(outDir)?.length !== 0) return undefined;
  const isFixed = isFromRegistry(packageDir, { env });
  const given = environmentOf(env, isFixed);
  const toolchain = identifyToolchain({ store, invocation: { compiler: [rustc], env, cwd }, ask });
  const scriptHash = knownHash(store, script) ?? hashFile(script);
  if (given === undefined || toolchain === undefined || scriptHash === undefined) return undefined;
  const moving = [targetDir, ...apart, ...(isFixed ? [] : [packageDir])];
  // Everything is below such a place.
  if (moving.some((path) => dirname(path) === '/')) return undefined;
  const roots = [
    { name: 'out', path: outDir },
    { name: 'target', path: targetDir },
    ...apart.map((path) => ({ name: 'artifacts', path })),
    ...(isFixed ? [] : [{ name: 'pkg', path: packageDir }]),
  ];
  const map = new PathMap(roots.map((root) => ({ ...root, placeholder: undefined })));
  const pwd = given['PWD'];
  const calledIn = pwd?.startsWith('/') === true && pwd !== '/' && pwd !== cwd ? pwd : undefined;
  const { uid, gid, umask } = identityOf(input.caller.pid);
  const parts: [name: string, value: string][] = [
    ['key version', RUN_VERSION],
    ['key salt', settings.keySalt],
    ['toolchain build', toolchain.identity],
    ['build script', scriptHash],
    ['arguments', JSON.stringify([map.tokenize(cwd), ...input.args.map((arg) => map.tokenize(arg))])],
    ...Object.entries(given)
      .filter(([name]) => !NOT_IN_THE_UNIT.test(name))
      .map(([name, value]): [string, string] => [
        `env ${name}`,
        name === 'PWD'
          ? calledInUnit(value, { map, targetDir })
          : map.tokenize(withoutJobserver(name, value)),
      ])
      .sort(),
    // A run may go from one place to the other.
    [
      'how the places lie',
      JSON.stringify([
        wayBetween(targetDir, dirname(dirname(dirname(outDir)))),
        isFixed ? '' : wayBetween(packageDir, targetDir),
        ...apart.flatMap((path) => [
          waysApart(targetDir, path).length === 0 ? wayBetween(targetDir, path) : 'apart',
          isFixed ? '' : wayBetween(packageDir, path),
        ]),
      ]),
    ],
    // What a program learns without opening a file: instructions, uname(2), whose process it is.
    ['this processor', processorIdentity()],
    ['kernel', `${readText('/proc/sys/kernel/osrelease')}`],
    ['user', JSON.stringify([uid, gid, umask])],
  ];
  const unit = sha256(JSON.stringify(parts)) as UnitId;
  return {
    input,
    settings,
    store,
    startedMs,
    places: {
      outDir,
      targetDir,
      artifactDir,
      packageDir: isFixed ? undefined : packageDir,
      script,
      observer: observerOf(env),
      toolchain,
      named: [
        ...namedBy(given, moving),
        ...toolsOf(env).filter((folder) => !moving.some((place) => isWithin(place, folder))),
        toolchain.sysroot,
        ...(isFixed ? [packageDir, cwd] : []),
      ],
      calledIn,
      temporary: env['TMPDIR'] ?? '/tmp',
    },
    map,
    unshared: [
      ...map.roots.map(({ path }) => path),
      ...(calledIn === undefined ? [] : [calledIn]),
      ...apart.flatMap((path) => waysApart(targetDir, path)),
    ],
    env: given,
    scriptHash,
    hostName: readText('/proc/sys/kernel/hostname')?.trim() ?? '',
    unit,
    unitParts: parts.map(([name, value]) => [name, sha256(value)]),
    hashes: new SourceHashes(store, `run of ${unit}`),
  };
}

/** The way from a folder to another one, as a relative path. */
function wayBetween(from: string, to: string): string {
  const [left, right] = [from.split('/'), to.split('/')];
  let shared = 0;
  while (shared < left.length && left[shared] === right[shared]) shared++;
  return [...left.slice(shared).map(() => '..'), ...right.slice(shared)].join('/');
}

/**
 * Where Cargo puts what it was asked for, when it builds elsewhere (`build.build-dir`). The loader looks there before it
 * looks among dependencies.
 */
function artifactDirOf(env: Environment, targetDir: string, profileDir: string): string | undefined {
  const folders = (env['LD_LIBRARY_PATH'] ?? '').split(':');
  const before = folders[folders.indexOf(`${profileDir}/deps`) - 1];
  if (!before?.startsWith('/') || basename(before) !== basename(profileDir)) return undefined;
  return isWithin(before, targetDir) ? undefined : dirname(before);
}

/**
 * The ways between the two when the checkout's own name is in them, as with a build folder for all checkouts that has one
 * for each: they are others in each checkout, and no script knows them but by its variables.
 */
const waysApart = (targetDir: string, artifactDir: string): string[] =>
  isWithin(targetDir, dirname(artifactDir))
    ? []
    : [wayBetween(targetDir, artifactDir), wayBetween(artifactDir, targetDir)];

/** The folder Cargo was called in, as far as a run may depend on which it is. */
function calledInUnit(value: string, { map, targetDir }: { map: PathMap; targetDir: string }): string {
  const known = map.tokenize(value);
  if (known !== value || !value.startsWith('/')) return known;
  return `\0pwd\0${isWithin(targetDir, value) ? targetDir.slice(value.length) : ''}`;
}

/** Folders that variables name, besides those above the places of a run and in the checkouts these are part of. */
function namedBy(given: Readonly<Record<string, string>>, moving: readonly string[]): string[] {
  const checkouts = moving
    .flatMap(foldersAbove)
    .filter((folder) =>
      ['.git', 'Cargo.toml', 'Cargo.lock'].some((name) => lstat(`${folder}/${name}`) !== undefined),
    );
  const isApart = (folder: string): boolean =>
    !moving.some((place) => isWithin(place, folder)) &&
    ![...moving, ...checkouts].some((place) => isWithin(folder, place));
  return Object.entries(given)
    .filter(([name]) => name !== 'PWD')
    .flatMap(([, value]) => value.split(':'))
    .filter((path) => path.startsWith('/') && path !== '/')
    .map((path) => resolve('/', path))
    .flatMap((path) => (/^s?bin$/.test(basename(path)) ? [path, dirname(path)] : [path]))
    .filter(isApart);
}

/** Folders of the user's tools and settings, wherever the checkout is; one that it lies in is found from it, too. */
const toolsOf = (env: Environment): string[] =>
  [
    cargoHome({ env }),
    env['RUSTUP_HOME'],
    ...['.rustup', '.config', '.local', '.cache', '.gitconfig'].map((name) => `${env['HOME']}/${name}`),
  ].filter((path): path is string => path?.startsWith('/') === true);

function foldersAbove(path: string): string[] {
  const above: string[] = [];
  for (let at = path; at !== '/'; at = dirname(at)) above.push(at);
  return above;
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
  const output = outputBehind(script);
  const [signature, identity, boot] = readOutputs(store, output)?.files[basename(output)] ?? [];
  const isKnown =
    boot === store.boot && signature === signatureNow(script) && /^[0-9a-f]{64}$/.test(identity ?? '');
  return isKnown ? identity : undefined;
}

/** Undefined when a value is no UTF-8: it could not be handed on as it is. */
function environmentOf(env: Environment, isFixed: boolean): Record<string, string> | undefined {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || OF_A_SESSION.test(name)) continue;
    if (isFixed && OF_A_CI_RUN.test(name)) continue;
    if (`${name}${value}`.includes('\uFFFD')) return undefined;
    given[name] = value;
  }
  return given;
}

/** Make's flags without those that say where its jobs are counted. */
const withoutJobserver = (name: string, value: string): string =>
  /^(CARGO_MAKEFLAGS|MAKEFLAGS|MFLAGS)$/.test(name)
    ? value.replace(/(^|\s)(-j\d*|--jobserver-(auth|fds)=\S+)(?=\s|$)/g, '').trim()
    : value;
