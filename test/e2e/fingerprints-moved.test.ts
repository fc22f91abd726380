// Plans that come in a pack to a machine that has built nothing, where Cargo has yet to unpack the sources of packages.
import { afterAll, expect } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../../src/sys/hash.ts';
import { FreshLab, PACKAGES } from '../support/fresh-lab.ts';
import { KACHE } from '../support/lab.ts';
import { linuxOnly } from '../support/linux.ts';

const TIMEOUT_MS = 120_000;
const onLinux = linuxOnly('plans in packs', 'target folders are filled on Linux alone');
const fresh = new FreshLab();
const { lab } = fresh;
afterAll(() => fresh[Symbol.dispose](), TIMEOUT_MS);

/** With a longer word what holds it would stay where it was made. */
const HEARING = { SCRIPT_HEARS: 'one' };

/** Gives Cargo a registry of packages that it has to unpack, as those that it downloads. */
function packRegistry(): void {
  const registry = join(fresh.home, 'given');
  mkdirSync(join(registry, 'index'), { recursive: true });
  const folders = [...new Set(Object.keys(PACKAGES).map((path) => path.split('/')[0] ?? ''))];
  for (const folder of folders) {
    const [, name = '', version = ''] = /^(.+)-([\d.]+)$/.exec(folder) ?? [];
    const file = join(registry, `${folder}.crate`);
    const sources = join(fresh.home, 'registry/src/crates');
    expect(Bun.spawnSync(['tar', '-czf', file, '-C', sources, folder]).exitCode).toBe(0);
    const manifest = PACKAGES[`${folder}/Cargo.toml`] ?? '';
    const deps = [...manifest.matchAll(/^([\w-]+) = "0\.1"$/gm)].map(([, dependency]) => ({
      name: dependency,
      req: '^0.1',
      features: [],
      optional: false,
      default_features: true,
      target: null,
      kind: 'normal',
    }));
    const line = {
      name,
      vers: version,
      deps,
      cksum: sha256(readFileSync(file)),
      features: manifest.includes('loud') ? { loud: [] } : {},
      yanked: false,
      ...(manifest.includes('links = ') ? { links: 'native' } : {}),
    };
    const place = name.length === 3 ? `3/${name[0]}` : `${name.slice(0, 2)}/${name.slice(2, 4)}`;
    mkdirSync(join(registry, 'index', place), { recursive: true });
    writeFileSync(join(registry, 'index', place, name), `${JSON.stringify(line)}\n`);
  }
  rmSync(join(fresh.home, 'registry'), { recursive: true });
  writeFileSync(
    join(fresh.home, 'config.toml'),
    `[source.crates-io]\nreplace-with = "given"\n[source.given]\nlocal-registry = "${registry}"\n`,
  );
}

onLinux(
  'a machine that has built nothing: what the pack brings is fresh, once Cargo has unpacked it',
  async () => {
    packRegistry();
    const dir = fresh.checkout();
    const built = lab.run(['cargo', 'build', '--offline'], { cwd: dir, env: fresh.env(HEARING) });
    expect([built.status, built.stderr]).toEqual([0, expect.anything()]);
    const folder = mkdtempSync(join(tmpdir(), 'kache-test-moved-'));
    const pack = join(folder, 'a.pack');
    try {
      // At once: the daemon has yet to keep what it has seen.
      const saved = lab.run([KACHE, 'pack', 'save', pack, '--with-paths', '--since', '1h', '--json']);
      expect([saved.status, JSON.parse(saved.stdout)]).toEqual([0, expect.objectContaining({ plans: 1 })]);
      const again = lab.run([
        ...[KACHE, 'pack', 'save', join(folder, 'b.pack'), '--with-paths', '--since', '1h', '--json'],
        ...['--base', pack],
      ]);
      expect(JSON.parse(again.stdout)).toMatchObject({ file: null, new: 0, plans: 0 });
      await fresh.stop();
      for (const path of [lab.store, join(fresh.home, 'registry'), join(dir, 'target')])
        rmSync(path, { recursive: true });
      const restored = lab.run([KACHE, 'pack', 'restore', pack, '--json']);
      expect([restored.status, JSON.parse(restored.stdout)]).toEqual([
        0,
        expect.objectContaining({ refused: 0 }),
      ]);
      lab.run([KACHE, 'daemon', 'start']);
      const { asked, events } = await fresh.right(dir, { env: HEARING });
      // Its entry stays: it may hold what a script has set for the library below it.
      expect(asked).toEqual(['top']);
      expect(events.filter(({ foreseen }) => foreseen === true).length).toBeGreaterThan(8);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  TIMEOUT_MS,
);
