// Checks of what works in the background and over the network. There is neither yet, and the checks say so.
import { type Check, look, ok } from './check.ts';

const daemon: Check = {
  id: 'daemon',
  title: 'The daemon is as it should be',
  run: () => [ok('off: nothing needs one')],
};

const remote: Check = {
  id: 'remote',
  title: 'The remote is as it should be',
  run: ({ loaded }) => {
    const { remote } = loaded.settings;
    if (remote === undefined) return [ok('off: none is configured')];
    return [
      look(
        `cache.remote names ${remote.bucket ?? remote.path}, and this version has no remote`,
        'Nothing is sent or fetched; take the section away, or leave it for a later version.',
      ),
    ];
  },
};

export const REMOTE_CHECKS: readonly Check[] = [daemon, remote];
