// Whether a path-valued variable is used only to name a file to include. Then its value is not in the outputs, and its
// content is keyed as a file.

/** `name` in `include!(concat!(env!("…"), …))` and its kin. */
const includeForm = (name: string): RegExp =>
  new RegExp(
    `\\binclude(?:_str|_bytes)?\\s*!\\s*[([{]\\s*(?:concat\\s*!\\s*[([{]\\s*)?(?:env|option_env)\\s*!\\s*[([{]\\s*"${name}"`,
    'g',
  );

export type EnvUsage =
  /** Every mention stands inside an include. */
  | 'included'
  /** Some mention stands elsewhere: its value may be in the outputs in any form. */
  | 'elsewhere'
  /** These sources do not mention it: a macro of another crate does. */
  | 'unmentioned';

/** How the sources of a crate use the variable `name`, by their text. */
export function envUsage(name: string, sources: readonly string[]): EnvUsage {
  let mentioned = 0;
  let included = 0;
  for (const text of sources) {
    mentioned += text.split(`"${name}"`).length - 1;
    if (mentioned > 0) included += text.match(includeForm(name))?.length ?? 0;
  }
  if (mentioned === 0) return 'unmentioned';
  return included === mentioned ? 'included' : 'elsewhere';
}
