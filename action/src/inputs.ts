// The inputs of action.yml as values. A wrong one is warned of and its default holds: a typing error fails no job.
import * as core from '@actions/core';

export interface S3Inputs {
  readonly bucket: string;
  readonly region: string;
  readonly prefix: string;
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface Inputs {
  readonly mode: 'cache' | 'report';
  readonly version: string;
  readonly registry: string;
  /** A binary that is there already; empty: install one. */
  readonly binary: string;
  readonly githubCache: boolean;
  readonly cacheKeyPrefix: string;
  /** Where Cargo.lock and what names the toolchain are. */
  readonly workingDirectory: string;
  /** Undefined: no remote. */
  readonly s3: S3Inputs | undefined;
  readonly sync: boolean;
  readonly warm: boolean;
  readonly manifestKey: string;
  readonly minCompileMs: number;
  readonly cacheExecutables: boolean;
  /** `off`, `dependencies` or `all`. */
  readonly cacheBuildScripts: string;
  readonly cacheFingerprints: boolean;
  readonly maxSize: string;
  readonly prComment: boolean;
  readonly token: string;
  /** The matrix of this job as JSON; `null` when it has none. */
  readonly matrix: string;
  /** As it is now: inputs are evaluated again for the post step. */
  readonly jobStatus: string;
}

export function readInputs(): Inputs {
  const bucket = core.getInput('s3-bucket');
  const s3 = {
    bucket,
    region: core.getInput('s3-region'),
    prefix: core.getInput('s3-prefix'),
    endpoint: core.getInput('s3-endpoint'),
    accessKeyId: core.getInput('s3-access-key-id'),
    secretAccessKey: core.getInput('s3-secret-access-key'),
  };
  for (const secret of [s3.accessKeyId, s3.secretAccessKey, core.getInput('token')])
    if (secret !== '') core.setSecret(secret);
  return {
    mode: core.getInput('mode') === 'report' ? 'report' : 'cache',
    version: core.getInput('version'),
    registry: core.getInput('registry').replace(/\/+$/, ''),
    binary: core.getInput('binary'),
    githubCache: flag('github-cache', true),
    cacheKeyPrefix: core.getInput('cache-key-prefix') || 'kache',
    workingDirectory: core.getInput('working-directory') || '.',
    s3: bucket === '' ? undefined : s3,
    sync: flag('sync', true),
    warm: flag('warm', false),
    manifestKey: core.getInput('manifest-key'),
    minCompileMs: wholeNumber('min-compile-ms', 0),
    cacheExecutables: flag('cache-executables', false),
    cacheBuildScripts: oneOf('cache-build-scripts', ['off', 'dependencies', 'all']),
    cacheFingerprints: flag('cache-fingerprints', false),
    maxSize: core.getInput('max-size'),
    prComment: flag('pr-comment', false),
    token: core.getInput('token'),
    matrix: core.getInput('matrix'),
    jobStatus: core.getInput('job-status'),
  };
}

function flag(name: string, otherwise: boolean): boolean {
  const text = core.getInput(name).toLowerCase();
  if (text === 'true' || text === 'false') return text === 'true';
  if (text !== '') wrong(name, text, 'true or false');
  return otherwise;
}

/** One of some words, the first by default. */
function oneOf(name: string, words: readonly [string, ...string[]]): string {
  const text = core.getInput(name).toLowerCase();
  if (words.includes(text)) return text;
  if (text !== '') wrong(name, text, words.join(', '));
  return words[0];
}

function wholeNumber(name: string, otherwise: number): number {
  const text = core.getInput(name);
  if (/^\d+$/.test(text)) return Number(text);
  if (text !== '') wrong(name, text, 'a whole number');
  return otherwise;
}

const wrong = (name: string, text: string, expected: string): void =>
  core.warning(`kache: Cannot use "${text}" as ${name}: expected ${expected}. The default is used.`);
