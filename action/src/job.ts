// What the main step leaves for the post step and for a step with `mode: report`, and where both work.
import { join } from 'node:path';
import { attempt } from './attempt.ts';
import type { Inputs } from './inputs.ts';
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

/** Into the workspace: settings, toolchain and lockfile are looked for from there. */
export async function enter({ workingDirectory }: Inputs): Promise<void> {
  await attempt(`work in "${workingDirectory}"`, async () => process.chdir(workingDirectory));
}
