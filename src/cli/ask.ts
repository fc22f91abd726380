// Questions on a terminal, by a library that is loaded only then.
import { KacheError } from '../core/errors.ts';

/** Whether there is somebody to ask. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true;

/** The answer was Ctrl-C or Escape: nothing was changed, and shells are told as for an interruption. */
export class Cancelled extends KacheError {
  constructor() {
    super('cancelled', 'Cannot go on: the question was cancelled. Nothing was changed.');
  }
}

export async function askYesNo(question: string, preset: boolean): Promise<boolean> {
  const { confirm, isCancel } = await import('@clack/prompts');
  const answer = await confirm({ message: question, initialValue: preset });
  if (isCancel(answer)) throw new Cancelled();
  return answer;
}

export interface Choice {
  readonly value: string;
  readonly label: string;
  readonly hint: string;
}

/** The values that were picked; none is preset. */
export async function askWhich(question: string, choices: readonly Choice[]): Promise<readonly string[]> {
  const { isCancel, multiselect } = await import('@clack/prompts');
  const picked = await multiselect({
    message: question,
    required: false,
    options: [...choices],
    maxItems: 12,
  });
  if (isCancel(picked)) throw new Cancelled();
  return picked;
}
