// What a power cut leaves: blobs of the right size with other bytes, records that are torn or gone, sources and libraries
// whose stamps are newer than their content. And rot: bits that change under stamps that do not. A power cut is simulated
// by another boot and by records that vouch for the damage, so that nothing but the boot can give it away.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CrateName, FaultLab, PROGRAM_SAYS, programSays } from '../support/fault-lab.ts';
import { BOOT, filesBelow, inspectStore } from '../support/invariants.ts';
import { Lab } from '../support/lab.ts';
import { Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';

const TIMEOUT_MS = 180_000;
const ALL: readonly CrateName[] = ['part', 'small', 'program'];

let place: FaultLab;
let reboot: { KACHE_TEST_BOOT: string };
beforeAll(async () => {
  place = new FaultLab();
  const boot = place.lab.path('boot');
  writeFileSync(boot, '01234567-89ab-cdef-0123-456789abcdef\n');
  reboot = { KACHE_TEST_BOOT: boot };
  await place.setUp(async () => {
    for (const name of ALL) await place.make(name, place.first);
  });
}, 60_000);
afterAll(() => place[Symbol.dispose]());

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const stamp = (ns: bigint): string => `${ns / 1_000_000_000n}.${ns % 1_000_000_000n}`;

function signatureOf(path: string): string {
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return `${ino}:${size}:${stamp(mtimeNs)}:${stamp(ctimeNs)}`;
}

/** Seals a blob as it is now, as kache would have in this boot after having hashed it. */
function vouch(path: string): void {
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  const seal = `kache-seal-1 ${ino} ${size} ${stamp(mtimeNs)} ${stamp(ctimeNs)} ${BOOT} ${Date.now()}`;
  writeFileSync(`${path}.seal`, seal.padEnd(191).concat('\n'));
}

/** Rewrites the memos of a kind: `change` gets the name of each and its value. */
function rewriteMemos(kind: string, change: (value: Record<string, unknown>, name: string) => void): void {
  for (const { path } of filesBelow(join(place.store, 'hashes', kind))) {
    const [, name = '', value = ''] = readFileSync(path, 'utf8').split('\n');
    const changed = JSON.parse(value) as Record<string, unknown>;
    change(changed, JSON.parse(name) as string);
    const body = `${name}\n${JSON.stringify(changed)}\n`;
    writeFileSync(path, `kache-memo-1 ${sha256(`kache-memo-1\n${body}`).slice(0, 32)}\n${body}`);
  }
}

/** Changes a file in place, keeping its length and its mtime, to the nanosecond. */
function changeInPlace(path: string, change: (bytes: Buffer) => void): void {
  const reference = place.lab.path('time');
  place.lab.run(['touch', '-r', path, reference]);
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes, { flag: 'r+' });
  place.lab.run(['touch', '-r', reference, path]);
}

const replaceText = (from: string, to: string) => (bytes: Buffer) => {
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1)) bytes.write(to, at, 'latin1');
};

const blobs = (): string[] =>
  filesBelow(join(place.store, 'blobs'))
    .map(({ path }) => path)
    .filter((path) => !path.endsWith('.seal'));

/** Builds everything in the second checkout and returns how each call ended; what went wrong is for the caller. */
async function build(env = {}): Promise<{ results: string[]; wrong: string[] }> {
  rmSync(join(place.second, 'target'), { recursive: true, force: true });
  const before = place.events().length;
  const wrong: string[] = [];
  for (const name of ALL)
    wrong.push(...place.wrongWith(name, place.second, await place.make(name, place.second, env)));
  return {
    results: place
      .events()
      .slice(before)
      .map(({ result }) => result),
    wrong,
  };
}

const ALL_HIT = ['local_hit', 'local_hit', 'local_hit'];

