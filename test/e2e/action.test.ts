// The action's steps, run as a runner runs them, with GitHub's client for its cache on one side and a server that speaks
// its protocol on the other.
import { describe, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { PACKAGE } from '../../action/src/package.ts';
import { APPLICATIONS, fetchApplication } from '../../bench/applications.ts';
import manifest from '../../package.json' with { type: 'json' };
import { type CompileEvent, parseEvent } from '../../src/core/events.ts';
import {
  ActionsCache,
  type Archive,
  ENDPOINTS,
  type Endpoint,
  type Grant,
} from '../support/actions-cache.ts';
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
      ...cache.env(spec.grant ?? MAIN),
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

/** What stands for a project's dependencies: more bytes than all that is edited. */
const BALLAST = Array.from({ length: 4000 }, (_, at) => Bun.hash(`${at}`).toString(36)).join('');

/** The workspace, without the crate that holds the path of its checkout: nothing hits above it in another folder. */
const PORTABLE = {
  ...WORKSPACE,
  'Cargo.toml': WORKSPACE['Cargo.toml']?.replace('"app"', '"app", "ballast"') ?? '',
  'ballast/Cargo.toml': '[package]\nname = "ballast"\nversion = "0.1.0"\nedition = "2021"\n',
  'ballast/src/lib.rs': `pub static TEXT: &str = "${BALLAST}";\n`,
  'place/src/lib.rs': 'pub fn dir() -> &\'static str { "anywhere" }\n',
};

const LARGE_CRATES = ['large', 'larger'];

/** Two crates of nine megabytes that shrink by nothing, and take long enough to compile to be worth that. */
const LARGE = {
  'Cargo.toml': '[workspace]\nmembers = ["large", "larger"]\nresolver = "3"\n',
  ...Object.fromEntries(
    LARGE_CRATES.flatMap((name) => [
      [`${name}/Cargo.toml`, `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n`],
      [
        `${name}/src/lib.rs`,
        [
          'pub static BALLAST: &[u8] = include_bytes!("ballast");',
          ...Array.from(
            { length: 1500 },
            (_, at) => `pub fn f${at}(x: u64) -> String { format!("{x} {}", ${at} + x) }`,
          ),
        ].join('\n'),
      ],
    ]),
  ),
};

/** All its libraries with one result. */
const all = (result: string): Record<string, string> =>
  Object.fromEntries([...SHARED, 'place', 'ballast', 'app'].map((name) => [name, result]));

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

let saved: Promise<readonly Archive[]> | undefined;

/** What a first job of {@link TINY} leaves in the cache. */
function archivesOfTiny(): Promise<readonly Archive[]> {
  saved ??= (async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    await play(newJob(lab, cache, 'before', { files: TINY }));
    expect(cache.archives.length).toBe(1);
    return cache.archives;
  })();
  return saved;
}

