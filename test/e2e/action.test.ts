// The action's steps, run as a runner runs them, with GitHub's client for its cache on one side and a server that speaks
// its protocol on the other.
import { describe, expect, test } from 'bun:test';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };
import { type CompileEvent, parseEvent } from '../../src/core/events.ts';
import { ActionsCache, type Grant } from '../support/actions-cache.ts';
import { Job, node24, type StepResult } from '../support/actions-runner.ts';
import { KACHE, Lab, libraries } from '../support/lab.ts';
import { NpmRegistry } from '../support/npm-registry.ts';
import { ACCESS_KEY, BUCKET, SECRET_KEY, startServer } from '../support/s3-servers.ts';
import { SHARED, WORKSPACE } from '../support/workspace.ts';

const node = node24();
const MAIN: Grant = { writes: 'main', reads: ['main'] };

interface JobSpec {
  readonly grant?: Grant;
  readonly with?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly matrix?: unknown;
  readonly files?: Readonly<Record<string, string>>;
}

/** A job on a machine of its own: another folder, an empty home and store, the sources checked out. */
function newJob(lab: Lab, cache: ActionsCache, name: string, spec: JobSpec = {}): Job {
  const job = new Job({
    root: lab.path(name),
    node: node ?? '',
    matrix: spec.matrix,
    with: { binary: KACHE, ...spec.with },
    env: {
      ...lab.env({ HOME: lab.path(name, 'home'), KACHE_CACHE_DIR: storeOf(lab, name) }),
      ACTIONS_CACHE_SERVICE_V2: 'true',
      ACTIONS_RESULTS_URL: cache.url,
      ACTIONS_RUNTIME_TOKEN: cache.grant(spec.grant ?? MAIN),
      ...spec.env,
    },
  });
  lab.write(job.workspace, spec.files ?? PORTABLE);
  return job;
}

const storeOf = (lab: Lab, name: string): string => lab.path(name, 'store');

function eventsOf(lab: Lab, name: string): CompileEvent[] {
  const log = join(storeOf(lab, name), 'events', 'log');
  return existsSync(log)
    ? readFileSync(log, 'utf8')
        .split('\n')
        .flatMap((line) => parseEvent(line) ?? [])
    : [];
}

const resultsOf = (lab: Lab, name: string): Record<string, string> =>
  libraries({ events: eventsOf(lab, name) });

/** The workspace, without the crate that holds the path of its checkout: nothing hits above it in another folder. */
const PORTABLE = { ...WORKSPACE, 'place/src/lib.rs': 'pub fn dir() -> &\'static str { "anywhere" }\n' };

/** All its libraries with one result. */
const all = (result: string): Record<string, string> =>
  Object.fromEntries([...SHARED, 'place', 'app'].map((name) => [name, result]));

const warnings = ({ log }: StepResult): string[] =>
  [...log.matchAll(/^::warning::(.*)$/gm)].map((m) => m[1] ?? '');

interface Played {
  readonly main: StepResult;
  readonly build: { status: number; output: string };
  readonly post: StepResult;
}

/** Main step, build, post step. */
async function play(job: Job, status: 'success' | 'failure' = 'success'): Promise<Played> {
  const main = await job.main();
  const build = await job.run(['cargo', 'build']);
  const post = await job.post(status);
  expect([main.status, build.status, post.status]).toEqual([0, 0, 0]);
  return { main, build, post };
}

const TINY = {
  'Cargo.toml': '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2021"\n',
  'src/lib.rs': 'pub fn one() -> u8 { 1 }\n',
};

