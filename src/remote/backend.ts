// What a remote is to kache: a place for named objects. The contract is best effort: an object may vanish at any time,
// a write may be lost, nothing is ordered; whoever reads believes nothing. What can go wrong is a value with a class of
// its own, because each class is answered in another way.

/** Not there: a miss. */
export interface NotFound {
  readonly kind: 'not-found';
}
/** The credentials do not do, or the clock is off: trying again does not help soon. */
export interface Denied {
  readonly kind: 'denied';
  readonly detail: string;
}
/** Too many requests: there is a time after which to come back. */
export interface Throttled {
  readonly kind: 'throttled';
  readonly retryAfterMs: number;
}
/** No answer, or one that says nothing about the object. `timedOut`: time was lost on it. */
export interface Unavailable {
  readonly kind: 'unavailable';
  readonly detail: string;
  readonly timedOut: boolean;
}
/** An answer that cannot be what was stored: wrong length, too long, not a file. */
export interface Corrupt {
  readonly kind: 'corrupt';
  readonly detail: string;
}

export type Outage = Denied | Throttled | Unavailable;
export type Failure = NotFound | Outage | Corrupt;

export interface Found {
  readonly kind: 'found';
  readonly bytes: Uint8Array;
}
export interface Done {
  readonly kind: 'done';
}
/** An object of that name was there, and was left as it is. */
export interface Exists {
  readonly kind: 'exists';
}

export interface Listed {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

export interface GetOptions {
  /** More than this is corrupt; nothing beyond it is kept in memory. */
  readonly maxBytes: number;
  /** Called with the length the remote announces, before the content is read. */
  readonly admit?: (sizeBytes: number) => Promise<void>;
  /** Whether nobody waits for it yet: for the record only. */
  readonly ahead?: boolean;
}

export interface PutOptions {
  /** Leave an object of that name alone, where the remote can do so in one step. */
  readonly ifAbsent: boolean;
}

/** Names are `/`-separated words of letters, digits, `.`, `-` and `_`, made by `names.ts`. */
export interface Backend {
  /** Where this is, for people; holds no secrets. */
  readonly place: string;
  get(name: string, options: GetOptions): Promise<Found | Failure>;
  has(name: string): Promise<Done | Failure>;
  put(name: string, bytes: Uint8Array, options: PutOptions): Promise<Done | Exists | Outage | Corrupt>;
  /** Every object below a prefix, in the order of the remote. A failure ends the listing as its last item. */
  list(prefix: string): AsyncIterable<Listed | Failure>;
  remove(name: string): Promise<Done | Failure>;
}

export const isOutage = (answer: { readonly kind: string }): answer is Outage =>
  answer.kind === 'denied' || answer.kind === 'throttled' || answer.kind === 'unavailable';

/** A failure in words. */
export function describeFailure(failure: Failure): string {
  switch (failure.kind) {
    case 'not-found':
      return 'not found';
    case 'throttled':
      return `too many requests, come back in ${Math.ceil(failure.retryAfterMs / 1000)} s`;
    default:
      return failure.detail;
  }
}
