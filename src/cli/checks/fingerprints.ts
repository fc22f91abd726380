// The check of what it takes for dependencies to be fresh in a new target folder (cache.cache_fingerprints).
import { basename } from 'node:path';
import { KacheError } from '../../core/errors.ts';
import { isLinux } from '../../sys/libc.ts';
import { LAUNCHER_NAME } from '../binary.ts';
import { wrappersNamed } from '../cargo-config.ts';
import { type Check, look, ok } from './check.ts';

export const fingerprints: Check = {
  id: 'fingerprints',
  title: 'Dependencies can be fresh in a new target folder',
  run: ({ loaded, configs, ...context }) => {
    const { cacheFingerprints, cacheExecutables, cacheBuildScripts, verifyRestores } = loaded.settings;
    const setting = 'cache.cache_fingerprints is on';
    if (!cacheFingerprints) return [];
    if (!isLinux) return [look(`${setting}, which does nothing on ${process.platform}`, 'Take it away.')];
    const [first] = wrappersNamed({ ...context, configs: configs instanceof KacheError ? [] : configs });
    if (first?.path !== undefined && basename(first.path) !== LAUNCHER_NAME)
      return [look(`${setting}, but only builds behind a launcher are followed`, 'Run `kache init`.')];
    if (verifyRestores !== 'off')
      return [
        look(
          `${setting}, but nothing is filled while verify_restores is "${verifyRestores}"`,
          'Nothing, as long as hits are to be verified.',
        ),
      ];
    const lacking = [
      ...(cacheExecutables ? [] : ['cache.cache_executables = true']),
      ...(cacheBuildScripts === 'off' ? ['cache.cache_build_scripts = "dependencies"'] : []),
    ];
    return lacking.length === 0
      ? [ok('on')]
      : [
          look(
            `${setting}, but what is built on proc macros or build scripts is not: Cargo asks for it`,
            `Set ${lacking.join(' and ')}.`,
          ),
        ];
  },
};
