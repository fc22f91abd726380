// What the main step leaves for the post step and for a step with `mode: report`.
import { join } from 'node:path';
import type { Restored } from './packs.ts';

export interface Job {
  readonly binary: string;
  /** When the main step began, RFC 3339. */
  readonly since: string;
  /** What the keys of this job's archives begin with; undefined: GitHub's cache is not used. */
  readonly prefix?: string;
  readonly restored?: Restored;
}

const temp = (): string => process.env['RUNNER_TEMP'] ?? '/tmp';

export const jobFile = (): string => join(temp(), 'kache-job.json');

export const packFolder = (): string => join(temp(), 'kache-packs');
