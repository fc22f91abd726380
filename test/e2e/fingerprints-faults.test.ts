// Filling a new target folder, and keeping what it is filled from, when something fails: kill -9 and refusals at file-system
// operations of every kind, damaged plans and stores, evictions, builds beside each other, interruptions, daemons that die.
// Every build is right, whatever it was filled with, and the next one has nothing to do.
import { afterEach, expect } from 'bun:test';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isScriptRun } from '../../src/core/events.ts';
import { encodeRecord } from '../../src/store/records.ts';
import { DAMAGES, damage } from '../support/fault-place.ts';
import { FreshFaults, linkedBelow, modesBelow, recordsBelow } from '../support/fresh-faults.ts';
import { filesBelow } from '../support/invariants.ts';
import { KACHE } from '../support/lab.ts';
import { linuxOnly, openOnLinux } from '../support/linux.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';
import { until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 240_000;
const ALL = ['linked', 'mac', 'native-sys', 'scripted', 'top'];

let place: FreshFaults;
const onLinux = linuxOnly('faults while target folders are filled', 'they are filled on Linux alone');
openOnLinux(FreshFaults, (opened) => {
  place = opened;
});
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
}, 60_000);

/** Checkouts of this test. */
const made: string[] = [];
function checkout(): string {
  const dir = place.checkout();
  made.push(dir);
  return dir;
}

const targetOf = (dir: string): string => join(dir, 'target');
const plansFolder = (): string => join(place.store, 'hashes', 'fingerprints');
const forgetPlans = (): void => rmSync(plansFolder(), { recursive: true, force: true });

/** Everything stored and kept, and a daemon that listens. */
async function filled(): Promise<void> {
  place.startDaemon();
  for (let round = 0; round < 3; round++) {
    const dir = checkout();
    const { asked } = await place.soundly('prepared', dir);
    if (asked.length === 0) return;
    await place.quiet();
  }
  throw new Error('the target folder of a third build is not filled');
}

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

/** The first operation of each kind while a folder is filled, by number. */
async function operations(): Promise<Map<number, string>> {
  await filled();
  await place.faulted(checkout(), '');
  const all = place.traced();
  const end = all.findLastIndex((line) => line.includes('/.fingerprint/'));
  const kinds = new Set<string>();
  const found = new Map<number, string>();
  for (const [at, operation] of all.slice(0, end + 1).entries()) {
    const kind = kindOf(operation);
    if (!kinds.has(kind)) found.set(at + 1, operation);
    kinds.add(kind);
  }
  return found;
}

onLinux(
  'kill -9 at operations of every kind while a folder is filled',
  async () => {
    let deaths = 0;
    for (const [n, operation] of await operations()) {
      const at = `${n}: ${kindOf(operation)}`;
      const dir = checkout();
      const died = await place.faulted(dir, `any ${n} die-midway`);
      expect([at, died.status, died.stderr]).toEqual([at, 101, expect.stringContaining('SIGKILL')]);
      place.expectStoreSound(at);
      expect([at, place.locked(dir)]).toEqual([at, []]);
      await place.soundly(at, dir);
      rmSync(dir, { recursive: true });
      deaths++;
    }
    expect(deaths).toBeGreaterThan(30);
    expect((await place.soundly('afterwards', checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

/** Faults of a fill, and what of them must have struck. */
const REFUSALS = [
  ...['ENOSPC', 'EACCES', 'EROFS', 'EMLINK', 'EIO'].flatMap((error) => [
    `any every ${error} /target/`,
    `any every ${error} /store/`,
  ]),
  'link every EMLINK',
  'link every EMLINK build-script-build$',
  'create every ENOSPC /.fingerprint/.*/(lib|run)-[a-z_-]+$',
  'write every full /build/.*/output$',
  'write 9 full /target/',
  'copy 5 full /target/',
  'rename 7 EIO /target/',
  'rename every EIO /out/',
  'mkdir every EDQUOT /out$',
  'lock every ENOLCK',
  'open every EMFILE /store/',
  'read every EIO /store/blobs/',
  'stat every EIO /target/',
];

onLinux(
  'a target folder and a store that refuse, while a folder is filled',
  async () => {
    await filled();
    for (const fault of REFUSALS) {
      const dir = checkout();
      const built = await place.faulted(dir, fault);
      const struck = place.traced().filter((line) => line.startsWith('!'));
      expect([fault, struck.length > 0]).toEqual([fault, true]);
      place.expectSound(fault, dir, built);
      expect([fault, place.asides(dir)]).toEqual([fault, []]);
      rmSync(dir, { recursive: true });
    }
    expect((await place.soundly('afterwards', checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'a run that is put in place in vain leaves its folder empty, as a build script expects it',
  async () => {
    await filled();
    for (const [fault, atLeast] of [
      ['create every ENOSPC /build/scripted-[0-9a-f]+/output$', 2],
      ['create every ENOSPC /.fingerprint/scripted-[0-9a-f]+/run-[a-z-]+$', 2],
      ['unlink every EIO /build/scripted-[0-9a-f]+/.kache/[0-9-]+$', 1],
    ] as const) {
      const dir = checkout();
      const before = place.lab.events().length;
      place.expectSound(fault, dir, await place.faulted(dir, fault));
      place.lab.settle();
      // In a folder that holds something it would have been run: here it was known to this fill, and to Cargo's call.
      const runs = place.lab
        .events()
        .slice(before)
        .filter((event) => isScriptRun(event) && event.crate_name === 'scripted');
      expect([fault, runs.length >= atLeast, runs.at(-1)?.result]).toEqual([fault, true, 'local_hit']);
    }
  },
  TIMEOUT_MS,
);

onLinux(
  'a filled folder is as Cargo makes one, whatever the umask: names, modes, links, and what Cargo notes',
  async () => {
    await filled();
    for (const umask of ['022', '077', '002']) {
      const through = ['sh', '-c', `umask ${umask} && exec "$0" "$@"`];
      const [full, hits, plain] = [checkout(), checkout(), checkout()];
      expect((await place.soundly(umask, full, { through })).asked).toEqual([]);
      const ordinary = { through, env: { KACHE_CACHE_FINGERPRINTS: undefined } };
      expect((await place.soundly(umask, hits, ordinary)).asked).toEqual(ALL);
      await place.build(plain, { through, env: { RUSTC_WRAPPER: undefined } });
      expect([umask, modesBelow(targetOf(full))]).toEqual([umask, modesBelow(targetOf(hits))]);
      expect([umask, recordsBelow(targetOf(full))]).toEqual([umask, recordsBelow(targetOf(hits))]);
      expect([umask, linkedBelow(targetOf(full))]).toEqual([umask, linkedBelow(targetOf(hits))]);
      // Apart from outputs, which are as an ordinary hit leaves them.
      const ofCargo = (dir: string): [string, string][] =>
        Object.entries(modesBelow(targetOf(dir))).filter(
          ([path, mode]) => mode.startsWith('4') || !/\/(deps|build)\/.*(\.(rlib|rmeta|so|d|script)|build.script.build.*)$/.test(path),
        );
      expect([umask, ofCargo(full)]).toEqual([umask, ofCargo(plain)]);
    }
  },
  TIMEOUT_MS,
);
