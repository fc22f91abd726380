// Plans that go to another machine: what of them may, what comes back, and what is none.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import type { Digest } from '../../src/core/ids.ts';
import { type Plan, type PlannedUnit, readPlan, writePlan } from '../../src/fingerprints/plan.ts';
import { holdsValue, packPlans, unpackPlan } from '../../src/fingerprints/travel.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { sha256 } from '../../src/sys/hash.ts';

let dir: string;
let store: Store;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kache-test-plans-'));
  store = storeIn('store');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function storeIn(name: string): Store {
  const opened = openStore(join(dir, name));
  if (opened.kind === 'problem') throw new Error('no store');
  return opened;
}

const RUN = { id: sha256('a run') };
const HASH = '0123456789abcdef';

const unitOf = (name: string, more: Partial<PlannedUnit> = {}, on: readonly string[] = []): PlannedUnit => ({
  crate: [name, '1.0.0'],
  argv: ['rustc', '--crate-name', name, '--out-dir', '\0target\0/debug/deps'],
  cwd: `/cargo/registry/src/${name}`,
  env: { CARGO_PKG_NAME: name, GONE: null },
  folder: `debug/.fingerprint/${name}-${HASH}`,
  record: [
    ['dep-lib', '\u0001\u0000ÿ'],
    ['lib', sha256(name).slice(0, 16)],
    ['lib.json', `{"deps":[${on.map((one) => `[1,"${one}",false,${numberOf(one)}]`)}],"local":[]}`],
  ],
  travels: true,
  ...more,
});

function withoutVerdict({ travels: _, ...unit }: PlannedUnit): PlannedUnit {
  return unit;
}

/** As Cargo writes the hash of a unit where another one names it. */
const numberOf = (name: string): bigint => Buffer.from(sha256(name).slice(0, 16), 'hex').readBigUInt64LE();

const planOf = (...units: PlannedUnit[]): Plan => ({
  locks: ['debug/.cargo-lock'],
  folders: ['debug/.fingerprint', 'debug/deps'],
  units,
});

/** A plan that somebody has written by hand. */
function packed(plan: unknown, id: unknown = RUN.id): { digest: Digest; packed: Uint8Array } {
  const text = JSON.stringify([id, plan]);
  return { digest: sha256(text), packed: zstdCompressSync(text) };
}

test('what one store has kept is what another one has then', () => {
  const plan = planOf(unitOf('a'), unitOf('b', { printed: sha256('b') }, ['a']));
  writePlan(store, RUN, plan);
  const [one, ...others] = packPlans(store, undefined);
  const other = storeIn('other');
  expect([others, one === undefined ? 'none' : unpackPlan(other, one)]).toEqual([[], undefined]);
  expect(readPlan(other, RUN)).toEqual(plan);
  expect(packPlans(other, undefined)).toEqual(one === undefined ? [] : [one]);
});

test('what comes takes the place of what is known: calls of one build and what scripts print in another are not mixed', () => {
  writePlan(store, RUN, planOf(unitOf('run', { printed: sha256('one') }), unitOf('hears one', {}, ['run'])));
  const come = planOf(unitOf('run', { printed: sha256('two') }));
  expect(unpackPlan(store, packed(come))).toBeUndefined();
  expect(readPlan(store, RUN)).toEqual(come);
});

test('only plans that were used since, and no unit that stays, nor what is built on it', () => {
  writePlan(store, RUN, planOf(withoutVerdict(unitOf('a')), unitOf('b', {}, ['a']), unitOf('c')));
  const [all] = packPlans(store, undefined);
  expect(unpackPlan(storeIn('other'), all ?? packed(undefined))).toBeUndefined();
  expect(readPlan(storeIn('other'), RUN)?.units.map(({ crate }) => crate[0])).toEqual(['c']);
  expect(packPlans(store, Date.now() - 60_000)).toHaveLength(1);
  utimesSync(store.layout.memo('fingerprints', `fingerprints of ${RUN.id}`), 1, 1);
  expect(packPlans(store, Date.now() - 60_000)).toEqual([]);
});

