// The HTML report in a real browser: what it shows against the log, keyboard, both colour schemes, hostile names, and
// that it asks for nothing.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import type { CompileEvent } from '../../src/core/events.ts';
import { startBrowser, visit } from '../support/browser.ts';
import { KACHE, Lab } from '../support/lab.ts';
import { WORKSPACE } from '../support/workspace.ts';

/** A folder name that is markup wherever it is not escaped. */
const HOSTILE = 'a <img src=x onerror=alert(1)> & "b" \'c\'';

let lab: Lab;
let browser: Browser | undefined;
let file: string;
let calls: CompileEvent[];

beforeAll(async () => {
  lab = new Lab();
  const a = lab.write('first', WORKSPACE);
  const b = lab.path(HOSTILE);
  const build = (cwd: string) => lab.run([KACHE, 'cargo', 'build', '--offline'], { cwd }).status;
  expect(build(a)).toBe(0);
  lab.copy(a, HOSTILE);
  appendFileSync(join(b, 'native/src/lib.rs'), '// another\n');
  expect(build(b)).toBe(0);
  const newest = lab.events().at(-1);
  if (newest === undefined) throw new Error('nothing was logged');
  // Names the compiler would never give a crate, a call that waited, and one of every other outcome.
  const at = newest.ts;
  const forged = {
    ts: at,
    elapsed_ms: 300,
    compiler_runs: 1,
    root: b,
    out_dir: join(b, 'target/debug/deps'),
  };
  for (const event of [
    { ...forged, result: 'error', crate_name: '</script><script>alert(2)</script>' },
    { ...forged, result: 'skipped', crate_name: 'skipped', reason: '--><script>alert(3)</script>' },
    { ...forged, result: 'dup', crate_name: '\u2028"onfocus="alert(4)', crate_version: '\u0000<b>' },
    {
      ...forged,
      result: 'local_hit',
      crate_name: 'late',
      compile_ms: 500,
      phases: { lock: 200, restore: 40 },
    },
  ])
    appendFileSync(
      join(lab.store, 'events/log'),
      `${JSON.stringify({ ...event, build_pid: newest.build_pid })}\n`,
    );
  calls = lab
    .events()
    .filter(({ build_pid, out_dir }) => build_pid === newest.build_pid && out_dir !== undefined);
  file = lab.path('report.html');
  const written = lab.run([KACHE, 'report', '--format', 'html', '--output', file], { cwd: b });
  expect(written).toMatchObject({ status: 0, stdout: '', stderr: '' });
  browser = await startBrowser('the HTML report in a browser');
}, 120_000);
afterAll(async () => {
  await browser?.close();
  lab[Symbol.dispose]();
});

const startOf = ({ ts, elapsed_ms }: CompileEvent): number => ts - elapsed_ms;

