// What random walks and others found of records that are kept: each by what it takes to see it.
import { expect } from 'bun:test';
import { FreshLab } from '../support/fresh-lab.ts';
import type { Env } from '../support/lab.ts';
import { linuxOnly, openOnLinux } from '../support/linux.ts';

let fresh: FreshLab;
openOnLinux(FreshLab, (opened) => {
  fresh = opened;
});
const onLinux = linuxOnly('new target folders are filled', 'kache has a launcher there only');

onLinux(
  'a build whose first call is the run of a script is kept, too',
  async () => {
    const heard = { env: { SCRIPT_HEARS: 'another' } };
    await fresh.right(fresh.checkout());
    // The scripts themselves are in place: what Cargo asks for first is a run.
    expect((await fresh.right(fresh.checkout(), heard)).asked).toContain('scripted');
    expect((await fresh.right(fresh.checkout(), heard)).asked).toEqual([]);
  },
  300_000,
);

onLinux(
  'where Cargo shows what scripts of dependencies say, they are run',
  () => {
    const said = (args: readonly string[], more: Env): boolean => {
      const built = Bun.spawnSync(['cargo', 'build', '--offline', ...args], {
        cwd: fresh.checkout(),
        env: fresh.env(more),
        stdin: 'ignore',
      });
      expect(built.exitCode).toBe(0);
      return built.stdout.toString().includes('[scripted 0.1.0] cargo:rustc-env=SCRIPT_SAID=another');
    };
    const heard = { SCRIPT_HEARS: 'another' };
    for (const args of [['-vv'], ['-v', '--verbose']]) expect(said(args, heard)).toBe(true);
    expect(said(['-v'], heard)).toBe(false);
  },
  300_000,
);
