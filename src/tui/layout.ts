// Lines of a screen: pieces of text with a style, fitted to widths. Everything a view is made of; pure.

export interface Style {
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly inverse?: boolean;
  /** One of the terminal's own colours, so that it suits a light and a dark background. Never the only carrier of a meaning. */
  readonly color?: 'green' | 'yellow' | 'red' | 'cyan';
}

export interface Span {
  readonly text: string;
  readonly style?: Style;
}

export type Line = readonly Span[];

export const bold: Style = { bold: true };
export const dim: Style = { dim: true };
export const green: Style = { color: 'green' };
export const yellow: Style = { color: 'yellow' };
export const red: Style = { color: 'red' };
export const cyan: Style = { color: 'cyan' };

export const span = (text: string, style?: Style): Span => (style === undefined ? { text } : { text, style });
export const line = (text: string, style?: Style): Line => [span(text, style)];
export const BLANK: Line = [];

export const textOf = (spans: Line): string => spans.map(({ text }) => text).join('');
export const widthOf = (text: string): number => Bun.stringWidth(text);

/** What would move the cursor or change the terminal when printed: names come from other people's packages. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;
export const printable = (text: string): string => text.replace(CONTROLS, '\u00b7');

export type Align = 'left' | 'right';

/** Exactly `width` columns: padded, or cut with an ellipsis. `keep: 'end'` cuts in front, for paths. */
export function fit(
  text: string,
  width: number,
  options: { align?: Align; keep?: 'start' | 'end' } = {},
): string {
  if (width <= 0) return '';
  const own = widthOf(text);
  if (own > width) {
    const cut =
      options.keep === 'end' ? `…${lastColumns(text, width - 1)}` : `${firstColumns(text, width - 1)}…`;
    return fit(cut, width, options);
  }
  const room = ' '.repeat(width - own);
  return options.align === 'right' ? room + text : text + room;
}

function firstColumns(text: string, width: number): string {
  if (text.length === widthOf(text)) return text.slice(0, width);
  let [taken, used] = ['', 0];
  for (const symbol of text) {
    used += widthOf(symbol);
    if (used > width) break;
    taken += symbol;
  }
  return taken;
}

function lastColumns(text: string, width: number): string {
  if (text.length === widthOf(text)) return width === 0 ? '' : text.slice(-width);
  const symbols = [...text];
  let [taken, used] = ['', 0];
  for (const symbol of symbols.reverse()) {
    used += widthOf(symbol);
    if (used > width) break;
    taken = symbol + taken;
  }
  return taken;
}

/** Cuts or fills a line to exactly `width` columns. */
export function fitLine(spans: Line, width: number): Line {
  const fitted: Span[] = [];
  let left = width;
  for (const { text, style } of spans) {
    const own = widthOf(text);
    fitted.push(span(own > left ? fit(text, left) : text, style));
    left -= Math.min(own, left);
    if (left === 0) return fitted;
  }
  return [...fitted, span(' '.repeat(left))];
}

/** `left` at the left edge, `right` at the right one; what does not fit is cut from the left part. */
export function spread(left: Line, right: Line, width: number): Line {
  const own = widthOf(textOf(right));
  if (own >= width) return fitLine(left, width);
  return [...fitLine(left, width - own), ...right];
}

export interface Column {
  readonly title: string;
  /** Columns on the screen; the first without one takes what is left. */
  readonly width?: number;
  readonly align?: Align;
  /** Narrower terminals do without. */
  readonly minTerminal?: number;
}

export interface Cell {
  readonly text: string;
  readonly style?: Style;
}

/** The columns that a terminal of this width shows, with their widths. `margin` is what stands in front of the first. */
export function layOut<C extends Column>(
  columns: readonly C[],
  terminal: number,
  margin: number,
): (C & { width: number })[] {
  const shown = columns.filter(({ minTerminal }) => minTerminal === undefined || terminal >= minTerminal);
  const fixed = shown.reduce((sum, { width }) => sum + (width ?? 0), 0);
  const rest = terminal - margin - fixed - (shown.length - 1);
  return shown.map((column) => ({ ...column, width: column.width ?? Math.max(4, rest) }));
}

/** One row of a table: the marker of the selection, then the cells. A selected row is marked by more than its style. */
export function row(
  columns: readonly (Column & { readonly width: number })[],
  cells: readonly Cell[],
  options: { selected: boolean; margin: string },
): Line {
  const spans: Span[] = [span(options.selected ? `›${options.margin.slice(1)}` : options.margin)];
  for (const [index, { width, align }] of columns.entries()) {
    const cell = cells[index];
    const gap = index === 0 ? '' : ' ';
    spans.push(span(gap + fit(cell?.text ?? '', width, align === undefined ? {} : { align }), cell?.style));
  }
  return options.selected ? spans.map(({ text, style }) => span(text, { ...style, inverse: true })) : spans;
}

export const titles = (columns: readonly (Column & { readonly width: number })[], margin: string): Line =>
  row(
    columns,
    columns.map(({ title }) => ({ text: title, style: dim })),
    { selected: false, margin },
  );

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` columns, filled to `part` of 1; more than nothing is never shown as nothing. */
export function bar(part: number, width: number): string {
  const eighths = Math.min(width * 8, Math.max(part > 0 ? 1 : 0, Math.round(part * width * 8)));
  const full = '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
  return `▕${full.padEnd(width)}▏`;
}

/** A part of 1 as a percentage: small ones with a decimal, and more than nothing never as nothing. */
export function percentText(part: number): string {
  if (part > 0 && part < 0.001) return '< 0.1 %';
  return part > 0 && part < 0.1 ? `${(part * 100).toFixed(1)} %` : `${Math.round(part * 100)} %`;
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** One column for each value, the largest at full height; nothing is a dot. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 0);
  return values
    .map((value) => (value <= 0 ? '·' : LEVELS[Math.max(0, Math.ceil((value / most) * LEVELS.length) - 1)]))
    .join('');
}

/** `name    value` lines with the names in one column. */
export const facts = (pairs: readonly (readonly [name: string, value: string, style?: Style])[]): Line[] => {
  const width = Math.max(0, ...pairs.map(([name]) => widthOf(name)));
  return pairs.map(([name, value, style]) => [span(` ${fit(name, width)}  `, dim), span(value, style)]);
};

/** Breaks text at spaces into lines of at most `width` columns; a longer word is cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of text.split(' ')) {
    const next = current === '' ? word : `${current} ${word}`;
    if (widthOf(next) <= width) current = next;
    else {
      if (current !== '') lines.push(current);
      current = widthOf(word) <= width ? word : fit(word, width);
    }
  }
  return current === '' ? lines : [...lines, current];
}
