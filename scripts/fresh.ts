// A machine on which nothing is set up: an empty home, and a PATH with git, node, npm, Rust and a C compiler and nothing
// else. From a clean clone there, the first command of the README; then the packages, installed globally and used.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN } from '../release/names.ts';
import { Registry } from '../test/support/registry.ts';
import { C_COMPILER, toolPath } from '../test/support/tool-path.ts';

const root = join(import.meta.dir, '..');
const scratch = mkdtempSync(join(tmpdir(), 'kache-fresh-'));
const home = join(scratch, 'home');
const clone = join(scratch, 'kache');

/** How this machine reaches the network, if it needs to be told. */
const NETWORK = /^(https?_proxy|no_proxy|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|GIT_SSL_CAINFO)$/i;
/** What npm, its scripts and the command of the main package call. */
const SHELL = ['sh', 'bash', 'env', 'readlink', 'uname'];

const env: Record<string, string> = { HOME: home, LANG: 'C.UTF-8', PATH: '' };
for (const [name, value] of Object.entries(process.env))
  if (NETWORK.test(name) && value !== undefined) env[name] = value;

async function run(argv: readonly string[], cwd: string): Promise<string> {
  console.log(`\n$ ${argv.join(' ')}`);
  const child = Bun.spawn([...argv], { cwd, env, stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' });
  const stdout = await child.stdout.text();
  process.stdout.write(stdout);
  const status = await child.exited;
  if (status !== 0) throw new Error(`Cannot go on: "${argv.join(' ')}" ended with ${status}.`);
  return stdout;
}

/** The first block of commands in the README. */
const firstCommand = (): string => {
  const found = /```sh\n(.+?)\n```/s.exec(readFileSync(join(clone, 'README.md'), 'utf8'))?.[1];
  if (found === undefined) throw new Error('Cannot find a command in README.md: there is no block of sh.');
  return found;
};

function claim(holds: boolean, what: string): void {
  if (!holds) throw new Error(`It does not hold that ${what}.`);
  console.log(`yes  ${what}`);
}

/** The compiler itself and not rustup's proxy, which looks for toolchains in a home. */
function rust(): readonly string[] {
  const sysroot = Bun.spawnSync(['rustc', '--print', 'sysroot']).stdout.toString().trim();
  return ['cargo', 'rustc', 'rustdoc'].map((name) => join(sysroot, 'bin', name));
}

try {
  mkdirSync(home);
  env['PATH'] = toolPath(join(scratch, 'bin'), ['git', 'node', 'npm', ...SHELL, ...C_COMPILER, ...rust()]);
  await run(['git', 'clone', '--quiet', root, clone], scratch);
  await run(['sh', '-c', firstCommand()], clone);
  await run(['npm', 'run', 'release:build', '--', '--host'], clone);

  using registry = new Registry(join(clone, 'dist', 'release'));
  const prefix = join(home, '.npm-global');
  env['PATH'] = `${join(prefix, 'bin')}:${env['PATH']}`;
  await run(
    ['npm', 'install', '--global', '--ignore-scripts', '--prefix', prefix, '--registry', registry.url, MAIN],
    home,
  );
  await run(['kache', '--version'], home);
  await run(['kache', 'init', '-y'], home);
  const build = async (folder: string): Promise<string> => {
    const to = join(scratch, folder);
    cpSync(join(clone, 'examples', 'hello-workspace'), to, { recursive: true });
    return run(['cargo', 'run', '--locked', '--quiet'], to);
  };
  const said = [await build('first'), await build('second')];
  const { summary } = JSON.parse(await run(['kache', 'stats', '--last-build', '--json'], home));
  claim(
    said.every((line) => line === '{"to":"world"}\n'),
    'both builds of the example run',
  );
  claim(summary.local_hits > 0 && summary.misses === 0, 'the second one compiled nothing');
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
