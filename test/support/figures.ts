// Figures that tests measure on their way, for docs/reliability.md: one line of JSON in the file KACHE_TEST_FIGURES names.
import { appendFileSync } from 'node:fs';

/** Notes figures under a name; without the variable they are printed. */
export function noteFigure(name: string, figures: Readonly<Record<string, number>>): void {
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [key, Math.round(value * 100) / 100]),
  );
  const line = JSON.stringify({ name, ...rounded });
  const file = process.env['KACHE_TEST_FIGURES'];
  if (file === undefined) console.log(line);
  else appendFileSync(file, `${line}\n`);
}
