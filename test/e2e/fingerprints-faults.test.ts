// Filling a new target folder, and keeping what it is filled from, when something fails: kill -9 and refusals at file-system
// operations of every kind, damaged plans and stores, evictions, builds beside each other, interruptions, daemons that die.
// Every build is right, whatever it was filled with, and the next one has nothing to do.
import { afterEach, expect } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isScriptRun } from '../../src/core/events.ts';
import { encodeRecord } from '../../src/store/records.ts';
import { DAMAGES, damage } from '../support/fault-place.ts';
import { FreshFaults, linkedBelow, modesBelow, recordsBelow } from '../support/fresh-faults.ts';
import { filesBelow } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { linuxOnly, openOnLinux } from '../support/linux.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import { processesLeft, until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 240_000;
const ALL = ['linked', 'mac', 'native-sys', 'scripted', 'top'];

let place: FreshFaults;
const onLinux = linuxOnly('faults while target folders are filled', 'they are filled on Linux alone');
openOnLinux(FreshFaults, (opened) => {
  place = opened;
});
afterEach(() => {
  place?.clear();
}, 60_000);

const targetOf = (dir: string): string => join(dir, 'target');
/** What an operation is, apart from which unit it is about. */
const kindOf = (operation: string): string =>
  operation
    .replaceAll(place.lab.root, '')
    .replace(/checkouts\/\d+(\/deeper)*/, '')
    .replace(/(native[-_]sys|linked|scripted|top|mac)\b/g, 'unit')
    .replace(/(-|\/)[0-9a-f]{16,64}/g, '$1hash')
    .replace(/\/[0-9a-f]{2}\//, '/')
    .replace(/(run-)?build-script-build-script-build|lib-unit/, 'record')
    .replace(/\/(examples|incremental|deps|build)$/, '/folder')
    .replace(/\.kache\/.*/, 'aside')
    .replace(/\d+-\w+-\d+$/, 'temporary');

/** The first operation of each kind, by number. */
function firstOfEach(operations: readonly string[]): Map<number, string> {
  const kinds = new Set<string>();
  const found = new Map<number, string>();
  for (const [at, operation] of operations.entries()) {
    const kind = kindOf(operation);
    if (!kinds.has(kind)) found.set(at + 1, kind);
    kinds.add(kind);
  }
  return found;
}

/** What launchers have left in the store. */
const leftInStore = (): string[] => {
  place.lab.settle();
  return filesBelow(join(place.store, 'tmp'))
    .map(({ name }) => name)
    .sort();
};

onLinux(
  'kill -9 of a launcher at operations of every kind while it fills a folder',
  async () => {
    await place.filled();
    await place.faulted(place.checkout(), '');
    const all = firstOfEach(place.launcher.traced());
    expect(all.size).toBeGreaterThan(30);
    const [daemon, left] = [place.daemon(), leftInStore()];
    for (const [n, kind] of all) {
      const at = `${n}: ${kind}`;
      const dir = place.checkout();
      const died = await place.faulted(dir, `any ${n} die-midway`);
      expect([at, place.launcher.traced().at(-1)]).toEqual([at, expect.stringContaining('! die-midway')]);
      // The compiler has answered: Cargo asks for what is not there.
      place.expectSound(at, dir, died);
      expect([at, leftInStore()]).toEqual([at, left]);
      rmSync(dir, { recursive: true });
    }
    expect(place.daemon()).toBe(daemon);
    expect((await place.soundly('afterwards', place.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'kill -9 of the daemon at operations of every kind while a folder is filled',
  async () => {
    await place.filled();
    await place.faultedDaemon(place.checkout(), '');
    const all = place.traced();
    // The first and the last: nothing has been put in place yet, and much.
    const last = [...firstOfEach(all.toReversed())].map(([n, kind]) => [all.length + 1 - n, kind] as const);
    const chosen = new Map([...firstOfEach(all), ...last]);
    expect(chosen.size).toBeGreaterThan(15);
    for (const [n, kind] of chosen) {
      const at = `${n}: ${kind}`;
      const dir = place.checkout();
      const built = await place.faultedDaemon(dir, `any ${n} die-midway`);
      expect([at, place.traced().at(-1)]).toEqual([at, expect.stringContaining('! die-midway')]);
      place.expectSound(at, dir, built);
      expect([at, place.asides(dir)]).toEqual([at, []]);
      rmSync(dir, { recursive: true });
    }
    await place.filled();
  },
  TIMEOUT_MS,
);

/** Faults of a launcher. */
const REFUSALS = [
  ...['ENOSPC', 'EACCES', 'EROFS', 'EMLINK', 'EIO'].flatMap((error) => [
    `any every ${error} /target/`,
    `any every ${error} /store/`,
  ]),
  'link every EMLINK',
  'link every EMLINK build-script-build$',
  'link every EXDEV .rlib$',
  'create every ENOSPC /.fingerprint/.*/(lib|run)-[a-z_-]+$',
  'write every full /build/.*/output$',
  'write 9 full /target/',
  'write every short /target/',
  'copy 5 full /target/',
  'copy every short /target/',
  'copy every EXDEV /target/',
  'rename 7 EIO /target/',
  'rename every EIO /out/',
  'mkdir every EDQUOT /out$',
  'mkdir 12 EACCES',
  'lock every ENOLCK',
  'open every EMFILE /store/',
  'close 9 EIO /target/',
  'stat every EIO /target/',
  // It is all in place then, and whole, only nobody knows.
  'stat every EIO /out/made.rs$',
  'stat every EIO /deps/libscripted-.*rlib$',
];

onLinux(
  'a target folder and a store that refuse a launcher, while it fills the folder',
  async () => {
    await place.filled();
    const left = leftInStore();
    for (const fault of REFUSALS) {
      const dir = place.checkout();
      const built = await place.faulted(dir, fault);
      const struck = place.launcher.traced().filter((line) => line.startsWith('!'));
      expect([fault, struck.length > 0]).toEqual([fault, true]);
      place.expectSound(fault, dir, built);
      expect([fault, place.asides(dir), leftInStore()]).toEqual([fault, [], left]);
      rmSync(dir, { recursive: true });
    }
    expect((await place.soundly('afterwards', place.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

/** Faults of a daemon. */
const REFUSALS_TO_DAEMON = [
  ...['ENOSPC', 'EACCES', 'EROFS', 'EIO'].map((error) => `any every ${error} /store/`),
  'any 20 ENOSPC /store/',
  'write 9 full /store/',
  'touch every EACCES /store/entries/',
  'rename every EIO /store/hashes/',
  'create every EMFILE /store/events/',
  'open every EMFILE /store/',
  'open 40 EMFILE',
  'read every EIO /store/',
  'read every EIO /store/hashes/fingerprints/',
  'read 9 EIO /store/entries/',
  'stat every EIO /store/',
  'stat every EIO /target/',
  'stat every EIO /out/made.rs$',
  'stat every EIO /deps/libscripted-.*rlib$',
];

onLinux(
  'a store that refuses the daemon, while it answers for a folder that is filled',
  async () => {
    await place.filled();
    for (const fault of REFUSALS_TO_DAEMON) {
      const dir = place.checkout();
      const built = await place.faultedDaemon(dir, fault);
      const struck = place.traced().filter((line) => line.startsWith('!'));
      expect([fault, struck.length > 0]).toEqual([fault, true]);
      place.expectSound(fault, dir, built);
      expect([fault, place.asides(dir)]).toEqual([fault, []]);
      expect([fault, place.daemon()]).toEqual([fault, place.struckDaemon]);
      rmSync(dir, { recursive: true });
    }
    await place.filled();
  },
  TIMEOUT_MS,
);

onLinux(
  'a run that is put in place in vain leaves its folder empty, as a build script expects it',
  async () => {
    await place.filled();
    for (const fault of [
      'create every ENOSPC /build/scripted-[0-9a-f]+/output$',
      'create every ENOSPC /.fingerprint/scripted-[0-9a-f]+/run-[a-z-]+$',
      'rename every EIO /build/scripted-[0-9a-f]+/out/',
      // Its record is there already.
      'stat every EIO /build/scripted-[0-9a-f]+/out/',
      // Not even that can be done: Cargo's call does it.
      'create every ENOSPC /build/scripted-[0-9a-f]+/output$;unlink every EIO /out/',
    ]) {
      const dir = place.checkout();
      const before = place.lab.events().length;
      place.expectSound(fault, dir, await place.faulted(dir, fault));
      place.lab.settle();
      // In a folder that holds something it would have been run.
      const runs = place.lab
        .events()
        .slice(before)
        .filter((event) => isScriptRun(event) && event.crate_name === 'scripted');
      expect([fault, runs.map(({ result }) => result)]).toEqual([fault, ['local_hit']]);
    }
  },
  TIMEOUT_MS,
);

onLinux(
  'a filled folder is as Cargo makes one, whatever the umask: names, modes, links, and what Cargo notes',
  async () => {
    for (const umask of ['022', '077', '002']) {
      const through = ['sh', '-c', `umask ${umask} && exec env -u PWD -u OLDPWD "$0" "$@"`];
      // It is in the key of a run, and a daemon answers for its own.
      await place.stop();
      await place.filled({ through });
      const [full, hits, plain] = [place.checkout(), place.checkout(), place.checkout()];
      expect((await place.soundly(umask, full, { through })).asked).toEqual([]);
      const ordinary = { through, env: { KACHE_CACHE_FINGERPRINTS: undefined } };
      expect((await place.soundly(umask, hits, ordinary)).asked).toEqual(ALL);
      await place.build(plain, { through, env: { RUSTC_WRAPPER: undefined, CARGO_INCREMENTAL: '0' } });
      expect([umask, modesBelow(targetOf(full))]).toEqual([umask, modesBelow(targetOf(hits))]);
      expect([umask, recordsBelow(targetOf(full))]).toEqual([umask, recordsBelow(targetOf(hits))]);
      expect([umask, linkedBelow(targetOf(full))]).toEqual([umask, linkedBelow(targetOf(hits))]);
      // Apart from outputs, which are as an ordinary hit leaves them, and the program, which has the name of its place.
      const isOutput = /\/(deps|build)\/.*(\.(rlib|rmeta|so|d|script)|build.script.build.*)$|\/app(-|$)/;
      const ofCargo = (dir: string) =>
        Object.fromEntries(
          Object.entries(modesBelow(targetOf(dir))).filter(([path]) => !isOutput.test(path)),
        );
      expect([umask, ofCargo(full)]).toEqual([umask, ofCargo(plain)]);
    }
    await place.stop();
  },
  TIMEOUT_MS,
);

/** Damages files of the store, if there are any, and says what a build in a new folder asks for; the next one is filled. */
async function damaged(what: string, change: () => void): Promise<readonly string[]> {
  await place.filled();
  change();
  const dir = place.checkout();
  const { asked } = await place.soundly(what, dir);
  expect([what, place.asides(dir)]).toEqual([what, []]);
  return asked;
}

onLinux(
  'a plan that is damaged, empty, of another version, or of another shape',
  async () => {
    const changed = (change: (text: string) => string) => (): void =>
      writeFileSync(path, change(saved.toString()));
    const record = (kind: string, plan: (old: Plan) => unknown) =>
      changed((text) => {
        const [name = '', body = ''] = text.split('\n').slice(1);
        return encodeRecord(kind, [JSON.parse(name), plan(JSON.parse(body) as Plan)]);
      });
    type Plan = { locks: string[]; folders: string[]; units: { record: unknown[]; argv: string[] }[] };
    await place.filled();
    await place.kept();
    const [path = ''] = place.plans();
    const saved = readFileSync(path);
    const askedAfter = async (what: string): Promise<readonly string[]> => {
      const dir = place.checkout();
      const { asked } = await place.soundly(what, dir);
      expect([what, place.asides(dir)]).toEqual([what, []]);
      if (asked.length > 0) await place.kept();
      rmSync(path, { recursive: true, force: true });
      writeFileSync(path, saved);
      return asked;
    };
    for (const how of DAMAGES) {
      damage(path, how);
      expect([how, await askedAfter(how)]).toEqual([how, ALL]);
    }
    const shapes: Record<string, () => void> = {
      empty: changed(() => ''),
      'of another version': record('kache-memo-2', (plan) => plan),
      nothing: record('kache-memo-1', () => null),
      'without units': record('kache-memo-1', ({ locks, folders }) => ({ locks, folders })),
      'without locks': record('kache-memo-1', ({ units, folders }) => ({ units, folders })),
      'with records of others': record('kache-memo-1', ({ units, ...rest }) => ({
        ...rest,
        units: units.map((unit, at) => ({ ...unit, record: units.at(at - 1)?.record })),
      })),
      'with calls of others': record('kache-memo-1', ({ units, ...rest }) => ({
        ...rest,
        units: units.map((unit, at) => ({ ...unit, argv: units.at(at - 1)?.argv })),
      })),
      'with units that are gone': record('kache-memo-1', ({ units, ...rest }) => ({
        ...rest,
        units: units.map((unit) => ({ ...unit, crate: ['gone', '1.0.0'] })),
      })),
    };
    for (const [what, change] of Object.entries(shapes)) {
      change();
      expect([what, (await askedAfter(what)).length > 0]).toEqual([what, true]);
    }
    record('kache-memo-1', (plan) => ({ ...plan, units: plan.units.toReversed() }))();
    expect(await askedAfter('with units in no order')).toEqual([]);
    expect(await askedAfter('as it was')).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'blobs and entries that are gone or damaged, evicted and purged; a tiny cap',
  async () => {
    place.isDamaged = true;
    for (const folder of ['blobs', 'entries', 'units', 'hashes'])
      for (const how of folder === 'blobs' ? DAMAGES : (['truncated'] as const))
        await damaged(`${folder} ${how}`, () => {
          for (const [at, { path, name }] of filesBelow(join(place.store, folder)).entries())
            if (at % 2 === 0 && !name.endsWith('.seal') && !path.includes('/fingerprints/'))
              damage(path, how);
        });
    for (const folder of ['blobs', 'entries', 'units'])
      rmSync(join(place.store, folder), { recursive: true });
    place.isDamaged = false;
    for (const command of ['gc', 'purge'])
      await damaged(command, () => {
        expect(place.lab.run([KACHE, command]).status).toBe(0);
      });
    await place.filled();
    const tiny = { env: { KACHE_MAX_SIZE: '100KB' } };
    for (const round of [1, 2]) {
      const dir = place.checkout();
      const built = await place.build(dir, tiny);
      // The daemon stays.
      await until('evictions have ended', () => processesLeft(place.store).length <= 1);
      place.expectSound(`tiny ${round}`, dir, built);
    }
    let isDone = false;
    const purges = (async () => {
      for (; !isDone; ) await Bun.spawn([KACHE, 'purge'], { env: place.env() }).exited;
    })();
    for (let round = 0; round < 4; round++) {
      const dir = place.checkout();
      const built = await place.build(dir);
      expect([round, built.status]).toEqual([round, 0]);
    }
    isDone = true;
    await purges;
    await place.filled();
  },
  TIMEOUT_MS,
);

onLinux(
  'target folders that are a file, a link, on a full file system, and on one that cannot be written',
  async () => {
    await place.filled();
    const places: Record<string, (target: string) => void> = {
      file: (target) => writeFileSync(target, 'mine'),
      'dangling link': (target) => symlinkSync('/no/such/folder', target),
      'link in a circle': (target) => symlinkSync('target', target),
      link: (target) => symlinkSync(mkdtempSync(place.lab.path('elsewhere-')), target),
      'empty folder': (target) => mkdirSync(target),
      'folder with a file in it': (target) => {
        mkdirSync(target);
        writeFileSync(join(target, 'debug'), 'mine');
      },
      'folder in the place of the lock': (target) =>
        mkdirSync(join(target, 'debug/.cargo-lock'), { recursive: true }),
      'files in the places of outputs': (target) => {
        mkdirSync(join(target, 'debug/deps'), { recursive: true });
        for (const { path } of filesBelow(join(place.made[0] ?? '', 'target/debug/deps')))
          if (/\/lib/.test(path)) writeFileSync(join(target, 'debug/deps', basename(path)), 'mine');
      },
      'folders in the places of outputs': (target) => {
        for (const { path } of filesBelow(join(place.made[0] ?? '', 'target/debug/build')))
          if (/\/output$/.test(path))
            mkdirSync(join(target, path.slice(path.indexOf('/debug/'))), { recursive: true });
      },
    };
    for (const [what, make] of Object.entries(places)) {
      const [dir, beside] = [place.checkout(), place.checkout()];
      for (const one of [dir, beside]) make(join(one, 'target'));
      const plain = await place.build(beside, { env: { RUSTC_WRAPPER: undefined } });
      const built = await place.build(dir);
      expect([what, built.status, built.stderr]).toEqual([what, plain.status, expect.anything()]);
      if (built.status !== 0) rmSync(join(dir, 'target'), { recursive: true, force: true });
      await place.soundly(what, dir);
    }
    using mount = Mount.make('tmpfs', place.lab.root, 64);
    if (mount === undefined) return notRun('filling a full disk', 'no tmpfs can be mounted');
    const [full, closed] = [place.checkout(), place.checkout()];
    for (const dir of [full, closed]) {
      mkdirSync(join(mount.path, basename(dirname(dir)) + place.made.indexOf(dir)));
      symlinkSync(join(mount.path, basename(dirname(dir)) + place.made.indexOf(dir)), join(dir, 'target'));
    }
    const filler = join(mount.path, 'filler');
    Bun.spawnSync(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=4k'], { stderr: 'ignore' });
    expect((await place.build(full)).status).toBe(101);
    expect(place.asides(full)).toEqual([]);
    // Room for some of it.
    writeFileSync(filler, new Uint8Array(60 * 1024 * 1024));
    await place.build(full);
    rmSync(filler);
    await place.soundly('a full disk', full);
    mount.remount('ro');
    expect((await place.build(closed)).status).toBe(101);
    mount.remount('rw');
    await place.soundly('a closed disk', closed);
  },
  TIMEOUT_MS,
);

onLinux(
  'a store that cannot be written',
  async () => {
    await place.filled();
    await place.kept();
    await place.stop();
    const dir = place.checkout();
    using mount = Mount.bind(place.store, place.lab.path('shown'));
    if (mount === undefined)
      return notRun('filling from a store that is read-only', 'nothing can be mounted');
    const env = { KACHE_CACHE_DIR: mount.path };
    const built = await place.build(dir, { env });
    expect(built.status).toBe(0);
    place.expectSound('a store that cannot be written', dir, built);
  },
  TIMEOUT_MS,
);
