import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  lookUpKey,
  resolveSettings,
  SETTINGS,
  type SettingKind,
  type SettingSpec,
  type Settings,
  userConfigPath,
} from '../../src/core/config.ts';
import { unknownKeys } from '../../src/core/later-settings.ts';

/** Two right values of each kind, and wrong ones. */
const VALUES: Readonly<Record<SettingKind, { right: readonly [string, string]; wrong: readonly unknown[] }>> =
  {
    path: { right: ['/one', '/two'], wrong: ['one', './two', ['a'], {}] },
    string: { right: ['one', 'two'], wrong: [['a'], {}] },
    boolean: { right: ['true', 'false'], wrong: ['yes', 'on', '2', 'TRUE', [], {}] },
    size: { right: ['10GiB', '500MB'], wrong: ['much', '-1', '', [], true] },
    strings: { right: ['a b', 'c,d'], wrong: [7, true, [1], {}] },
    number: { right: ['1', '2'], wrong: ['x', []] },
    'link-mode': { right: ['copy', 'hardlink'], wrong: ['teleport', 'AUTO', '', 1, []] },
    'build-script-mode': { right: ['all', 'dependencies'], wrong: ['on', 'true', '', []] },
    'verify-mode': { right: ['always', 'sampled'], wrong: ['on', 'true', '', []] },
    'remote-type': { right: ['filesystem', 's3'], wrong: ['gcs', '', []] },
    addressing: { right: ['path', 'virtual'], wrong: ['dns', '', []] },
  };

const specs = SETTINGS as readonly SettingSpec[];

/** A parsed file that holds one value under a dotted key. */
const fileWith = (key: string, value: unknown): Record<string, unknown> =>
  key.split('.').reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as Record<string, unknown>;

const settingsOf = (env: Record<string, string>, file = {}): Settings =>
  resolveSettings({ HOME: '/h', ...env }, file).settings;

for (const spec of specs) {
  const { right, wrong } = VALUES[spec.kind];
  const [one, two] = right;
  const name = spec.key ?? spec.variable ?? '';
  // A remote needs a place before its other settings show.
  const place = { KACHE_S3_BUCKET: 'bucket' };
  const env = (value: string): Record<string, string> =>
    spec.variable === undefined ? {} : { [spec.variable]: value };

  if (spec.key !== undefined) {
    const key = spec.key;
    test(`${name}: what the file says holds, and different values differ`, () => {
      const base = name.startsWith('cache.remote') && spec.variable !== 'KACHE_S3_BUCKET' ? place : {};
      const file = (value: string) => resolveSettings({ HOME: '/h', ...base }, fileWith(key, value));
      // Of a remote only one side shows: its type decides which.
      if (key !== 'cache.remote.path' && key !== 'cache.remote.type')
        expect(file(one).settings).not.toEqual(file(two).settings);
      expect([file(one).problems, file(two).problems]).toEqual([[], []]);
    });

    test(`${name}: a wrong value in the file is a problem, and the default holds`, () => {
      for (const value of wrong) {
        const { settings, problems } = resolveSettings({ HOME: '/h' }, fileWith(key, value));
        expect([value, problems.map((problem) => problem.name)]).toEqual([value, [key]]);
        expect(settings).toEqual(settingsOf({}));
      }
    });
  }

  if (spec.variable !== undefined) {
    const variable = spec.variable;
    test(`${name}: the environment goes before the file, and a wrong value does not`, () => {
      const base = /^KACHE_(S3_|REMOTE_TYPE|MANIFEST_KEY)/.test(variable) ? place : {};
      expect(settingsOf({ ...base, ...env(one) })).not.toEqual(settingsOf({ ...base, ...env(two) }));
      if (spec.key === undefined) return;
      const file = fileWith(spec.key, two);
      expect(settingsOf({ ...base, ...env(one) }, file)).toEqual(settingsOf({ ...base, ...env(one) }));
      for (const value of wrong.filter((item) => typeof item === 'string' && item !== '')) {
        const resolved = resolveSettings({ HOME: '/h', ...base, [variable]: String(value) }, file);
        expect(resolved.settings).toEqual(settingsOf(base, file));
        expect(resolved.problems.map((problem) => problem.name)).toEqual([variable]);
      }
    });
  }
}

