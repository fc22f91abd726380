// Target directories: what is one and what is not, and what each occupies, against du, cargo and real deletions.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { copyFileSync, linkSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  ELSEWHERE,
  freedBytes,
  isTargetDirectory,
  lockFiles,
  type ScanProgress,
  scanTargets,
  targetAbove,
} from '../../src/store/targets.ts';
import { reflink } from '../../src/sys/clone.ts';
import { Lab } from '../support/lab.ts';
import { type FileSystem, Mount } from '../support/mounts.ts';
import { notRun } from '../support/required.ts';

let lab: Lab;
let project: string;
beforeAll(() => {
  lab = new Lab();
  project = lab.write('projects/one', {
    'Cargo.toml': '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n',
    'src/main.rs': 'fn main() {}\n',
  });
  expect(lab.run(['cargo', 'build', '--offline'], { cwd: project }).status).toBe(0);
}, 60_000);
afterAll(() => lab[Symbol.dispose]());

const TAG =
  'Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by cargo.\n';

/** A folder as Cargo makes them, with these files in it. */
function fakeTarget(path: string, files: Readonly<Record<string, number>> = {}): string {
  mkdirSync(join(path, 'debug/deps'), { recursive: true });
  writeFileSync(join(path, 'CACHEDIR.TAG'), TAG);
  writeFileSync(join(path, 'debug/.cargo-lock'), '');
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(path, name), Buffer.alloc(bytes, 7));
  return path;
}

const du = (path: string, ...flags: string[]): number =>
  Number(
    Bun.spawnSync(['du', '-s', '-B1', ...flags, path])
      .stdout.toString()
      .split('\t')[0],
  );

test('a folder Cargo built in is found, with what du says it occupies', async () => {
  const [target, ...others] = await scanTargets([lab.path('projects')]);
  expect(others).toEqual([]);
  expect(target?.path).toBe(join(project, 'target'));
  expect(target?.occupiedBytes).toBe(du(join(project, 'target')));
  const files = Bun.spawnSync(['find', join(project, 'target'), '-type', 'f', '-printf', '%s\n'])
    .stdout.toString()
    .trim()
    .split('\n');
  expect(target?.files).toBe(files.length);
  expect(target?.logicalBytes).toBe(files.reduce((sum, size) => sum + Number(size), 0));
  // Cargo links the binary to two names; both go with the folder.
  expect([...(target?.linked.values() ?? [])].some(({ names }) => names > 1)).toBe(true);
  expect(target?.exclusiveBytes).toBe(target?.occupiedBytes);
  expect(Math.abs((target?.modifiedMs ?? 0) - Date.now())).toBeLessThan(120_000);
  expect(targetAbove(join(project, 'target/debug/deps'))).toBe(join(project, 'target'));
  expect(targetAbove(join(project, 'src'))).toBeUndefined();
  expect(lockFiles(join(project, 'target')).length).toBeGreaterThan(0);
});

