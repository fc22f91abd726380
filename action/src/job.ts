// What the main step leaves for the post step and for a step with `mode: report`, and where both work.
import { join } from 'node:path';
import { attempt } from './attempt.ts';
import type { KeyPrefixes } from './chain.ts';
import type { Inputs } from './inputs.ts';
import type { Restored } from './packs.ts';

export interface Job {
  readonly binary: string;
  /** When the main step began, RFC 3339. */
  readonly since: string;
  /** Of the keys of this job's archives; undefined: GitHub's cache is not used. */
  readonly prefixes?: KeyPrefixes;
  readonly restored?: Restored;
}

const temp = (): string => process.env['RUNNER_TEMP'] ?? '/tmp';

export const jobFile = (): string => join(temp(), 'kache-job.json');

export const packFolder = (): string => join(temp(), 'kache-packs');

/** Into the workspace: settings, toolchain and lockfile are looked for from there. */
export async function enter({ workingDirectory }: Inputs): Promise<void> {
  await attempt(`work in "${workingDirectory}"`, async () => process.chdir(workingDirectory));
}
