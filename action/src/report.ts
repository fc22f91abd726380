// What the builds of this job came to: figures, outputs and the page of the job's summary.
import * as core from '@actions/core';
import type { Kache } from './kache.ts';
import type { Restored, Uploaded } from './packs.ts';

/** Of `kache report --format json`, schema_version 1. */
export interface Figures {
  readonly summary: {
    readonly hit_rate_pct: number;
    readonly weighted_hit_rate_pct: number;
    readonly time_saved_ms: number;
    readonly total_crates: number;
  };
  readonly storage: { readonly size_bytes: number };
}

/** `since` is RFC 3339; reports go by durations. */
const span = (since: string): string => `${Math.ceil((Date.now() - Date.parse(since)) / 1000) + 1}s`;

export const figuresSince = (kache: Kache, since: string): Promise<Figures> =>
  kache.json(['report', '--format', 'json', '--since', span(since), '--top', '10']);

export function setOutputs({ summary, storage }: Figures): void {
  core.setOutput('hit-rate', summary.hit_rate_pct);
  core.setOutput('weighted-hit-rate', summary.weighted_hit_rate_pct);
  core.setOutput('time-saved-ms', summary.time_saved_ms);
  core.setOutput('cache-size', storage.size_bytes);
}

/** Markdown for the job's summary and for a comment. */
export async function page(
  kache: Kache,
  since: string,
  moved: { restored: Restored; uploaded: Uploaded } | undefined,
): Promise<string> {
  const report = await kache.run(['report', '--format', 'github', '--since', span(since), '--top', '10']);
  return moved === undefined ? report : `${report}\n${traffic(moved.restored, moved.uploaded)}\n`;
}

const UPLOADED: Readonly<Record<Uploaded['kind'], string>> = {
  nothing: 'nothing is new, nothing was saved',
  delta: 'saved as one more pack',
  fresh: 'saved as a fresh pack in the place of all before',
  'not-taken': 'not taken by the cache',
};

function traffic(restored: Restored, uploaded: Uploaded): string {
  const { packs, damaged, entries, bytes } = restored;
  const unusable = damaged.length === 0 ? '' : `, ${count(damaged.length, 'pack')} unreadable`;
  const saved =
    uploaded.kind === 'nothing'
      ? ''
      : `${size(uploaded.bytes)} (${count(uploaded.entries, 'entry', 'entries')}) `;
  return (
    `GitHub's cache: ${size(bytes)} restored (${count(entries, 'entry', 'entries')} in ${count(packs.length, 'pack')}${unusable}); ` +
    `${saved}${UPLOADED[uploaded.kind]}.`
  );
}

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

const size = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
