// A server on loopback that answers as a broken one would: the fault is chosen per request, and requests are counted.
export type Fault =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly code?: string;
      readonly headers?: Record<string, string>;
    }
  /** Accepts and never answers. */
  | { readonly kind: 'silent' }
  /** Sends the head and part of the body, then nothing. */
  | { readonly kind: 'stalls' }
  /** Sends a body without end. */
  | { readonly kind: 'endless' }
  /** One byte at a time. */
  | { readonly kind: 'drips'; readonly everyMs: number }
  /** Announces more than it sends, and closes. */
  | { readonly kind: 'cut' }
  /** The body with its bytes changed. */
  | { readonly kind: 'garbled' }
  /** The body of another object. */
  | { readonly kind: 'another' }
  | { readonly kind: 'late'; readonly ms: number };

const HEAD = 'HTTP/1.1 200 OK\r\nconnection: close\r\n';

/** A store of objects in memory, spoken to by HTTP/1.1, with faults. Signatures are not looked at. */
export class FaultServer implements Disposable {
  readonly objects = new Map<string, Uint8Array>();
  readonly requests: string[] = [];
  /** What happens to a request, by its method and path. */
  fault: (method: string, path: string) => Fault = () => ({ kind: 'none' });
  readonly #server: Bun.TCPSocketListener<{ received: Buffer; timer: Timer | undefined }>;

  constructor() {
    this.#server = Bun.listen<{ received: Buffer; timer: Timer | undefined }>({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = { received: Buffer.alloc(0), timer: undefined };
        },
        data: (socket, chunk) => {
          socket.data.received = Buffer.concat([socket.data.received, chunk]);
          this.#serve(socket);
        },
        close: (socket) => clearInterval(socket.data?.timer),
      },
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  #serve(socket: Bun.Socket<{ received: Buffer; timer: Timer | undefined }>): void {
    const { received } = socket.data;
    const end = received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = received.subarray(0, end).toString('latin1');
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (received.length < end + 4 + length) return;
    const [method = '', target = ''] = head.split(' ');
    const path = decodeURIComponent(target.split('?')[0] ?? '');
    this.requests.push(`${method} ${path}`);
    const body = new Uint8Array(received.subarray(end + 4, end + 4 + length));
    socket.data.received = Buffer.alloc(0);
    const fault = this.fault(method, path);
    const query = new URLSearchParams(target.split('?')[1] ?? '');
    const listed = query.get('list-type') === '2' ? query.get('prefix') : null;
    if (listed !== null && fault.kind === 'none') {
      const page = Buffer.from(this.#listing(`${path.replace(/\/$/, '')}/${listed}`));
      socket.write(`${HEAD}content-length: ${page.length}\r\n\r\n`);
      socket.write(page);
      return void socket.end();
    }
    const answer = () => this.#answer(socket, { method, path, body, fault, head });
    if (fault.kind === 'late') setTimeout(answer, fault.ms);
    else answer();
  }

  /** One page of ListObjectsV2; `prefix` with the bucket in front. */
  #listing(prefix: string): string {
    const bucket = /^\/[^/]*\//.exec(prefix)?.[0] ?? '/';
    const items = [...this.objects].filter(([name]) => name.startsWith(prefix));
    const rows = items.map(
      ([name, bytes]) =>
        `<Contents><Key>${name.slice(bucket.length)}</Key><Size>${bytes.length}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>`,
    );
    return `<ListBucketResult><IsTruncated>false</IsTruncated>${rows.join('')}</ListBucketResult>`;
  }

  #answer(
    socket: Bun.Socket<{ received: Buffer; timer: Timer | undefined }>,
    request: { method: string; path: string; body: Uint8Array; fault: Fault; head: string },
  ): void {
    const { method, path, body, fault, head } = request;
    const close = (text: string, bytes?: Uint8Array): void => {
      socket.write(text);
      if (bytes !== undefined) socket.write(bytes);
      socket.end();
    };
    const known = this.objects.get(path);
    switch (fault.kind) {
      case 'silent':
        return;
      case 'status': {
        const text = fault.code === undefined ? '' : `<Error><Code>${fault.code}</Code></Error>`;
        const more = Object.entries(fault.headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`);
        return void close(
          `HTTP/1.1 ${fault.status} X\r\nconnection: close\r\n${more.join('')}content-length: ${text.length}\r\n\r\n${method === 'HEAD' ? '' : text}`,
        );
      }
      case 'stalls':
        socket.write(`${HEAD}content-length: 1000\r\n\r\nabc`);
        return;
      case 'endless':
        socket.write(`${HEAD}\r\n`);
        socket.data.timer = setInterval(() => socket.write(Buffer.alloc(256 * 1024)), 1);
        return;
      case 'drips': {
        const bytes = known ?? Buffer.alloc(1000);
        socket.write(`${HEAD}content-length: ${bytes.length}\r\n\r\n`);
        let at = 0;
        socket.data.timer = setInterval(() => socket.write(bytes.slice(at, ++at)), fault.everyMs);
        return;
      }
      case 'cut':
        return void close(
          `${HEAD}content-length: ${(known?.length ?? 10) + 10}\r\n\r\n`,
          known ?? Buffer.alloc(10),
        );
      default:
        break;
    }
    if (method === 'PUT') {
      if (/\r\nif-none-match: \*/i.test(head) && known !== undefined)
        return void close('HTTP/1.1 412 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      this.objects.set(path, body);
      return void close(`${HEAD}content-length: 0\r\n\r\n`);
    }
    if (method === 'DELETE') {
      this.objects.delete(path);
      return void close('HTTP/1.1 204 X\r\nconnection: close\r\n\r\n');
    }
    const chosen =
      fault.kind === 'another'
        ? [...this.objects].find(([name]) => name !== path && name.includes('/entries/'))?.[1]
        : fault.kind === 'garbled'
          ? known?.map((byte, at) => (at > 40 && at % 97 === 0 ? byte ^ 0xff : byte))
          : known;
    if (chosen === undefined)
      return void close('HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    close(`${HEAD}content-length: ${chosen.length}\r\n\r\n`, method === 'HEAD' ? undefined : chosen);
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}
