// `kache doctor`: runs the checks and says what each found, with a remedy where something is wrong.
import { type Finding, runChecks } from './doctor-checks.ts';
import { checkIntegrity } from './doctor-integrity.ts';
import { print, printJson, style } from './terminal.ts';

export interface DoctorOptions {
  readonly fix?: boolean;
  readonly verify?: boolean;
  readonly checksums?: boolean;
  readonly repair?: boolean;
  readonly json?: boolean;
}

/** Returns the exit status: 1 when a check failed. */
export function doctor(options: DoctorOptions): number {
  const findings = [...runChecks(options.fix === true)];
  if (options.verify === true || options.checksums === true || options.repair === true)
    findings.push(...checkIntegrity(options));
  const failed = findings.some(({ state }) => state === 'fail');
  if (options.json === true) {
    printJson({ ok: !failed, checks: findings });
    return failed ? 1 : 0;
  }
  for (const finding of findings) show(finding);
  const count = (state: Finding['state']): number =>
    findings.filter((finding) => finding.state === state).length;
  print(`${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} wrong`);
  return failed ? 1 : 0;
}

const MARKS = { ok: style.green('ok  '), warn: style.yellow('look'), fail: style.red('FAIL') };

function show({ state, title, detail, remedy }: Finding): void {
  print(`${MARKS[state]}  ${title}`);
  if (detail !== '') print(`      ${detail}`);
  if (state !== 'ok' && remedy !== undefined) print(`      ${style.bold('->')} ${remedy}`);
}
