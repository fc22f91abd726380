// Every command of the documents, run by a user at a terminal in a world like the one the documents speak of. A block that
// cannot be run is marked in its page, with the reason; all others have to work.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKS } from '../../src/cli/doctor.ts';
import {
  type Block,
  blocksOf,
  brokenLinks,
  inlineCommands,
  LINKING,
  PAGES,
  shownIn,
} from '../support/documents.ts';
import { FaultServer } from '../support/fault-server.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { Pty } from '../support/pty.ts';

/** More than this are a list nobody reads. */
const MAX_NO_RUN = 12;
/** These begin before anything is configured. */
const FROM_NOTHING = ['README.md', 'docs/getting-started.md'];

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "1.0.0"\nedition = "2021"\n${rest}`;

const APP = {
  '.gitignore': '/target\n/dist\n*.html\n*.json\n',
  'Cargo.toml': '[workspace]\nmembers = ["app", "parts", "serde"]\nresolver = "2"\n',
  'app/Cargo.toml': manifest('app', '[dependencies]\nparts = { path = "../parts" }\n'),
  'app/src/main.rs': 'fn main() { println!("{}", parts::parts()); }\n',
  'parts/Cargo.toml': manifest('parts', '[dependencies]\nserde = { path = "../serde" }\n'),
  'parts/src/lib.rs': 'pub fn parts() -> u32 { 2 * serde::one() }\n',
  'serde/Cargo.toml': manifest('serde'),
  'serde/src/lib.rs': 'pub fn one() -> u32 { 1 }\n',
};

let server: FaultServer;
beforeAll(() => {
  server = new FaultServer();
});
afterAll(() => server[Symbol.dispose]());

/** A user with a workspace in git, `kache` on the PATH, a service manager that says yes, and places to share. */
class World implements Disposable {
  readonly lab = new Lab();
  readonly home = this.lab.path('home');
  readonly app = join(this.home, 'src', 'app');
  readonly env: Record<string, string>;

  constructor(isConfigured: boolean) {
    const bin = this.lab.write('bin', { systemctl: '#!/bin/sh\n', launchctl: '#!/bin/sh\n' });
    for (const name of ['systemctl', 'launchctl']) chmodSync(join(bin, name), 0o755);
    symlinkSync(KACHE, join(bin, 'kache'));
    mkdirSync(this.lab.path('shared'));
    mkdirSync(join(this.home, '.cargo'));
    this.lab.write(this.app, APP);
    mkdirSync(join(this.app, 'dist'));
    symlinkSync(KACHE, join(this.app, 'dist', 'kache'));
    this.env = this.lab.env({
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      CARGO_HOME: join(this.home, '.cargo'),
      KACHE_CACHE_DIR: undefined,
      CARGO_NET_OFFLINE: 'true',
      GITHUB_STEP_SUMMARY: this.lab.path('summary.md'),
    });
    const git = ['git', '-c', 'user.name=a', '-c', 'user.email=a@b'];
    this.#prepare(['cargo', 'generate-lockfile', '--offline']);
    this.#prepare(['git', 'init', '-q']);
    this.#prepare([...git, 'add', '-A']);
    this.#prepare([...git, 'commit', '-q', '-m', 'first']);
    if (!isConfigured) return;
    this.#prepare(['kache', 'init', '-y']);
    this.#prepare(['cargo', 'build']);
  }

  #prepare(argv: readonly string[]): void {
    const ran = Bun.spawnSync([...argv], { cwd: this.app, env: this.env, stdin: 'ignore' });
    if (ran.exitCode !== 0) throw new Error(`${argv.join(' ')}: ${ran.stderr.toString()}`);
  }

  /** Places that documents name, as they are here. */
  located = (text: string): string =>
    text
      .replaceAll('/mnt/shared', this.lab.path('shared'))
      .replaceAll('https://minio.example.org:9000', server.endpoint);

  [Symbol.dispose](): void {
    this.#prepare(['kache', 'daemon', 'stop']);
    this.lab[Symbol.dispose]();
  }
}

const here = ({ page, line }: Block): string => `@@ ${page}:${line} @@`;

/** One shell for a page, as its reader has: what a block exports or enters holds for the next. */
function scriptOf(blocks: readonly Block[], world: World): string {
  const lines = ['set -eo pipefail'];
  for (const block of blocks) {
    lines.push(`echo '${here(block)}'`);
    if (block.kind === 'sh') lines.push(world.located(block.text));
    else
      for (const [index, { command }] of shownIn(block).entries())
        lines.push(`{ ${world.located(command)}\n} > '${outputFile(world, block, index)}'`);
  }
  return `${lines.join('\n')}\n`;
}

const outputFile = (world: World, { line }: Block, index: number): string =>
  world.lab.path(`shown-${line}-${index}`);

const ENTERED = '\x1b[?1049h';
const LEFT = '\x1b[?1049l';
/** Stands in front of a question that waits. */
const ASKS = '◆';

/** Answers questions with yes, leaves the monitor when it has come up, and waits for the end. */
async function attend(pty: Pty): Promise<number | string> {
  const ended = pty.ended();
  let answered = 0;
  for (;;) {
    const done = await Promise.race([ended, Bun.sleep(100)]);
    if (done !== undefined) return done;
    const fresh = pty.text.slice(answered);
    const isInMonitor = pty.text.lastIndexOf(ENTERED) > pty.text.lastIndexOf(LEFT);
    if (isInMonitor ? fresh.includes('q quit') : fresh.includes(ASKS)) {
      answered = pty.text.length;
      pty.press(isInMonitor ? 'q' : 'y');
    }
  }
}

const firstWords = (lines: readonly string[]): string[] =>
  lines.map((line) => line.trim().split(/\s+/)[0] ?? '').filter((word) => /^[A-Za-z]+$/.test(word));

/** Words that lines are to begin with, and none does. */
const missingWords = (shown: readonly string[], printed: readonly string[]): string[] => {
  const begun = firstWords(printed);
  return firstWords(shown).filter((word) => !begun.includes(word));
};

for (const page of PAGES) {
  const blocks = blocksOf(page).filter(({ noRun }) => noRun === undefined);
  if (blocks.length === 0) continue;
  test(`what ${page} says to run works`, async () => {
    using world = new World(!FROM_NOTHING.includes(page));
    const script = world.lab.write('script', { 'page.sh': scriptOf(blocks, world) });
    using pty = new Pty(['bash', join(script, 'page.sh')], { cwd: world.app, env: world.env });
    const status = await attend(pty);
    const at = pty.text.lastIndexOf('@@ ', pty.text.lastIndexOf(' @@') - 1);
    expect([status, status === 0 ? '' : pty.text.slice(at)]).toEqual([0, '']);
    for (const block of blocks) {
      expect(pty.text).toContain(here(block));
      if (block.kind === 'sh') continue;
      for (const [index, { command, output }] of shownIn(block).entries()) {
        const printed = readFileSync(outputFile(world, block, index), 'utf8').split('\n');
        const missing = missingWords(output, printed);
        expect([here(block), command, missing]).toEqual([here(block), command, []]);
      }
    }
  }, 120_000);
}

test('what is not run is little, and says why', () => {
  const left = PAGES.flatMap((page) => blocksOf(page)).filter(({ noRun }) => noRun !== undefined);
  expect(left.filter(({ noRun }) => (noRun ?? '').length < 10).map(here)).toEqual([]);
  expect(left.length).toBeLessThanOrEqual(MAX_NO_RUN);
});

test('a command that does not work is noticed, and so is output that is not what is shown', async () => {
  using world = new World(true);
  const text = '```sh\nexport A=1\n```\n\n```sh\nkache no-such-command\n```\n';
  const blocks = blocksOf('docs/made-up.md', text);
  const script = world.lab.write('script', { 'page.sh': scriptOf(blocks, world) });
  using pty = new Pty(['bash', join(script, 'page.sh')], { cwd: world.app, env: world.env });
  expect(await attend(pty)).toBe(2);
  expect(pty.text).toContain('@@ docs/made-up.md:6 @@');
  expect(missingWords(['Hits  3', '  12 misses', 'took 1 s'], ['  took 3.1 s', 'hits 4'])).toEqual(['Hits']);
  expect(blocksOf('x.md', '<!-- no-run: -->\n```sh\nrm\n```\n')[0]?.noRun).toBe('');
});

test('commands inside sentences are commands there are, with options they have', () => {
  using lab = new Lab();
  const help = new Map<string, string>();
  const helpOf = (...words: string[]): string => {
    const known = help.get(words.join(' '));
    const text = known ?? lab.run([KACHE, ...words, '--help']).stdout;
    help.set(words.join(' '), text);
    return text;
  };
  const madeUp = ['kache no-such', 'kache gc --no-such', 'kache daemon no-such'];
  const wrong = [...PAGES.flatMap(inlineCommands), ...madeUp].filter((span) => {
    const [command = '', ...rest] = span.split(' ').slice(1);
    // What follows is a compiler's, or cargo's.
    if (['cc', 'cargo'].includes(command)) return false;
    if (!new RegExp(`^ {2}(\\S+\\|)?${command}(\\||\\s)`, 'm').test(helpOf())) return true;
    const options = rest.flatMap((word) => /^\[?(--?[a-z][a-z-]*)/.exec(word)?.[1] ?? []);
    const subs = ['daemon', 'config', 'pack'].includes(command) ? (rest[0] ?? '').split(',') : [];
    const text = [helpOf(command), ...subs.filter((sub) => sub !== '').map((sub) => helpOf(command, sub))];
    return (
      subs.some((sub) => sub !== '' && !new RegExp(`^ {2}${sub}\\b`, 'm').test(helpOf(command))) ||
      options.some((option) => !new RegExp(`(^|[\\s,])${option}\\b`, 'm').test(text.join('\n')))
    );
  });
  expect(wrong).toEqual(madeUp);
  expect(help.size).toBeGreaterThan(10);
}, 60_000);

test('every link between documents leads to a file and a heading that are there', () => {
  expect(LINKING.flatMap(brokenLinks)).toEqual([]);
});

test('troubleshooting has every finding of doctor that can complain', () => {
  const text = readFileSync(join(import.meta.dir, '..', '..', 'docs', 'troubleshooting.md'), 'utf8');
  const onlySays = ['output-folders'];
  const missing = CHECKS.filter(({ id, title }) => !onlySays.includes(id) && !text.includes(title));
  expect(missing.map(({ title }) => title)).toEqual([]);
});

test('the list of documents has every page', () => {
  const list = readFileSync(join(import.meta.dir, '..', '..', 'docs', 'README.md'), 'utf8');
  const pages = PAGES.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md');
  expect(pages.filter((page) => !list.includes(`(${page.slice('docs/'.length)})`))).toEqual([]);
});
