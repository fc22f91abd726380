// A remote that is a bucket of any S3-compatible service. One request per call: trying again is not decided here.
import { AwsV4Signer } from 'aws4fetch';
import { sha256 } from '../sys/hash.ts';
import type {
  Backend,
  Corrupt,
  Done,
  Exists,
  Failure,
  Found,
  GetOptions,
  Listed,
  Outage,
  PutOptions,
} from './backend.ts';
import type { CredentialSource } from './credentials.ts';
import { failureOfError, failureOfStatus, isExpired, type ServiceError, serviceError } from './s3-errors.ts';
import { parseListing } from './s3-listing.ts';

export interface S3Options {
  readonly bucket: string;
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly prefix: string;
  readonly addressing: 'auto' | 'path' | 'virtual';
  readonly credentials: CredentialSource;
  /** PEM of further certificate authorities. */
  readonly ca: string | undefined;
  readonly proxy: string | undefined;
  /** How long the service may take to begin its answer to a request without a body. */
  readonly firstByteMs: number;
  /** How long a body may stand still. */
  readonly idleMs: number;
}

interface Sent {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly body?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What an upload is at least worth in bytes a second, beyond which it is given up. */
const MIN_UPLOAD_BYTES_PER_SECOND = 32 * 1024;
const MAX_LISTING_BYTES = 16 * 1024 * 1024;

export class S3Backend implements Backend {
  readonly place: string;
  readonly #options: S3Options;
  readonly #base: URL;
  /** Whether the service has refused a conditional put. */
  #unconditional = false;

  constructor(options: S3Options) {
    this.#options = options;
    this.#base = baseUrl(options);
    this.place = `s3://${options.bucket}/${options.prefix} at ${this.#base.host}`;
  }

  async get(name: string, options: GetOptions): Promise<Found | Failure> {
    return this.#ask<Found>({ method: 'GET', url: this.#url(name) }, async (response, guard) => {
      const body = await readBody(response, { ...options, guard, idleMs: this.#options.idleMs });
      return body instanceof Uint8Array ? { kind: 'found', bytes: body } : body;
    });
  }

  async has(name: string): Promise<Done | Failure> {
    return this.#ask<Done>({ method: 'HEAD', url: this.#url(name) }, async () => ({ kind: 'done' }));
  }

  async put(name: string, bytes: Uint8Array, options: PutOptions): Promise<Done | Exists | Outage | Corrupt> {
    const conditional = options.ifAbsent && !this.#unconditional;
    const headers = conditional ? { 'if-none-match': '*' } : undefined;
    const sent: Sent = {
      method: 'PUT',
      url: this.#url(name),
      body: bytes,
      ...(headers === undefined ? {} : { headers }),
    };
    const answer = await this.#exchange<Done, 'exists' | 'unconditional'>(
      sent,
      async () => ({ kind: 'done' }),
      (status, error) => {
        if (status === 412 || (status === 409 && error.code === 'ConditionalRequestConflict'))
          return 'exists';
        return conditional && (status === 501 || (status === 400 && error.code === 'NotImplemented'))
          ? 'unconditional'
          : undefined;
      },
    );
    if (answer === 'exists') return { kind: 'exists' };
    if (answer === 'unconditional') {
      this.#unconditional = true;
      return this.put(name, bytes, options);
    }
    if (answer.kind === 'not-found')
      return { kind: 'denied', detail: `there is no bucket "${this.#options.bucket}"` };
    return answer;
  }

  async *list(prefix: string): AsyncIterable<Listed | Failure> {
    let token: string | undefined;
    do {
      const url = this.#url('');
      url.pathname = this.#base.pathname;
      url.searchParams.set('list-type', '2');
      url.searchParams.set('prefix', this.#key(prefix));
      url.searchParams.set('encoding-type', 'url');
      if (token !== undefined) url.searchParams.set('continuation-token', token);
      const answer: Found | Failure = await this.#ask<Found>(
        { method: 'GET', url },
        async (response, guard) => {
          const body = await readBody(response, {
            maxBytes: MAX_LISTING_BYTES,
            guard,
            idleMs: this.#options.idleMs,
          });
          return body instanceof Uint8Array ? { kind: 'found', bytes: body } : body;
        },
      );
      if (answer.kind !== 'found') {
        yield answer;
        return;
      }
      const page = parseListing(new TextDecoder().decode(answer.bytes));
      const own = `${this.#options.prefix}/`;
      for (const item of page.items)
        if (item.name.startsWith(own)) yield { ...item, name: item.name.slice(own.length) };
      if (page.next === token) return;
      token = page.next;
    } while (token !== undefined);
  }

  async remove(name: string): Promise<Done | Failure> {
    return this.#ask<Done>({ method: 'DELETE', url: this.#url(name) }, async () => ({ kind: 'done' }));
  }

