// `kache doctor`: runs the checks and says what each found, with a remedy where something is wrong.
import { openStore } from '../store/store.ts';
import { isNative, version } from './binary.ts';
import { buildScripts } from './checks/build-scripts.ts';
import { CARGO_CHECKS } from './checks/cargo.ts';
import { type Check, type Context, contextHere, type Finding, fail, type State } from './checks/check.ts';
import { ENVIRONMENT_CHECKS } from './checks/environment.ts';
import { fingerprints } from './checks/fingerprints.ts';
import { HISTORY_CHECKS } from './checks/history.ts';
import { checkIntegrity } from './checks/integrity.ts';
import { probe } from './checks/probe.ts';
import { REMOTE_CHECKS } from './checks/remote.ts';
import { STORE_CHECKS } from './checks/store.ts';
import { longWork } from './long-work.ts';
import { settingsHere } from './open.ts';
import { print, printJson, style } from './terminal.ts';

export interface DoctorOptions {
  readonly fix?: boolean;
  readonly verify?: boolean;
  readonly checksums?: boolean;
  readonly repair?: boolean;
  readonly probe?: boolean;
  readonly json?: boolean;
}

/** Every check, in the order they are shown. */
export const CHECKS: readonly Check[] = [
  ...CARGO_CHECKS,
  ...ENVIRONMENT_CHECKS,
  buildScripts,
  fingerprints,
  ...STORE_CHECKS,
  ...HISTORY_CHECKS,
  ...REMOTE_CHECKS,
];

/** A finding with the check that made it: one object of the JSON output. */
interface Line {
  readonly id: string;
  readonly title: string;
  readonly state: State;
  readonly detail: string;
  readonly remedy: string | null;
}

const lineOf = ({ id, title }: Pick<Check, 'id' | 'title'>, { state, detail, remedy }: Finding): Line => ({
  id,
  title,
  state,
  detail,
  remedy: remedy ?? null,
});

/** Returns the exit status: 1 when a check failed. */
export async function doctor(options: DoctorOptions): Promise<number> {
  const { lines, fixed } = await runChecks(options.fix === true);
  lines.push(...(await deeper(options)));
  const isSound = !lines.some(({ state }) => state === 'fail');
  if (options.json === true) {
    printJson({ schema_version: 1, kache_version: version(), ok: isSound, fixed, checks: lines });
    return isSound ? 0 : 1;
  }
  for (const line of lines) show(line);
  for (const text of fixed) print(`${style.green('mended')}  ${text}`);
  const states = (state: State): number => lines.filter((line) => line.state === state).length;
  print(`${states('ok')} ok, ${states('look')} to look at, ${states('fail')} wrong`);
  return isSound ? 0 : 1;
}

/** Runs every check; with `fix`, a check that complains mends what it can and looks again. */
async function runChecks(fix: boolean): Promise<{ lines: Line[]; fixed: string[] }> {
  const [lines, fixed]: [Line[], string[]] = [[], []];
  let context = contextHere();
  for (const check of CHECKS) {
    let findings = await runOne(check, context);
    if (fix && check.fix !== undefined && findings.some(({ state }) => state !== 'ok')) {
      const done = await check.fix(context);
      if (done !== undefined) {
        fixed.push(done);
        context = contextHere();
        findings = await runOne(check, context);
      }
    }
    lines.push(...findings.map((finding) => lineOf(check, finding)));
  }
  return { lines, fixed };
}

/** A check that fails itself is a finding: what it wanted to read says why. */
async function runOne(check: Check, context: Context): Promise<readonly Finding[]> {
  try {
    return await check.run(context);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return [fail(`it could not be checked: ${error.message}`, 'Look at the file that is named.')];
  }
}

/** What takes longer, and is done when it is asked for. */
async function deeper(options: DoctorOptions): Promise<Line[]> {
  const lines: Line[] = [];
  const store = openStore(settingsHere().settings.cacheDir);
  const verifies = options.verify === true || options.checksums === true || options.repair === true;
  if (verifies && store.kind === 'store') {
    const found = await longWork('the verification', ({ pace }) => checkIntegrity(store, options, pace));
    lines.push(...found.map((finding) => lineOf(finding, finding)));
  }
  if (options.probe === true) {
    const check = { id: 'probe', title: 'A crate compiled at one place is a hit at another' };
    const finding = isNative()
      ? await longWork('the probe', ({ signal }) => probe(signal))
      : fail(
          'only the native binary can be a wrapper',
          'Run `npm run build`, then `dist/kache doctor --probe`.',
        );
    lines.push(lineOf(check, finding));
  }
  return lines;
}

const MARKS = { ok: style.green('ok  '), look: style.yellow('look'), fail: style.red('FAIL') };

function show({ state, title, detail, remedy }: Line): void {
  print(`${MARKS[state]}  ${title}`);
  if (detail !== '') print(`      ${detail}`);
  if (remedy !== null) print(`      ${style.bold('->')} ${remedy}`);
}
