// GitHub's cache service on loopback, version 2 of its protocol: entries that are written once and seen by branch, found
// by key or as the newest with a prefix, and blobs behind URLs in the dialect of Azure's block blobs. Any request can be
// made to fail.
import { randomUUID } from 'node:crypto';

/** Who asks: the branch a run writes to, and those it may read beside it, in the order they are searched in. */
export interface Grant {
  readonly writes: string | undefined;
  readonly reads: readonly string[];
}

export interface Archive {
  readonly key: string;
  readonly version: string;
  readonly branch: string;
  readonly bytes: Buffer;
}

export const ENDPOINTS = ['lookup', 'properties', 'download', 'create', 'upload', 'finalize'] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

/** What to answer in the place of the right answer; undefined: the right one. */
export type Fault = (endpoint: Endpoint, nth: number) => Response | 'garbled' | 'cut' | 'silent' | undefined;

/** Where blobs seem to be: the client takes its way for Azure's storage by this name only. */
const BLOBS = 'http://kache-tests.blob.core.windows.net/';

interface Upload {
  readonly key: string;
  readonly version: string;
  readonly branch: string;
  readonly blocks: Map<string, Buffer>;
  bytes: Buffer | undefined;
}

const METHODS: Readonly<Record<string, Endpoint>> = {
  GetCacheEntryDownloadURL: 'lookup',
  CreateCacheEntry: 'create',
  FinalizeCacheEntryUpload: 'finalize',
};

const twirpError = (status: number, code: string, msg: string): Response =>
  Response.json({ code, msg }, { status });

