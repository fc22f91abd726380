// The documents as a test reads them: their blocks of commands, and their links.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export const ROOT = join(import.meta.dir, '..', '..');

const pagesIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .sort()
    .map((name) => join(folder, name));

/** Documents with commands for a reader, by path from the root. */
export const PAGES: readonly string[] = ['README.md', 'CONTRIBUTING.md', ...pagesIn('docs')];
export const LINKING: readonly string[] = [...PAGES, 'ARCHITECTURE.md', ...pagesIn('docs/adr')];

export interface Block {
  readonly page: string;
  /** Of its first line of content, as an editor counts. */
  readonly line: number;
  /** `sh`: commands. `console`: commands behind `$ `, each with what it prints. */
  readonly kind: 'sh' | 'console';
  readonly text: string;
  /** Why it is not run, by a comment `<!-- no-run: why -->` on the line in front. */
  readonly noRun: string | undefined;
}

/** Blocks in a fence of three backticks; other kinds (text, toml, json) hold no commands. */
export function blocksOf(page: string, text = readFileSync(join(ROOT, page), 'utf8')): Block[] {
  const blocks: Block[] = [];
  let open: { info: string; line: number; lines: string[]; noRun: string | undefined } | undefined;
  let before = '';
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^\s*```(.*)$/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === undefined) {
      const noRun = /^<!-- no-run:(.*)-->$/.exec(before)?.[1]?.trim();
      open = { info: fence[1] ?? '', line: index + 2, lines: [], noRun };
    } else {
      const { info: kind, line: first, lines, noRun } = open;
      if (!['', 'sh', 'console', 'text', 'toml', 'json', 'yaml'].includes(kind))
        throw new Error(`${page}:${first}: commands are marked sh or console, not "${kind}"`);
      if (kind === 'sh' || kind === 'console')
        blocks.push({ page, line: first, kind, text: lines.join('\n'), noRun });
      open = undefined;
    }
    before = line;
  }
  return blocks;
}

export interface Shown {
  readonly command: string;
  readonly output: readonly string[];
}

/** The commands of a console block, each with the lines that follow it. */
export function shownIn({ text }: Block): Shown[] {
  const shown: { command: string; output: string[] }[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('$ ')) shown.push({ command: line.slice(2), output: [] });
    else shown.at(-1)?.output.push(line);
  }
  return shown;
}

/** As GitHub makes them of headings. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** Links of a document to files and headings that are not there. */
export function brokenLinks(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8').replace(/^\s*```[\s\S]*?^\s*```/gm, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchorsOf(readFileSync(join(ROOT, file), 'utf8')).includes(anchor);
    })
    .map((target) => `${page}: ${target}`);
}

/** Commands of kache's inside a sentence or a table: what stands in a pair of backticks. */
export function inlineCommands(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8').replace(/^\s*```[\s\S]*?^\s*```/gm, '');
  const spans = [...text.matchAll(/(`+)([^`]+)\1/g)].map(([, , span = '']) => span.replace(/\s+/g, ' '));
  return spans.filter((span) => /^kache [a-z]/.test(span));
}
