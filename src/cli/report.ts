// `report`: what builds of a span of time did, in the format asked for. Each format has a file of its own.
import { writeFileSync } from 'node:fs';
import { KacheError } from '../core/errors.ts';
import type { Store } from '../store/store.ts';
import { traceEvents } from './lanes.ts';
import { openHere, settingsHere } from './open.ts';
import { gatherFacts, type ReportFacts, type Selection } from './report-facts.ts';
import { htmlReport } from './report-html.ts';
import { jsonReport } from './report-json.ts';
import { githubReport, markdownReport } from './report-markdown.ts';
import { textReport } from './report-text.ts';
import { print } from './terminal.ts';

export interface ReportOptions extends Selection {
  readonly format?: string;
  readonly output?: string;
}

const WRITERS: Readonly<Record<string, (facts: ReportFacts, store: Store) => string>> = {
  text: textReport,
  json: jsonReport,
  markdown: markdownReport,
  github: githubReport,
  html: htmlReport,
  trace: ({ builds }) => JSON.stringify({ traceEvents: traceEvents(builds), displayTimeUnit: 'ms' }),
};

export const FORMATS: readonly string[] = Object.keys(WRITERS);

/** `kache report [--format F] [--since D] [--root DIR] [--output F] [--top N]`. */
export function report(options: ReportOptions): void {
  const write = WRITERS[options.format ?? 'text'];
  if (write === undefined)
    throw new KacheError(
      'usage',
      `Cannot write the format "${options.format}": expected one of ${FORMATS.join(', ')}.`,
    );
  const loaded = settingsHere();
  const store = openHere(loaded);
  const text = write(gatherFacts(store, loaded, options), store).trimEnd();
  if (options.output === undefined) {
    print(text);
    return;
  }
  try {
    writeFileSync(options.output, `${text}\n`);
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new KacheError('not-written', `Cannot write "${options.output}": ${why}.`, {
      hint: 'Name another file with --output.',
      cause: error,
    });
  }
}
