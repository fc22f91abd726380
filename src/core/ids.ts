// The identities of kache. Each is a SHA-256 in lower-case hexadecimal with a brand of its own, so that one cannot be
// passed where another is meant.

/** SHA-256 of some bytes. */
export type Digest = string & { readonly digest: true };
/** The content hash of an output file in the store. */
export type BlobId = Digest & { readonly blob: true };
/** Everything known about a compile before a source file is opened. */
export type UnitId = Digest & { readonly unit: true };
/** Everything that determines the outputs of a compile. */
export type CacheKey = Digest & { readonly key: true };

/** The one parser of digests that come from disk, the command line or the network. */
export const parseDigest = <D extends Digest>(text: string): D | undefined =>
  /^[0-9a-f]{64}$/.test(text) ? (text as D) : undefined;
