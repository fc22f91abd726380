// Writes docs/tour.md: a small workspace is built in two checkouts and broken in one, and every screen in the tour is what
// the binary showed on a terminal meanwhile. Needs tmux. `npm run tour`.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { APPLICATIONS, fetchApplication } from '../bench/applications.ts';
import { baseEnv } from '../bench/phases.ts';
import { Tmux } from '../test/support/tmux.ts';

const repository = resolve(import.meta.dir, '..');
const kache = join(repository, 'dist', 'kache');
const SIZE = { columns: 96, rows: 26 };
/** Room for what commands print. */
const COMMANDS = { columns: 130, rows: 70 };

/** What is done before the screen is taken, in order. */
interface Stop {
  readonly title: string;
  readonly text: string;
  /** A command, shown as it is typed; without it the monitor is on the screen. */
  readonly command?: string;
  /** A build to start, in the first or the second checkout; `edited`: in the second, with one line changed. */
  readonly build?: 'first' | 'second' | 'edited';
  /** Whether the screen is taken while the build goes on. */
  readonly during?: boolean;
  readonly keys?: readonly string[];
  /** What the screen shows when it is time to take it. */
  readonly until: RegExp;
}

const STOPS: readonly Stop[] = [
  {
    title: 'A first build',
    text: 'Nothing is stored yet, so everything is compiled. The monitor shows each compiler while it runs, and each call when it has ended.',
    build: 'first',
    during: true,
    until: /►(?:[\s\S]*● miss){6}/,
  },
  {
    title: 'The same in another checkout',
    text: 'A second checkout that was never built: its libraries come from the store, and the build took what could not come from there.',
    build: 'second',
    until: /second \(debug\) {2}[1-9]\d* hit, 0 miss[\s\S]*parcels \(bin\) +– passed/,
  },
  {
    title: 'Projects',
    text: '`2`: the target folders, what each occupies, how much of that is one copy shared with which others, and what deleting it would free.',
    keys: ['2'],
    until: /target folders hold/,
  },
  {
    title: 'Store',
    text: '`3`: the entries, here by the time each has saved; what the store holds of its cap, and what eviction will do.',
    keys: ['3'],
    until: /entries, .*goes first/s,
  },
  {
    title: 'Transfer',
    text: '`4`: without a remote, what moved between the store and target folders.',
    keys: ['4'],
    until: /Between the store/,
  },
  {
    title: 'A miss',
    text: 'One line of one crate is changed. The crate misses, and what depends on it; `enter` on the last of them says why: the first cause, the way to it, and what else is known.',
    keys: ['1'],
    build: 'edited',
    until: /second \(debug\) {2}\d+ hit, [1-9][\s\S]*parcels \(bin\) +– passed[\s\S]*second \(debug\)/,
  },
  {
    title: '',
    text: '',
    keys: ['/', 'm', 'o', 'd', 'e', 'l', 'Enter', 'Down', 'Enter'],
    until: /First cause/,
  },
  {
    title: 'The same as commands',
    text: 'For a script, or a look in passing:',
    command: 'kache stats',
    until: /hit/,
  },
  { title: '', text: '', command: 'kache why-miss', until: /cause/ },
  { title: '', text: '', command: 'kache doctor', until: /wrong/ },
];

if (!existsSync(kache)) {
  console.error('Cannot show "dist/kache": it is not there. Run `npm run build` first.');
  process.exit(1);
}
if (Bun.which('tmux') === null) {
  console.error('Cannot take screens with "tmux": it is not installed.');
  process.exit(1);
}

const root = mkdtempSync(join(tmpdir(), 'tour-'));
const env = {
  ...baseEnv(),
  PATH: `${dirname(kache)}:${process.env['PATH'] ?? ''}`,
  KACHE_CACHE_DIR: join(root, 'store'),
  KACHE_CONFIG: join(root, 'none.toml'),
  RUSTC_WRAPPER: kache,
};

function startBuild(kind: NonNullable<Stop['build']>): Bun.Subprocess {
  const dir = join(root, kind === 'first' ? 'first' : 'second');
  if (kind === 'edited') {
    const path = join(dir, 'crates/units/src/lib.rs');
    writeFileSync(path, `${readFileSync(path, 'utf8')}\npub const TOUR: u32 = 1;\n`);
  }
  return Bun.spawn(['cargo', 'build', '--offline', '--locked'], {
    cwd: dir,
    env,
    stdio: ['ignore', 'ignore', 'ignore'],
  });
}

async function take(terminal: Tmux, stop: Stop): Promise<string> {
  if (stop.command !== undefined) {
    terminal.press('C-l');
    terminal.type(stop.command);
    terminal.press('Enter');
    // The command has ended when the next prompt is there.
    return await terminal.until(
      (screen) => stop.until.test(screen) && /\n\$$/.test(screen.trimEnd()),
      60_000,
    );
  }
  for (const key of stop.keys ?? []) terminal.press(key);
  const build = stop.build === undefined ? undefined : startBuild(stop.build);
  if (stop.during !== true) await build?.exited;
  const screen = await terminal.until(stop.until, 120_000);
  await build?.exited;
  return screen;
}

/** Without the prompt behind it, and with the folders of this machine named as one names one's own. */
function block(screen: string): string {
  const home = process.env['HOME'] ?? '';
  const text = screen
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trimEnd()
    .replace(/\n\$$/, '')
    .replaceAll(repository, '~/kache');
  return `\`\`\`text\n${home === '' ? text : text.replaceAll(home, '~')}\n\`\`\``;
}

const pages: string[] = [];
try {
  const application = APPLICATIONS.find(({ name }) => name === 'workspace');
  if (application === undefined) throw new Error('the workspace is not in the list');
  const source = fetchApplication(application, root);
  for (const name of ['first', 'second']) cpSync(source, join(root, name), { recursive: true });
  using terminal = new Tmux({ ...SIZE, cwd: join(root, 'second'), env });
  terminal.type('kache monitor');
  terminal.press('Enter');
  await terminal.until(/No compile/);
  let isMonitor = true;
  for (const stop of STOPS) {
    if (stop.command !== undefined && isMonitor) {
      terminal.press('C-c');
      await terminal.until((screen) => screen.trimEnd().endsWith('\n$'));
      terminal.resize(COMMANDS.columns, COMMANDS.rows);
      isMonitor = false;
    }
    console.log(stop.title === '' ? `  ${stop.command ?? stop.keys?.join(' ')}` : stop.title);
    const screen = block(await take(terminal, stop));
    pages.push(...(stop.title === '' ? [] : [`## ${stop.title}\n\n${stop.text}`]), screen);
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}

const head = `# A tour

Captured from a terminal of ${SIZE.columns} columns by \`npm run tour\`, which builds a small workspace in two checkouts and changes a
line in one. \`kache monitor\` is what is on the screen first; \`?\` shows its keys. Times are those of the machine it ran on.`;
writeFileSync(join(repository, 'docs', 'tour.md'), `${[head, ...pages].join('\n\n')}\n`);
console.log('\nwrote docs/tour.md');
