// `kache sync` and `kache save-manifest`: moving entries to and from the remote now, with an exit status to rely on.
import { KacheError } from '../core/errors.ts';
import { type CacheKey, parseDigest } from '../core/ids.ts';
import { buildIds, profileOf, workspaceRoot } from '../daemon/build-identity.ts';
import { itemsOf, publishBuild } from '../daemon/builds.ts';
import { hasEntry } from '../daemon/exchange.ts';
import { placeId, queueFolder, type RemoteConfig } from '../daemon/protocol.ts';
import { Transfers } from '../daemon/transfers.ts';
import { Uploads } from '../daemon/uploads.ts';
import { describeFailure } from '../remote/backend.ts';
import { ANY_TOOLCHAIN, type BuildItem } from '../remote/build-object.ts';
import { parseName, REMOTE_VERSION } from '../remote/names.ts';
import { openRemote, type Remote } from '../remote/open.ts';
import { mayTravel, readEntry } from '../store/entries.ts';
import { readEvents } from '../store/event-log.ts';
import { startEviction } from '../store/eviction-trigger.ts';
import { takeInventory } from '../store/inventory.ts';
import type { Store } from '../store/store.ts';
import { logTransfer } from '../store/transfer-log.ts';
import { appendFile, makeDirectory } from '../sys/files.ts';
import { isWithin } from '../sys/paths.ts';
import { openHere, settingsHere } from './open.ts';
import { Progress } from './progress.ts';
import { prune } from './prune.ts';
import { remoteHere } from './remote-here.ts';
import { formatBytes, print } from './terminal.ts';

export interface SyncOptions {
  readonly pull?: boolean;
  readonly push?: boolean;
  readonly all?: boolean;
  readonly workspace?: boolean;
  readonly dryRun?: boolean;
  readonly allowPartial?: boolean;
  readonly prune?: boolean;
  readonly maxAge?: string;
  readonly maxSize?: string;
}

interface Sync {
  readonly store: Store;
  readonly config: RemoteConfig;
  readonly remote: Remote;
  readonly options: SyncOptions;
}

/** Returns the exit status: 1 when something could not be moved, unless that is allowed. */
export async function sync(options: SyncOptions): Promise<number> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const config = remoteHere(loaded);
  const remote = openRemote(config.remote, config.env, (record) =>
    logTransfer(store, record, config.maxSizeBytes),
  );
  const job: Sync = { store, config, remote, options };
  if (options.prune === true) return prune(remote, config, options);
  const both = options.pull !== true && options.push !== true;
  let failed = 0;
  // Without a direction: what is queued goes, then what is needed comes.
  if ((both && !config.readonly) || options.push === true) failed += await push(job);
  if (both || options.pull === true) failed += await pull(job);
  return failed > 0 && options.allowPartial !== true ? 1 : 0;
}

async function push({ store, config, remote, options }: Sync): Promise<number> {
  if (config.readonly) {
    throw new KacheError('readonly', 'Cannot upload: cache.remote_readonly is on.', {
      hint: 'Unset KACHE_REMOTE_READONLY, or `kache config unset cache.remote_readonly`.',
    });
  }
  const folder = queueFolder(store.layout.root, placeId(config.remote));
  const uploads = new Uploads({
    store,
    remote,
    folder,
    compressionLevel: config.compressionLevel,
    log: (line) => console.error(`kache: ${line}`),
  });
  const wanted = options.all === true ? everything(store) : options.workspace === true ? usedHere(store) : [];
  if (options.dryRun === true) {
    print(
      `${new Set([...uploads.queued(), ...wanted]).size} entries would be uploaded to ${remote.write.place}.`,
    );
    return 0;
  }
  if (wanted.length > 0) makeDirectory(folder, 0o700);
  for (const key of wanted) appendFile(`${folder}/${key}`, new Uint8Array());
  const total = uploads.queued().length;
  using progress = new Progress('uploading', total);
  let drained = await uploads.drain(undefined, () => progress.step());
  // The daemon may have been at some of them: what is left now is done or has failed.
  for (let round = 0; drained.kind === 'empty' && uploads.queued().length > 0 && round < 600; round++) {
    await Bun.sleep(100);
    drained = await uploads.drain(undefined, () => progress.step());
  }
  const left = uploads.queued().length;
  const { uploaded, present, dropped, bytes } = uploads.counts;
  print(
    `Uploaded ${uploaded} entries, ${formatBytes(bytes)}; ${present} were there${dropped > 0 ? `, ${dropped} cannot travel` : ''}${left > 0 ? `, ${left} are left` : ''}.`,
  );
  if (drained.kind === 'stopped')
    console.error(`kache: Cannot upload to ${remote.write.place}: ${describeFailure(drained.why)}.`);
  return left;
}

/** Every entry that may travel. */
function everything(store: Store): CacheKey[] {
  return takeInventory(store).entries.flatMap(({ key }) => (mayTravel(store, key) ? [key] : []));
}

function usedHere(store: Store): CacheKey[] {
  const here = workspaceHere();
  const keys = new Set<CacheKey>();
  for (const { cache_key, root, out_dir } of readEvents(store)) {
    if (!isWithin(root ?? '', here) && !isWithin(out_dir ?? '', here)) continue;
    const key = parseDigest<CacheKey>(cache_key ?? '');
    if (key !== undefined && mayTravel(store, key)) keys.add(key);
  }
  return [...keys];
}

