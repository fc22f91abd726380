// The checks of `doctor`, each a sentence, a state and a remedy.
import { chmodSync, statfsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { unknownKeys } from '../core/config.ts';
import { KacheError } from '../core/errors.ts';
import { findProgram } from '../rustc/toolchain.ts';
import { readEvents } from '../store/event-log.ts';
import { storeBytes, takeInventory } from '../store/inventory.ts';
import { openStore, type Store } from '../store/store.ts';
import { createFile, isOsError, removeFile, stat } from '../sys/files.ts';
import { outputOf } from '../sys/process.ts';
import type { LoadedSettings } from '../sys/settings.ts';
import { isNative, version } from './binary.ts';
import { buildSetting, type CargoConfig, configsFor } from './cargo-config.ts';
import { capBytes, settingsHere } from './open.ts';
import { formatBytes, percent } from './terminal.ts';

export interface Finding {
  /** Stable, for scripts. */
  readonly id: string;
  /** What was checked, as a sentence that is true when the state is ok. */
  readonly title: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  readonly remedy?: string;
}

const ok = (id: string, title: string, detail = ''): Finding => ({ id, title, state: 'ok', detail });
const warn = (id: string, title: string, told: { detail: string; remedy: string }): Finding => ({
  id,
  title,
  state: 'warn',
  ...told,
});
const fail = (id: string, title: string, told: { detail: string; remedy: string }): Finding => ({
  id,
  title,
  state: 'fail',
  ...told,
});

/** Runs every check. With `fix`, what is safe to mend is mended before it is looked at. */
export function runChecks(fix: boolean): Finding[] {
  const loaded = settingsHere();
  const store = openStore(loaded.settings.cacheDir);
  if (fix && store.kind === 'store') chmodSync(store.layout.root, 0o700);
  const findings = [binary(), ...cargo(), toolchain(), ...settings(loaded), ...variables()];
  if (store.kind === 'problem') {
    findings.push(
      fail('store', 'The store can be used', {
        detail: `${loaded.settings.cacheDir ?? '(nowhere)'}: ${store.detail}`,
        remedy:
          store.code === 'unknown-version'
            ? 'Another version of kache made it: update kache, or choose another KACHE_CACHE_DIR.'
            : 'Set KACHE_CACHE_DIR, or cache.local_store in the config file, to a folder that can be written. Until then every compile passes through.',
      }),
    );
    return findings;
  }
  return [...findings, ...storeChecks(store, loaded), ...recent(store)];
}

function binary(): Finding {
  const title = 'This is the native binary';
  if (isNative()) return ok('binary', title, `${process.execPath}, version ${version()}`);
  return fail('binary', title, {
    detail: process.execPath,
    remedy: 'Build it with `npm run build` and use dist/kache.',
  });
}

/** Whether a configured wrapper is this program or another kache binary. */
const isKache = (wrapper: string): boolean => /^kache(\.exe)?$/.test(basename(wrapper));

function cargo(): Finding[] {
  const title = 'Cargo runs rustc through kache';
  let configs: CargoConfig[];
  try {
    configs = configsFor(process.cwd());
  } catch (error) {
    if (!(error instanceof KacheError)) throw error;
    return [
      fail('cargo-config', "Cargo's configuration can be read", {
        detail: error.message,
        remedy: error.hint ?? '',
      }),
    ];
  }
  const [name, wrapper] = wrapperFrom(configs);
  const findings: Finding[] = [];
  if (wrapper === undefined) {
    findings.push(
      warn('wrapper', title, {
        detail: 'No rustc-wrapper is set.',
        remedy: 'Run `kache init`, or build with `kache cargo build`.',
      }),
    );
  } else if (!isKache(wrapper)) {
    findings.push(
      fail('wrapper', title, {
        detail: `${name} names another wrapper: ${wrapper}`,
        remedy: 'Run `kache init`, or unset it; another wrapper can be KACHE_FALLBACK.',
      }),
    );
  } else if (findProgram(wrapper, process.env, process.cwd()) === undefined || stat(wrapper) === undefined) {
    findings.push(
      fail('wrapper', title, {
        detail: `${name} names ${wrapper}, which is not there`,
        remedy: 'Run `kache init`.',
      }),
    );
  } else findings.push(ok('wrapper', title, `${name} = ${wrapper}`));
  const incremental = configs.find((config) => buildSetting(config, 'incremental') === true);
  if (process.env['CARGO_INCREMENTAL'] === '1' || incremental !== undefined) {
    findings.push(
      warn('incremental', 'Incremental compilation is not forced', {
        detail: incremental?.path ?? 'CARGO_INCREMENTAL=1',
        remedy:
          'Remove it: kache compiles without, and a forced setting makes keys that other checkouts do not share.',
      }),
    );
  }
  return findings;
}

/** The wrapper that holds and what says so, in Cargo's order: environment, then configuration. */
function wrapperFrom(configs: readonly CargoConfig[]): [string, string | undefined] {
  for (const name of ['RUSTC_WRAPPER', 'CARGO_BUILD_RUSTC_WRAPPER']) {
    const value = process.env[name];
    if (value !== undefined && value !== '') return [name, value];
  }
  for (const config of configs) {
    const value = buildSetting(config, 'rustc-wrapper');
    if (typeof value === 'string' && value !== '') return [config.path, value];
  }
  return ['', undefined];
}

function toolchain(): Finding {
  const title = 'rustc runs';
  const rustc = findProgram(process.env['RUSTC'] ?? 'rustc', process.env, process.cwd());
  const release =
    rustc === undefined ? undefined : /^release: (.*)$/m.exec(outputOf([rustc, '-vV']) ?? '')?.[1];
  if (release !== undefined) return ok('toolchain', title, `${rustc}, ${release}`);
  return fail('toolchain', title, {
    detail: rustc ?? 'not on PATH',
    remedy: 'Install Rust from https://rustup.rs, or mend PATH and RUSTC.',
  });
}

function settings(loaded: LoadedSettings): Finding[] {
  const title = 'The settings are understood';
  const problems = loaded.problems.map(({ name, message }) => `${whereIs(loaded, name)}: ${message}`);
  const broken = loaded.problems.some(({ name }) => name === 'file');
  if (!broken && loaded.text !== undefined) {
    const table = Bun.TOML.parse(loaded.text) as Record<string, unknown>;
    for (const key of unknownKeys(table))
      problems.push(`${whereIs(loaded, key)}: no such setting; it is ignored`);
  }
  if (problems.length === 0)
    return [
      ok(
        'settings',
        title,
        loaded.text === undefined ? 'no config file; defaults and environment' : (loaded.path ?? ''),
      ),
    ];
  return problems.map((detail) =>
    warn('settings', title, { detail, remedy: '`kache config list` shows every setting and its value.' }),
  );
}

/** File and line of a key, or the variable's name. */
function whereIs(loaded: LoadedSettings, name: string): string {
  if (name.startsWith('KACHE_')) return name;
  const last = name.split('.').at(-1) ?? name;
  const line = (loaded.text ?? '')
    .split('\n')
    .findIndex((text) => text.replace(/^[\s[\]]*/, '').startsWith(last));
  return name === 'file' ? (loaded.path ?? '') : `${loaded.path}${line < 0 ? '' : `:${line + 1}`} ${name}`;
}

const DANGEROUS: Readonly<Record<string, string>> = {
  BUN_OPTIONS: 'changes how the binary starts',
  BUN_BE_BUN: 'turns the binary into its runtime',
  RUSTC_LOG: 'makes every compile pass through',
  RUST_TARGET_PATH: 'makes every compile pass through',
};

function variables(): Finding[] {
  const title = 'No variable of the environment gets in the way';
  const set = Object.keys(DANGEROUS).filter((name) => process.env[name] !== undefined);
  if (process.env['KACHE_DISABLED'] === '1' || process.env['KACHE_DISABLED'] === 'true') {
    return [warn('variables', title, { detail: 'KACHE_DISABLED turns kache off', remedy: 'Unset it.' })];
  }
  if (set.length === 0) return [ok('variables', title)];
  return set.map((name) =>
    warn('variables', title, { detail: `${name} ${DANGEROUS[name]}`, remedy: `Unset ${name}.` }),
  );
}

const FILE_SYSTEMS: Readonly<Record<string, string>> = {
  '61267': 'ext4',
  '1481003842': 'xfs',
  '2435016766': 'btrfs',
  '16914836': 'tmpfs',
  '26985': 'nfs',
  '2035054128': 'overlayfs',
  '801189825': 'zfs',
};

function storeChecks(store: Store, loaded: LoadedSettings): Finding[] {
  const { root } = store.layout;
  const findings: Finding[] = [];
  const disk = statfsSync(root);
  const kind = FILE_SYSTEMS[String(disk.type)] ?? `type 0x${disk.type.toString(16)}`;
  const writable = tryWrite(store);
  const title = 'The store can be used';
  if (writable !== undefined) {
    findings.push(
      fail('store', title, {
        detail: `${root}: ${writable}`,
        remedy:
          'Make the folder writable for you, free space on its disk, or set KACHE_CACHE_DIR. Until then nothing new is stored.',
      }),
    );
  } else
    findings.push(
      ok(
        'store',
        title,
        `${root} (${kind}, ${store.canReflink ? 'shares blocks by reflink' : 'shares files by hardlink'})`,
      ),
    );
  const info = statSync(root);
  if ((info.mode & 0o077) !== 0 || info.uid !== process.getuid?.()) {
    findings.push(
      warn('permissions', 'Only you can read the store', {
        detail: `${root} has mode ${(info.mode & 0o777).toString(8)}, owner ${info.uid}`,
        remedy: 'Run `kache doctor --fix`, or make it yours.',
      }),
    );
  }
  const freeBytes = disk.bavail * disk.bsize;
  if (freeBytes < 1024 ** 3 || (disk.files > 0 && disk.ffree < 10000)) {
    findings.push(
      warn('space', 'There is room on the disk', {
        detail: `${formatBytes(freeBytes)} and ${disk.ffree} inodes free`,
        remedy: 'Free some space, or lower cache.local_max_size and run `kache gc`.',
      }),
    );
  }
  if (statSync(process.cwd()).dev !== info.dev) {
    findings.push(
      warn('same-disk', 'The store is on the file system of this project', {
        detail: 'It is not: outputs are copied, not shared.',
        remedy: 'Set KACHE_CACHE_DIR to a folder on the file system of your projects.',
      }),
    );
  }
  const used = storeBytes(takeInventory(store));
  const cap = capBytes(loaded, store);
  const sized = 'The store is within its cap';
  if (used > cap * 1.05)
    findings.push(
      warn('size', sized, {
        detail: `${formatBytes(used)} of ${formatBytes(cap)}`,
        remedy: 'Run `kache gc`.',
      }),
    );
  else
    findings.push(ok('size', sized, `${formatBytes(used)} of ${formatBytes(cap)} (${percent(used, cap)} %)`));
  return findings;
}

/** Why nothing can be written into the store, or undefined when it can. */
function tryWrite(store: Store): string | undefined {
  const path = store.temporaryPath();
  try {
    createFile(path, new Uint8Array(4096));
    removeFile(path);
    return undefined;
  } catch (error) {
    if (isOsError(error)) return error.code;
    throw error;
  }
}

const DAY_MS = 24 * 3600 * 1000;

function recent(store: Store): Finding[] {
  const title = 'Every compile of the last day could be stored';
  const failures = readEvents(store, Date.now() - DAY_MS).filter(
    ({ reason }) => reason?.startsWith('store-failed') === true,
  );
  const last = failures.at(-1);
  if (last === undefined) return [ok('recent', title)];
  return [
    warn('recent', title, {
      detail: `${failures.length} could not; the last: ${last.crate_name}, ${last.reason}`,
      remedy: 'Look at the store line above: no space, no permission, or a damaged disk.',
    }),
  ];
}