test('values of variables that scripts and macros hand on stay here', () => {
  const own = {
    MY_TOKEN: 'abcdef1',
    BUILD_NAME: 'nightly-7',
    HOME: '/home/somebody',
    SHORT: 'x',
    CARGO_X: 'cargo-value',
    GITHUB_JOB: 'features',
    KACHE_CACHE_BUILD_SCRIPTS: 'dependencies',
    GITHUB_TOKEN: 'abcdef2',
    GITHUB_PAT: 'abcdef3',
    CI_REPOSITORY_URL: 'https://ci:abcdef4@example.org/a.git',
  };
  const holding: Record<string, Partial<PlannedUnit>> = {
    'a variable that a script sets': { env: { SAID: 'is nightly-7' } },
    'what a script tells another one': { env: { DEP_A_SAID: 'abcdef1' } },
    'a secret of CI': { env: { DEP_A_SAID: 'abcdef2' } },
    'one by no such name': { env: { DEP_A_SAID: 'abcdef3' } },
    'an address with a password': { env: { SAID: 'of https://ci:abcdef4@example.org/a.git' } },
    'a flag': { argv: ['rustc', '--cfg', 'name="nightly-7"'] },
    'what Cargo has noted of it': { record: [['dep-lib', '\u0000MY_TOKEN\u0000abcdef1']] },
  };
  for (const [what, more] of Object.entries(holding))
    expect([what, holdsValue(unitOf('a', more), own)]).toEqual([what, true]);
  const holdingNone: Partial<PlannedUnit>[] = [
    {},
    { env: { OUT_DIR: '/home/somebody/out', CARGO_PKG_NAME: 'nightly-7', RUSTC: 'cargo-value', SAID: 'x' } },
    { argv: ['rustc', '/home/somebody/lib.rs'] },
    { record: [['lib-a.json', '{"features":"[]","of":"dependencies"}']] },
  ];
  for (const more of holdingNone) expect(holdsValue(unitOf('a', more), own)).toBe(false);
});

test('what is no plan is refused, and nothing of it is taken', () => {
  const unit = unitOf('a');
  const none: Record<string, unknown> = {
    nothing: null,
    'a list': [],
    'without a verdict': planOf(withoutVerdict(unit)),
    'without units': { locks: [], folders: [] },
    'a lock elsewhere': { ...planOf(unit), locks: ['/etc/lock'] },
    'a folder above': { ...planOf(unit), folders: ['debug/../../x'] },
    'a record elsewhere': planOf({ ...unit, folder: '/etc' }),
    'a record above': planOf({ ...unit, folder: '../x' }),
    'a file of a record elsewhere': planOf({ ...unit, record: [['../lib', '']] }),
    'a file that is none': planOf({ ...unit, record: [['..', '']] }),
    'no arguments': { ...planOf(), units: [{ ...unit, argv: [1] }] },
    'an environment of numbers': { ...planOf(), units: [{ ...unit, env: { A: 1 } }] },
  };
  for (const [what, plan] of Object.entries(none))
    expect([what, unpackPlan(store, packed(plan))]).toEqual([what, 'a plan that is none']);
  const object = '{}';
  expect(unpackPlan(store, { digest: sha256(object), packed: zstdCompressSync(object) })).toBe(
    'a plan that is none',
  );
  expect(unpackPlan(store, packed(planOf(unit), 'id'))).toBe('a plan that is none');
  expect(unpackPlan(store, { ...packed(planOf(unit)), digest: sha256('other') })).toBe('a plan that is none');
  expect(unpackPlan(store, { digest: sha256(''), packed: Buffer.from('x') })).toBe(
    'a plan that cannot be unpacked',
  );
  const zeros = zstdCompressSync(new Uint8Array(80 * 1024 * 1024));
  expect(unpackPlan(store, { digest: sha256(''), packed: zeros })).toBe('a plan that cannot be unpacked');
  expect(readPlan(store, RUN)).toBeUndefined();
});
