// Where the runner starts both steps: the first time is the main step, the second the post step. Whatever goes wrong in
// either, the job goes on.
import * as core from '@actions/core';
import { main } from './main.ts';
import { post } from './post.ts';

const isPost = core.getState('main') !== '';
core.saveState('main', 'done');
try {
  await (isPost ? post() : main());
} catch (error) {
  core.warning(
    `kache: Cannot finish this step: ${error instanceof Error ? error.message : error}. The job goes on.`,
  );
}
// A request that was given up may still hold a connection open.
process.exit(0);