const EDITED = { ...TINY, 'src/lib.rs': 'pub fn one() -> u8 { 1 }\npub fn two() -> u8 { 2 }\n' };

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
    rewrite(lab, cache, cache.archives.length - 1, damagePack);
    const fifth = await play(newJob(lab, cache, 'five'));
    expect(warnings(fifth.main).join()).toContain('pack');
    expect(resultsOf(lab, 'five')).toMatchObject({ facade: 'prefetch_hit', native: 'prefetch_hit' });
    expect(fifth.post.summary).toContain('1 pack unreadable');
    // What was in it is there again, under another key.
    const sixth = newJob(lab, cache, 'six');
    expect(warnings((await play(sixth)).main)).toEqual([]);
    expect(resultsOf(lab, 'six')).toEqual(all('prefetch_hit'));
  }, 600_000);

  test('a bench application, built, restored elsewhere, edited', async () => {
    const application = APPLICATIONS.find(
      ({ name }) => name === (process.env['KACHE_TEST_APPLICATION'] ?? 'workspace'),
    );
    if (application === undefined) throw new Error('no such application');
    using lab = new Lab();
    using cache = new ActionsCache();
    const source = fetchApplication(application, lab.root);
    const jobOf = (name: string): Job => {
      const job = newJob(lab, cache, name, { files: {} });
      cpSync(source, job.workspace, { recursive: true });
      return job;
    };
    const took: [what: string, seconds: number, uploaded: number, downloaded: number][] = [];
    const run = async (name: string, job: Job): Promise<Record<string, number>> => {
      cache.reset();
      const from = performance.now();
      await play(job);
      took.push([name, (performance.now() - from) / 1000, cache.uploaded, cache.downloaded]);
      return Object.fromEntries(
        Map.groupBy(eventsOf(lab, name), ({ result }) => result)
          .entries()
          .map(([result, events]) => [result, events.length]),
      );
    };
    const cold = await run('cold', jobOf('cold'));
    const warm = await run('warm', jobOf('warm'));
    // Of others, what is bound to the path of a checkout misses, and what is built on that.
    if (application.name === 'workspace')
      expect([warm['miss'] ?? 0, warm['prefetch_hit']]).toEqual([
        0,
        (cold['miss'] ?? 0) + (cold['dup'] ?? 0),
      ]);
    const edited = jobOf('edited');
    appendFileSync(join(edited.workspace, application.leaf), '\npub fn edited_by_tests() {}\n');
    await run('edited', edited);
    const [first, second, third] = took.map(([, , uploaded]) => uploaded);
    if (application.name === 'workspace') expect(second).toBe(0);
    expect(third).toBeGreaterThan(0);
    expect(third).toBeLessThan((first ?? 0) / 4);
    if (process.env['KACHE_TEST_APPLICATION'] === undefined) return;
    console.log(cold, warm);
    for (const [name, seconds, up, down] of took)
      console.log(`${name}: ${seconds.toFixed(1)} s, ${up} bytes up, ${down} down`);
  }, 900_000);

  test('a branch sees the default branch, adds to it for itself, and the default branch does not see that', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const branch: Grant = { writes: 'feature', reads: ['feature', 'main'] };
    const more = { ...TINY, 'src/lib.rs': 'pub fn two() -> u8 { 2 }\n' };
    await play(newJob(lab, cache, 'main', { files: TINY }));
    await play(newJob(lab, cache, 'branch', { grant: branch, files: more }));
    expect(cache.archives.map((one) => one.branch)).toEqual(['main', 'feature']);

    await play(newJob(lab, cache, 'branch-again', { grant: branch, files: more }));
    await play(newJob(lab, cache, 'main-again', { files: more }));
    expect(resultsOf(lab, 'branch-again')).toEqual({ tiny: 'prefetch_hit' });
    expect(resultsOf(lab, 'main-again')).toEqual({ tiny: 'miss' });
    // The same pack as the branch's, which the default branch may not see: its own.
    expect(cache.archives.map((one) => one.branch)).toEqual(['main', 'feature', 'main']);
  }, 300_000);

  test('jobs of a matrix keep what is theirs, and a pack that is gone costs its entries only', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const two = { ...TINY, 'src/lib.rs': 'pub fn two() -> u8 { 2 }\n' };
    await play(newJob(lab, cache, 'one', { files: TINY, matrix: { leg: 1 } }));
    const other = await play(newJob(lab, cache, 'other', { files: TINY, matrix: { leg: 2 } }));
    expect(other.main.log).toContain('Nothing of this job is in the cache yet');
    await play(newJob(lab, cache, 'one-more', { files: two, matrix: { leg: 1 } }));
    expect(cache.archives.length).toBe(3);

    const [base] = cache.archives;
    if (base === undefined) throw new Error('there are archives');
    cache.archives[0] = { ...base, branch: 'evicted' };
    const job = newJob(lab, cache, 'without', { files: two, matrix: { leg: 1 } });
    const played = await play(job);
    expect(warnings(played.main).concat(warnings(played.post))).toEqual([]);
    expect(resultsOf(lab, 'without')).toEqual({ tiny: 'prefetch_hit' });
    expect(cache.archives.length).toBe(3);
  }, 300_000);

  test('a large pack goes in parts: one that is gone costs its entries, a damaged one is replaced', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const job = (name: string): Job => {
      const made = newJob(lab, cache, name, { files: LARGE });
      for (const crate of LARGE_CRATES) cpSync(ballast, join(made.workspace, crate, 'src', 'ballast'));
      return made;
    };
    const ballast = lab.path('ballast');
    writeFileSync(ballast, randomBytes(9e6));
    const [hits, misses] = ['prefetch_hit', 'miss'].map((result) =>
      Object.fromEntries(LARGE_CRATES.map((name) => [name, result])),
    );
    const first = await play(job('one'));
    expect(resultsOf(lab, 'one')).toEqual(misses ?? {});
    expect(warnings(first.post)).toEqual([]);
    // The one that names the others is the last.
    expect(cache.archives.map(({ key }) => key.startsWith('kache-v1-'))).toEqual([false, true]);
    const [part] = cache.archives;
    if (part === undefined) throw new Error('there are archives');

    const second = await play(job('two'));
    expect([warnings(second.main), resultsOf(lab, 'two')]).toEqual([[], hits ?? {}]);
    expect(second.main.log).toContain('packs: 2');
    expect(cache.archives.length).toBe(2);

    cache.archives[0] = { ...part, branch: 'evicted' };
    const without = await play(job('without'));
    expect(warnings(without.main).concat(warnings(without.post))).toEqual([]);
    expect(Object.values(resultsOf(lab, 'without')).sort()).toEqual(['miss', 'prefetch_hit']);
    expect(cache.archives.length).toBe(3);
    await play(job('with-again'));
    expect(resultsOf(lab, 'with-again')).toEqual(hits ?? {});

    cache.archives.splice(2);
    cache.archives[0] = part;
    rewrite(lab, cache, 0, damagePack);
    expect(warnings((await play(job('damaged'))).main).join()).toContain('pack');
    const mended = await play(job('mended'));
    expect([warnings(mended.main), resultsOf(lab, 'mended')]).toEqual([[], hits ?? {}]);
  }, 600_000);

  test('what took less to compile than `min-compile-ms` is left out', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    await play(newJob(lab, cache, 'one', { with: { 'min-compile-ms': '3600000' } }));
    expect([cache.archives.length, cache.counts.create]).toEqual([0, 0]);
  }, 180_000);

  test('what another version saved, or nobody can read, is replaced', async () => {
    using lab = new Lab();
    const edits: Readonly<Record<string, (folder: string) => void>> = {
      'a later manifest': (folder) => writeFileSync(fileOf(folder, '.json'), '{"format":2,"below":[]}'),
      'no manifest': (folder) => rmSync(fileOf(folder, '.json')),
      'no pack': (folder) => rmSync(fileOf(folder, '.pack')),
      'half a pack': (folder) => truncateSync(fileOf(folder, '.pack'), 200),
      'no pack at all': (folder) => writeFileSync(fileOf(folder, '.pack'), 'no pack'),
    };
    for (const [what, edit] of Object.entries(edits)) {
      using cache = new ActionsCache();
      const name = what.replaceAll(' ', '-');
      cache.archives.push(...(await archivesOfTiny()));
      rewrite(lab, cache, 0, edit);
      const { main } = await play(newJob(lab, cache, `${name}/at`, { files: TINY }));
      expect([what, warnings(main).length]).toEqual([what, 1]);
      expect([what, cache.archives.length]).toEqual([what, 2]);
      const after = await play(newJob(lab, cache, `${name}/after`, { files: TINY }));
      expect([what, warnings(after.main), resultsOf(lab, `${name}/after`)]).toEqual([
        what,
        [],
        { tiny: 'prefetch_hit' },
      ]);
    }
  }, 300_000);

  test('a job that failed adds what it compiled, and starts nothing afresh', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    await play(newJob(lab, cache, 'whole'));
    const part = newJob(lab, cache, 'part');
    appendFileSync(join(part.workspace, 'native/src/lib.rs'), 'pub const MORE: u8 = 2;\n');
    await part.main();
    expect((await part.run(['cargo', 'build', '-p', 'native'])).status).toBe(0);
    expect((await part.post('failure')).summary).toContain('saved as one more pack');
    await play(newJob(lab, cache, 'whole-again'));
    expect(resultsOf(lab, 'whole-again')).toEqual(all('prefetch_hit'));
  }, 300_000);
});

