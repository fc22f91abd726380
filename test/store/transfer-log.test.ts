// The log of transfers: what is appended is read, torn lines are passed over, and it never grows beyond two generations.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { appendFileSync, statSync } from 'node:fs';
import type { TransferRecord } from '../../src/core/transfers.ts';
import { logTransfer, readTransfers } from '../../src/store/transfer-log.ts';
import { Lab } from '../support/lab.ts';
import { storeOf } from './stores.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab[Symbol.dispose]());

const record = (ts: number): TransferRecord => ({
  ts,
  request: 'get',
  what: 'entry',
  id: 'a'.repeat(64),
  bytes: 10,
  elapsed_ms: 1.5,
  result: 'found',
});

test('both kinds of line come back, oldest first, from a moment on; others are passed over', () => {
  const store = storeOf(lab);
  expect(readTransfers(store)).toEqual([]);
  logTransfer(store, record(1000), undefined);
  appendFileSync(store.layout.transfers, '{"ts":1500,"request":"ge\n\nnull\n{"ts":1600}\n');
  logTransfer(store, { ts: 2000, planned: 7, build_pid: 12 }, undefined);
  expect(readTransfers(store)).toEqual([
    { kind: 'request', record: record(1000) },
    { kind: 'plan', plan: { ts: 2000, planned: 7, build_pid: 12 } },
  ]);
  expect(readTransfers(store, 1001)).toHaveLength(1);
});

test('in a small store it stays within two generations of its limit, and keeps the newest', () => {
  const store = storeOf(lab);
  const limit = 64 * 1024;
  for (let ts = 0; ts < 2000; ts++) logTransfer(store, record(ts), 1024 * 1024);
  const { transfers } = store.layout;
  const [now, before] = [transfers, `${transfers}.1`].map((path) => statSync(path).size);
  expect(now).toBeLessThan(limit + 300);
  expect(before).toBeLessThan(limit + 300);
  const read = readTransfers(store);
  expect(read.length).toBeGreaterThan(limit / 200);
  expect(read.at(-1)).toEqual({ kind: 'request', record: record(1999) });
});
