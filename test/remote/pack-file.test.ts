// A pack comes back as it was written; cut or changed anywhere, what is still whole is kept and nothing else is.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { CacheKey } from '../../src/core/ids.ts';
import { pack, unpack } from '../../src/remote/pack.ts';
import { PackReader, PackWriter } from '../../src/remote/pack-file.ts';
import type { Entry } from '../../src/store/entries.ts';
import { sha256 } from '../../src/sys/hash.ts';
import { closureOf, entryOf, NO_INPUTS } from '../store/stores.ts';
import { Lab } from '../support/lab.ts';
import { unpackedOutputs } from '../support/unpacked.ts';

let lab: Lab;
let path: string;
beforeAll(() => {
  lab = new Lab();
  path = lab.path('some.pack');
});
afterAll(() => lab[Symbol.dispose]());

const ABOUT = { kache: '1.2.3', created: '2026-11-25T13:24:40.000Z' };
const CONTENTS: Readonly<Record<string, string>> = { a: 'output of a', b: 'b'.repeat(500), c: 'of c' };

async function packed(entry: Entry, text: string): Promise<Uint8Array> {
  const parts = { entry, inputs: NO_INPUTS, closure: closureOf('./lib.rs') };
  const object = await pack(parts, { level: 3, outputOf: () => new TextEncoder().encode(text) });
  if (object === undefined) throw new Error('could not be packed');
  return object;
}

async function written(): Promise<Buffer> {
  using writer = new PackWriter(path, ABOUT);
  for (const [name, text] of Object.entries(CONTENTS)) {
    const entry = entryOf(name, text);
    writer.add(entry.key, await packed(entry, text));
  }
  const sizeBytes = writer.end();
  writer.place();
  const bytes = readFileSync(path);
  expect(bytes.length).toBe(sizeBytes);
  return bytes;
}

interface Found {
  /** What was proven, by key. */
  readonly texts: ReadonlyMap<CacheKey, string>;
  readonly refused: readonly string[];
  /** The digest of each, and what it is. */
  readonly plans: readonly string[];
}

/** Everything a file gives, as whoever takes it in would prove it. */
async function read(bytes: Uint8Array): Promise<Found> {
  writeFileSync(path, bytes);
  const opened = PackReader.open(path);
  if ('kind' in opened) return { texts: new Map(), refused: [opened.why], plans: [] };
  using reader = opened;
  const texts = new Map<CacheKey, string>();
  const refused: string[] = [];
  const plans: string[] = [];
  for (const frame of reader.frames()) {
    if (frame.kind === 'plan') {
      plans.push(`${frame.digest} ${Buffer.from(frame.read())}`);
      continue;
    }
    const unpacked = frame.kind === 'refused' ? frame : unpack(frame.read(), frame.key);
    if (unpacked.kind === 'refused' || frame.kind === 'refused') {
      refused.push(unpacked.kind === 'refused' ? unpacked.why : '');
      continue;
    }
    const found = await unpackedOutputs(unpacked);
    if (found.refused !== undefined) refused.push(found.refused.why);
    for (const { bytes } of found.outputs) texts.set(frame.key, bytes.toString());
  }
  return { texts, refused, plans };
}

const WHOLE = new Map(
  Object.entries(CONTENTS).map(([name, text]) => [entryOf(name, text).key, text] as const),
);

/** That nothing came out that was not put in. */
function expectNothingWrong({ texts }: Found): void {
  for (const [key, text] of texts) expect(text).toBe(WHOLE.get(key) ?? 'no such entry');
}

test('what was written comes back, and nothing is left beside it', async () => {
  const bytes = await written();
  expect(await read(bytes)).toEqual({ texts: WHOLE, refused: [], plans: [] });
  const opened = PackReader.open(path);
  if ('kind' in opened) throw new Error(opened.why);
  using reader = opened;
  expect(reader.about).toEqual(ABOUT);
  expect(readdirSync(lab.root).filter((name) => name.includes('unfinished'))).toEqual([]);
});

test('plans stand behind the entries', async () => {
  const digest = sha256('a plan');
  {
    using writer = new PackWriter(path, ABOUT);
    const entry = entryOf('a', 'text');
    writer.add(entry.key, await packed(entry, 'text'));
    writer.addPlan(digest, Buffer.from('a plan'));
    writer.end();
    writer.place();
  }
  const bytes = readFileSync(path);
  const found = await read(bytes);
  expect([found.refused, found.plans, found.texts.size]).toEqual([[], [`${digest} a plan`], 1]);
  expect((await read(bytes.subarray(0, -3))).refused).toEqual(['cut off behind 2 entries']);
});