/** What a broken service does at any endpoint. */
const FAULTS: Readonly<Record<string, () => ReturnType<ActionsCache['fault']>>> = {
  'says 500': () => new Response('{"msg":"on fire"}', { status: 500 }),
  'says 403': () => Response.json({ code: 'permission_denied', msg: 'not you' }, { status: 403 }),
  'says 429': () =>
    Response.json(
      { code: 'resource_exhausted', msg: 'slow down' },
      { status: 429, headers: { 'retry-after': '30' } },
    ),
  'says nonsense': () => new Response('<html>', { status: 200 }),
  'changes bytes': () => 'garbled',
  'stops half-way': () => 'cut',
};

/** Those that add to the cache. */
const SENDING: readonly Endpoint[] = ['create', 'upload', 'finalize'];

/** Bytes can only be harmed where there are some. */
const applies = (fault: string, endpoint: Endpoint): boolean =>
  ['download', 'upload'].includes(endpoint) || FAULTS[fault]?.() instanceof Response;

describe.skipIf(node === undefined)('whatever the service does', () => {
  for (const endpoint of ENDPOINTS)
    test.concurrent(`${endpoint} fails in every way, and each job builds`, async () => {
      using lab = new Lab();
      const archives = await archivesOfTiny();
      await Promise.all(
        Object.keys(FAULTS)
          .filter((fault) => applies(fault, endpoint))
          .map(async (fault, index) => {
            using cache = new ActionsCache();
            cache.archives.push(...archives);
            // With something to restore, and something to save.
            const job = newJob(lab, cache, `${index}`, { files: EDITED });
            cache.fault = (asked) => (asked === endpoint ? FAULTS[fault]?.() : undefined);
            cache.counts[endpoint] = 0;
            const { main, post } = await play(job);
            expect([fault, cache.counts[endpoint] > 0]).toEqual([fault, true]);
            expect(post.summary).toContain('### kache:');
            // Afterwards, what it saved is usable; where that may have been harmed on its way, the next job replaces it.
            cache.fault = () => undefined;
            const isSending = SENDING.includes(endpoint);
            if (isSending) await play(newJob(lab, cache, `${index}-after`, { files: TINY }));
            const last = newJob(lab, cache, `${index}-last`, { files: isSending ? TINY : EDITED });
            expect([fault, warnings((await play(last)).main)]).toEqual([fault, []]);
            expect([fault, resultsOf(lab, `${index}-last`)]).toEqual([fault, { tiny: 'prefetch_hit' }]);
            if (endpoint === 'lookup' || endpoint === 'download')
              expect(warnings(main).length).toBeGreaterThan(0);
          }),
      );
    }, 600_000);

  test.concurrent('a service that says nothing is waited for for a minute', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    cache.fault = (asked) => (asked === 'lookup' ? 'silent' : undefined);
    const { main } = await play(newJob(lab, cache, 'one', { files: TINY }));
    expect(warnings(main)).toEqual([
      'kache: Cannot ask the cache: it took longer than 60 s. The build goes on without it.',
    ]);
    expect(cache.archives.length).toBe(1);
  }, 300_000);

  test('without a service, without a token, or with one nobody answers', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const without: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      service: { ACTIONS_RESULTS_URL: '' },
      token: { ACTIONS_RUNTIME_TOKEN: '' },
      'known token': { ACTIONS_RUNTIME_TOKEN: 'unknown' },
      answer: { ACTIONS_RESULTS_URL: 'http://127.0.0.1:9/' },
    };
    for (const [what, env] of Object.entries(without)) {
      const { main, post } = await play(newJob(lab, cache, what.replace(' ', '-'), { env, files: TINY }));
      expect([what, warnings(main).length]).toEqual([what, 1]);
      expect(post.summary).toContain('### kache:');
    }
  }, 300_000);
});

