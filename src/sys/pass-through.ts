// Platforms kache does not support yet: the compiler runs as if nobody stood in front of it.

/** Runs the program and ends as it ended; rejects when there is no such program. */
export async function passThrough(argv: readonly string[]): Promise<never> {
  const { exitCode } = Bun.spawnSync([...argv], { stdio: ['inherit', 'inherit', 'inherit'] });
  process.exit(exitCode ?? 1);
}

export const isSupported = process.platform === 'linux' || process.platform === 'darwin';

/** What the command line says there. */
export const UNSUPPORTED = `On ${process.platform} every compile passes through: nothing is cached and there is no store.`;
