// The names of objects in a remote. Every machine and every version reads them: never rename; a new form is a new
// version in the prefix.
import type { CacheKey, Digest, UnitId } from '../core/ids.ts';

export const REMOTE_VERSION = 'v2';

/** Identifies the list of keys of a build; see daemon/build-identity. */
export type BuildId = Digest & { readonly build: true };

export const unitName = (unit: UnitId): string => `${REMOTE_VERSION}/units/${unit}`;
export const entryName = (key: CacheKey): string => `${REMOTE_VERSION}/entries/${key.slice(0, 2)}/${key}`;
export const buildName = (build: BuildId): string => `${REMOTE_VERSION}/builds/${build}`;

/** An object nobody writes: asking for it shows whether the remote answers. */
export const PROBE_NAME = `${REMOTE_VERSION}/probe`;

const NAME = new RegExp(`^${REMOTE_VERSION}/(units|entries|builds)/(?:([0-9a-f]{2})/)?([0-9a-f]{64})$`);

/** What an object name is of; undefined for what is no object of kache's. */
export function parseName(name: string): { kind: 'units' | 'entries' | 'builds'; id: string } | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, kind, fan, id = ''] = match;
  if ((kind === 'entries') !== (fan !== undefined) || (fan !== undefined && !id.startsWith(fan)))
    return undefined;
  return { kind: kind as 'units' | 'entries' | 'builds', id };
}
