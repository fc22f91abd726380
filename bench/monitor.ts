// What the monitor takes in a store as years of work leave it: `bun bench/monitor.ts [--events N] [--entries N]`. Prints
// the time to the first screen, to the whole log and stock, and from a key to its answer, while the log is read and after.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openStore } from '../src/store/store.ts';
import { fillStore } from './big-store.ts';
import { Pty, type Took } from './pty.ts';

export interface MonitorTimes {
  /** From the start of the process until events are on the screen. */
  readonly firstScreen: Took;
  /** Until the whole log and the whole store are known. */
  readonly complete: Took;
  /** From a key to its answer, each, while the log is still read. */
  readonly keysWhileReading: readonly Took[];
  /** And when all is read. */
  readonly keysAfter: readonly Took[];
}

export interface MonitorCase {
  readonly binary: string;
  readonly cacheDir: string;
  readonly columns: number;
  readonly rows: number;
}

/** The selected row starts with this mark, wherever it is. */
const MOVED = /›/;

export async function measureMonitor({
  binary,
  cacheDir,
  columns,
  rows,
}: MonitorCase): Promise<MonitorTimes> {
  const env = { PATH: process.env['PATH'] ?? '', HOME: cacheDir, KACHE_CACHE_DIR: cacheDir };
  await using monitor = new Pty([binary, 'monitor', '--since', '24h'], { columns, rows, env, cwd: cacheDir });
  await monitor.until(/crate_number_/);
  const firstScreen = monitor.since();
  const keysWhileReading: Took[] = [];
  for (let press = 0; press < 5; press++) keysWhileReading.push(await monitor.answer('j', MOVED));
  await monitor.until(/m(last )?24h /);
  await monitor.until(/store .*B of/);
  const complete = monitor.since();
  const keysAfter: Took[] = [];
  for (const key of ['j', 'j', 'k', ' ', 'j', 'G', 'k', 'g', 'j', 'j'])
    keysAfter.push(await monitor.answer(key, MOVED));
  for (const [key, answer] of [
    ['3', /last use/],
    ['s', /size/],
    ['j', MOVED],
    ['n', /crate_number/],
    ['4', /Remote/],
    ['1', /outcome/],
    ['f', /hits/],
    ['/', /esc clear/],
    ['7', /crate_number/],
    ['\r', /move/],
  ] as const)
    keysAfter.push(await monitor.answer(key, answer));
  monitor.write('q');
  await monitor.exited;
  return { firstScreen, complete, keysWhileReading, keysAfter };
}

/** The middle of the values, and their largest. */
export function middleAndMost(values: readonly number[]): { middle: number; most: number } {
  const sorted = values.toSorted((a, b) => a - b);
  return { middle: sorted[Math.floor(sorted.length / 2)] ?? 0, most: sorted.at(-1) ?? 0 };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      events: { type: 'string', default: '100000' },
      entries: { type: 'string', default: '10000' },
    },
  });
  const binary = join(import.meta.dir, '..', 'dist', 'kache');
  if (!existsSync(binary)) {
    console.error('Cannot measure "dist/kache": it is not there. Run `npm run build` first.');
    process.exit(1);
  }
  const root = mkdtempSync(join(tmpdir(), 'kache-bench-'));
  try {
    const store = openStore(root);
    if (store.kind !== 'store') throw new Error(store.detail);
    const size = { events: Number(values.events), entries: Number(values.entries) };
    fillStore(store, { ...size, nowMs: Date.now(), spanMs: 20 * 3600e3 });
    console.log(
      `${size.events} events, ${size.entries} entries; milliseconds on the clock, and of a processor\n`,
    );
    for (const [columns, rows] of [
      [80, 24],
      [200, 60],
    ] as const) {
      const times = await measureMonitor({ binary, cacheDir: root, columns, rows });
      const show = (name: string, of: (took: (one: Took) => number) => number): void => {
        const [wall, cpu] = [of((one) => one.wallMs), of((one) => one.cpuMs)];
        console.log(`  ${name.padEnd(28)}${wall.toFixed(0).padStart(6)}${cpu.toFixed(0).padStart(6)}`);
      };
      console.log(`${`${columns}x${rows}`.padEnd(30)} clock   cpu`);
      show('first screen', (ms) => ms(times.firstScreen));
      show('all read', (ms) => ms(times.complete));
      for (const [when, keys] of [
        ['while reading', times.keysWhileReading],
        ['after', times.keysAfter],
      ] as const) {
        show(`a key, ${when}`, (ms) => middleAndMost(keys.map(ms)).middle);
        show(`a key, ${when}, at most`, (ms) => middleAndMost(keys.map(ms)).most);
      }
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

if (import.meta.main) await main();
