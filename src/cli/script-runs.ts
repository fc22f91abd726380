// Runs of build scripts in the words of a developer: what became of them, and why one is not kept.
import type { CompileEvent } from '../core/events.ts';
import type { Summary } from './summary.ts';
import { formatMs, plural } from './terminal.ts';

/** What each reason of a run means; the text behind its bar follows. */
const REASONS: Readonly<Record<string, string>> = {
  'never-compiled': 'not run before',
  'inputs-changed': 'something it looks at has changed',
  'blob-missing': 'the stored run was not whole',
  'blob-damaged': 'the stored run was not whole',
  'entry-incomplete': 'the stored run was not whole',
  quick: 'it takes less than putting it back would',
  'no-observer': 'there is no launcher to watch it (`kache init` makes one)',
  'failed-while-watched': 'it did not end well while it was watched',
  'no-end': 'the launcher could not watch it to its end (`kache init` makes a new one)',
  'not-followed': 'nobody can tell all it depends on',
  'wrote-elsewhere': 'it wrote outside its OUT_DIR',
  'read-what-changes': 'it read what is never the same',
  'read-beside-target': 'it looked around beside the target folder',
  'listed-target': 'it listed folders of the target folder',
  'holds-a-path': 'what it made holds a path of this target folder',
  'output-not-repeatable': 'what it printed holds a path of this target folder, or is no text',
  'no-file': 'it made what is neither file, folder nor link',
  'input-changed-during-run': 'an input changed while it ran',
  'output-changed': 'somebody changed its OUT_DIR, or Cargo was ended',
  'clock-put-back': 'the clock was put back while it ran',
  large: 'it made more than a gigabyte',
  'larger-than-half-the-cap': 'it made more than half of what the store may hold',
};

/** Why a run was none from the store, or why it is not kept; empty where the event gives no reason. */
export function reasonOfRun({ reason = '' }: Pick<CompileEvent, 'reason'>): string {
  const bar = reason.indexOf('|');
  const [word, detail] = bar < 0 ? [reason, ''] : [reason.slice(0, bar), reason.slice(bar + 1)];
  const text = REASONS[word] ?? word.replaceAll('-', ' ');
  return detail === '' ? text : `${text}: ${detail}`;
}

/** Runs in one line; empty when there were none. */
export function describeRuns({
  script_runs: runs,
  script_hits: hits,
  script_saved_ms: saved,
}: Summary): string {
  return runs === 0 ? '' : `${hits} of ${plural(runs, 'run')} from the store, ${formatMs(saved)} saved`;
}
