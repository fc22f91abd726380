// What the figures were measured on.
import { readFileSync, statfsSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { type Environment, tryCapture } from './process.ts';
import type { Machine } from './results.ts';

/** Numbers of statfs(2), from linux/magic.h. */
const FILESYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlayfs'],
  [0x2fc12fc1, 'zfs'],
]);

export function describeMachine(work: string, environment: Environment): Machine {
  const processors = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    kernel: `${type()} ${release()}`,
    filesystem: filesystemOf(work),
    versions: [
      { name: 'rustc', version: tryCapture(['rustc', '--version'], { env: environment }) ?? 'not found' },
      { name: 'cargo', version: tryCapture(['cargo', '--version'], { env: environment }) ?? 'not found' },
      { name: 'bun', version: Bun.version },
    ],
  };
}

export function filesystemOf(path: string): string {
  const number = statfsSync(path).type;
  return FILESYSTEMS.get(number) ?? `type 0x${number.toString(16)}`;
}

/** The load of the last minute: what else the machine was doing. */
export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
}