test('the page is one file that names nothing outside itself', () => {
  const text = readFileSync(file, 'utf8');
  expect(text).toStartWith('<!doctype html>');
  expect(text.match(/\b(?:src|href)="(?!data:,")[^"]*"/g)).toBeNull();
  expect(text).not.toMatch(/https?:|@import|url\(/);
  expect(text).not.toContain('<img src=x');
  expect(text).not.toContain('<script>alert');
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`${colorScheme}: no message, no request, every section, and text that can be read`, async () => {
    if (browser === undefined) return;
    const { page, complaints } = await visit(browser, file, { colorScheme });
    const heads = await page.locator('h2').allTextContents();
    expect(heads).toEqual([
      'The build in time',
      'The chain that bounded its length',
      'What missed, and why',
      'Time saved by crate',
      'Hit rate over the last builds',
      'Every call',
    ]);
    expect(await page.locator('header code').textContent()).toContain(HOSTILE);
    expect(await page.locator('img, iframe, link:not([rel=icon])').count()).toBe(0);
    const ratios = await page.evaluate<[string, number][]>(CONTRASTS);
    for (const [pair, ratio] of ratios) expect([pair, ratio >= 4.5]).toEqual([pair, true]);
    expect(complaints).toEqual([]);
    await page.context().close();
  }, 60_000);
}

/** Contrast of the text colours on what they stand on, by the formula of WCAG 2. Runs in the page. */
const CONTRASTS = `(() => {
  const style = getComputedStyle(document.documentElement);
  const channel = (hex, at) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const luminance = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    return 0.2126 * channel(hex, 0) + 0.7152 * channel(hex, 2) + 0.0722 * channel(hex, 4);
  };
  return ['--ink', '--soft', '--hit', '--miss', '--pass', '--error', '--chain'].flatMap((ink) =>
    ['--card', '--page'].map((ground) => {
      const [a, b] = [luminance(ink), luminance(ground)].sort((x, y) => y - x);
      return [ink + ' on ' + ground, (a + 0.05) / (b + 0.05)];
    }),
  );
})()`;

/** What tells the swatches of the legend apart when colours are left out. Runs in the page. */
const LOOKS = `[...document.querySelectorAll('.swatch > span')].map((swatch) => {
  const { backgroundImage, borderStyle, borderWidth } = getComputedStyle(swatch);
  const height = swatch.getBoundingClientRect().height;
  return [backgroundImage.replace(/rgb[^)]*\\)/g, ''), borderStyle, borderWidth, height].join(' ');
})`;

/** What of an element in the page is asked here; the types of a browser's own are not among ours. */
interface Shown {
  getBoundingClientRect(): {
    readonly left: number;
    readonly right: number;
    readonly top: number;
    readonly width: number;
  };
  closest(selector: string): Shown | null;
  getAttribute(name: string): string | null;
}

test('each call of the build is a bar where and as long as the log says, in a lane of its own time', async () => {
  if (browser === undefined) return;
  const { page } = await visit(browser, file);
  const bars = await page.locator('.bar').evaluateAll((all) =>
    (all as unknown as Shown[]).map((bar) => {
      const [box, area] = [bar.getBoundingClientRect(), bar.closest('.area')?.getBoundingClientRect()];
      const width = area?.width ?? 1;
      return {
        label: bar.getAttribute('aria-label') ?? '',
        outcome: bar.getAttribute('data-outcome') ?? '',
        left: (box.left - (area?.left ?? 0)) / width,
        right: (box.right - (area?.left ?? 0)) / width,
        top: box.top,
      };
    }),
  );
  expect(bars.length).toBe(calls.length);
  const build = lab.events().filter(({ build_pid }) => build_pid === calls[0]?.build_pid);
  const [from, until] = [Math.min(...build.map(startOf)), Math.max(...build.map(({ ts }) => ts))];
  const slack = 5 / 1000;
  for (const bar of bars) {
    const match = calls.find(
      (call) =>
        Math.abs((startOf(call) - from) / (until - from) - bar.left) < slack &&
        Math.abs((call.ts - from) / (until - from) - bar.right) < slack * 2,
    );
    expect([bar.label, match !== undefined]).toEqual([bar.label, true]);
  }
  const count = (outcome: string) => bars.filter((bar) => bar.outcome === outcome).length;
  const logged = (result: string) => calls.filter((call) => call.result === result).length;
  expect([
    count('hit'),
    count('miss'),
    count('dup'),
    count('error'),
    count('skipped'),
    count('pass'),
  ]).toEqual(['local_hit', 'miss', 'dup', 'error', 'skipped', 'passthrough'].map(logged));
  const signs = await page.locator('.legend').first().locator('li').allTextContents();
  expect(signs.slice(0, 6).map((text) => text.trim()[0])).toEqual(['●', '▲', '◆', '◇', '■', '✕']);
  const looks = await page.evaluate<string[]>(LOOKS);
  // Six outcomes, own work, waiting, and what is paler.
  expect(new Set(looks).size).toBe(9);
  await page.context().close();
}, 60_000);

test('the keyboard reaches every call, its detail, the zoom and the filter', async () => {
  if (browser === undefined) return;
  const { page, complaints } = await visit(browser, file);
  expect(await page.locator('.bar[tabindex="0"]').count()).toBe(1);
  await page.locator('.bar[tabindex="0"]').focus();
  await page.keyboard.press('Home');
  const seen = new Set<string>();
  const note = async (): Promise<void> => {
    seen.add((await page.locator(':focus').getAttribute('data-call')) ?? '');
  };
  const lanes = await page.locator('.lane').count();
  for (let lane = 0; lane < lanes; lane++) {
    for (let step = 0; step < calls.length; step++) await page.keyboard.press('ArrowLeft');
    for (let step = 0; step <= calls.length; step++) {
      await note();
      await page.keyboard.press('ArrowRight');
    }
    await page.keyboard.press('ArrowDown');
  }
  expect(seen.size).toBe(calls.length);
  const name = (await page.locator(':focus').getAttribute('aria-label'))?.split(',')[0] ?? '?';
  expect(await page.locator('#detail').textContent()).toContain(name);
  const width = () =>
    page.locator('.plot').evaluate((plot) => (plot as unknown as Shown).getBoundingClientRect().width);
  const before = await width();
  await page.keyboard.press('+');
  expect((await width()) / before).toBeCloseTo(2, 1);
  await page.keyboard.press('/');
  await page.keyboard.type('BUILD SCRIPT');
  const rows = await page.locator('#list tbody tr:visible').allTextContents();
  expect(rows.length).toBe(2);
  for (const row of rows) expect(row).toContain('(build script)');
  expect(await page.locator('#count').textContent()).toBe(`2 of ${calls.length} calls`);
  expect(await page.locator('.bar:not(.faded)').count()).toBe(2);
  await page.locator('#filter').fill('');
  await page.locator('#outcome').selectOption('error');
  expect(await page.locator('#list tbody tr:visible').count()).toBe(1);
  expect(complaints).toEqual([]);
  await page.context().close();
}, 60_000);

test('chain, misses, time saved and rates are those of the log', async () => {
  if (browser === undefined) return;
  const { page } = await visit(browser, file);
  const chain = await page.locator('section:has(#chain) tbody tr').allTextContents();
  expect(chain[0]).toContain('with the build');
  const last = calls.toSorted((x, y) => x.ts - y.ts).at(-1);
  expect(last?.ts).toBe(Math.max(...calls.map(({ ts }) => ts)));
  const misses = await page.locator('section:has(#misses)').textContent();
  expect(misses).toContain('file ./native/src/lib.rs changed');
  expect(misses).toContain('holds the path of its checkout');
  const hits = calls.filter(({ result }) => result === 'local_hit');
  const saved = await page.locator('section:has(#saved) tbody tr').allTextContents();
  expect(saved.length).toBe(hits.length);
  const worth = ({ compile_ms = 0, elapsed_ms }: CompileEvent): number =>
    Math.max(0, compile_ms - elapsed_ms);
  const order = hits.toSorted((x, y) => worth(y) - worth(x)).map(({ crate_name }) => crate_name);
  expect(saved.map((row) => row.split(' ')[0])).toEqual(order);
  const builds = Map.groupBy(lab.events(), ({ build_pid }) => build_pid);
  const rates = [...builds.values()].map((events) => {
    const looked = events.filter(({ result }) => ['local_hit', 'miss', 'dup'].includes(result));
    const part = looked.filter(({ result }) => result === 'local_hit').length / looked.length;
    return `${Math.round(part * 1000) / 10} %`;
  });
  await page.locator('section:has(#rates) summary').click();
  const shown = await page.locator('section:has(#rates) tbody tr td:nth-child(3)').allTextContents();
  expect(shown).toEqual(rates.toReversed());
  expect(await page.locator('.rates circle').count()).toBe(builds.size);
  await page.context().close();
}, 60_000);

test('on a narrow screen, and without scripts, everything is there', async () => {
  if (browser === undefined) return;
  const narrow = await visit(browser, file, { viewport: { width: 390, height: 800 } });
  const over = await narrow.page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
  expect(over).toBeLessThanOrEqual(0);
  await narrow.page.context().close();
  const plain = await visit(browser, file, { javaScriptEnabled: false });
  expect(await plain.page.locator('.bar').count()).toBe(calls.length);
  expect(await plain.page.locator('#list tbody tr').count()).toBe(calls.length);
  await plain.page.context().close();
}, 60_000);

test('with no build there is a page that says so', async () => {
  const none = lab.path('none.html');
  const env = { KACHE_CACHE_DIR: lab.path('empty') };
  expect(lab.run([KACHE, 'report', '--format', 'html', '--output', none], { env }).status).toBe(0);
  expect(readFileSync(none, 'utf8')).toContain('No build in the last 24 hours');
  if (browser === undefined) return;
  const { page, complaints } = await visit(browser, none);
  expect(await page.locator('h1').textContent()).toBe('No build in the last 24 hours');
  expect(complaints).toEqual([]);
  await page.context().close();
}, 60_000);