test('every kind becomes what the settings hold', () => {
  const { settings, problems } = resolveSettings(
    { HOME: '/h' },
    {
      cache: {
        local_store: '/store',
        local_max_size: '5GiB',
        cache_executables: true,
        local_only: '1',
        remote_readonly: 'true',
        key_salt: 7,
        key_env_vars: ['A', 'B_*'],
        exclude: 'one two',
        bypass_crates: ['x'],
        bypass_argv: '-Zfoo,-Zbar',
        bypass_env: ['CI=1'],
        trusted_compilers: ['/nix/store/*/bin/rustc'],
        fallback: 'sccache',
        link_mode: 'hardlink',
        remote: { type: 'filesystem', path: '/shared' },
      },
      paths: { base_dirs: ['/base'] },
    },
  );
  expect(problems).toEqual([]);
  expect(settings).toEqual({
    cacheDir: '/store',
    maxSizeBytes: 5 * 1024 ** 3,
    disabled: false,
    cacheExecutables: true,
    cacheBuildScripts: 'off',
    cacheFingerprints: false,
    localOnly: true,
    remoteReadonly: true,
    keySalt: '7',
    keyEnvVars: ['A', 'B_*'],
    baseDirs: ['/base'],
    exclude: ['one', 'two'],
    bypassCrates: ['x'],
    bypassArgv: ['-Zfoo', '-Zbar'],
    bypassEnv: ['CI=1'],
    trustedCompilers: ['/nix/store/*/bin/rustc'],
    fallback: 'sccache',
    normalizePaths: true,
    linkMode: 'hardlink',
    verifyRestores: 'off',
    remote: {
      type: 'filesystem',
      path: '/shared',
      bucket: undefined,
      endpoint: undefined,
      region: 'us-east-1',
      prefix: 'artifacts',
      profile: undefined,
      writePrefix: 'artifacts',
      addressing: 'auto',
      caFile: undefined,
      manifestKey: undefined,
      accessKey: undefined,
      secretKey: undefined,
      sessionToken: undefined,
    },
    sharedEnvVars: [],
    compressionLevel: 3,
    remoteConcurrency: 16,
    remoteWaitSecs: 3,
    prefetch: true,
    prefetchMaxKeys: 2000,
    prefetchMaxBytes: 2 * 1024 ** 3,
    daemonIdleSecs: 0,
    socketPath: undefined,
  });
});

test('an empty variable is as none: it turns nothing on and nothing off', () => {
  const empty = Object.fromEntries(
    specs.flatMap(({ variable }) => (variable === undefined ? [] : [[variable, '']])),
  );
  const { settings } = resolveSettings({ HOME: '/h', ...empty }, {});
  expect(settings).toEqual(settingsOf({}));
});

test('switches are read as they are written elsewhere too', () => {
  for (const [value, on] of [
    ['1', true],
    ['true', true],
    ['0', false],
    ['false', false],
    ['', false],
  ] as const)
    expect([value, settingsOf({ KACHE_DISABLED: value }).disabled]).toEqual([value, on]);
  expect(settingsOf({ KACHE_RUSTC_PATH_NORMALIZE: '0' }).normalizePaths).toBe(false);
});

test('several problems are all named, the settings around them hold', () => {
  const { settings, problems } = resolveSettings(
    { KACHE_LINK_MODE: 'teleport', KACHE_DISABLED: 'yes' },
    { cache: { link_mode: 'copy', local_max_size: 'large' } },
  );
  expect(settings).toMatchObject({ linkMode: 'copy', disabled: false, maxSizeBytes: undefined });
  expect(problems.map(({ name }) => name).sort()).toEqual([
    'KACHE_DISABLED',
    'KACHE_LINK_MODE',
    'cache.local_max_size',
  ]);
  expect(problems.every(({ message }) => message.startsWith('expected '))).toBe(true);
});

test('keys nobody knows are named, in whatever section they stand', () => {
  expect(
    unknownKeys({ cache: { local_store: '/x', lokal: 1, remote: { bucket: 'b', bukket: 'c' } }, stuff: {} }),
  ).toEqual(['cache.lokal', 'cache.remote.bukket', 'stuff']);
  for (const { key } of specs) if (key !== undefined) expect(unknownKeys(fileWith(key, 1))).toEqual([]);
  expect(unknownKeys(fileWith('constructor', 1))).toEqual(['constructor']);
  expect(unknownKeys({})).toEqual([]);
});

test('no file whatever makes it throw', () => {
  const table = fc.dictionary(
    fc.constantFrom('cache', 'paths', 'remote', 'local_store', 'link_mode', '__proto__', 'toString'),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(table, fc.dictionary(fc.constantFrom('cache', 'paths', 'x'), table), (flat, deep) => {
      for (const file of [flat, deep]) {
        const { settings } = resolveSettings({}, file);
        expect(['auto', 'hardlink', 'copy']).toContain(settings.linkMode);
        unknownKeys(file);
        lookUpKey(file, 'cache.remote.bucket');
      }
    }),
  );
});

test('no key and no variable stands twice, and every default in the table is the one that holds', () => {
  const keys = specs.flatMap(({ key }) => key ?? []);
  const variables = specs.flatMap(({ variable }) => variable ?? []);
  expect([new Set(keys).size, new Set(variables).size]).toEqual([keys.length, variables.length]);
  for (const spec of specs.filter(
    ({ key, kind }) => key !== undefined && ['boolean', 'link-mode'].includes(kind),
  ))
    expect(settingsOf({}, fileWith(spec.key ?? '', spec.default))).toEqual(settingsOf({}));
});

test('where the store and the file are, by the environment', () => {
  const dir = (env: Record<string, string>) => resolveSettings(env, {}).settings.cacheDir;
  const own = process.platform === 'darwin' ? '/h/Library/Caches/kache' : '/h/.cache/kache';
  expect([dir({ HOME: '/h' }), dir({ HOME: '/h', XDG_CACHE_HOME: '/x' })]).toEqual([own, '/x/kache']);
  expect([dir({ HOME: '/h', XDG_CACHE_HOME: 'relative' }), dir({ HOME: '' }), dir({})]).toEqual([
    own,
    undefined,
    undefined,
  ]);
  expect([
    userConfigPath({ HOME: '/h' }),
    userConfigPath({ HOME: '/h', XDG_CONFIG_HOME: '/x' }),
    userConfigPath({}),
  ]).toEqual(['/h/.config/kache/config.toml', '/x/kache/config.toml', undefined]);
});
