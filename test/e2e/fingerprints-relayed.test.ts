// Target folders that are filled while what the launcher and the daemon say to each other is lost, cut or changed: whatever
// each of them takes the other to have done, the build is right.
import { afterEach, expect } from 'bun:test';
import { rmSync } from 'node:fs';
import { FreshFaults } from '../support/fresh-faults.ts';
import { KACHE } from '../support/lab.ts';
import { endDaemons, hitSocketOf } from '../support/launcher.ts';
import { linuxOnly, openOnLinux } from '../support/linux.ts';
import { fieldsOf, type Passing, Relay } from '../support/relay.ts';

const TIMEOUT_MS = 240_000;

let place: FreshFaults;
const onLinux = linuxOnly('target folders filled over a bad line', 'they are filled on Linux alone');
openOnLinux(FreshFaults, (opened) => {
  place = opened;
});
afterEach(() => {
  place?.clear();
}, 60_000);

type Pass = (passing: Passing, verb: string) => Buffer | undefined;

/** What passes on the connection by which a folder is filled. */
function ofFilling(pass: Pass): (passing: Passing) => Buffer | undefined {
  const filling = new Set<number>();
  return (passing) => {
    const { from, nth, frame, connection } = passing;
    const [verb = ''] = fieldsOf(frame);
    if (from === 'daemon' && nth === 1 && verb === 'fill') filling.add(connection);
    return filling.has(connection) ? pass(passing, verb) : frame;
  };
}

/** Builds in a new folder, with a daemon behind a relay. */
async function built(what: string, pass: Pass): Promise<readonly string[]> {
  using _relay = new Relay(
    { socket: hitSocketOf(place.store), real: `${place.lab.path('relayed/socket')}-hits` },
    ofFilling(pass),
  );
  const dir = place.checkout();
  const { asked } = await place.soundly(what, dir);
  rmSync(dir, { recursive: true });
  return asked;
}

onLinux(
  'a frame that is lost, cut or changed',
  async () => {
    await place.filled();
    await place.stop();
    place.lab.run([KACHE, 'daemon', 'start'], {
      env: { KACHE_SOCKET_PATH: place.lab.path('relayed/socket') },
    });
    const frames: Passing[] = [];
    const all = await built('as it is', (passing) => {
      frames.push(passing);
      return passing.frame;
    });
    expect(all).toEqual([]);
    const ways: Record<string, (passing: Passing) => Buffer | undefined> = {
      unheard: ({ from }) => (from === 'launcher' ? Buffer.from('no') : undefined),
      'of other files': ({ frame }) =>
        Buffer.from(frame.toString('latin1').replace(/\0\d+(:\d+:)/, '\u00001$1'), 'latin1'),
      cut: ({ frame }) => frame.subarray(0, Math.floor(frame.length / 2)),
      nonsense: () => Buffer.from('nonsense\0of\0nobody'),
      empty: () => Buffer.alloc(0),
    };
    for (const [way, change] of Object.entries(ways))
      for (const { from, nth } of frames) {
        if (['unheard', 'of other files'].includes(way) && from === 'daemon') continue;
        await built(`${way}: ${from} ${nth}`, (passing) =>
          passing.from === from && passing.nth === nth ? change(passing) : passing.frame,
        );
      }
    endDaemons(KACHE, [place.store]);
  },
  TIMEOUT_MS,
);
