// What a machine may lack. A test that cannot run says so in a file the test command prints at its end; where everything
// is required (in CI) it fails.
import { appendFileSync } from 'node:fs';

/** Notes that something was not run, and why; throws where nothing may be left out. */
export function notRun(what: string, why: string): void {
  if (process.env['KACHE_TEST_REQUIRE'] === 'all') throw new Error(`${what} could not run: ${why}`);
  const file = process.env['KACHE_TEST_NOT_RUN'];
  if (file !== undefined) appendFileSync(file, `${what} (${why})\n`);
  else console.error(`not run: ${what} (${why})`);
}
