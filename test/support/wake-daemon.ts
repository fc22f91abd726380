// Asks a daemon as launchers do, for nothing, until it looks every call up again: after a cold build it passes some by.
// The only argument is the socket. A program of its own, for callers that wait without an event loop.
import { LAUNCHER_PROTOCOL, placeSeenFromHere } from '../../src/daemon/hits.ts';

/** As many as are ever passed by (src/daemon/hits.ts). */
const CALLS = 15;

const body = Buffer.from([LAUNCHER_PROTOCOL, '1', '1', placeSeenFromHere(), '/', '1', 'rustc'].join('\0'));
const length = Buffer.alloc(4);
length.writeUInt32LE(body.length);

for (let call = 0; call < CALLS; call++) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const peer = await Bun.connect({
    unix: process.argv[2] ?? '',
    socket: { data: () => resolve(), close: () => resolve() },
  });
  peer.write(Buffer.concat([length, body]));
  await promise;
  peer.end();
}
