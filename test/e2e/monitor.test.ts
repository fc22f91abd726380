// The monitor of the built binary on a real terminal, with real builds going on.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatMs } from '../../src/core/quantities.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { hasTmux, Tmux } from '../support/tmux.ts';

const manifest = (name: string, more = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.3.0"\nedition = "2021"\n${more}`;

/** `slow` is compiled for as long as the file that `wait!` names is missing. */
const WORKSPACE = {
  'Cargo.toml': '[workspace]\nmembers = ["gate", "quick", "slow"]\nresolver = "2"\n',
  'gate/Cargo.toml': manifest('gate', '[lib]\nproc-macro = true\n'),
  'gate/src/lib.rs': `use proc_macro::TokenStream;
#[proc_macro] pub fn wait(name: TokenStream) -> TokenStream {
    let path = std::env::var("GATE").unwrap() + name.to_string().trim_matches('"');
    for _ in 0..3000 {
        if std::path::Path::new(&path).exists() { return "1".parse().unwrap(); }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the gate stays shut")
}
`,
  'quick/Cargo.toml': manifest('quick'),
  'quick/src/lib.rs': 'pub fn quick() -> u32 { 1 }\n',
  'slow/Cargo.toml': manifest(
    'slow',
    '[dependencies]\ngate = { path = "../gate" }\nquick = { path = "../quick" }\n',
  ),
  'slow/src/lib.rs': 'pub fn slow() -> u32 { gate::wait!("one") + quick::quick() }\n',
};

/** The shell waits for a command. */
const isPrompt = (screen: string): boolean => /(^|\n)\$$/.test(screen.trimEnd());

let lab: Lab;
let dir: string;
let terminal: Tmux;

const startBuild = (at: string): Bun.Subprocess =>
  Bun.spawn([KACHE, 'cargo', 'build', '--offline'], {
    cwd: at,
    env: lab.env({ GATE: `${lab.root}/` }),
    stdio: ['ignore', 'ignore', 'ignore'],
  });

const open = (gate: string): void => writeFileSync(lab.path(gate), '');

/** Starts the monitor in the shell and waits until it is there. */
async function startMonitor(args = ''): Promise<void> {
  terminal.type(`$KACHE monitor ${args}`);
  terminal.press('Enter');
  await terminal.until(/1 Build/);
}

beforeAll(() => {
  lab = new Lab();
  dir = lab.write('shop', WORKSPACE);
});
afterAll(() => lab[Symbol.dispose]());

test('without a terminal it says so, and wrong usage is 2', () => {
  const piped = lab.run([KACHE, 'monitor'], { cwd: dir });
  expect(piped).toMatchObject({ status: 2, stdout: '' });
  expect(piped.stderr).toContain('not a terminal');
  expect(lab.run([KACHE, 'monitor', '--since', 'yesterday'], { cwd: dir })).toMatchObject({ status: 2 });
});

test('the log says when a compiler starts: once for a miss and for a link, never for a hit or a question', () => {
  using own = new Lab();
  const project = own.write('project', {
    'Cargo.toml': manifest('plain'),
    'src/lib.rs': 'pub fn one() -> u32 { 1 }\n',
    'src/main.rs': 'fn main() { plain::one(); }\n',
  });
  const build = (at: string): Record<string, unknown>[] => {
    const before = own.log().length;
    expect(own.cargo(at, ['build', '--offline']).status).toBe(0);
    return own
      .log()
      .slice(before)
      .map((text) => JSON.parse(text) as Record<string, unknown>);
  };
  const startsIn = (lines: readonly Record<string, unknown>[]) => lines.filter((line) => 'started' in line);
  const first = build(project);
  expect(startsIn(first).map((line) => line['crate_types'])).toEqual(['lib', 'bin']);
  for (const start of startsIn(first)) {
    const ends = first.filter(({ pid, ts }) => pid === start['pid'] && ts !== undefined);
    expect(ends.map((line) => line['crate_types'])).toEqual([start['crate_types']]);
    expect(first.indexOf(start)).toBeLessThan(first.indexOf(ends[0] ?? {}));
  }
  const second = build(own.copy(project, 'second'));
  expect(startsIn(second).map((line) => line['crate_types'])).toEqual(['bin']);
  // Nobody who reads events sees them.
  const report = JSON.parse(own.run([KACHE, 'report', '--format', 'json'], { cwd: project }).stdout);
  expect(report.all_events).toHaveLength(own.events().length);
  expect(own.events().length + startsIn([...first, ...second]).length).toBe(own.log().length);
}, 60_000);

describe.if(hasTmux())('on a terminal', () => {
  beforeAll(() => {
    terminal = new Tmux({ columns: 80, rows: 24, cwd: dir, env: lab.env({ CI: '1', KACHE }) });
  });
  afterAll(() => terminal[Symbol.dispose]());

  test('a build is seen while it goes on; tabs, search, detail, sizes; the terminal comes back as it was', async () => {
    terminal.type('stty -g > before; echo ready');
    terminal.press('Enter');
    await terminal.until(/^ready$/m);
    terminal.press('C-l');
    await terminal.until((screen) => screen.trim() === '$');
    await startMonitor();
    await terminal.until(/No compile in the last 24h/);
    expect(terminal.variable('alternate_on')).toBe('1');

    const build = startBuild(dir);
    await terminal.until(/► slow +running +\d.*first time/);
    await terminal.until(/quick +● miss/);
    terminal.press('2');
    await terminal.until(/shop\/target +\d/);
    terminal.press('3');
    await terminal.until(/quick +0\.3\.0 +\d/);
    terminal.press('Tab');
    await terminal.until(/Remote is off/);
    terminal.press('1');
    open('one');
    expect(await build.exited).toBe(0);
    const done = await terminal.until(/slow +● miss/);
    expect(done).not.toContain('running');

    terminal.press('/');
    terminal.type('slow');
    await terminal.until(/\/slow/);
    terminal.press('Enter', 'Down');
    await terminal.until(/^› +slow/m);
    terminal.press('Enter');
    await terminal.until(/slow 0\.3\.0\n outcome +● miss/);
    terminal.press('G');
    await terminal.until(/Flags/);
    terminal.press('Escape');
    await terminal.until(/\/slow/);

    terminal.resize(200, 60);
    const wide = await terminal.until(/ended *\n/);
    expect(wide.split('\n')[59]).toContain('q quit');
    terminal.resize(80, 24);
    const narrow = await terminal.until(/size why\n/);
    expect(narrow.split('\n')[23]).toContain('q quit');
    terminal.press('?');
    await terminal.until(/Keys\n/);
    terminal.press('?', 'q');
    await terminal.until(isPrompt);
    expect(terminal.variable('alternate_on')).toBe('0');
    expect(terminal.variable('cursor_flag')).toBe('1');
    expect(terminal.screen().trimEnd()).toBe('$ $KACHE monitor\n$');
    terminal.type('echo status=$?; stty -g > after; echo end');
    terminal.press('Enter');
    await terminal.until(/^end$/m);
    expect(terminal.screen()).toContain('status=0');
    expect(readFileSync(join(dir, 'after'), 'utf8')).toBe(readFileSync(join(dir, 'before'), 'utf8'));
  }, 240_000);

  test('figures are those of the log, and follow it through a rotation', async () => {
    await startMonitor('--since 2h');
    const log = join(lab.store, 'events', 'log');
    renameSync(log, `${log}.1`);
    const second = lab.copy(dir, 'second');
    expect(await startBuild(second).exited).toBe(0);
    await terminal.until(/second \(debug\) {2}1 hit, 1 miss/);
    const lines = [`${log}.1`, log].flatMap((path) => readFileSync(path, 'utf8').trim().split('\n'));
    const events = lines.map((text) => JSON.parse(text)).filter(({ result }) => result !== undefined);
    const hits = events.filter(({ result }) => result === 'local_hit');
    const misses = events.filter(({ result }) => result === 'miss' || result === 'dup');
    const saved = hits.reduce((sum, one) => sum + Math.max(0, one.compile_ms - one.elapsed_ms), 0);
    const rate = Math.round((hits.length / (hits.length + misses.length)) * 1000) / 10;
    // Sums are made anew once a second.
    await terminal.until((screen) => {
      const [, store, rates] = screen.split('\n');
      return (
        store?.endsWith(`saved today ${formatMs(saved)}`) === true &&
        rates?.includes(`${rate} % of ${hits.length + misses.length} · `) === true
      );
    });
    terminal.press('q');
    await terminal.until(isPrompt);
  }, 240_000);

  test('a compiler whose wrapper was killed is not shown as running', async () => {
    const third = lab.write('third', {
      ...WORKSPACE,
      'slow/src/lib.rs': 'pub fn slow() -> u32 { gate::wait!("two") }\n',
    });
    await startMonitor();
    const build = startBuild(third);
    await terminal.until(/► slow +running.*usually/);
    const started = lab
      .log()
      .map((text) => JSON.parse(text))
      .findLast(({ started, crate_name }) => started !== undefined && crate_name === 'slow');
    process.kill(started.pid, 'SIGKILL');
    await build.exited;
    open('two');
    await terminal.until((screen) => screen.includes('third (debug)') && !screen.includes('running'));
    terminal.press('q');
    await terminal.until(isPrompt);
  }, 240_000);

  test('a signal ends it with the terminal as it was', async () => {
    terminal.press('C-l');
    terminal.type("sh -c 'echo $$ > pid; exec $KACHE monitor'");
    terminal.press('Enter');
    await terminal.until(/1 Build/);
    process.kill(Number(readFileSync(join(dir, 'pid'), 'utf8')), 'SIGTERM');
    await terminal.until(isPrompt);
    expect(terminal.variable('alternate_on')).toBe('0');
    terminal.type('echo status=$?');
    terminal.press('Enter');
    await terminal.until(/^status=143$/m);
    terminal.type('TERM=dumb $KACHE monitor; echo dumb=$?');
    terminal.press('Enter');
    expect(await terminal.until(/^dumb=2$/m)).toContain('Cannot show "kache monitor"');
  }, 240_000);

  test('colour, and with NO_COLOR none', async () => {
    const colour = /\[(?:\d+;)*3[1-6]m/;
    await startMonitor();
    await terminal.until(/saved today \d/);
    await terminal.until(/hit, \d+ miss/);
    expect(terminal.screen(true)).toMatch(colour);
    terminal.press('q');
    await terminal.until(isPrompt);
    terminal.type('export NO_COLOR=1');
    terminal.press('Enter');
    await startMonitor();
    const plain = await terminal.until(/hit, \d+ miss/);
    expect(terminal.screen(true)).not.toMatch(colour);
    expect(plain).toMatch(/^›/m);
    expect(plain).toContain('[1 Build]');
    terminal.press('C-c');
    await terminal.until(isPrompt);
  }, 240_000);
});
