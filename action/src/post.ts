// The post step: what is new goes into the cache, and the job's page says what kache did.
import * as core from '@actions/core';
import { attempt } from './attempt.ts';
import { comment } from './comment.ts';
import { type Inputs, readInputs } from './inputs.ts';
import { enter, type Job, packFolder } from './job.ts';
import { Kache } from './kache.ts';
import { NOTHING_RESTORED, savePacks, type Uploaded } from './packs.ts';
import { pushAll } from './remote.ts';
import { figuresSince, page, setOutputs } from './report.ts';

export async function post(): Promise<void> {
  const state = core.getState('job');
  // Nothing was set up: there is nothing to save or to tell.
  if (state === '') return;
  const job = JSON.parse(state) as Job;
  const inputs = readInputs();
  const kache = new Kache(job.binary);
  await enter(inputs);

  if (inputs.s3 !== undefined) await pushAll(kache, inputs);
  const uploaded = await saveNew(kache, job, inputs);
  await tell(kache, job, inputs, uploaded);
}

async function saveNew(kache: Kache, job: Job, inputs: Inputs): Promise<Uploaded | undefined> {
  const { prefixes, restored = NOTHING_RESTORED } = job;
  if (prefixes === undefined) return undefined;
  return core.group('kache: saving', () =>
    attempt('save the cache', () =>
      savePacks(kache, {
        folder: packFolder(),
        prefixes,
        restored,
        since: job.since,
        minCompileMs: inputs.minCompileMs,
        succeeded: inputs.jobStatus === 'success',
      }),
    ),
  );
}

async function tell(kache: Kache, job: Job, inputs: Inputs, uploaded: Uploaded | undefined): Promise<void> {
  const text = await attempt('write the summary', async () => {
    const figures = await figuresSince(kache, job.since);
    setOutputs(figures);
    if (figures.summary.total_crates === 0)
      core.info('kache saw no compile of this job. Is RUSTC_WRAPPER set anew by a later step, or by Cargo?');
    const moved = uploaded && { restored: job.restored ?? NOTHING_RESTORED, uploaded };
    const written = await page(kache, job.since, moved);
    await core.summary.addRaw(written, true).write();
    return written;
  });
  if (!inputs.prComment || text === undefined) return;
  const scope = [process.env['GITHUB_WORKFLOW'], process.env['GITHUB_JOB'], inputs.matrix].join(' ');
  await attempt('comment on the pull request', async () => {
    if (!(await comment(inputs.token, scope, text))) core.info('This is no pull request: no comment.');
  });
}
