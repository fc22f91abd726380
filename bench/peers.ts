// Installing the public tools kache is compared with, through cargo.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

const PEERS = [
  ['kache', '--version', '2.0.0'],
  ['sccache', '--version', '0.19.0', '--no-default-features', '--features', 's3'],
];

/** Compiles the peers into `directory`; returns what could not be installed. Takes many minutes the first time. */
export function installPeers(directory: string): { what: string; why: string }[] {
  mkdirSync(directory, { recursive: true });
  const failed = [];
  for (const peer of PEERS) {
    const command = ['install', ...peer, '--root', directory];
    process.stderr.write(`cargo ${command.join(' ')}\n`);
    const result = spawnSync('cargo', command, { stdio: ['ignore', 'inherit', 'inherit'] });
    if (result.status !== 0) {
      failed.push({
        what: `installing ${peer[0]}`,
        why: `cargo install ended with ${result.status ?? result.signal}`,
      });
    }
  }
  return failed;
}
