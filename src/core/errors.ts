// The one error class of the command line. What can be expected in the wrapper is a value, not an error.

/**
 * An error a person is meant to read. `message` follows `Cannot <do> "<object>": <state>.`, `hint` says what to do,
 * `code` is stable and may be matched by scripts.
 */
export class KacheError extends Error {
  override readonly name = 'KacheError';
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}
