// A network between the tools and the S3 server: a process that passes TCP on with a round trip and a bandwidth. It prints
// its port, and for each line it is given what went through since the last.
import type { Socket, TCPSocketListener } from 'bun';

export interface Network {
  readonly roundTripMs: number;
  /** In each direction, all connections together. */
  readonly bytesPerSecond: number;
}

export interface Traffic {
  requests: number;
  downBytes: number;
  upBytes: number;
}

export interface ProxyOrder extends Network {
  readonly targetPort: number;
}

interface Way {
  other: Socket<Way> | undefined;
  /** What came before the other side was connected. */
  early: Buffer[];
  isClient: boolean;
  /** When the last bytes arrive: later ones do not overtake them. */
  arrivesMs: number;
}

function startProxy(order: ProxyOrder, traffic: Traffic): TCPSocketListener<Way> {
  const busyUntilMs = { up: 0, down: 0 };
  const pass = (from: Socket<Way>, chunk: Buffer): void => {
    const direction = from.data.isClient ? 'up' : 'down';
    traffic[from.data.isClient ? 'upBytes' : 'downBytes'] += chunk.length;
    if (from.data.isClient && /^(GET|HEAD|PUT|POST|DELETE) /.test(chunk.subarray(0, 8).toString('latin1')))
      traffic.requests++;
    const now = performance.now();
    busyUntilMs[direction] =
      Math.max(now, busyUntilMs[direction]) + (chunk.length / order.bytesPerSecond) * 1000;
    from.data.arrivesMs = Math.max(from.data.arrivesMs, busyUntilMs[direction] + order.roundTripMs / 2);
    setTimeout(() => from.data.other?.write(chunk), Math.max(0, from.data.arrivesMs - now));
  };
  return Bun.listen<Way>({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open: (client) => {
        // A connection costs a round trip before its first byte.
        client.data = {
          other: undefined,
          early: [],
          isClient: true,
          arrivesMs: performance.now() + order.roundTripMs,
        };
        void Bun.connect<Way>({
          hostname: '127.0.0.1',
          port: order.targetPort,
          data: { other: client, early: [], isClient: false, arrivesMs: 0 },
          socket: {
            open: (server) => {
              client.data.other = server;
              for (const chunk of client.data.early) pass(client, chunk);
            },
            data: (server, chunk) => pass(server, Buffer.from(chunk)),
            close: (server) =>
              void setTimeout(() => client.end(), Math.max(1, server.data.arrivesMs - performance.now())),
          },
        });
      },
      data: (client, chunk) => {
        const copy = Buffer.from(chunk);
        if (client.data.other === undefined) client.data.early.push(copy);
        else pass(client, copy);
      },
      close: (client) => {
        client.data.other?.end();
      },
    },
  });
}

if (import.meta.main) {
  const none: Traffic = { requests: 0, downBytes: 0, upBytes: 0 };
  const traffic = { ...none };
  console.log(startProxy(JSON.parse(process.argv[2] ?? '{}') as ProxyOrder, traffic).port);
  for await (const _ of console) {
    console.log(JSON.stringify(traffic));
    Object.assign(traffic, none);
  }
  // Whoever started it has gone.
  process.exit(0);
}
