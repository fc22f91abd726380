// Checks of the store: that it can be used, by whom, on what, and whether there is room.
import { chmodSync, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { collect } from '../../store/budget.ts';
import { storeBytes, takeInventory } from '../../store/inventory.ts';
import type { Store } from '../../store/store.ts';
import { CANNOT_REFLINK, reflink } from '../../sys/clone.ts';
import { fileSystemOf } from '../../sys/file-system.ts';
import { bestEffort, createFile, isOsError, removeFile, utf8 } from '../../sys/files.ts';
import { Pace } from '../../sys/pace.ts';
import { capBytes } from '../open.ts';
import { count, formatBytes, percent } from '../terminal.ts';
import { type Check, type Context, type Finding, fail, look, ok } from './check.ts';
import { ofOtherOwners } from './owners.ts';

/** A check of a store that could be opened; the first check says why one could not. */
const onStore = (run: (store: Store, context: Context) => readonly Finding[]): Check['run'] => {
  return (context) => (context.store.kind === 'store' ? run(context.store, context) : []);
};

const usable: Check = {
  id: 'store',
  title: 'The store can be used',
  run: ({ store, loaded }) => {
    if (store.kind === 'store') {
      const problem = tryWrite(store);
      if (problem === undefined) return [ok(store.layout.root)];
      return [
        fail(
          `${store.layout.root}: ${problem}`,
          'Make the folder writable for you, free space on its disk, or set KACHE_CACHE_DIR. Until then nothing new is stored.',
        ),
      ];
    }
    const remedy =
      store.code === 'unknown-version'
        ? 'Another version of kache made it: update kache, or choose another KACHE_CACHE_DIR.'
        : 'Set KACHE_CACHE_DIR, or cache.local_store in the config file, to a folder that can be written. Until then every compile passes through.';
    return [fail(`${loaded.settings.cacheDir ?? '(nowhere)'}: ${store.detail}`, remedy)];
  },
};

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

const permissions: Check = {
  id: 'permissions',
  title: 'Only you can read the store',
  run: onStore(({ layout: { root } }) => {
    const { mode, uid } = statSync(root);
    const own = process.getuid?.();
    const seen = `${root} has mode ${(mode & 0o777).toString(8)} and belongs to user ${uid}`;
    if (uid !== own)
      return [
        look(`${seen}, you are ${own}`, `Make it yours (\`chown -R\`), or choose another KACHE_CACHE_DIR.`),
      ];
    return [(mode & 0o077) === 0 ? ok(seen) : look(seen, 'Run `kache doctor --fix`.')];
  }),
  fix: ({ store }) => {
    if (store.kind !== 'store' || statSync(store.layout.root).uid !== process.getuid?.()) return undefined;
    chmodSync(store.layout.root, 0o700);
    return `${store.layout.root} has mode 700 now`;
  },
};

const owners: Check = {
  id: 'owners',
  title: 'Everything in the store is yours',
  run: onStore((store) => {
    const others = ofOtherOwners(store, process.geteuid?.() ?? 0);
    return [others === undefined ? ok() : look(others.detail, others.remedy)];
  }),
};

const fileSystem: Check = {
  id: 'file-system',
  title: 'The file system suits a store',
  run: onStore((store) => {
    const { root } = store.layout;
    const { name, isNetwork } = fileSystemOf(root);
    const shares = canReflink(store);
    if (isNetwork)
      return [
        look(
          `${root} is on ${name}, behind a network: locks and links are slow there, and others may write`,
          'Set KACHE_CACHE_DIR to a folder on a local disk.',
        ),
      ];
    if (shares !== store.canReflink)
      return [
        look(
          `${name} ${shares ? 'can' : 'cannot'} share blocks, and the store was made where it ${shares ? 'could not' : 'could'}`,
          'Run `kache doctor --fix`.',
        ),
      ];
    return [ok(`${name}, outputs are shared ${shares ? 'by reflink' : 'by hardlink'}`)];
  }),
  fix: ({ store }) => {
    if (store.kind !== 'store' || canReflink(store) === store.canReflink) return undefined;
    // The next call that opens the store finds out anew.
    removeFile(store.layout.format);
    return `${store.layout.format} is made anew by what the file system can do`;
  },
};

/** Whether files of the store can share blocks now, whatever was so when it was made. */
function canReflink(store: Store): boolean {
  const [source, target] = [store.temporaryPath(), store.temporaryPath()];
  try {
    createFile(source, utf8('probe'));
    reflink(source, target);
    return true;
  } catch (error) {
    if (isOsError(error, ...CANNOT_REFLINK)) return false;
    // A full or closed disk: the check of the store itself says so.
    if (isOsError(error)) return store.canReflink;
    throw error;
  } finally {
    for (const path of [source, target]) bestEffort(() => removeFile(path));
  }
}

/** The nearest folder of a path that exists. */
function existing(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

const sameDisk: Check = {
  id: 'same-disk',
  title: 'The store is on the file system of this project',
  run: onStore(({ layout: { root } }, { project, cwd }) => {
    const output = existing(project?.buildDir?.path ?? project?.targetDir ?? cwd);
    if (statSync(output).dev === statSync(root).dev) return [ok(output)];
    return [
      look(
        `It is not that of ${output}: outputs are copied, not shared.`,
        'Set KACHE_CACHE_DIR to a folder on the file system of your projects.',
      ),
    ];
  }),
};

const MIN_FREE_BYTES = 1024 ** 3;
const MIN_FREE_INODES = 10_000;

const space: Check = {
  id: 'space',
  title: 'There is room on the disk',
  run: onStore(({ layout: { root } }) => {
    const { freeBytes, freeInodes } = fileSystemOf(root);
    const seen = `${formatBytes(freeBytes)}${freeInodes === undefined ? '' : ` and ${freeInodes} inodes`} free`;
    const isLow = freeBytes < MIN_FREE_BYTES || (freeInodes ?? MIN_FREE_INODES) < MIN_FREE_INODES;
    const remedy =
      '`kache clean` removes target directories; or lower cache.local_max_size and run `kache gc`.';
    return [isLow ? look(seen, remedy) : ok(seen)];
  }),
};

const size: Check = {
  id: 'size',
  title: 'The store is within its cap',
  run: onStore((store, { loaded }) => {
    const [used, cap] = [storeBytes(takeInventory(store)), capBytes(loaded, store)];
    const seen = `${formatBytes(used)} of ${formatBytes(cap)} (${percent(used, cap)} %)`;
    return [used > cap * 1.05 ? look(seen, 'Run `kache gc`.') : ok(seen)];
  }),
  fix: async ({ store, loaded }) => {
    if (store.kind !== 'store') return undefined;
    const options = { maxBytes: capBytes(loaded, store), isDoomed: () => false, nowMs: Date.now() };
    const collected = await collect(store, { ...options, pace: new Pace() });
    return collected && `${count(collected.entriesRemoved, 'entry')} evicted, as \`kache gc\` does`;
  },
};

export const STORE_CHECKS: readonly Check[] = [
  usable,
  permissions,
  owners,
  fileSystem,
  sameDisk,
  space,
  size,
];