function workspaceHere(): string {
  const root = workspaceRoot([process.cwd()]);
  if (root !== undefined) return root;
  throw new KacheError(
    'no-workspace',
    `Cannot find a workspace from "${process.cwd()}": there is no Cargo.lock.`,
    {
      hint: 'Run it in a workspace, or use --all.',
    },
  );
}

async function pull({ store, config, remote, options }: Sync): Promise<number> {
  const transfers = new Transfers({
    store,
    remote,
    concurrency: config.concurrency,
    maxSizeBytes: config.maxSizeBytes,
    log: (line) => console.error(`kache: ${line}`),
  });
  const listed =
    options.all === true ? await allEntries(remote) : await listHere(transfers, config.remote.manifestKey);
  if (listed === undefined) {
    const { outage } = remote.read;
    console.error(
      `kache: Cannot read ${remote.read.place}: ${outage === undefined ? 'it does not answer' : describeFailure(outage)}.`,
    );
    return 1;
  }
  const missing = listed.filter((key) => !hasEntry(store, key));
  if (options.dryRun === true) {
    print(`${missing.length} entries of ${listed.length} would be downloaded from ${remote.read.place}.`);
    return 0;
  }
  if (missing.length > 0)
    logTransfer(store, { ts: Date.now(), planned: missing.length }, config.maxSizeBytes);
  using progress = new Progress('downloading', missing.length);
  let [failed, absent] = [0, 0];
  await Promise.all(
    missing.map(async (key) => {
      const answer = await transfers.entry(key, 'prefetch');
      if (answer === 'later') failed++;
      if (answer === 'absent') absent++;
      progress.step();
    }),
  );
  startEviction(store, process.execPath, config.maxSizeBytes);
  const { entries, refused } = transfers.counts;
  print(
    `Downloaded ${entries} entries, ${formatBytes(remote.traffic.downloadedBytes)}; ${listed.length - missing.length} were here${absent > 0 ? `, ${absent} are gone there` : ''}${failed > 0 ? `, ${failed} failed` : ''}.`,
  );
  // What is gone was evicted there, and is compiled here; what was refused should not have been like that.
  return failed + refused;
}

const PROFILES = ['debug', 'release'];

/** The entries the last builds of this workspace used, of every profile that was built here or is usual. */
async function listHere(
  transfers: Transfers,
  manifestKey: string | undefined,
): Promise<CacheKey[] | undefined> {
  const root = workspaceHere();
  const store = openHere();
  const seen = readEvents(store)
    .filter(({ out_dir }) => isWithin(out_dir ?? '', root))
    .flatMap(({ out_dir }) => profileOf(out_dir ?? '') ?? []);
  const keys = new Set<CacheKey>();
  for (const profile of new Set([...PROFILES, ...seen])) {
    const { exact, workspace } = buildIds(root, profile, manifestKey);
    const items: BuildItem[] | undefined =
      (await transfers.build(exact)) ?? (await transfers.build(workspace));
    for (const { key } of items ?? []) keys.add(key);
  }
  return transfers.isOut ? undefined : [...keys];
}

async function allEntries(remote: Remote): Promise<CacheKey[] | undefined> {
  const keys: CacheKey[] = [];
  for await (const item of remote.read.list(`${REMOTE_VERSION}/entries/`)) {
    if ('kind' in item) return undefined;
    const parsed = parseName(item.name);
    if (parsed?.kind === 'entries') keys.push(parsed.id as CacheKey);
  }
  return keys;
}

/** `kache save-manifest`: the list of the last build here becomes what the next one prefetches. */
export async function saveManifest(): Promise<void> {
  const loaded = settingsHere();
  const store = openHere(loaded);
  const config = remoteHere(loaded);
  const root = workspaceHere();
  const events = readEvents(store).filter(({ out_dir }) => isWithin(out_dir ?? '', root));
  const last = events.findLast(({ out_dir }) => profileOf(out_dir ?? '') !== undefined);
  const profile = profileOf(last?.out_dir ?? '');
  if (last?.build_pid === undefined || profile === undefined) {
    throw new KacheError(
      'no-build',
      `Cannot save the list of "${root}": nothing was built here through kache.`,
      {
        hint: 'Build it once, then run this again.',
      },
    );
  }
  const toolchain = events.findLast(
    (event) => event.build_pid === last.build_pid && event.toolchain !== undefined,
  );
  const items = itemsOf(events, {
    pid: last.build_pid,
    toolchain: toolchain?.toolchain ?? ANY_TOOLCHAIN,
  }).filter(({ key }) => readEntry(store, key) !== undefined);
  const remote = openRemote(config.remote, config.env, (record) =>
    logTransfer(store, record, config.maxSizeBytes),
  );
  const { exact, workspace } = buildIds(root, profile, config.remote.manifestKey);
  for (const id of [exact, workspace]) {
    if (await publishBuild(remote, id, items)) continue;
    const why = remote.write.outage;
    throw new KacheError(
      'remote',
      `Cannot write to ${remote.write.place}: ${why === undefined ? 'it refuses' : describeFailure(why)}.`,
      { hint: 'Run `kache doctor` for what to do.' },
    );
  }
  print(`Saved a list of ${items.length} entries.`);
}
