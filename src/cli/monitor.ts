// `kache monitor [--since D]`: the dashboard, where there is a terminal to show it on.
import { KacheError } from '../core/errors.ts';
import { backgroundNow, remoteNow } from './background.ts';
import { capBytes, durationMs, openHere, settingsHere } from './open.ts';

/** A daemon that has not answered by then hangs. */
const DAEMON_MS = 500;

export async function monitor(options: { since?: string }): Promise<number> {
  const spanText = options.since ?? '24h';
  const spanMs = durationMs(spanText);
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  if (!isTerminal || process.env['TERM'] === 'dumb')
    throw new KacheError(
      'usage',
      `Cannot show "kache monitor": ${isTerminal ? 'the terminal is a dumb one' : 'input and output are not a terminal'}.`,
      {
        hint: 'Run it in a terminal, or use `kache stats` or `kache report`.',
      },
    );
  const loaded = settingsHere();
  const store = openHere(loaded);
  // Colours are the terminal's own sixteen; whether there are any is decided here, not by what Ink guesses.
  process.env['FORCE_COLOR'] = '1';
  // Ink's layout engine is loaded as WebAssembly, which keeps no program alive that waits for nothing else.
  const alive = setInterval(() => {}, 1000);
  try {
    const { runMonitor } = await import('../tui/app.ts');
    return await runMonitor({
      store,
      spanMs,
      spanText,
      capBytes: capBytes(loaded, store),
      projectRoots: [process.cwd()],
      remote: remoteNow(loaded),
      askBackground: () => backgroundNow(loaded, store, DAEMON_MS),
      hasColour: (process.env['NO_COLOR'] ?? '') === '',
      stdin: process.stdin,
      stdout: process.stdout,
    });
  } finally {
    clearInterval(alive);
  }
}