describe.skipIf(node === undefined)('installing', () => {
  const NAME = `${PACKAGE}-linux-${process.arch}`;
  const published = { name: NAME, version: manifest.version, files: { 'bin/kache': KACHE } };

  test('from a registry, once on a machine', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    using registry = new NpmRegistry(published, lab.path('npm'));
    const job = newJob(lab, cache, 'one', { with: { binary: '', registry: registry.url }, files: TINY });
    await play(job);
    // What stands in front of rustc becomes the binary of the tool cache.
    const launcher = Bun.spawnSync([job.env['RUSTC_WRAPPER'] ?? '']).stdout.toString();
    const binary = /^kache (.+)$/m.exec(launcher)?.[1] ?? '';
    expect(binary).toStartWith(lab.path('one/tools'));
    expect(job.env['PATH']?.split(':')[0]).toBe(dirname(binary));
    expect(resultsOf(lab, 'one')).toEqual({ tiny: 'miss' });
    expect(registry.requests.length).toBe(2);
    await job.main();
    expect(registry.requests.length).toBe(2);
  }, 300_000);

  test('what is not what it should be is not run', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const script = lab.write('script', { kache: '#!/bin/sh\ntouch "$RUNNER_TEMP/was-run"\nexit 1\n' });
    chmodSync(join(script, 'kache'), 0o755);
    using registry = new NpmRegistry(
      { ...published, files: { 'bin/kache': join(script, 'kache') } },
      lab.path('npm'),
    );
    const cases: Readonly<Record<string, () => Readonly<Record<string, string>>>> = {
      'no such version': () => ({ version: '99.0.0' }),
      'nobody answers': () => ({ registry: 'http://127.0.0.1:9' }),
      'no tarball': () => {
        registry.fault = (path) => (path.endsWith('.tgz') ? new Response('', { status: 404 }) : undefined);
        return {};
      },
      'half a tarball': () => {
        registry.fault = (path) => (path.endsWith('.tgz') ? new Response('half') : undefined);
        return {};
      },
      'another checksum': () => {
        registry.fault = () => undefined;
        registry.integrity = 'sha512-bm90IHRoaXM=';
        return {};
      },
      'a weak checksum': () => {
        registry.integrity = 'sha1-bm90IHRoaXM=';
        return {};
      },
      'no such binary': () => ({ binary: '/nowhere/kache' }),
    };
    for (const [what, arrange] of Object.entries(cases)) {
      const name = what.replaceAll(' ', '-');
      const inputs = { binary: '', registry: registry.url, ...arrange() };
      const job = newJob(lab, cache, name, { with: inputs, files: TINY });
      const { main, post } = await play(job);
      expect([what, warnings(main).length, job.env['RUSTC_WRAPPER']]).toEqual([what, 1, undefined]);
      expect([what, post.log, post.summary]).toEqual([what, '', '']);
      expect([what, existsSync(lab.path(name, 'temp', 'was-run'))]).toEqual([what, false]);
    }
  }, 300_000);
});

