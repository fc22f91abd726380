// The action by a runner and a cache server that are not ours: act, which runs workflows on this machine and has a server
// for version 1 of the cache's protocol, as GitHub Enterprise Server speaks it.
import { expect, test } from 'bun:test';
import { cpSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { node24 } from '../support/actions-runner.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { notRun } from '../support/required.ts';

const ROOT = join(import.meta.dir, '..', '..');

function actBinary(): string | undefined {
  const found = [join(ROOT, 'node_modules', '.cache', 'act', 'act'), Bun.which('act')];
  const binary = found.find((path) => path !== null && existsSync(path));
  if (binary == null) notRun('the action by act', 'no act: go install github.com/nektos/act@latest');
  return binary ?? undefined;
}

const WORKFLOW = `on: push
jobs:
  build:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        flags: [debug]
    steps:
      - uses: actions/checkout@v4
      - uses: ./.kache
        with:
          binary: ${KACHE}
      - run: cargo build
      - uses: ./.kache
        id: kache
        with:
          mode: report
      - run: echo "rate=\${{ steps.kache.outputs.hit-rate }} saved=\${{ steps.kache.outputs.time-saved-ms }}"
`;

test('a workflow run twice: the second has what the first compiled', async () => {
  const [act, node] = [actBinary(), node24()];
  if (act === undefined || node === undefined) return;
  using lab = new Lab();
  const project = lab.write('project', {
    'Cargo.toml': '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2021"\n',
    'src/lib.rs': 'pub fn one() -> u8 { 1 }\n',
    '.github/workflows/ci.yml': WORKFLOW,
  });
  cpSync(join(ROOT, 'action.yml'), join(project, '.kache/action.yml'));
  cpSync(join(ROOT, 'action/dist'), join(project, '.kache/action/dist'), { recursive: true });
  const git = ['git', '-c', 'user.name=kache', '-c', 'user.email=kache@example.org'];
  for (const argv of [
    ['init', '-q'],
    ['add', '-A'],
    ['commit', '-qm', 'all'],
  ])
    expect(lab.run([...git, ...argv], { cwd: project }).status).toBe(0);

  const run = (store: string): string => {
    const env = lab.env({
      PATH: `${dirname(node)}:${process.env['PATH']}`,
      KACHE_CACHE_DIR: lab.path(store),
    });
    const passed = ['CARGO_HOME', 'RUSTUP_HOME', 'KACHE_CACHE_DIR', 'RUSTUP_TOOLCHAIN'].flatMap((name) =>
      env[name] === undefined ? [] : ['--env', `${name}=${env[name]}`],
    );
    const argv = ['push', '-P', 'ubuntu-latest=-self-hosted', '--cache-server-path', lab.path('cache')];
    const { status, stdout, stderr } = lab.run(
      [act, ...argv, '--cache-server-addr', '127.0.0.1', ...passed],
      { cwd: project, env },
    );
    expect([status, status === 0 ? '' : stdout + stderr]).toEqual([0, '']);
    return stdout;
  };
  const first = run('store-one');
  expect(first).toContain('rate=0 ');
  expect(first).toContain('saved as one more pack');
  const second = run('store-two');
  expect(second).toContain('rate=100 ');
  expect(second).toContain('nothing is new, nothing was saved');
}, 120_000);
