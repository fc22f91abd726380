import { expect, test } from 'bun:test';
import { planPrune } from '../../src/cli/prune.ts';
import { buildIds, profileOf } from '../../src/daemon/build-identity.ts';
import { planPrefetch } from '../../src/daemon/builds.ts';
import {
  ByteBudget,
  Gate,
  NegativeMemory,
  Patience,
  VAIN_BUDGET_MS,
  VAIN_WINDOW_MS,
} from '../../src/daemon/limits.ts';
import type { BuildItem } from '../../src/remote/build-object.ts';
import { entryName, unitName } from '../../src/remote/names.ts';
import { cacheKey, unitId } from '../store/stores.ts';
import { Lab } from '../support/lab.ts';

test('a gate lets so many in, what is urgent first, then in order', async () => {
  const gate = new Gate(2);
  const inside = [await gate.enter(false), await gate.enter(false)];
  const order: string[] = [];
  const wait = (name: string, urgent: boolean) =>
    gate.enter(urgent).then((place) => {
      order.push(name);
      return place;
    });
  const waiting = [wait('a', false), wait('b', false), wait('c', true), wait('d', true)];
  for (const place of inside) place[Symbol.dispose]();
  for (const name of [2, 3, 0, 1]) (await waiting[name])?.[Symbol.dispose]();
  expect(order).toEqual(['c', 'd', 'a', 'b']);
  using _free = await gate.enter(false);
});

test('a budget of bytes never hands out more than it has, and nobody starves', async () => {
  const budget = new ByteBudget(100);
  let [held, most] = [0, 0];
  const user = async (bytes: number): Promise<void> => {
    using _room = await budget.take(bytes);
    held += Math.min(bytes, 100);
    most = Math.max(most, held);
    await Bun.sleep(1);
    held -= Math.min(bytes, 100);
  };
  await Promise.all([60, 60, 1000, 10, 20, 90, 5].map(user));
  expect([held, most <= 100]).toEqual([0, true]);
});

test('compiles wait in vain so long in all, and again when that is long ago', () => {
  const patience = new Patience();
  expect(patience.allowance(3000, 0)).toBe(3000);
  for (let at = 0; at < 3; at++) patience.lost(3000, at);
  expect(patience.allowance(3000, 10)).toBe(VAIN_BUDGET_MS - 9000);
  patience.lost(3000, 20);
  expect(patience.allowance(3000, 30)).toBe(0);
  expect(patience.allowance(3000, VAIN_WINDOW_MS + 30)).toBe(3000);
});

test('what is absent is remembered for a while, and not more of it than there is room', async () => {
  const memory = new NegativeMemory(20, 3);
  for (const name of ['a', 'b', 'c', 'd']) memory.add(name);
  expect(['a', 'b', 'd'].map((name) => memory.has(name))).toEqual([false, true, true]);
  await Bun.sleep(25);
  expect(memory.has('d')).toBe(false);
});

const item = (name: string, compileMs: number, sizeBytes: number): BuildItem => ({
  key: cacheKey(name),
  unit: unitId(name),
  compileMs,
  sizeBytes,
  toolchain: '01234567',
});

test('prefetch goes in build order, what is cheap to compile last, within its budgets', () => {
  const items = [item('cheap', 10, 5), item('a', 500, 10), item('large', 900, 1000), item('b', 300, 10)];
  const names = (limits: { maxKeys: number; maxBytes: number }): string[] =>
    planPrefetch(items, { enabled: true, ...limits }).map(
      ({ key }) => ['cheap', 'a', 'large', 'b'].find((name) => cacheKey(name) === key) ?? '',
    );
  expect(names({ maxKeys: 10, maxBytes: 1e6 })).toEqual(['a', 'large', 'b', 'cheap']);
  expect(names({ maxKeys: 2, maxBytes: 1e6 })).toEqual(['a', 'large']);
  expect(names({ maxKeys: 10, maxBytes: 22 })).toEqual(['a', 'b']);
});

test('the profile is in the output folder, and a folder that is not Cargo’s has none', () => {
  for (const [dir, profile] of [
    ['/w/target/debug/deps', 'debug'],
    ['/w/target/release/build/serde-0123', 'release'],
    ['/w/target/x86_64-unknown-linux-musl/release/deps', 'x86_64-unknown-linux-musl/release'],
    ['/elsewhere/debug/examples', 'debug'],
    ['/w/target/debug/build/probe-01/out/probe', undefined],
    ['/tmp', undefined],
  ] as const)
    expect([dir, profileOf(dir)]).toEqual([dir, profile]);
});

test('builds of one lockfile share a list, those of another lockfile the one of the workspace', () => {
  using lab = new Lab();
  const lock = (version: string): string =>
    `[[package]]\nname = "app"\nversion = "0.1.0"\n\n[[package]]\nname = "serde"\nversion = "${version}"\nsource = "registry+x"\n`;
  const a = buildIds(lab.write('a', { 'Cargo.lock': lock('1') }), 'debug');
  const b = buildIds(lab.write('deeper/b', { 'Cargo.lock': lock('1') }), 'debug');
  const c = buildIds(lab.write('c', { 'Cargo.lock': lock('2') }), 'debug');
  expect(a).toEqual(b);
  expect([a.exact === c.exact, a.workspace === c.workspace]).toEqual([false, true]);
  expect(buildIds(lab.path('a'), 'release').workspace).not.toBe(a.workspace);
  const nightly = buildIds(lab.path('a'), 'debug', 'nightly');
  expect([nightly.exact === a.exact, nightly.workspace === a.workspace]).toEqual([false, false]);
  expect(buildIds(lab.path('deeper/b'), 'debug', 'nightly')).toEqual(nightly);
});

test('pruning takes what is old, then the oldest until the rest fits, and nothing that is not ours', () => {
  const object = (name: string, modifiedMs: number) => ({ name, sizeBytes: 10, modifiedMs });
  const [old, middle, young] = [entryName(cacheKey('a')), unitName(unitId('b')), entryName(cacheKey('c'))];
  const objects = [
    object(young, 900),
    object(old, 100),
    object(middle, 500),
    object('v2/readme', 0),
    object('other', 0),
  ];
  const names = (maxAgeMs: number, maxBytes: number): string[] =>
    planPrune(objects, { maxAgeMs, maxBytes, nowMs: 1000 }).map(({ name }) => name);
  expect(names(800, 1e9)).toEqual([old]);
  expect(names(1e9, 15)).toEqual([old, middle]);
  expect(names(1e9, 1e9)).toEqual([]);
});