describe.skipIf(node === undefined)('what a job says', () => {
  test('a later step with `mode: report` has the outputs so far, and wrong inputs are warned of', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const job = newJob(lab, cache, 'one', { files: TINY });
    const main = await job.main({
      warm: 'perhaps',
      'min-compile-ms': 'few',
      'cache-executables': 'true',
      'max-size': '2GiB',
    });
    expect(warnings(main).length).toBe(2);
    expect([
      job.env['KACHE_CACHE_EXECUTABLES'],
      job.env['KACHE_MAX_SIZE'],
      job.env['CARGO_INCREMENTAL'],
    ]).toEqual(['1', '2GiB', '0']);
    await job.run(['cargo', 'build']);
    const report = new Job({
      root: lab.path('one'),
      node: node ?? '',
      env: job.env,
      with: { mode: 'report' },
    });
    const { outputs } = await report.main();
    expect(Object.keys(outputs).sort()).toEqual([
      'cache-size',
      'hit-rate',
      'time-saved-ms',
      'weighted-hit-rate',
    ]);
    expect(outputs['hit-rate']).toBe('0');
    expect((await report.post()).log).toBe('');
  }, 180_000);

  test('one comment on the pull request, which the next run changes', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const comments: { id: number; body: string }[] = [{ id: 1, body: 'first!' }];
    const requests: string[] = [];
    using github = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: async (request) => {
        const { pathname } = new URL(request.url);
        requests.push(`${request.method} ${pathname} ${request.headers.get('authorization')}`);
        if (request.method === 'GET') return Response.json(comments);
        const { body } = (await request.json()) as { body: string };
        const id = request.method === 'PATCH' ? Number(pathname.split('/').at(-1)) : comments.length + 1;
        const present = comments.find((one) => one.id === id);
        if (present === undefined) comments.push({ id, body });
        else present.body = body;
        return Response.json({ id, body });
      },
    });
    const event = lab.write('event', { 'event.json': '{"pull_request":{"number":7}}' });
    const spec = {
      files: TINY,
      with: { 'pr-comment': 'true' },
      env: {
        GITHUB_API_URL: `http://127.0.0.1:${github.port}`,
        GITHUB_EVENT_PATH: join(event, 'event.json'),
        GITHUB_REPOSITORY: 'owner/name',
        GITHUB_TOKEN: 'token-of-the-job',
      },
    };
    const { main } = await play(newJob(lab, cache, 'one', spec));
    expect(main.log).toContain('::add-mask::token-of-the-job');
    expect(comments.length).toBe(2);
    await play(newJob(lab, cache, 'two', spec));
    expect(comments.length).toBe(2);
    expect(comments[1]?.body).toContain('100 % hits');
    expect(requests.map((line) => line.split(' ')[0])).toEqual(['GET', 'POST', 'GET', 'PATCH']);
    expect(requests[1]).toBe('POST /repos/owner/name/issues/7/comments token token-of-the-job');
    // One that may not comment says so, and that is all.
    github.reload({
      fetch: () => Response.json({ message: 'Resource not accessible by integration' }, { status: 403 }),
    });
    const refused = await play(newJob(lab, cache, 'three', spec));
    expect(warnings(refused.post).join()).toContain('comment on the pull request');
  }, 180_000);
});

