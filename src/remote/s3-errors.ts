// What an S3 service's refusals mean, as classes of failure.
import type { Failure } from './backend.ts';

/** The error document of a service: its stable code and its text. */
export interface ServiceError {
  readonly code: string;
  readonly message: string;
}

const MAX_ERROR_BYTES = 64 * 1024;

/** Reads the error document; an answer without one has an empty code. */
export async function serviceError(
  response: Response,
  guard: { allow(ms: number): void },
): Promise<ServiceError> {
  let text = '';
  const decoder = new TextDecoder();
  guard.allow(2_000);
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ERROR_BYTES) break;
  }
  const code = /<Code>([A-Za-z0-9.]{1,80})<\/Code>/.exec(text)?.[1] ?? '';
  const message = /<Message>([^<]{1,200})/.exec(text)?.[1] ?? '';
  return { code, message };
}

export const isExpired = (status: number, { code }: ServiceError): boolean =>
  (status === 400 || status === 403 || status === 401) &&
  ['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired', 'InvalidToken'].includes(code);

/** A status that is no success. */
export function failureOfStatus(response: Response, error: ServiceError): Failure {
  const { status } = response;
  const said = error.code === '' ? `status ${status}` : `${error.code} (status ${status})`;
  if (status === 404)
    return error.code === 'NoSuchBucket'
      ? { kind: 'denied', detail: 'there is no such bucket' }
      : { kind: 'not-found' };
  if (status === 429 || error.code === 'SlowDown' || (status === 503 && response.headers.has('retry-after')))
    return { kind: 'throttled', retryAfterMs: retryAfterMs(response.headers.get('retry-after')) };
  if (error.code === 'RequestTimeTooSkewed')
    return { kind: 'denied', detail: `${said}: the clock of this machine is off` };
  if (status === 401 || status === 403 || isExpired(status, error)) return { kind: 'denied', detail: said };
  if (status >= 300 && status < 400) {
    const region = response.headers.get('x-amz-bucket-region');
    const hint = region === null ? 'redirects are not followed' : `the bucket is in region ${region}`;
    return { kind: 'denied', detail: `status ${status}: ${hint}` };
  }
  if (status >= 400 && status < 500 && status !== 408) return { kind: 'denied', detail: said };
  return { kind: 'unavailable', detail: said, timedOut: false };
}

const MAX_RETRY_AFTER_MS = 60_000;

/** Retry-After in seconds or as a date, as milliseconds from now; one second when it is missing or no time. */
export function retryAfterMs(header: string | null): number {
  const seconds = Number(header ?? '1');
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header ?? '') - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : 1000;
}

/** What fetch threw: no name, no connection, no certificate, a body that broke off, or our own deadline. */
export function failureOfError(error: unknown, expired: boolean): Failure {
  if (expired) return { kind: 'unavailable', detail: 'no answer in time', timedOut: true };
  if (!(error instanceof Error)) throw error;
  // Programming errors are not the network's. Bun's fetch gives its own errors a code, and TLS ones too.
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  if (code === undefined && error instanceof TypeError && !/fetch|network|socket/i.test(error.message))
    throw error;
  return { kind: 'unavailable', detail: code ?? error.message, timedOut: false };
}
