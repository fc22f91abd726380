import { expect, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { installService, serviceFor, uninstallService } from '../../src/daemon/service.ts';
import { Lab } from '../support/lab.ts';

const env = (lab: Lab) => ({
  HOME: lab.path('home'),
  KACHE_CACHE_DIR: '/a "store" with 100% $odd names',
  KACHE_S3_SECRET_KEY: 'secret-of-the-bucket',
  AWS_SECRET_ACCESS_KEY: 'secret-of-the-account',
});

for (const platform of ['linux', 'darwin']) {
  test(`${platform}: written once, taken away whole, and no secret in it`, () => {
    using lab = new Lab();
    const service = serviceFor(platform, '/opt/my tools/kache', env(lab));
    const ran: string[] = [];
    const run = (argv: readonly string[]): boolean => ran.push(argv.join(' ')) > 0;
    expect(installService(service, run)).toEqual([]);
    const text = readFileSync(service.path, 'utf8');
    expect(text).toContain('/opt/my tools/kache');
    expect(text).not.toContain('secret-of');
    expect(ran.length).toBe(service.enable.length);
    writeFileSync(service.path, 'changed by hand');
    installService(service, run);
    expect(readFileSync(service.path, 'utf8')).toBe(text);
    expect([
      uninstallService(service, run),
      existsSync(service.path),
      uninstallService(service, run),
    ]).toEqual([true, false, false]);
    expect(installService(service, () => false)).toEqual(service.enable.map((argv) => argv.join(' ')));
  });
}
