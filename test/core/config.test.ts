import { expect, test } from 'bun:test';
import { resolveSettings, unknownKeys } from '../../src/core/config.ts';
import { parseEvent } from '../../src/core/events.ts';
import { formatBytes, formatMs, parseDurationMs, parseSizeBytes } from '../../src/core/quantities.ts';

test('the environment goes before the file, the file before the default', () => {
  const file = {
    cache: { local_store: '/file', key_salt: 'file', cache_executables: true, local_max_size: '5GiB' },
  };
  const { settings, problems } = resolveSettings(
    { KACHE_CACHE_DIR: '/env', KACHE_CACHE_EXECUTABLES: '0', HOME: '/h' },
    file,
  );
  expect(settings).toMatchObject({
    cacheDir: '/env',
    keySalt: 'file',
    cacheExecutables: false,
    maxSizeBytes: 5 * 1024 ** 3,
    linkMode: 'auto',
    normalizePaths: true,
  });
  expect(problems).toEqual([]);
  expect(resolveSettings({ HOME: '/h' }, {}).settings.cacheDir).toContain('/h/');
  expect(resolveSettings({}, {}).settings.cacheDir).toBeUndefined();
});

test('a wrong value is a problem and the next source counts', () => {
  const { settings, problems } = resolveSettings(
    { KACHE_LINK_MODE: 'teleport', KACHE_DISABLED: 'yes' },
    { cache: { link_mode: 'copy' } },
  );
  expect(settings).toMatchObject({ linkMode: 'copy', disabled: false });
  expect(problems.map(({ name }) => name)).toEqual(['KACHE_DISABLED', 'KACHE_LINK_MODE']);
});

test('keys nobody knows are named', () => {
  expect(
    unknownKeys({ cache: { local_store: '/x', lokal: 1, remote: { bucket: 'b', bukket: 'c' } }, stuff: {} }),
  ).toEqual(['cache.lokal', 'cache.remote.bukket', 'stuff']);
});

test('quantities as people write them', () => {
  expect([
    parseSizeBytes('10GiB'),
    parseSizeBytes('500MB'),
    parseSizeBytes('12'),
    parseSizeBytes('ten'),
  ]).toEqual([10 * 1024 ** 3, 5e8, 12, undefined]);
  expect([
    parseDurationMs('30m'),
    parseDurationMs('24h'),
    parseDurationMs('7d'),
    parseDurationMs('2'),
    parseDurationMs('x'),
  ]).toEqual([1.8e6, 8.64e7, 6.048e8, 7.2e6, undefined]);
  expect([formatBytes(512), formatBytes(1536), formatMs(90_000), formatMs(850)]).toEqual([
    '512 B',
    '1.5 KiB',
    '1m 30s',
    '850ms',
  ]);
});

test('a torn line of the event log is no event', () => {
  expect(parseEvent('{"ts":1,"result":"miss","crate_name":"a","elapsed_ms":1}')?.crate_name).toBe('a');
  for (const line of ['', '{"ts":1,"res', 'null', '[]', '{"ts":"1","result":"miss","crate_name":"a"}'])
    expect(parseEvent(line)).toBeUndefined();
});
