// The main step: kache is installed and set up for the steps that follow, and the cache is brought back.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as core from '@actions/core';
import { getExecOutput } from '@actions/exec';
import { attempt } from './attempt.ts';
import { keyPrefixes } from './chain.ts';
import { isAvailable } from './github-cache.ts';
import { type Inputs, readInputs } from './inputs.ts';
import { install } from './install.ts';
import { enter, type Job, jobFile, packFolder } from './job.ts';
import { Kache } from './kache.ts';
import { NOTHING_RESTORED, type Restored, restorePacks } from './packs.ts';
import { setUpBucket, warm } from './remote.ts';
import { figuresSince, setOutputs } from './report.ts';

export async function main(): Promise<void> {
  const inputs = readInputs();
  await (inputs.mode === 'report' ? reportSoFar() : setUp(inputs));
}

/** Outputs of a post step reach no other step: with `mode: report` a step in the middle of the job has them. */
async function reportSoFar(): Promise<void> {
  await attempt('report what kache did so far', async () => {
    const { binary, since } = JSON.parse(readFileSync(jobFile(), 'utf8')) as Job;
    setOutputs(await figuresSince(new Kache(binary), since));
  });
}

async function setUp(inputs: Inputs): Promise<void> {
  const since = new Date().toISOString();
  if (process.platform === 'win32') {
    core.info('kache does not cache on Windows: the build goes on without it.');
    return;
  }
  const kache = await attempt('install kache', async () => {
    const installed = new Kache(await install(inputs));
    core.info(`kache ${(await installed.run(['--version'])).trim()}: ${installed.binary}`);
    return installed;
  });
  if (kache === undefined) return;

  exportSettings(kache.binary, inputs);
  await enter(inputs);
  // While the cache comes: it takes the time of one small compile.
  const launcher = attempt('compile the launcher', () => compileLauncher(kache));
  let job: Job = { binary: kache.binary, since };
  if (inputs.s3 !== undefined) {
    setUpBucket(inputs.s3, inputs.manifestKey);
    if (inputs.warm) await warm(kache);
  } else if (inputs.githubCache) {
    job = { ...job, ...(await bringBack(kache, inputs)) };
  }
  await launcher;
  const text = JSON.stringify(job);
  core.saveState('job', text);
  writeFileSync(jobFile(), text);
}

/** What every later step of the job sees. */
function exportSettings(binary: string, inputs: Inputs): void {
  core.addPath(dirname(binary));
  core.exportVariable('RUSTC_WRAPPER', binary);
  // Incremental compilation writes what cannot be shared, and kache takes it out of every call anyway.
  core.exportVariable('CARGO_INCREMENTAL', '0');
  if (inputs.cacheExecutables) core.exportVariable('KACHE_CACHE_EXECUTABLES', '1');
  if (inputs.cacheBuildScripts !== 'off')
    core.exportVariable('KACHE_CACHE_BUILD_SCRIPTS', inputs.cacheBuildScripts);
  if (inputs.cacheFingerprints) core.exportVariable('KACHE_CACHE_FINGERPRINTS', '1');
  if (inputs.maxSize !== '') core.exportVariable('KACHE_MAX_SIZE', inputs.maxSize);
}

/** Hits are answered by one process that stays, not by one process each. */
async function compileLauncher(kache: Kache): Promise<void> {
  const path = (await kache.run(['launcher', '--dir', dirname(jobFile())])).trim();
  core.exportVariable('RUSTC_WRAPPER', path);
}

async function bringBack(kache: Kache, inputs: Inputs): Promise<Pick<Job, 'prefixes' | 'restored'>> {
  if (!isAvailable()) {
    core.warning('kache: Cannot use the cache: this job has no cache service. The build goes on without it.');
    return {};
  }
  const prefixes = await attempt('ask rustc for its version', async () =>
    keyPrefixes({
      prefix: inputs.cacheKeyPrefix,
      os: process.env['RUNNER_OS'] ?? process.platform,
      arch: process.env['RUNNER_ARCH'] ?? process.arch,
      workflow: process.env['GITHUB_WORKFLOW'] ?? '',
      job: process.env['GITHUB_JOB'] ?? '',
      matrix: inputs.matrix,
      toolchain: (await getExecOutput('rustc', ['-vV'], { silent: true })).stdout,
    }),
  );
  if (prefixes === undefined) return {};
  const folder = packFolder();
  const restored = await core.group('kache: restoring', () =>
    attempt<Restored>('restore the cache', () => restorePacks(kache, folder, prefixes)),
  );
  if (restored !== undefined && restored.packs.length > 0)
    core.info(`kache: entries restored: ${restored.entries}, packs: ${restored.packs.length}.`);
  return { prefixes, restored: restored ?? NOTHING_RESTORED };
}
