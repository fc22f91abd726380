// A headless Chromium of the machine, and what a page did in it: messages, errors, requests.
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { notRun } from './required.ts';

const CHROMIUM = '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Undefined, and noted, where there is none. The profile is a fresh one and goes with the browser. */
export async function startBrowser(what: string): Promise<Browser | undefined> {
  if (!existsSync(CHROMIUM)) {
    notRun(what, `there is no ${CHROMIUM}`);
    return undefined;
  }
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
}

export interface Visit {
  readonly page: Page;
  /** Everything the page said or asked for beside itself; empty when all is well. */
  readonly complaints: readonly string[];
}

export interface VisitOptions {
  readonly colorScheme?: 'light' | 'dark';
  readonly javaScriptEnabled?: boolean;
  readonly viewport?: { readonly width: number; readonly height: number };
}

/** Opens a file in a context of its own. */
export async function visit(browser: Browser, path: string, options: VisitOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const url = Bun.pathToFileURL(path).href;
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  page.on('request', (request) => {
    if (request.url() !== url) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(url);
  return { page, complaints };
}
