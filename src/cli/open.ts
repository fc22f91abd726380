// What most commands start with: the settings that hold here, and the store they name.
import { statfsSync } from 'node:fs';
import { KacheError } from '../core/errors.ts';
import { parseDurationMs } from '../core/quantities.ts';
import { openStore, type Store } from '../store/store.ts';
import { type LoadedSettings, loadSettings } from '../sys/settings.ts';

export const settingsHere = (): LoadedSettings => loadSettings(process.env, process.cwd());

/** The store of the settings that hold here, made when there is none. */
export function openHere(loaded = settingsHere()): Store {
  const store = openStore(loaded.settings.cacheDir);
  if (store.kind === 'store') return store;
  throw new KacheError(
    `store-${store.code}`,
    `Cannot open the store "${loaded.settings.cacheDir ?? '?'}": ${store.detail}.`,
    {
      hint: 'Run `kache doctor` for what to do.',
    },
  );
}

/** How far back the figures go when nothing is said. */
export const DEFAULT_SINCE = '24h';

const DEFAULT_CAP_BYTES = 50 * 1024 ** 3;

/** The size cap that holds: the setting, or 50 GiB but at most a tenth of the disk. */
export function capBytes(loaded: LoadedSettings, store: Store): number {
  if (loaded.settings.maxSizeBytes !== undefined) return loaded.settings.maxSizeBytes;
  const disk = statfsSync(store.layout.root);
  return Math.min(DEFAULT_CAP_BYTES, Math.floor((disk.blocks * disk.bsize) / 10));
}

/** `30m`, `24h`, `7d` as milliseconds; a wrong one is a usage error. */
export function durationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined) return ms;
  throw new KacheError(
    'usage',
    `Cannot read the duration "${text}": expected 30m, 24h, 7d, or hours as a number.`,
  );
}