test(
  'blobs with the right size and wrong bytes are served by no other boot',
  async () => {
    for (const damage of [
      (bytes: Buffer) => bytes.fill(0),
      (bytes: Buffer) => bytes.fill(0, bytes.length >> 1),
    ]) {
      place.putBack();
      for (const path of blobs()) {
        changeInPlace(path, damage);
        vouch(path);
      }
      // Their seals are believed in the boot that wrote them: it is the boot that gives them away.
      const same = await build();
      expect(same.results.slice(0, 2)).toEqual(['local_hit', 'local_hit']);
      expect(same.wrong).not.toEqual([]);
      expect(await build(reboot)).toEqual({ results: ['miss', 'miss', 'miss'], wrong: [] });
      expect(await build(reboot)).toEqual({ results: ALL_HIT, wrong: [] });
      expect(inspectStore(place.store).wrong).toEqual([]);
    }
  },
  TIMEOUT_MS,
);

test(
  'records that are torn, zeroed or gone, all of a kind at once',
  async () => {
    const damages: Readonly<Record<string, (path: string) => void>> = {
      empty: (path) => truncateSync(path, 0),
      zeros: (path) => writeFileSync(path, new Uint8Array(statSync(path).size)),
      torn: (path) => truncateSync(path, Math.floor((statSync(path).size * 2) / 3)),
      gone: (path) => rmSync(path),
    };
    for (const [how, damage] of Object.entries(damages))
      for (const kind of [/^entries/, /^units/, /^hashes/, /seal$/, /^blobs/, /^events/, /^/]) {
        if (how === 'torn' && kind.test('format')) continue;
        place.putBack();
        for (const { path } of filesBelow(place.store))
          if (kind.test(path.slice(place.store.length + 1))) damage(path);
        const what = `${how} ${kind}`;
        expect([what, (await build(reboot)).wrong]).toEqual([what, []]);
        expect([what, await build(reboot)]).toEqual([what, { results: ALL_HIT, wrong: [] }]);
      }
  },
  TIMEOUT_MS,
);

test(
  'a source whose stamps are newer than its content is read again',
  async () => {
    place.putBack();
    // What was written a moment ago is in no memo yet.
    await Bun.sleep(100);
    // What is stored says "right"; the checkout now says "wrong", and the memo has seen "right" under these stamps.
    const source = join(place.second, 'src', 'text.txt');
    await build();
    writeFileSync(source, 'wrongly');
    const known = sha256('rightly');
    rewriteMemos('sources', (memo) => {
      const { files } = memo as { files: Record<string, [string, string]> };
      if (files[source] !== undefined || memo['boot'] !== undefined)
        memo['files'] = { ...files, [source]: [signatureOf(source), known] };
    });
    expect((await build()).results).toEqual(ALL_HIT);
    expect(programSays(place.call('program', place.second))).toBe(PROGRAM_SAYS);
    await build(reboot);
    expect(programSays(place.call('program', place.second))).toBe(PROGRAM_SAYS.replace('rightly', 'wrongly'));
  },
  TIMEOUT_MS,
);

test(
  'a library whose stamps are newer than its content is not taken for what it was',
  async () => {
    place.putBack();
    await build({ KACHE_LINK_MODE: 'copy' });
    const { outDir } = place.call('small', place.second);
    const library = filesBelow(outDir).find(({ name }) => /^libsmall.*rlib$/.test(name))?.path ?? '';
    changeInPlace(library, replaceText('rightly', 'wrongly'));
    rewriteMemos('outputs', (memo, name) => {
      const { files } = memo as { files: Record<string, [string, string, string]> };
      const known = files[library.slice(outDir.length + 1)];
      if (known !== undefined && name.startsWith(outDir)) known[0] = signatureOf(library);
    });
    const link = async (env: object): Promise<string | undefined> => {
      await place.make('program', place.second, { ...env });
      return place.events().at(-1)?.result;
    };
    expect(await link({})).toBe('local_hit');
    expect(await link(reboot)).not.toBe('local_hit');
  },
  TIMEOUT_MS,
);