describe.skipIf(node === undefined)('with a bucket', () => {
  test('one job uploads, the next finds it, and no secret is shown', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    await using server = await startServer('s3s-fs', lab.root);
    if (server === undefined) return;
    const bucket = {
      's3-bucket': BUCKET,
      's3-endpoint': server.endpoint,
      's3-access-key-id': ACCESS_KEY,
      's3-secret-access-key': SECRET_KEY,
      'manifest-key': 'nightly',
    };
    const first = await play(newJob(lab, cache, 'one', { with: bucket }));
    expect(first.post.log).toContain('Saved a list of');
    const second = await play(newJob(lab, cache, 'two', { with: { ...bucket, warm: 'true' } }));
    expect(resultsOf(lab, 'two')).toEqual(all('prefetch_hit'));
    const logs = [first.main, first.post, second.main, second.post].map(({ log }) => log).join('\n');
    expect(logs).toContain(`::add-mask::${SECRET_KEY}`);
    expect(logs.replaceAll(`::add-mask::${SECRET_KEY}`, '')).not.toContain(SECRET_KEY);
    expect([cache.counts.lookup, cache.counts.create]).toEqual([0, 0]);

    // The workspace in a folder of the repository: its lockfile is found there.
    const below = newJob(lab, cache, 'below', {
      with: { ...bucket, 'working-directory': 'rust' },
      files: {},
    });
    lab.write(join(below.workspace, 'rust'), PORTABLE);
    await below.main();
    expect((await below.run(['cargo', 'build', '--manifest-path', 'rust/Cargo.toml'])).status).toBe(0);
    const ended = await below.post();
    expect([warnings(ended), ended.log.includes('Saved a list of')]).toEqual([[], true]);

    const unreachable = { ...bucket, 's3-endpoint': 'http://127.0.0.1:9', warm: 'true' };
    const third = await play(newJob(lab, cache, 'three', { with: unreachable, files: TINY }));
    expect(warnings(third.main).length).toBe(1);
    expect(warnings(third.post).length).toBeGreaterThan(0);
  }, 600_000);
});

/** Rewrites an archive of the server as `edit` changes the files in it. */
function rewrite(lab: Lab, cache: ActionsCache, index: number, edit: (folder: string) => void): void {
  const folder = lab.path('rewrite');
  mkdirSync(folder, { recursive: true });
  const archive = cache.archives[index];
  if (archive === undefined) throw new Error('no such archive');
  const file = join(folder, 'cache.tzst');
  writeFileSync(file, archive.bytes);
  const shell = (text: string): void => {
    const { status, stderr } = lab.run(['sh', '-ec', text], { cwd: folder });
    expect([status, stderr]).toEqual([0, '']);
  };
  shell('tar --use-compress-program unzstd -xf cache.tzst');
  edit(folder);
  shell('rm cache.tzst; tar --posix --use-compress-program zstdmt -cf cache.tzst kache-*');
  cache.archives[index] = { ...archive, bytes: readFileSync(file) };
  rmSync(folder, { recursive: true });
}

const fileOf = (folder: string, ending: string): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith(ending)) ?? '');

/** Changes the second half of its pack. */
function damagePack(folder: string): void {
  const file = fileOf(folder, '.pack');
  const bytes = readFileSync(file);
  for (let at = bytes.length >> 1; at < bytes.length; at += 7) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  writeFileSync(file, bytes);
}
