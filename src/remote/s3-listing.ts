// One page of ListObjectsV2, read without an XML parser: the document is flat and its names are URL-encoded.
import type { Listed } from './backend.ts';

export interface ListingPage {
  readonly items: readonly Listed[];
  /** Where the next page begins; undefined on the last one. */
  readonly next: string | undefined;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
};

const textOf = (xml: string, tag: string): string | undefined => {
  const match = new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1];
  return match?.replace(/&(amp|lt|gt|quot|apos);/g, (entity) => ENTITIES[entity] ?? entity);
};

export function parseListing(xml: string): ListingPage {
  const encoded = textOf(xml, 'EncodingType') === 'url';
  const items = [...xml.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)].flatMap((match) => {
    const item = match[1] ?? '';
    const name = textOf(item, 'Key');
    const [size, modified] = [Number(textOf(item, 'Size')), Date.parse(textOf(item, 'LastModified') ?? '')];
    if (name === undefined || !Number.isFinite(size) || !Number.isFinite(modified)) return [];
    return [{ name: encoded ? decoded(name) : name, sizeBytes: size, modifiedMs: modified }];
  });
  const more = textOf(xml, 'IsTruncated') === 'true';
  return { items, next: more ? textOf(xml, 'NextContinuationToken') : undefined };
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', '%20'));
  } catch (error) {
    if (error instanceof URIError) return name;
    throw error;
  }
}