describe('what is not certainly a target directory is not taken for one', () => {
  const CASES: Readonly<Record<string, (path: string) => void>> = {
    'a source folder of that name': (path) => {
      mkdirSync(join(path, 'debug'), { recursive: true });
      writeFileSync(join(path, 'lib.rs'), '');
    },
    'one that was there before Cargo': (path) => {
      fakeTarget(path);
      rmSync(join(path, 'CACHEDIR.TAG'));
    },
    'the tag of another program': (path) => {
      fakeTarget(path);
      writeFileSync(join(path, 'CACHEDIR.TAG'), TAG.replace('cargo', 'pip'));
    },
    'a tag and no trace of a build': (path) => {
      fakeTarget(path);
      rmSync(join(path, 'debug'), { recursive: true });
    },
    'a tag that is a link': (path) => {
      fakeTarget(path);
      rmSync(join(path, 'CACHEDIR.TAG'));
      writeFileSync(lab.path('tag'), TAG);
      symlinkSync(lab.path('tag'), join(path, 'CACHEDIR.TAG'));
    },
    ...Object.fromEntries(
      ['Cargo.toml', '.git', 'src'].map((name) => [
        `one that holds ${name}`,
        (path: string) => {
          fakeTarget(path);
          writeFileSync(join(path, name), '');
        },
      ]),
    ),
  };
  for (const [name, make] of Object.entries(CASES)) {
    test(name, async () => {
      const path = lab.path('not', name.replaceAll(' ', '-'), 'target');
      mkdirSync(path, { recursive: true });
      make(path);
      expect(isTargetDirectory(path)).toBe(false);
      expect(await scanTargets([path, join(path, '..')])).toEqual([]);
    });
  }

  test('a symbolic link to one', async () => {
    const real = fakeTarget(lab.path('linked/real'));
    mkdirSync(lab.path('linked/project'));
    symlinkSync(real, lab.path('linked/project/target'));
    expect(isTargetDirectory(lab.path('linked/project/target'))).toBe(false);
    expect(await scanTargets([lab.path('linked/project')])).toEqual([]);
    expect((await scanTargets([lab.path('linked')])).map(({ path }) => path)).toEqual([real]);
  });

  test('one that holds the store', async () => {
    const path = fakeTarget(lab.path('holds/target'));
    const storeRoot = join(path, 'kache');
    mkdirSync(storeRoot);
    expect(isTargetDirectory(path)).toBe(true);
    expect(await scanTargets([lab.path('holds')], { storeRoot })).toEqual([]);
  });
});

test('the same folder under two roots counts once, and builds with a build-dir of their own twice', async () => {
  const both = lab.path('both');
  fakeTarget(join(both, 'target'));
  fakeTarget(join(both, 'build'));
  fakeTarget(join(both, 'cross/target/x86_64-unknown-linux-gnu'));
  const found = await scanTargets([both, join(both, 'target'), lab.path('absent')]);
  expect(found.map(({ path }) => path)).toEqual(
    ['build', 'cross/target/x86_64-unknown-linux-gnu', 'target'].map((name) => join(both, name)),
  );
});

test('a build-dir in a target directory is part of it, also when it is asked for', async () => {
  const target = fakeTarget(lab.path('within/target'));
  const nested = fakeTarget(join(target, 'ab/0123456789abcd'));
  const found = await scanTargets([nested, lab.path('within'), nested]);
  expect(found.map(({ path }) => path)).toEqual([target]);
  expect(lockFiles(target)).toEqual(expect.arrayContaining(lockFiles(nested)));
  expect(lockFiles(nested).length).toBeGreaterThan(0);
});

/** Bytes a deletion frees on a file system of its own, against what the scan said. */
async function deletion(
  mount: Mount,
  paths: readonly string[],
  storeRoot: string,
): Promise<[number, number]> {
  mount.usedBytes();
  const targets = (await scanTargets([mount.path], { storeRoot })).filter(({ path }) => paths.includes(path));
  const before = mount.usedBytes();
  for (const path of paths) rmSync(path, { recursive: true });
  const said = freedBytes(targets);
  // XFS gives blocks back a moment after the last name is gone.
  for (let round = 0; round < 100 && before - mount.usedBytes() < said - MEBI / 2; round++)
    await Bun.sleep(20);
  return [said, before - mount.usedBytes()];
}

const MEBI = 1024 * 1024;