test('cut at every length: what stands before the cut is kept', async () => {
  const bytes = await written();
  let kept = 0;
  for (let length = 0; length < bytes.length; length++) {
    const found = await read(bytes.subarray(0, length));
    expectNothingWrong(found);
    expect([length, found.refused.length]).toEqual([length, 1]);
    expect(found.texts.size).toBeGreaterThanOrEqual(kept);
    kept = found.texts.size;
  }
  // All but the last line.
  expect(kept).toBe(3);
});

test('every byte changed: nothing wrong comes out, and what is sound before it is kept', async () => {
  const bytes = await written();
  const starts = [...WHOLE.keys()].map((key) => bytes.indexOf(`${key} `));
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    const found = await read(changed);
    expectNothingWrong(found);
    // Who wrote it may read otherwise, and bits of a zstd frame may say nothing: then all comes out.
    if (found.refused.length === 0) expect(found.texts).toEqual(WHOLE);
    const isHead = at < (starts[0] ?? 0);
    const before = starts.filter((start, index) => (starts[index + 1] ?? bytes.length) <= at && start < at);
    if (!isHead) expect([at, found.texts.size >= before.length]).toEqual([at, true]);
  }
});

test('damage within an entry costs that entry alone', async () => {
  const bytes = await written();
  const second = [...WHOLE.keys()][1] ?? '';
  const at = bytes.indexOf(`${second} `) + 64 + 5 + 100;
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 255;
  const found = await read(changed);
  expect([found.texts.size, found.refused]).toEqual([2, ['header damaged']]);
});

test('other files are no packs, and are not read', async () => {
  const bytes = await written();
  const why = async (other: Uint8Array | string): Promise<readonly string[]> =>
    (await read(typeof other === 'string' ? new TextEncoder().encode(other) : other)).refused;
  expect(await why('')).toEqual(['it is not a pack']);
  expect(await why('<html>\n')).toEqual(['it is not a pack']);
  expect(await why(new Uint8Array(1024 * 1024))).toEqual(['it is not a pack']);
  expect(await why('kache-packs-2 {}\n')).toEqual(['it is not a pack']);
  expect(await why('kache-packs-2 {"kache":"\\u001b[2J","created":"2026"}\n')).toEqual(['it is not a pack']);
  expect(await why('kache-packs-3 {"kache":"2.0.0"}\nwhatever')).toEqual([
    'it was written by another version of kache',
  ]);
  expect(await why(Buffer.concat([bytes, new Uint8Array(1)]))).toEqual(['damaged behind 3 entries']);
  expect(PackReader.open(lab.path('none'))).toEqual({ kind: 'refused', why: 'it is not there' });
  mkdirSync(lab.path('folder'));
  expect(PackReader.open(lab.path('folder'))).toEqual({ kind: 'refused', why: 'it is not a file' });
  Bun.spawnSync(['mkfifo', lab.path('pipe')]);
  expect(PackReader.open(lab.path('pipe'))).toEqual({ kind: 'refused', why: 'it is not a file' });
});

test('a length that no entry has takes no memory', async () => {
  const key = sha256('some');
  const head = `kache-packs-2 ${JSON.stringify(ABOUT)}\n`;
  for (const length of ['0', '-1', '1e3', '9999999999', '134217729', '99999999999999999999', ' 1'])
    expect((await read(Buffer.from(`${head}${key} ${length}\nx`))).refused).toEqual([
      'damaged behind 0 entries',
    ]);
  expect((await read(Buffer.from(`${head}${key} 134217728\nx`))).refused).toEqual([
    'cut off behind 0 entries',
  ]);
});

test('a writer that does not finish leaves what was there, and the next takes away what the dead have left', async () => {
  const bytes = await written();
  {
    using writer = new PackWriter(path, ABOUT);
    writer.add(entryOf('a').key, new Uint8Array(10));
  }
  expect(readFileSync(path)).toEqual(Buffer.from(bytes));
  const { pid } = Bun.spawnSync(['true']);
  const dead = [`${path}.unfinished-${pid}`, `${path}.2.unfinished-${pid}`];
  const others = [`${path}.unfinished-1`, `${path}.unfinished-x`, `${lab.path('other.pack')}.unfinished-0`];
  for (const name of [...dead, ...others]) writeFileSync(name, 'left');
  await written();
  expect(dead.filter((name) => existsSync(name))).toEqual([]);
  expect(others.filter((name) => !existsSync(name))).toEqual([]);
});
