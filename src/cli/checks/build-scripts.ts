// The check of what it takes for runs of build scripts to be kept (cache.cache_build_scripts).
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { KacheError } from '../../core/errors.ts';
import { isExecutable } from '../../sys/files.ts';
import { isLinux } from '../../sys/libc.ts';
import { LAUNCHER_NAME } from '../binary.ts';
import { cargoHome, wrappersNamed } from '../cargo-config.ts';
import { type Check, type Context, capture, type Finding, look, ok } from './check.ts';

/** The launcher that watches: the one before rustc, or the one in its usual place. */
function observerOf({ configs, ...context }: Context): string | undefined {
  const [first] = wrappersNamed({ ...context, configs: configs instanceof KacheError ? [] : configs });
  const places = [first?.path ?? '', join(cargoHome(context.env), 'bin', LAUNCHER_NAME)];
  return places.find((path) => basename(path) === LAUNCHER_NAME && isExecutable(path));
}

/** Has a launcher watch a program that does nothing; what is in its way. */
function problemOf(observer: string): Finding | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'kache-doctor-'));
  try {
    const log = join(dir, 'log');
    const [shell, ...args] = ['/bin/sh', '-c', 'exit 0'] as const;
    const ended = capture([observer, '--observe', log, shell, shell, ...args]);
    const said = ended === undefined ? '' : readFileSync(log, 'utf8');
    if (!said.endsWith('ended\0exited 0\0'))
      return look(
        `${observer} cannot watch a program: it was made by another version of kache, or does not run here`,
        'Run `kache init`.',
      );
    const lost = /(?:^|\0)lost\0([^\0]*)/.exec(said)?.[1];
    if (lost === undefined) return undefined;
    return look(
      `what a program looks at cannot be seen here: ${lost}`,
      'Allow ptrace(2): in a container with `--cap-add=SYS_PTRACE`, else by kernel.yama.ptrace_scope below 3.',
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export const buildScripts: Check = {
  id: 'build-scripts',
  title: 'Runs of build scripts can be kept',
  run: (context) => {
    const { cacheBuildScripts: which, cacheExecutables, verifyRestores } = context.loaded.settings;
    if (which === 'off') return [];
    if (!isLinux)
      return [
        look(
          `cache.cache_build_scripts is "${which}", which does nothing on ${process.platform}`,
          'Take it away.',
        ),
      ];
    if (!cacheExecutables)
      return [
        look(
          `cache.cache_build_scripts is "${which}", but build scripts themselves are not cached: none of their runs is kept`,
          'Set cache.cache_executables = true (KACHE_CACHE_EXECUTABLES=1).',
        ),
      ];
    if (verifyRestores !== 'off')
      return [
        look(
          `cache.cache_build_scripts is "${which}", but runs are not kept while verify_restores is "${verifyRestores}"`,
          'Nothing, as long as hits are to be verified.',
        ),
      ];
    const observer = observerOf(context);
    if (observer === undefined)
      return [look('there is no launcher, which watches what they look at', 'Run `kache init`.')];
    return [problemOf(observer) ?? ok(`"${which}", watched by ${observer}`)];
  },
};