test(
  'a library that was tampered with, and dated back, does not spoil what others link',
  async () => {
    place.putBack();
    for (const name of ['part', 'small'] as const) await place.make(name, place.second);
    for (const { path } of filesBelow(join(place.store, 'entries')))
      if (readFileSync(path, 'utf8').includes('"kind":"program"')) rmSync(path);
    // The first checkout has a file of its own; the second one's is the blob.
    const { outDir } = place.call('small', place.second);
    const own = filesBelow(place.call('small', place.first).outDir).find(({ name }) =>
      /^libsmall.*rlib$/.test(name),
    );
    const shared = filesBelow(outDir).find(({ name }) => /^libsmall.*rlib$/.test(name));
    if (own === undefined || shared === undefined) throw new Error('no library');
    copyFileSync(own.path, `${own.path}.copy`);
    rmSync(own.path);
    copyFileSync(`${own.path}.copy`, own.path);
    rmSync(`${own.path}.copy`);
    expect(statSync(shared.path).nlink).toBeGreaterThan(1);
    changeInPlace(shared.path, replaceText('rightly', 'wrongly'));
    await place.make('program', place.second);
    expect(programSays(place.call('program', place.second))).toContain('wrong');
    await place.make('program', place.first);
    expect(programSays(place.call('program', place.first))).toBe(PROGRAM_SAYS);
  },
  TIMEOUT_MS,
);

test(
  'a bit that rots under old stamps is found by the next boot, after a week, and by doctor',
  async () => {
    using base = new Lab();
    using mount = Mount.make('ext4', base.root, 64);
    if (mount === undefined) return notRun('rot under old stamps', 'needs root and mkfs.ext4');
    using rotten = new FaultLab(join(mount.path, 'store'));
    await rotten.setUp(async () => {
      for (const name of ALL) await rotten.make(name, rotten.first);
    });
    const store = join(mount.path, 'store');
    const make = async (env?: object): Promise<string> => {
      rmSync(join(rotten.second, 'target'), { recursive: true, force: true });
      for (const name of ALL)
        await rotten.make(name, rotten.second, env === undefined ? undefined : { ...env });
      return programSays(rotten.call('program', rotten.second));
    };
    expect(await make()).toBe(PROGRAM_SAYS);
    const blob = filesBelow(join(store, 'blobs'))
      .map(({ path }) => path)
      .find((path) => !path.endsWith('.seal') && (statSync(path).mode & 0o111) !== 0);
    if (blob === undefined) throw new Error('no program in the store');
    const [signature, text] = [signatureOf(blob), readFileSync(blob)];
    const rotted = Buffer.from(text);
    replaceText('rightly', 'rightlx')(rotted);
    expect(mount.editUnmounted(text, rotted)).toBe(true);
    expect(signatureOf(blob)).toBe(signature);
    // Nothing shows it: this is what may go unnoticed, until the next boot and for a week at most.
    expect(await make()).toBe(PROGRAM_SAYS.replace('rightly', 'rightlx'));
    const doctor = rotten.command(['doctor', '--checksums', '--json']);
    expect(doctor.status).toBe(1);
    expect(doctor.stdout).toContain(blob.slice(-64, -52));
    // Eight days later.
    const seal = readFileSync(`${blob}.seal`, 'utf8');
    const [provenMs = ''] = seal.trim().split(' ').slice(6);
    const older = seal.replace(provenMs, `${Number(provenMs) - 8 * 24 * 3600 * 1000}`);
    writeFileSync(`${blob}.seal`, older, { flag: 'r+' });
    expect(await make()).toBe(PROGRAM_SAYS);
    expect(mount.editUnmounted(text, rotted)).toBe(true);
    expect(await make(reboot)).toBe(PROGRAM_SAYS);
    expect(existsSync(blob)).toBe(true);
  },
  TIMEOUT_MS,
);