export class ActionsCache implements Disposable {
  /** The oldest first. */
  readonly archives: Archive[] = [];
  /** How often each endpoint was asked since {@link reset}. */
  counts = {} as Record<Endpoint, number>;
  /** Bytes sent to and taken from clients since then. */
  downloaded = 0;
  uploaded = 0;
  fault: Fault = () => undefined;
  readonly #grants = new Map<string, Grant>();
  readonly #uploads = new Map<string, Upload>();
  readonly #server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    maxRequestBodySize: 2 ** 31,
    fetch: (request) => this.#answer(request),
  });

  constructor() {
    this.reset();
  }

  /** With a slash at its end, as runners have it. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/`;
  }

  /** What a run needs to get here, for its calls directly, and as a proxy for what goes to Azure. */
  env(grant: Grant): Record<string, string> {
    return {
      ACTIONS_CACHE_SERVICE_V2: 'true',
      ACTIONS_RESULTS_URL: this.url,
      ACTIONS_RUNTIME_TOKEN: this.#tokenFor(grant),
      HTTP_PROXY: this.url,
      NO_PROXY: '127.0.0.1',
    };
  }

  #tokenFor(grant: Grant): string {
    const token = randomUUID();
    this.#grants.set(token, grant);
    return token;
  }

  reset(): void {
    this.counts = Object.fromEntries(ENDPOINTS.map((name) => [name, 0])) as Record<Endpoint, number>;
    this.downloaded = this.uploaded = 0;
    this.fault = () => undefined;
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const parts = url.pathname.split('/').filter((part) => part !== '');
    const endpoint =
      parts[0] === 'twirp'
        ? METHODS[parts[2] ?? '']
        : ({ HEAD: 'properties', GET: 'download', PUT: 'upload' } as const)[request.method as 'GET'];
    if (endpoint === undefined) return new Response('', { status: 404 });
    const fault = this.fault(endpoint, this.counts[endpoint]++);
    if (fault instanceof Response) return fault;
    if (fault === 'silent') return new Promise(() => {});
    const body = Buffer.from(await request.arrayBuffer());
    if (endpoint === 'upload') return this.#take(url, body, fault);
    if (endpoint === 'properties' || endpoint === 'download') return this.#give(url, request, fault);
    const token = request.headers.get('authorization')?.replace(/^Bearer /, '') ?? '';
    const grant = this.#grants.get(token);
    if (grant === undefined) return twirpError(401, 'unauthenticated', 'no such token');
    return this.#call(endpoint, JSON.parse(body.toString()), grant);
  }

  #call(endpoint: Endpoint, request: Record<string, string | string[]>, grant: Grant): Response {
    const key = String(request['key']);
    const version = String(request['version']);
    if (endpoint === 'lookup') {
      const found = this.#find(version, [key, ...((request['restore_keys'] ?? []) as string[])], grant);
      return Response.json(
        found === undefined
          ? { ok: false, signed_download_url: '', matched_key: '' }
          : {
              ok: true,
              matched_key: found.key,
              signed_download_url: `${BLOBS}container/${this.archives.indexOf(found)}?sig=read`,
            },
      );
    }
    if (grant.writes === undefined)
      return Response.json({ ok: false, message: 'cache write denied: this token may read only' });
    if (endpoint === 'create') {
      const isThere = this.archives.some(
        (one) => one.key === key && one.version === version && one.branch === grant.writes,
      );
      if (isThere)
        return twirpError(409, 'already_exists', 'an entry with the same key, version and scope exists');
      const id = randomUUID();
      this.#uploads.set(id, { key, version, branch: grant.writes, blocks: new Map(), bytes: undefined });
      return Response.json({ ok: true, signed_upload_url: `${BLOBS}container/${id}?sig=write` });
    }
    const upload = [...this.#uploads.values()].findLast((one) => one.key === key && one.version === version);
    if (upload?.bytes === undefined || upload.bytes.length !== Number(request['size_bytes']))
      return twirpError(400, 'invalid_argument', 'nothing of this size was uploaded');
    this.archives.push({ key, version, branch: upload.branch, bytes: upload.bytes });
    return Response.json({ ok: true, entry_id: `${this.archives.length}` });
  }

  /** Branch by branch; in each the exact key first, then the newest that begins with any of the keys, in their order. */
  #find(version: string, keys: readonly string[], grant: Grant): Archive | undefined {
    for (const branch of grant.reads) {
      const seen = this.archives.filter((one) => one.branch === branch && one.version === version);
      const exact = seen.find(({ key }) => key === keys[0]);
      if (exact !== undefined) return exact;
      for (const prefix of keys) {
        const newest = seen.findLast(({ key }) => key.startsWith(prefix));
        if (newest !== undefined) return newest;
      }
    }
    return undefined;
  }

  #take(url: URL, body: Buffer, fault: 'garbled' | 'cut' | undefined): Response {
    const upload = this.#uploads.get(url.pathname.split('/').at(-1) ?? '');
    if (upload === undefined || url.searchParams.get('sig') !== 'write')
      return new Response('', { status: 403 });
    this.uploaded += body.length;
    const comp = url.searchParams.get('comp');
    if (comp === 'block') upload.blocks.set(url.searchParams.get('blockid') ?? '', body);
    else if (comp === 'blocklist') {
      const ids = [...body.toString().matchAll(/<(?:Latest|Uncommitted)>([^<]+)</g)].map((m) => m[1] ?? '');
      upload.bytes = Buffer.concat(ids.map((id) => upload.blocks.get(id) ?? Buffer.alloc(0)));
    } else upload.bytes = body;
    if (fault !== undefined && upload.bytes !== undefined) upload.bytes = damage(upload.bytes, fault);
    return new Response('', {
      status: 201,
      headers: { etag: '"1"', 'last-modified': new Date().toUTCString() },
    });
  }

  #give(url: URL, request: Request, fault: 'garbled' | 'cut' | undefined): Response {
    const archive = this.archives[Number(url.pathname.split('/').at(-1))];
    if (archive === undefined || url.searchParams.get('sig') !== 'read')
      return new Response('', { status: 403 });
    const headers = {
      etag: '"1"',
      'last-modified': new Date().toUTCString(),
      'x-ms-blob-type': 'BlockBlob',
      'content-type': 'application/octet-stream',
    };
    const { length } = archive.bytes;
    if (request.method === 'HEAD')
      return new Response(null, { headers: { ...headers, 'content-length': `${length}` } });
    const range = request.headers.get('x-ms-range') ?? request.headers.get('range') ?? '';
    const [, from = '0', to = `${length - 1}`] = /bytes=(\d+)-(\d+)?/.exec(range) ?? [];
    const part = archive.bytes.subarray(Number(from), Math.min(Number(to), length - 1) + 1);
    this.downloaded += part.length;
    return new Response(fault === undefined ? part : damage(part, fault), {
      status: range === '' ? 200 : 206,
      headers: { ...headers, 'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${length}` },
    });
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}

function damage(bytes: Buffer, how: 'garbled' | 'cut'): Buffer {
  if (how === 'cut') return bytes.subarray(0, Math.floor(bytes.length / 2));
  const changed = Buffer.from(bytes);
  for (let at = Math.floor(bytes.length / 3); at < bytes.length; at += 97)
    changed[at] = (changed[at] ?? 0) ^ 0x55;
  return changed;
}
