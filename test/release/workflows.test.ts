// The workflows are checked by actionlint; the names in them are those that are published.
import { expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE } from '../../action/src/package.ts';
import { folderOf, MAIN, PLATFORMS } from '../../release/names.ts';
import { notRun } from '../support/required.ts';

const root = join(import.meta.dir, '..', '..');
const workflow = (name: string): string => readFileSync(join(root, '.github', 'workflows', name), 'utf8');

/** What `.ci/run` has built, or what is on PATH. */
function actionlint(): string | undefined {
  const own = join(root, 'node_modules', '.cache', 'actionlint', 'actionlint');
  return existsSync(own) ? own : (Bun.which('actionlint') ?? undefined);
}

test('actionlint has nothing to say', () => {
  const program = actionlint();
  if (program === undefined) {
    notRun('actionlint on the workflows', 'there is none');
    return;
  }
  // Not by what else a machine happens to have.
  const done = Bun.spawnSync([program, '-shellcheck=', '-pyflakes='], { cwd: root });
  expect([done.stdout.toString(), done.exitCode]).toEqual(['', 0]);
});

test('every platform is tried before it is published', () => {
  const tried = [...workflow('release.yml').matchAll(/package: ([\w-]+) }/g)].map(([, name]) => name);
  expect(tried.sort()).toEqual(PLATFORMS.map((platform) => folderOf(platform).replace('kache-', '')).sort());
});

test('the action installs what is published', () => {
  expect(PACKAGE).toBe(MAIN);
  for (const platform of PLATFORMS)
    expect(platform.name).toStartWith(`${PACKAGE}-${platform.os}-${platform.cpu}`);
});

test('tarballs are called as npm calls them', () => {
  const prefix = MAIN.replace('@', '').replace('/', '-');
  expect(workflow('release.yml')).toContain(`main=release/${prefix}-$version.tgz`);
  expect(workflow('release.yml')).toContain(`./release/${prefix}-\${{ matrix.package }}-`);
});
