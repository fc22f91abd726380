// A bucket in the place of GitHub's cache: kache's own remote, set up for the job and emptied of what waits at its end.
import * as core from '@actions/core';
import { attempt } from './attempt.ts';
import type { Inputs, S3Inputs } from './inputs.ts';
import type { Kache } from './kache.ts';

/** Every later step of the job has the bucket. */
export function setUpBucket(s3: S3Inputs, manifestKey: string): void {
  const variables = {
    KACHE_S3_BUCKET: s3.bucket,
    KACHE_S3_REGION: s3.region,
    KACHE_S3_PREFIX: s3.prefix,
    KACHE_S3_ENDPOINT: s3.endpoint,
    KACHE_S3_ACCESS_KEY: s3.accessKeyId,
    KACHE_S3_SECRET_KEY: s3.secretAccessKey,
    KACHE_MANIFEST_KEY: manifestKey,
  };
  for (const [name, value] of Object.entries(variables)) if (value !== '') core.exportVariable(name, value);
}

/** Downloads what the last builds here used, now, and not while the build asks for it. */
export const warm = (kache: Kache): Promise<string | undefined> =>
  attempt('fetch what the last build used', async () => {
    const said = await kache.run(['sync', '--pull', '--workspace', '--allow-partial']);
    core.info(said.trim());
    return said;
  });

/** Uploads what is queued, then the list of the last build: only what is there is listed with use. */
export async function pushAll(kache: Kache, { sync }: Inputs): Promise<void> {
  if (!sync) return;
  await attempt('upload what this job compiled', async () => {
    core.info((await kache.run(['sync', '--push', '--allow-partial'])).trim());
  });
  await attempt('save the list of this build', async () => {
    core.info((await kache.run(['save-manifest'])).trim());
  });
}