  #key(name: string): string {
    return `${this.#options.prefix}/${name}`;
  }

  #url(name: string): URL {
    const url = new URL(this.#base);
    const path = this.#key(name).split('/').map(encodeURIComponent).join('/');
    url.pathname = `${url.pathname === '/' ? '' : url.pathname}/${path}`;
    return url;
  }

  async #ask<T extends { readonly kind: string }>(
    sent: Sent,
    read: (response: Response, guard: Guard) => Promise<T | Failure>,
  ): Promise<T | Failure> {
    return this.#exchange<T, never>(sent, read, () => undefined);
  }

  /** Sends, and sends once more with fresh credentials when the service says that these have expired. */
  async #exchange<T extends { readonly kind: string }, S extends string>(
    sent: Sent,
    read: (response: Response, guard: Guard) => Promise<T | Failure>,
    special: (status: number, error: ServiceError) => S | undefined,
  ): Promise<T | S | Failure> {
    for (let fresh = false; ; fresh = true) {
      const uploadMs = ((sent.body?.length ?? 0) / MIN_UPLOAD_BYTES_PER_SECOND) * 1000;
      using guard = new Guard(this.#options.firstByteMs + uploadMs);
      try {
        const credentials = await this.#options.credentials(fresh);
        if ('kind' in credentials) return credentials;
        const response = await this.#send(sent, credentials, guard);
        guard.allow(this.#options.idleMs);
        if (response.ok) return await read(response, guard);
        const error = await serviceError(response, guard);
        if (!fresh && isExpired(response.status, error)) continue;
        return special(response.status, error) ?? failureOfStatus(response, error);
      } catch (error) {
        return failureOfError(error, guard.expired);
      }
    }
  }

  async #send(
    sent: Sent,
    credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string },
    guard: Guard,
  ): Promise<Response> {
    const { region, ca, proxy } = this.#options;
    const signer = new AwsV4Signer({
      ...credentials,
      service: 's3',
      region,
      method: sent.method,
      url: sent.url.href,
      headers: { 'x-amz-content-sha256': sha256(sent.body ?? ''), ...sent.headers },
    });
    const { method, url, headers } = await signer.sign();
    return fetch(url.href, {
      method,
      headers,
      signal: guard.signal,
      // Following would hand the signature to whoever the answer names.
      redirect: 'manual',
      decompress: false,
      ...(sent.body === undefined ? {} : { body: sent.body as Uint8Array<ArrayBuffer> }),
      ...(ca === undefined ? {} : { tls: { ca } }),
      ...(proxy === undefined ? {} : { proxy }),
    });
  }
}

/** A deadline that is moved forward as long as something happens. */
class Guard implements Disposable {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout>;
  expired = false;

  constructor(ms: number) {
    this.#timer = this.#after(ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on something must happen within `ms`. */
  allow(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = this.#after(ms);
  }

  /** Stops the clock: it is us who let the service wait. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  #after(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      this.expired = true;
      this.#controller.abort();
    }, ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }
}

async function readBody(
  response: Response,
  options: GetOptions & { readonly guard: Guard; readonly idleMs: number },
): Promise<Uint8Array | Corrupt> {
  const { maxBytes, admit, guard, idleMs } = options;
  const header = response.headers.get('content-length');
  const announced = header === null ? undefined : Number(header);
  const tooLong: Corrupt = { kind: 'corrupt', detail: `longer than ${maxBytes} bytes` };
  if (announced !== undefined && announced > maxBytes) return tooLong;
  if (admit !== undefined) {
    guard.pause();
    await admit(announced ?? maxBytes);
    guard.allow(idleMs);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  const startedMs = performance.now();
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBytes) return tooLong;
    guard.allow(drips(length, performance.now() - startedMs) ? 0 : idleMs);
  }
  if (announced !== undefined && length !== announced)
    return { kind: 'corrupt', detail: `${length} bytes came of ${announced}` };
  return Buffer.concat(chunks, length);
}

/** A body that drips is given up as one that stands still: this many bytes a second after the first seconds. */
const MIN_BYTES_PER_SECOND = 4 * 1024;
const PATIENCE_MS = 20_000;

const drips = (length: number, tookMs: number): boolean =>
  tookMs > PATIENCE_MS && length / (tookMs / 1000) < MIN_BYTES_PER_SECOND;

function baseUrl({ endpoint, region, bucket, addressing }: S3Options): URL {
  const url = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
  // A certificate for *.s3.… does not cover a bucket with dots in its name.
  const virtual =
    addressing === 'virtual' || (addressing === 'auto' && endpoint === undefined && !bucket.includes('.'));
  if (virtual) url.host = `${bucket}.${url.host}`;
  else url.pathname = `${url.pathname.replace(/\/$/, '')}/${encodeURIComponent(bucket)}`;
  return url;
}
