// What is uploaded after a job, and under which key.
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  archiveKey,
  keyPrefixes,
  MAX_PACKS,
  type Place,
  parseManifest,
  partKey,
  plan,
  type Saved,
} from '../../action/src/chain.ts';

const saved = (changes: Partial<Saved>): Saved => ({
  parts: [{ file: 'new.pack', set: 'set' }],
  set: 'set',
  entries: 10,
  in_bases: 9,
  new: 1,
  bytes: 10,
  used_bytes: 100,
  base_bytes: 90,
  ...changes,
});
const chain = { packs: 1, isDamaged: false, succeeded: true };

test('what is new is added, until too much of the chain is of no use', () => {
  expect(plan(saved({ parts: [], new: 0 }), chain)).toBe('nothing');
  expect(plan(saved({}), chain)).toBe('delta');
  expect(plan(saved({ base_bytes: 115 }), chain)).toBe('delta');
  expect(plan(saved({ base_bytes: 116 }), chain)).toBe('fresh');
  expect(plan(saved({ in_bases: 0 }), chain)).toBe('fresh');
  expect(plan(saved({}), { ...chain, packs: MAX_PACKS - 1 })).toBe('delta');
  expect(plan(saved({}), { ...chain, packs: MAX_PACKS })).toBe('fresh');
  const [part] = saved({}).parts;
  expect(plan(saved({ parts: Array(3).fill(part) }), { ...chain, packs: MAX_PACKS - 2 })).toBe('fresh');
  expect(plan(saved({}), { ...chain, isDamaged: true })).toBe('fresh');
  expect(plan(saved({ parts: [], new: 0 }), { ...chain, isDamaged: true })).toBe('fresh');
  expect(plan(saved({ parts: [], new: 0, entries: 0 }), { ...chain, isDamaged: true })).toBe('nothing');
});

test('a job that failed never takes the place of what is there', () => {
  fc.assert(
    fc.property(
      fc.record({
        new: fc.nat(9),
        in_bases: fc.nat(9),
        bytes: fc.nat(),
        used_bytes: fc.nat(),
        base_bytes: fc.nat(),
      }),
      fc.record({ packs: fc.nat(MAX_PACKS), isDamaged: fc.boolean() }),
      (changes, situation) => {
        const failed = { ...situation, succeeded: false };
        expect(plan(saved(changes), failed)).not.toBe('fresh');
        if (changes.new > 0 && situation.packs < MAX_PACKS)
          expect(plan(saved(changes), failed)).toBe('delta');
      },
    ),
  );
});

const place: Place = {
  prefix: 'kache',
  os: 'Linux',
  arch: 'X64',
  workflow: 'ci',
  job: 'build',
  matrix: 'null',
  toolchain: 'rustc 1.95.0',
};

test('no job finds what is another one’s', () => {
  const word = fc.string({ maxLength: 8 });
  const other = fc.record({ prefix: word, workflow: word, job: word, matrix: word, toolchain: word });
  fc.assert(
    fc.property(other, other, (a, b) => {
      const [one, two] = [keyPrefixes({ ...place, ...a }), keyPrefixes({ ...place, ...b })];
      if (a.workflow !== b.workflow || a.matrix !== b.matrix || a.toolchain !== b.toolchain)
        expect(one.newest.startsWith(two.newest)).toBe(false);
      for (const found of [two.newest, one.newest]) expect(one.part.startsWith(found)).toBe(false);
      expect(`${one.newest} ${one.part}`).toMatch(/^[^,\s]+- [^,\s]+-$/);
    }),
  );
  const keys = [place, { ...place, os: 'macOS' }, { ...place, arch: 'ARM64' }, { ...place, job: 'test' }].map(
    keyPrefixes,
  );
  expect(new Set(keys).size).toBe(4);
});

test('the same work after the same archives has one key; anything else another', () => {
  const prefixes = { newest: 'p-', part: 'q-' };
  const key = archiveKey(prefixes, 'set', { below: ['a'], met: ['a', 'b'] });
  expect(archiveKey(prefixes, 'set', { below: ['a'], met: ['a', 'b'] })).toBe(key);
  const part = { file: 'some.pack.2', set: 'set' };
  const others = [
    archiveKey(prefixes, 'set', { below: [], met: ['a', 'b'] }),
    archiveKey(prefixes, 'set', { below: ['a'], met: ['a'] }),
    archiveKey(prefixes, 'other', { below: ['a'], met: ['a', 'b'] }),
    partKey(prefixes, part, { met: [] }),
    partKey(prefixes, part, { met: ['a'] }),
    partKey(prefixes, { ...part, set: 'other' }, { met: [] }),
  ];
  expect(new Set([key, ...others]).size).toBe(7);
});

test('a manifest is what this version wrote, or nothing', () => {
  expect(parseManifest('{"format":1,"below":["a"]}')).toEqual({ format: 1, below: ['a'] });
  const nine = JSON.stringify({ format: 1, below: Array(MAX_PACKS + 1).fill('a') });
  for (const text of [
    '',
    'null',
    '[]',
    '{',
    '{"format":2,"below":[]}',
    '{"format":1}',
    '{"format":1,"below":[1]}',
    nine,
  ])
    expect([text, parseManifest(text)]).toEqual([text, undefined]);
});
