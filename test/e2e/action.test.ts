// The action's steps, run as a runner runs them, with GitHub's client for its cache on one side and a server that speaks
// its protocol on the other.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { ActionsCache, type Grant } from '../support/actions-cache.ts';
import { ACTION, Job, node24, type StepResult } from '../support/actions-runner.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { NpmRegistry } from '../support/npm-registry.ts';
import { WORKSPACE } from '../support/workspace.ts';
import manifest from '../../package.json' with { type: 'json' };

const node = node24();
const MAIN: Grant = { writes: 'main', reads: ['main'] };

interface JobSpec {
  readonly grant?: Grant;
  readonly with?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

/** A job on a machine of its own: another folder, an empty home and store, the workspace checked out. */
function newJob(lab: Lab, cache: ActionsCache, name: string, { grant = MAIN, ...spec }: JobSpec = {}): Job {
  const job = new Job({
    root: lab.path(name),
    node: node ?? '',
    with: { binary: KACHE, ...spec.with },
    env: {
      ...lab.env({ HOME: lab.path(name, 'home'), KACHE_CACHE_DIR: lab.path(name, 'store') }),
      ACTIONS_CACHE_SERVICE_V2: 'true',
      ACTIONS_RESULTS_URL: cache.url,
      ACTIONS_RUNTIME_TOKEN: cache.grant(grant),
      ...spec.env,
    },
  });
  lab.write(job.workspace, WORKSPACE);
  return job;
}

const hitRate = ({ outputs }: StepResult): number => Number(outputs['hit-rate']);

describe.skipIf(node === undefined)('the action', () => {
  test('smoke', async () => {
    using lab = new Lab();
    using cache = new ActionsCache();
    const job = newJob(lab, cache, 'one');
    const main = await job.main();
    console.log(main);
    const built = await job.run(['cargo', 'build']);
    expect(built.status).toBe(0);
    console.log(job.env['RUSTC_WRAPPER'], job.env['PATH']);
    console.log(await job.post());
  });
});
