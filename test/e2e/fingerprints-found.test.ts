// What random walks and others found of records that are kept: each by what it takes to see it.
import { expect } from 'bun:test';
import { FreshLab } from '../support/fresh-lab.ts';
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