test('hardlinks are counted once, and freed with their last name only', async () => {
  const mount = Mount.make('tmpfs', lab.root, 64);
  if (mount === undefined) return notRun('deletions of hardlinked files', 'no tmpfs can be mounted');
  using _mount = mount;
  const blobs = join(mount.path, 'store/blobs/aa');
  mkdirSync(blobs, { recursive: true });
  const id = 'a'.repeat(64);
  writeFileSync(join(blobs, id), Buffer.alloc(3 * MEBI));
  const [a, b] = ['a', 'b'].map((name) =>
    fakeTarget(join(mount.path, name, 'target'), { 'debug/deps/own': MEBI }),
  ) as [string, string];
  for (const path of [a, b]) linkSync(join(blobs, id), join(path, 'debug/deps/lib.rlib'));
  linkSync(join(a, 'debug/deps/own'), join(a, 'debug/own'));
  writeFileSync(join(a, 'debug/deps/common'), Buffer.alloc(2 * MEBI));
  linkSync(join(a, 'debug/deps/common'), join(b, 'debug/deps/common'));
  const storeRoot = join(mount.path, 'store');
  const [first, second] = await scanTargets([mount.path], { storeRoot });
  expect(first).toMatchObject({ logicalBytes: 7 * MEBI + TAG.length, sharedBytes: 5 * MEBI });
  expect(second).toMatchObject({ logicalBytes: 6 * MEBI + TAG.length, sharedBytes: 5 * MEBI });
  expect(first?.occupiedBytes).toBe(du(a));
  expect(Object.fromEntries(first?.sharedWith ?? [])).toEqual({ [b]: 5 * MEBI, [storeRoot]: 3 * MEBI });
  const alone = await scanTargets([a]);
  expect(Object.fromEntries(alone[0]?.sharedWith ?? [])).toEqual({ [ELSEWHERE]: 5 * MEBI });
  expect(freedBytes([...(first ? [first] : []), ...(second ? [second] : [])])).toBe(
    (first?.exclusiveBytes ?? 0) + (second?.exclusiveBytes ?? 0) + 2 * MEBI,
  );
  const [said, freed] = await deletion(mount, [a, b], storeRoot);
  expect(said).toBe(freed);
});

for (const kind of ['xfs', 'btrfs'] satisfies FileSystem[]) {
  test(`blocks shared by reflink on ${kind} are told, and not promised`, async () => {
    const mount = Mount.make(kind, lab.root, kind === 'xfs' ? 320 : 160);
    if (mount === undefined) return notRun(`shared blocks on ${kind}`, 'it cannot be made or mounted here');
    using _mount = mount;
    const blobs = join(mount.path, 'store/blobs/bb');
    mkdirSync(blobs, { recursive: true });
    const blob = join(blobs, 'b'.repeat(64));
    // Noise, so that nothing is stored inline or compressed.
    writeFileSync(blob, crypto.getRandomValues(new Uint8Array(65536)));
    for (let round = 0; round < 5; round++)
      writeFileSync(blob, Buffer.concat([await Bun.file(blob).bytes(), await Bun.file(blob).bytes()]));
    const bytes = 65536 * 32;
    const path = fakeTarget(join(mount.path, 'p/target'), { 'debug/deps/own': 4 * MEBI });
    reflink(blob, join(path, 'debug/deps/lib.rlib'));
    copyFileSync('/bin/true', join(path, 'debug/true'));
    const storeRoot = join(mount.path, 'store');
    mount.usedBytes();
    const [target] = await scanTargets([mount.path], { storeRoot });
    expect(Object.fromEntries(target?.sharedWith ?? [])).toEqual({ [storeRoot]: bytes });
    expect(target?.sharedBytes).toBe(bytes);
    expect(target?.exclusiveBytes).toBeGreaterThanOrEqual(4 * MEBI);
    const [said, freed] = await deletion(mount, [path], storeRoot);
    // Metadata of the file system comes and goes with it.
    expect(Math.abs(said - freed)).toBeLessThan(MEBI / 2);
  }, 60_000);
}

test('progress is told, other work goes on, and an abort ends it', async () => {
  const many = lab.path('many');
  for (let n = 0; n < 300; n++) mkdirSync(join(many, `${n % 20}`, `${n}`), { recursive: true });
  fakeTarget(join(many, 'target'));
  const seen: ScanProgress[] = [];
  await scanTargets([many], { onProgress: (progress) => seen.push(progress) });
  expect(seen[0]?.folders).toBe(1);
  const controller = new AbortController();
  const scan = scanTargets([many], {
    signal: controller.signal,
    onProgress: () => controller.abort('enough'),
  });
  expect(await scan.catch((reason: unknown) => reason)).toBe('enough');
});