describe.skipIf(node === undefined)('with GitHub as storage', () => {
  test('five jobs: a cold one, a warm one, an edit, a fork, and one that meets a corrupt pack', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();

    const first = await play(newJob(lab, cache, 'one'));
    expect(warnings(first.main).concat(warnings(first.post))).toEqual([]);
    expect(resultsOf(lab, 'one')).toEqual(all('miss'));
    expect(cache.archives.length).toBe(1);
    const firstBytes = cache.uploaded;
    expect(first.post.summary).toContain('saved as one more pack');
    expect(first.post.outputs['hit-rate']).toBe('0');

    cache.reset();
    const second = await play(newJob(lab, cache, 'a/deeper/place/two'));
    expect(warnings(second.main).concat(warnings(second.post))).toEqual([]);
    expect(resultsOf(lab, 'a/deeper/place/two')).toEqual(all('prefetch_hit'));
    expect([cache.archives.length, cache.counts.create, cache.uploaded]).toEqual([1, 0, 0]);
    expect(second.post.summary).toContain('nothing is new, nothing was saved');
    expect(Number(second.post.outputs['hit-rate'])).toBeGreaterThan(50);
    expect(Number(second.post.outputs['time-saved-ms'])).toBeGreaterThan(0);
    expect(Number(second.post.outputs['cache-size'])).toBeGreaterThan(0);

    cache.reset();
    const edit = newJob(lab, cache, 'three');
    appendFileSync(join(edit.workspace, 'generated/src/lib.rs'), 'pub const MORE: u8 = 1;\n');
    await play(edit);
    expect(resultsOf(lab, 'three')).toEqual({ ...all('prefetch_hit'), generated: 'miss', app: 'dup' });
    expect([cache.archives.length, cache.counts.create]).toEqual([2, 1]);
    expect(cache.uploaded).toBeLessThan(firstBytes / 2);

    cache.reset();
    const again = newJob(lab, cache, 'three-again');
    appendFileSync(join(again.workspace, 'generated/src/lib.rs'), 'pub const MORE: u8 = 1;\n');
    const { main } = await play(again);
    expect(main.log).toContain('packs: 2');
    expect(resultsOf(lab, 'three-again')).toEqual(all('prefetch_hit'));
    expect(cache.counts.create).toBe(0);

    cache.reset();
    const fork = newJob(lab, cache, 'four', { grant: { writes: undefined, reads: ['main'] } });
    appendFileSync(join(fork.workspace, 'native/src/lib.rs'), 'pub const MORE: u8 = 2;\n');
    const fourth = await play(fork);
    expect(resultsOf(lab, 'four')).toMatchObject({ facade: 'prefetch_hit', native: 'miss' });
    expect([cache.archives.length, cache.counts.create, cache.uploaded]).toEqual([2, 1, 0]);
    expect(fourth.post.summary).toContain('not taken by the cache');

    // The newest archive: the pack in it is damaged, in a way that only reading the pack tells.
    cache.reset();
    damagePack(lab, cache, cache.archives.length - 1);
    const fifth = await play(newJob(lab, cache, 'five'));
    expect(warnings(fifth.main).join()).toContain('pack');
    expect(resultsOf(lab, 'five')).toMatchObject({ facade: 'prefetch_hit', native: 'prefetch_hit' });
    expect(fifth.post.summary).toContain('1 pack damaged');
    // What was in it is there again, under another key.
    const sixth = newJob(lab, cache, 'six');
    expect(warnings((await play(sixth)).main)).toEqual([]);
    expect(resultsOf(lab, 'six')).toEqual(all('prefetch_hit'));
  }, 300_000);
});

/** Rewrites an archive of the server with the middle of its pack changed. */
function damagePack(lab: Lab, cache: ActionsCache, index: number): void {
  const folder = lab.path('damage');
  mkdirSync(folder, { recursive: true });
  const archive = cache.archives[index];
  if (archive === undefined) throw new Error('no such archive');
  writeFileSync(join(folder, 'cache.tzst'), archive.bytes);
  const shell = (text: string): string => {
    const { status, stdout, stderr } = lab.run(['sh', '-ec', text], { cwd: folder });
    expect([status, stderr]).toEqual([0, '']);
    return stdout.trim();
  };
  const pack = shell('tar --use-compress-program unzstd -xf cache.tzst; ls kache-*.pack');
  const bytes = readFileSync(join(folder, pack));
  for (let at = bytes.length >> 1; at < bytes.length; at += 7) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  writeFileSync(join(folder, pack), bytes);
  shell('rm cache.tzst; tar --posix --use-compress-program zstdmt -cf cache.tzst kache-*');
  cache.archives[index] = { ...archive, bytes: readFileSync(join(folder, 'cache.tzst')) };
  rmSync(folder, { recursive: true });
}
